"""Classify a call: from its rows to its result and legs. Pure: the same rows and rules give the same bytes."""

import msgspec

from streams.calls import durations, linked_calls, participants
from streams.calls.answered import assume_talks, bridges_missing, is_answered
from streams.calls.call import MAX_ROWS, Call, version_number
from streams.calls.call_facts import fold_call
from streams.calls.direction import Parties, parties
from streams.calls.facts import CallFacts
from streams.calls.gaps import with_gaps
from streams.calls.hangup import HangupFacts, ended_by, hangup_facts
from streams.calls.legs import legs_of
from streams.calls.outcome import outcome_of
from streams.calls.pbx_profile import PbxProfile
from streams.calls.result import CallResult, CallWarning, Classification
from streams.rows.event_type import UNKNOWN
from streams.rules import Rules, hash_in_force
from streams.rules.results import RESULT_NAMES

ABANDONED_WHY = "its channels went on under another linkedid, and it has no outside party of its own"
TAKEN_OVER_WHY = "a transfer took its place while it rang: what came of it is in the call that was transferred"
CALLING_MISSING_WHY = (
    "direction unknown: no row of the channel that began the call is there, so who called is not known"
)


class Decision(msgspec.Struct, frozen=True):
    """A result and the line, or the rule over the lines, that gave it."""

    result: int
    rule: str


def classify(call: Call, rules: Rules, profile: PbxProfile, *, cut_short: bool = False) -> Classification:
    """The outcome of a call as far as its rows go, and its legs. `cut_short`: ended by the time limit, not its rows."""
    facts, result = facts_and_result(call, rules, profile, cut_short=cut_short)
    return Classification(result, legs_of(facts, result, profile.of_pbx(call.pbx)))


def facts_and_result(
    call: Call, rules: Rules, profile: PbxProfile, *, cut_short: bool = False
) -> tuple[CallFacts, CallResult]:
    """The outcome of a call without its legs, and the facts that gave it: `explain` tells these.

    Of several PBXs, by the profile of the call's own.
    """
    profile = profile.of_pbx(call.pbx)
    facts = fold_call(call, profile)
    who = Parties("unknown", why=[CALLING_MISSING_WHY]) if facts.calling_missing else parties(facts, profile)
    hangup = hangup_facts(facts, profile)
    answered, answered_why = is_answered(facts, profile, hangup)
    if answered and not profile.bridges_logged and not facts.bridges_seen:
        assume_talks(facts)
    decision = decide(facts, hangup, answered, rules)
    went_on = linked_calls.went_on(call, facts)
    complete, incomplete_reason = _completeness(call, facts, cut_short)
    taken_over = complete and linked_calls.taken_over(facts)
    abandoned = taken_over or (went_on and not facts.on_side("outside"))
    timeline = facts.timeline
    rang = participants.rang_last(facts, profile)
    talk = durations.talk_span(facts, who)
    without_talk = 0.0 if facts.bridges_seen or profile.bridges_logged else None
    why = [*who.why, answered_why, hangup.why, decision.rule]
    if timeline.disagrees:
        why.append(f"the configured zone disagrees with the clock in uniqueid, which was believed: {timeline.offset} s")
    if abandoned:
        why.append(TAKEN_OVER_WHY if taken_over else ABANDONED_WHY)
    if incomplete_reason:
        why.append(incomplete_reason)
    result = CallResult(
        call_id=call.call_id,
        pbx=call.pbx,
        linkedid=call.linkedid,
        version=0,
        version_row_id=0,
        version_rows=0,
        rules_hash=hash_in_force(rules.hash, profile.hash),
        direction=who.direction,
        answered=answered,
        answered_by=participants.answered_by(facts, who, profile) if answered else None,
        talked_with=participants.talked_with(facts),
        caller=who.caller,
        called=who.called,
        caller_e164=_e164(who.caller, profile),
        called_e164=_called_e164(who, profile),
        client=who.client_number,
        extension=participants.extension(facts, who, profile, rang),
        rang_last=rang,
        did=who.did,
        trunk=who.trunk,
        started_at=facts.first,
        answered_at=talk.first if answered else None,
        ended_at=max(facts.last, facts.first),
        timezone=profile.timezone_of(call.pbx),
        utc_offset_seconds=timeline.offset,
        utc_offset_source=timeline.source,
        ivr_seconds=durations.ivr_seconds(facts),
        queue_seconds=durations.queue_seconds(facts, talk),
        ringing_seconds=durations.ringing_seconds(facts, who, talk.first),
        talk_seconds=talk.seconds if answered else without_talk,
        result=decision.result,
        result_name=RESULT_NAMES[decision.result],
        rule=decision.rule,
        hangup_cause=hangup.cause,
        dial_status=hangup.dial_status,
        hangup_source=hangup.source,
        ended_by=ended_by(facts, hangup, answered=answered),
        extra_usable=hangup.usable,
        handled_by=None if answered or not facts.automata else facts.automata[-1][1],
        transfers=linked_calls.transfers_in_words(facts),
        pickups=linked_calls.pickups_in_words(facts),
        linked_calls=linked_calls.linked_calls(call, facts),
        part_of=linked_calls.part_of(facts) if went_on else None,
        abandoned=abandoned,
        complete=complete,
        incomplete_reason=incomplete_reason,
        warnings=_warnings(facts, who, hangup, answered),
        why=tuple(filter(None, why)),
        queue=participants.queue_of(facts),
        outcome=outcome_of(answered, decision.result),
    )
    version = call.version
    return facts, with_gaps(result, call, facts.timeline).stamped(version_number(version), *version)


