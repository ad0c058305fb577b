"""From a call's rows to its outcome: pure, the same rows and rules give the same bytes."""

from typing import NamedTuple

from streams.calls.call import MOST_ROWS, Call, age_of, epoch_of, version_number
from streams.calls.channel import endpoint
from streams.calls.legs import legs_of
from streams.calls.parties import Parties, extension_of, parties, side_of
from streams.calls.result import CallResult, Caution, Judgement
from streams.calls.site import Site
from streams.calls.story import Channel, Story, json_object, tell
from streams.calls.timeline import SECOND
from streams.rules import Rules, hash_in_force
from streams.rules.results import DIAL_STATUSES, RESULT_NAMES

_TRANSFER_CHANNELS = ("channel2", "transferee_channel", "transfer_target_channel")
"""Whom a transfer row names besides the channel that it is logged on."""

ABANDONED_WHY = "its channels went on under another linkedid, and it has no outside party of its own"


class HangupFacts(NamedTuple):
    """What the calling channel's HANGUP row says."""

    usable: bool
    """`extra` holds the object that Asterisk writes."""
    cause: int | None = None
    dial_status: str | None = None
    source: str | None = None
    row_id: int | None = None
    why: str = ""


class Decision(NamedTuple):
    """A result and the line, or the rule over the lines, that gave it."""

    result: int
    rule: str


def judge(call: Call, rules: Rules, site: Site, *, cut_short: bool = False) -> Judgement:
    """The outcome of a call as far as its rows go. `cut_short`: ended by the time limit, not by its rows."""
    story = tell(call.rows, call.linkedid, site.timezone_of(call.pbx))
    who = parties(story, site)
    hangup = hangup_facts(story, site)
    answered, answered_why = is_answered(story, site, hangup)
    decision = decide(story, hangup, answered, rules)
    version = call.version
    talked = _talked(story, site)
    complete, incomplete_reason = _completeness(call, cut_short)
    abandoned = _is_abandoned(call, story) and who.direction not in ("incoming", "outgoing")
    timeline = story.timeline
    talk = _talk_span(story, site)
    why = [*who.why, answered_why, hangup.why, decision.rule]
    warnings = _warnings(story, who, hangup, answered)
    if Caution.ZONE in warnings:
        why.append(f"the configured zone disagrees with the clock in uniqueid, which was believed: {timeline.offset} s")
    if abandoned:
        why.append(ABANDONED_WHY)
    if incomplete_reason:
        why.append(incomplete_reason)
    result = CallResult(
        call_id=call.call_id,
        pbx=call.pbx,
        linkedid=call.linkedid,
        version=version_number(version),
        version_row_id=version[0],
        version_rows=version[1],
        rules_hash=hash_in_force(rules.hash, site.hash),
        direction=who.direction,
        answered=answered,
        answered_by=_answered_by(story, who, site) if answered else None,
        talked_with=talked,
        caller=who.caller,
        called=who.called,
        caller_e164=_e164(who.caller, site),
        called_e164=_e164(who.called, site),
        client=site.outside_number(who.client) if who.client else None,
        extension=_extension(story, who, site),
        rang_last=_rang_last(story, site),
        did=who.did,
        trunk=who.trunk,
        started_at=story.first,
        answered_at=talk.first if answered else None,
        ended_at=max(story.last, story.first),
        timezone=site.timezone_of(call.pbx),
        utc_offset_seconds=timeline.offset,
        utc_offset_source=timeline.source,
        ivr_seconds=_ivr_seconds(story),
        queue_seconds=_queue_seconds(story, talk.first),
        ringing_seconds=_ringing_seconds(story, talk.first),
        talk_seconds=talk.seconds if answered else 0.0 if story.bridge_rows or site.bridges_logged else None,
        result=decision.result,
        result_name=RESULT_NAMES[decision.result],
        rule=decision.rule,
        hangup_cause=hangup.cause,
        dial_status=hangup.dial_status,
        hangup_source=hangup.source,
        ended_by=_ended_by(story, hangup),
        extra_usable=hangup.usable,
        handled_by=None if answered or not story.machines else story.machines[-1][1],
        transfers=_transfers(story),
        pickups=_pickups(story),
        linked_calls=_linked_calls(call, story),
        part_of=_part_of(call, story) if _is_abandoned(call, story) else None,
        abandoned=abandoned,
        complete=complete,
        incomplete_reason=incomplete_reason,
        warnings=warnings,
        why=tuple(sentence for sentence in why if sentence),
    ).hashed()
    return Judgement(result, legs_of(story, result, site))


