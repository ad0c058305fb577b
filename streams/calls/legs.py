"""The legs of a call: the outcome of each channel, in words."""

from streams.calls.direction import extension_of
from streams.calls.facts import CallFacts, Channel
from streams.calls.pbx_profile import PbxProfile
from streams.calls.result import CallLeg, CallResult
from streams.clock import MICROS_PER_SECOND

_OUTCOMES = {17: "busy", 21: "rejected", 26: "answered elsewhere", 0: "no answer", 16: "no answer", 18: "no answer",
             19: "no answer"}  # fmt: skip
"""Outcome of a called channel that was not answered, by its own hangup cause; every other cause: unavailable."""

_TOGETHER = 2 * MICROS_PER_SECOND
"""Microseconds between the ends of channels that ended for one reason (FreePBX's table holds whole seconds)."""


def legs_of(facts: CallFacts, result: CallResult, profile: PbxProfile) -> tuple[CallLeg, ...]:
    """One leg a channel, in order of start; Local halves and Asterisk's helpers have none."""
    real = [channel for channel in facts.channels.values() if channel.real]
    return tuple(_leg(number, channel, facts, result, profile) for number, channel in enumerate(real, start=1))


def _leg(number: int, channel: Channel, facts: CallFacts, result: CallResult, profile: PbxProfile) -> CallLeg:
    calling = channel is facts.calling
    cause = (channel.hangup_extra or {}).get("hangupcause")
    cause = cause if isinstance(cause, int) and not isinstance(cause, bool) else None
    reached = channel.answered if channel.answered is not None else channel.ended
    rings = (not calling or channel.originated) and channel.started_in_call
    inside = channel.side == "inside"
    return CallLeg(
        call_id=result.call_id,
        version=result.version,
        leg=number,
        number=extension_of(channel, profile) if inside else _outside_number(channel, calling=calling),
        channel=channel.name,
        started_at=channel.started,
        answered_at=channel.answered,
        ended_at=channel.ended,
        ring_seconds=max(0, reached - channel.started) / MICROS_PER_SECOND if rings and reached is not None else None,
        talk_seconds=sum(max(0, end - start) for start, end in channel.talks) / MICROS_PER_SECOND,
        hangup_cause=cause,
        outcome=_outcome(channel, facts, result, cause),
    )


def _outside_number(channel: Channel, *, calling: bool) -> str | None:
    """The number that is called or calls; None where Asterisk itself began the call: rows hold only the PBX's own."""
    if calling and channel.originated:
        return None
    return (channel.first_number if calling else channel.number) or None


def _outcome(channel: Channel, facts: CallFacts, result: CallResult, cause: int | None) -> str:
    if channel is facts.calling and not channel.originated:
        return "calling"
    if channel.talks or channel.answered is not None:
        return "answered"
    if channel.picked_up or cause == 26:
        return "answered elsewhere"
    if channel.forwarded:
        return "forwarded"
    if channel.ended is None:
        return "unfinished"
    if _caller_left(channel, facts, result):
        return "cancelled"
    if cause is None:
        return "no answer"
    return _OUTCOMES.get(cause, "unavailable")


def _caller_left(leg: Channel, facts: CallFacts, result: CallResult) -> bool:
    """Whether the caller gave up while the leg still rang: their channels ended together."""
    calling = facts.calling
    if calling is None or calling.ended is None or leg.ended is None or leg.hung_up_itself:
        return False
    left = result.hangup_source == calling.name or result.dial_status == "CANCEL"
    together = abs(leg.ended - calling.ended) < _TOGETHER
    return left and together and (leg.hangup is None or leg.hangup.id > facts.calling_progress_row)
