"""The legs of a call: what became of each channel, in words."""

from streams.calls.direction import extension_of, side_of
from streams.calls.fold import CallFacts, Channel, json_object
from streams.calls.pbx_profile import PbxProfile
from streams.calls.result import CallLeg, CallResult
from streams.clock import MICROS_PER_SECOND

_OUTCOMES = {17: "busy", 21: "rejected", 26: "answered elsewhere", 0: "no answer", 16: "no answer", 18: "no answer",
             19: "no answer"}  # fmt: skip
"""Of a called channel that was not answered, by its own hangup cause; every other cause: unavailable."""


_TOGETHER = 2 * MICROS_PER_SECOND
"""Microseconds between the ends of channels that ended for one reason (FreePBX's table holds whole seconds)."""


def legs_of(story: CallFacts, result: CallResult, profile: PbxProfile) -> tuple[CallLeg, ...]:
    """One leg a channel, in order of start; Local halves and Asterisk's helpers are none."""
    real = [channel for channel in story.channels.values() if channel.real]
    return tuple(_leg(number, channel, story, result, profile) for number, channel in enumerate(real, start=1))


def _leg(number: int, channel: Channel, story: CallFacts, result: CallResult, profile: PbxProfile) -> CallLeg:
    root = channel is story.root
    cause = (json_object(channel.hangup.extra) or {}).get("hangupcause") if channel.hangup else None
    cause = cause if isinstance(cause, int) and not isinstance(cause, bool) else None
    reached = channel.answered if channel.answered is not None else channel.ended
    rings = (not root or channel.originated) and channel.born_here
    inside = side_of(channel, profile)[0] == "inside"
    return CallLeg(
        call_id=result.call_id,
        version=result.version,
        leg=number,
        number=extension_of(channel, profile) if inside else _outside_number(channel, root=root),
        channel=channel.name,
        started_at=channel.started,
        answered_at=channel.answered,
        ended_at=channel.ended,
        ring_seconds=max(0, reached - channel.started) / MICROS_PER_SECOND if rings and reached is not None else None,
        talk_seconds=sum(max(0, end - start) for start, end in channel.talks) / MICROS_PER_SECOND,
        hangup_cause=cause,
        outcome=_outcome(channel, story, result, cause),
    )


def _outside_number(channel: Channel, *, root: bool) -> str | None:
    """Who is called or calls; of a channel that Asterisk itself began the rows hold only the PBX's own number."""
    if root and channel.originated:
        return None
    return (channel.first_number if root else channel.number) or None


def _outcome(channel: Channel, story: CallFacts, result: CallResult, cause: int | None) -> str:
    if channel is story.root and not channel.originated:
        return "calling"
    if channel.talks or channel.answered is not None:
        return "answered"
    if channel.picked_up or cause == 26:
        return "answered elsewhere"
    if channel.forwarded:
        return "forwarded"
    if channel.ended is None:
        return "unfinished"
    if _caller_left(channel, story, result):
        return "cancelled"
    if cause is None:
        return "no answer"
    return _OUTCOMES.get(cause, "unavailable")


def _caller_left(leg: Channel, story: CallFacts, result: CallResult) -> bool:
    """Whether the caller gave up while the leg still rang: its end came with his."""
    root = story.root
    if root is None or root.ended is None or leg.ended is None or leg.hung_up_itself:
        return False
    left = result.hangup_source == root.name or result.dial_status == "CANCEL"
    row = leg.hangup
    return left and abs(leg.ended - root.ended) < _TOGETHER and (row is None or row.id > story.root_moved_row)