def hangup_facts(story: Story, site: Site) -> HangupFacts:
    """Cause and dial status, from the HANGUP row of the calling channel."""
    row = story.root.hangup if story.root else None
    if row is None:
        return HangupFacts(False, why="no HANGUP row of the calling channel: processed the old way")
    if site.old_way:
        return HangupFacts(False, row_id=row.id, why="database.column_name_aliases.cel_extra asks for the old way")
    extra = json_object(row.extra)
    cause = extra.get("hangupcause") if extra else None
    if extra is None or not isinstance(cause, int) or isinstance(cause, bool) or not 0 <= cause <= 127:
        return HangupFacts(False, row_id=row.id, why=f"extra of row {row.id} holds no hangup cause: the old way")
    status = extra.get("dialstatus", "")
    status = "ANSWER" if status == "ANSWERED" else status
    source = extra.get("hangupsource")
    return HangupFacts(
        usable=True,
        cause=cause,
        dial_status=status if isinstance(status, str) else None,
        source=source if isinstance(source, str) and source else None,
        row_id=row.id,
        why=f"row {row.id}: the calling channel ended with cause {cause}, dial status {status or 'empty'}",
    )


def is_answered(story: Story, site: Site, hangup: HangupFacts) -> tuple[bool, str]:
    """Whether a person on the other side talked, and what says so."""
    root = story.root
    if root is None:
        return False, "not answered: no calling channel"
    if story.root_answered:
        seen = (
            "at the same time as another person's (no row names a peer)" if story.peerless else "with another person's"
        )
        return True, f"answered: the calling channel was in a bridge {seen}, last at row {story.root_talk_row}"
    if _called_by_asterisk(root, site):
        return True, f"answered: Asterisk called {root.endpoint}, and it answered"
    if not site.bridges_logged:
        answered = hangup.dial_status == "ANSWER"
        return answered, f"{'' if answered else 'not '}answered: no BRIDGE rows are logged, the dial status decides"
    if _bridges_missing(story, hangup):
        return False, (
            "not answered: dial status is ANSWER, but no row shows a bridge; "
            "if cel.conf logs no BRIDGE events, set aggregate.bridges_logged: false"
        )
    return False, "not answered: the calling channel was never in a bridge with another person's"


def _bridges_missing(story: Story, hangup: HangupFacts) -> bool:
    """Dial() says that somebody answered, and not one row of a bridge is there."""
    return hangup.dial_status == "ANSWER" and not story.bridge_rows


def _warnings(story: Story, who: Parties, hangup: HangupFacts, answered: bool) -> tuple[str, ...]:
    found = {
        Caution.DIRECTION: who.direction == "unknown" and bool(story.channels),
        Caution.BRIDGES: _bridges_missing(story, hangup) and not answered,
        Caution.ZONE: story.timeline.disagrees,
        Caution.EXTRA: not hangup.usable and hangup.row_id is not None,
    }
    return tuple(code for code, is_so in found.items() if is_so)


def _called_by_asterisk(root: Channel, site: Site) -> bool:
    """A trunk channel that Asterisk itself originated, and that answered: the person called is on it."""
    return root.originated and root.real and root.answered is not None and side_of(root, site)[0] == "outside"