def _warnings(facts: CallFacts, who: Parties, hangup: HangupFacts, answered: bool) -> tuple[str, ...]:
    found = []
    if facts.calling_missing:
        found.append(CallWarning.CALLER)
    elif who.direction == "unknown" and facts.channels:
        found.append(CallWarning.DIRECTION)
    if not answered and bridges_missing(facts, hangup):
        found.append(CallWarning.BRIDGES)
    if facts.timeline.disagrees:
        found.append(CallWarning.ZONE)
    if facts.user_events and any(event.startswith(UNKNOWN) for event in facts.user_events):
        found.append(CallWarning.EVENTS)
    if not hangup.usable and hangup.row_id is not None:
        found.append(CallWarning.EXTRA)
    return tuple(found)


def decide(facts: CallFacts, hangup: HangupFacts, answered: bool, rules: Rules) -> Decision:
    """The call's result: by the talk where it lasted until hangup, else by the table; 0 where neither tells."""
    if not hangup.usable or hangup.cause is None:
        return Decision(0, "result 0: processed the old way, with two statuses")
    if rules.results.last_attempt_decides and answered and _talk_lasted(facts):
        return Decision(200, "the last attempt was answered and the talk lasted until hangup: 200 Success")
    rule = rules.results.rule(hangup.cause, hangup.dial_status)
    if rule is None:
        return Decision(
            0, f"no line for cause {hangup.cause}, dial status {hangup.dial_status or 'empty'}: the old way"
        )
    return Decision(rule.result, rule.words)


def _talk_lasted(facts: CallFacts) -> bool:
    """Whether no new attempt of the calling channel to reach somebody began after its last talk.

    An attempt that begins after it hung up, or transferred the other one away, is no longer its own.
    """
    left = facts.calling_left_row
    talk = facts.calling_talk_row if facts.calling_connected else facts.calling_reached_row
    return not any(row.id > talk and (left is None or row.id < left) for row in facts.attempts)


def _e164(number: str | None, profile: PbxProfile) -> str | None:
    if not number or profile.is_inside(number):
        return None
    normalised = profile.normalised_number(number)
    return normalised if normalised and normalised.startswith("+") else None


def _called_e164(who: Parties, profile: PbxProfile) -> str | None:
    """The number called: as the trunk was given it, where the call went out."""
    if who.direction != "outgoing":
        return _e164(who.called, profile)
    number = who.client_number or ""
    return number if number.startswith("+") else None


def _completeness(call: Call, facts: CallFacts, cut_short: bool) -> tuple[bool, str | None]:
    if call.full:
        return False, f"cut short: only its first {MAX_ROWS} rows count, the others are in the dead letters"
    if facts.calling_missing:
        return False, "the rows of the channel that began it are missing"
    if call.linkedid_end or (call.channels_ended and not cut_short):
        return True, None
    return False, "cut short: its rows stop without an end"
