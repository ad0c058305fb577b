"""From a call's rows to its outcome: pure, the same rows and rules give the same bytes."""

from typing import NamedTuple

from streams.calls import durations
from streams.calls import linked_calls as pieces
from streams.calls import participants as people
from streams.calls.answered import assume_talks, bridges_missing, is_answered
from streams.calls.call import MOST_ROWS, Call, version_number
from streams.calls.direction import Parties, parties
from streams.calls.fold import CallFacts, tell
from streams.calls.gaps import with_gaps
from streams.calls.hangup import HangupFacts, ended_by, hangup_facts
from streams.calls.legs import legs_of
from streams.calls.pbx_profile import PbxProfile
from streams.calls.result import CallResult, CallWarning, Classification
from streams.rules import Rules, hash_in_force
from streams.rules.results import RESULT_NAMES

ABANDONED_WHY = "its channels went on under another linkedid, and it has no outside party of its own"


class Decision(NamedTuple):
    """A result and the line, or the rule over the lines, that gave it."""

    result: int
    rule: str


def classify(call: Call, rules: Rules, profile: PbxProfile, *, cut_short: bool = False) -> Classification:
    """The outcome of a call as far as its rows go, and its legs. `cut_short`: ended by the time limit, not its rows."""
    story, result = facts_and_result(call, rules, profile, cut_short=cut_short)
    return Classification(result, legs_of(story, result, profile))


def facts_and_result(
    call: Call, rules: Rules, profile: PbxProfile, *, cut_short: bool = False
) -> tuple[CallFacts, CallResult]:
    """The same without the legs, and the story that it was classified by."""
    story = tell(call.rows, call.linkedid, profile.timezone_of(call.pbx))
    who = parties(story, profile)
    hangup = hangup_facts(story, profile)
    answered, answered_why = is_answered(story, profile, hangup)
    if answered and not profile.bridges_logged and not story.bridges_seen:
        assume_talks(story)
    decision = decide(story, hangup, answered, rules)
    version = call.version
    went_on = pieces.went_on(call, story)
    complete, incomplete_reason = _completeness(call, cut_short)
    abandoned = went_on and not people.outside(story, profile)
    timeline = story.timeline
    rang = people.rang_last(story, profile)
    talk = durations.talk_span(story, who, profile)
    why = [*who.why, answered_why, hangup.why, decision.rule]
    warnings = _warnings(story, who, hangup, answered)
    if CallWarning.ZONE in warnings:
        why.append(f"the configured zone disagrees with the clock in uniqueid, which was believed: {timeline.offset} s")
    if abandoned:
        why.append(ABANDONED_WHY)
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
        answered_by=people.answered_by(story, who, profile) if answered else None,
        talked_with=people.talked_with(story, profile),
        caller=who.caller,
        called=who.called,
        caller_e164=_e164(who.caller, profile),
        called_e164=_e164(who.called, profile),
        client=profile.outside_number(who.client) if who.client else None,
        extension=people.extension(story, who, profile, rang),
        rang_last=rang,
        did=who.did,
        trunk=who.trunk,
        started_at=story.first,
        answered_at=talk.first if answered else None,
        ended_at=max(story.last, story.first),
        timezone=profile.timezone_of(call.pbx),
        utc_offset_seconds=timeline.offset,
        utc_offset_source=timeline.source,
        ivr_seconds=durations.ivr_seconds(story),
        queue_seconds=durations.queue_seconds(story, talk),
        ringing_seconds=durations.ringing_seconds(story, who, profile, talk.first),
        talk_seconds=talk.seconds if answered else 0.0 if story.bridges_seen or profile.bridges_logged else None,
        result=decision.result,
        result_name=RESULT_NAMES[decision.result],
        rule=decision.rule,
        hangup_cause=hangup.cause,
        dial_status=hangup.dial_status,
        hangup_source=hangup.source,
        ended_by=ended_by(story, hangup),
        extra_usable=hangup.usable,
        handled_by=None if answered or not story.machines else story.machines[-1][1],
        transfers=pieces.transfers(story),
        pickups=pieces.pickups(story),
        linked_calls=pieces.linked_calls(call, story),
        part_of=pieces.part_of(story) if went_on else None,
        abandoned=abandoned,
        complete=complete,
        incomplete_reason=incomplete_reason,
        warnings=warnings,
        why=tuple(sentence for sentence in why if sentence),
    )
    return story, with_gaps(result, call, timeline).stamped(version_number(version), *version)


def _warnings(story: CallFacts, who: Parties, hangup: HangupFacts, answered: bool) -> tuple[str, ...]:
    found = []
    if who.direction == "unknown" and story.channels:
        found.append(CallWarning.DIRECTION)
    if not answered and bridges_missing(story, hangup):
        found.append(CallWarning.BRIDGES)
    if story.timeline.disagrees:
        found.append(CallWarning.ZONE)
    if not hangup.usable and hangup.row_id is not None:
        found.append(CallWarning.EXTRA)
    return tuple(found)


def decide(story: CallFacts, hangup: HangupFacts, answered: bool, rules: Rules) -> Decision:
    """The call's result."""
    if not hangup.usable or hangup.cause is None:
        return Decision(0, "result 0: processed the old way, with two statuses")
    if rules.results.last_attempt_decides and answered and _talk_lasted(story):
        return Decision(200, "the last attempt was answered and the talk lasted until hangup: 200 Success")
    rule = rules.results.rule(hangup.cause, hangup.dial_status)
    if rule is None:
        return Decision(
            0, f"no line for cause {hangup.cause}, dial status {hangup.dial_status or 'empty'}: the old way"
        )
    return Decision(rule.result, rule.words)


def _talk_lasted(story: CallFacts) -> bool:
    """No new attempt of the calling channel to reach somebody began after its last talk.

    What begins after it hung up, or transferred the other one away, is no longer its own.
    """
    left, talk = story.root_left_row, story.root_talk_row if story.root_answered else story.root_reached_row
    return not any(row.id > talk and (left is None or row.id < left) for row in story.attempts)


def _e164(number: str | None, profile: PbxProfile) -> str | None:
    if not number or profile.is_inside(number):
        return None
    normalised = profile.outside_number(number)
    return normalised if normalised and normalised.startswith("+") else None


def _completeness(call: Call, cut_short: bool) -> tuple[bool, str | None]:
    if call.full:
        return False, f"cut short: only its first {MOST_ROWS} rows count, the others are in the dead letters"
    if call.linkedid_end or (call.channels_ended and not cut_short):
        return True, None
    return False, "cut short: its rows stop without an end"