def decide(story: Story, hangup: HangupFacts, answered: bool, rules: Rules) -> Decision:
    """The call's result."""
    if not hangup.usable or hangup.cause is None:
        return Decision(0, "result 0: processed the old way, with two statuses")
    if rules.results.last_attempt_decides and answered and _talk_lasted(story):
        return Decision(200, "the last attempt was answered and the talk lasted until hangup: 200 Success")
    status = hangup.dial_status if hangup.dial_status in DIAL_STATUSES else None
    rule = rules.results.rule(hangup.cause, status) if status is not None else None
    if rule is None:
        return Decision(
            0, f"no line for cause {hangup.cause}, dial status {hangup.dial_status or 'empty'}: the old way"
        )
    return Decision(rule.result, rule.describe())


def _talk_lasted(story: Story) -> bool:
    """No new attempt of the calling channel to reach somebody began after its last talk.

    What begins after it hung up, or transferred the other one away, is no longer its own.
    """
    root = story.root
    if root is None or not story.root_answered:
        return root is not None and root.originated and not story.attempts
    left = story.root_left_row
    return not any(row.id > story.root_talk_row and (left is None or row.id < left) for row in story.attempts)


class _Talk(NamedTuple):
    first: int | None
    seconds: float | None


def _talk_span(story: Story, site: Site) -> _Talk:
    """First talk, and how long the calling channel talked (and, after it left, those it had connected)."""
    root = story.root
    if root is None:
        return _Talk(None, None)
    others = [span for channel in story.channels.values() if channel is not root for span in channel.talks]
    others += [span for spans in story.strangers.values() for span in spans]
    if root.real and root.talks:
        end = root.talks[-1][1]
        spans = root.talks + [span for span in others if span[0] >= end]
    elif _called_by_asterisk(root, site) and root.answered is not None:
        spans = [[root.answered, max(root.ended or story.last, root.answered)]]
    else:
        spans = others
    if not spans:
        return _Talk(None, None)
    return _Talk(min(span[0] for span in spans), _union(spans) / SECOND)


def _union(spans: list[list[int]]) -> int:
    total, reached = 0, -1
    for start, end in sorted(spans):
        begin = max(start, reached)
        if end > begin:
            total += end - begin
        reached = max(reached, end)
    return total


def _talked(story: Story, site: Site) -> tuple[str, ...]:
    """Endpoints that talked, in order of their first talk, less the channel that began the call."""
    root = story.root
    firsts: list[tuple[int, str]] = []
    for channel in story.channels.values():
        if channel.talks and channel is not root:
            firsts.append((channel.talks[0][0], channel.endpoint))
        elif channel is root and channel.answered is not None and _called_by_asterisk(channel, site):
            firsts.append((channel.answered, channel.endpoint))
    firsts += [(spans[0][0], endpoint(name)) for name, spans in story.strangers.items() if spans]
    return tuple(dict.fromkeys(name for _, name in sorted(firsts)))


def _answered_by(story: Story, who: Parties, site: Site) -> str | None:
    """Who talked last: the talk that began last decides."""
    root = story.root
    talked = [channel for channel in story.channels.values() if channel.talks and channel is not root]
    if not talked:
        strangers = [name for name, spans in story.strangers.items() if spans]
        if strangers:
            return endpoint(strangers[-1])
        return who.called or (root.endpoint if root else None)
    last = max(talked, key=lambda channel: channel.talks[-1][0])
    if side_of(last, site)[0] == "outside":
        if who.direction == "outgoing" and not story.transfers:
            return who.called or last.number or last.endpoint
        return last.number or last.endpoint
    return extension_of(last, site)


def _inside(story: Story, site: Site) -> list[Channel]:
    return [each for each in story.channels.values() if each.real and side_of(each, site)[0] == "inside"]


def _extension(story: Story, who: Parties, site: Site) -> str | None:
    """The inside party: who talked last, else who called, else who rang last."""
    talked = [channel for channel in _inside(story, site) if channel.talks]
    if talked:
        return extension_of(max(talked, key=lambda channel: channel.talks[-1][0]), site)
    if who.direction in ("outgoing", "internal") and who.caller:
        return who.caller
    return _rang_last(story, site)


def _rang_last(story: Story, site: Site) -> str | None:
    rang = [channel for channel in _inside(story, site) if channel is not story.root and channel.born_here]
    return extension_of(max(rang, key=lambda channel: channel.start_row.id), site) if rang else None


def _e164(number: str | None, site: Site) -> str | None:
    if not number or site.is_inside(number):
        return None
    normalised = site.outside_number(number)
    return normalised if normalised and normalised.startswith("+") else None


def _ringing_seconds(story: Story, talk: int | None) -> float | None:
    """From the first channel called to the talk, or in vain."""
    legs = [each for each in story.channels.values() if each is not story.root and each.real and each.born_here]
    if not legs:
        return None
    start = min(leg.started for leg in legs)
    answers = [leg.answered for leg in legs if leg.answered is not None]
    end = min(answers) if answers else talk or max(leg.ended or story.last for leg in legs)
    return max(0, end - start) / SECOND


def _queue_seconds(story: Story, talk: int | None) -> float | None:
    if not story.queue_spans:
        return None
    waits = [
        min(end, talk) - start if talk is not None and talk > start else end - start for start, end in story.queue_spans
    ]
    return max(0, sum(waits)) / SECOND


def _ivr_seconds(story: Story) -> float | None:
    """From the PBX's own answer to the first channel called, or to the end."""
    root = story.root
    if root is None or root.answered is None or root.originated:
        return None
    reached = [each.started for each in story.channels.values() if each is not root]
    reached += [start for start, _ in story.queue_spans]
    end = min(reached, default=root.ended or story.last)
    return max(0, end - root.answered) / SECOND if end > root.answered else None


def _ended_by(story: Story, hangup: HangupFacts) -> str | None:
    if hangup.source is None or story.root is None:
        return None
    if hangup.source == "dialplan/builtin":
        return "pbx"
    return "caller" if hangup.source == story.root.name else "called"


def _transfers(story: Story) -> tuple[str, ...]:
    told = []
    for row in story.transfers:
        extra = json_object(row.extra) or {}
        by = endpoint(row.channame)
        if row.eventtype == "BLINDTRANSFER":
            told.append(f"{by} transferred to {extra.get('extension') or 'an unknown extension'}")
        else:
            target = extra.get("transfer_target_channel_name") or extra.get("channel2_name")
            named = endpoint(target) if isinstance(target, str) and target != "N/A" else "an unknown channel"
            told.append(f"{by} transferred to {named} after asking")
    return tuple(told)


def _pickups(story: Story) -> tuple[str, ...]:
    told = []
    for row in story.pickups:
        by = (json_object(row.extra) or {}).get("pickup_channel")
        told.append(f"{endpoint(by) if isinstance(by, str) else 'somebody'} picked up for {endpoint(row.channame)}")
    return tuple(told)


def _linked_calls(call: Call, story: Story) -> tuple[str, ...]:
    """Channels that came from calls of their own: their uniqueid was that call's linkedid."""
    return tuple(
        channel.uniqueid
        for channel in story.channels.values()
        if not channel.born_here and channel.uniqueid != call.linkedid and story.root is not channel
    )


def _is_abandoned(call: Call, story: Story) -> bool:
    """LINKEDID_END came while a channel had not ended: it went on under another linkedid."""
    return call.linkedid_end and any(each.ended is None and each.real for each in story.channels.values())


def _part_of(call: Call, story: Story) -> str | None:
    """The oldest channel of another call that a transfer names: its uniqueid is that call's linkedid."""
    others = []
    for row in story.transfers:
        extra = json_object(row.extra) or {}
        named = (extra.get(f"{each}_uniqueid") for each in _TRANSFER_CHANNELS)
        others += [each for each in named if isinstance(each, str) and epoch_of(each) and each not in story.channels]
    return min(others, key=age_of, default=None)


def _completeness(call: Call, cut_short: bool) -> tuple[bool, str | None]:
    if call.full:
        return False, f"cut short: only its first {MOST_ROWS} rows count, the others are in the dead letters"
    if call.linkedid_end or (call.channels_ended and not cut_short):
        return True, None
    return False, "cut short: its rows stop without an end"
