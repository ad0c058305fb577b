"""Cause and dial status of a call: from the calling channel's HANGUP row."""

import msgspec

from streams.calls.facts import CallFacts
from streams.calls.pbx_profile import PbxProfile
from streams.clock import MICROS_PER_SECOND


class HangupFacts(msgspec.Struct, frozen=True):
    """Cause, dial status and source of the calling channel's HANGUP row."""

    usable: bool
    """`extra` holds the object that Asterisk writes."""
    cause: int | None = None
    """Q.850, 0 to 127."""
    dial_status: str | None = None
    source: str | None = None
    """Name of the channel that hung up, or `dialplan/builtin`."""
    row_id: int | None = None
    why: str = ""


def hangup_facts(facts: CallFacts, profile: PbxProfile) -> HangupFacts:
    """Cause and dial status, from the HANGUP row of the calling channel."""
    calling = facts.calling
    if calling is None or calling.hangup is None or facts.calling_missing:
        return HangupFacts(False, why="no HANGUP row of the calling channel: processed the old way")
    row_id, extra = calling.hangup.id, calling.hangup_extra
    if profile.two_status_mode:
        return HangupFacts(False, row_id=row_id, why="database.column_name_aliases.cel_extra asks for the old way")
    cause = extra.get("hangupcause") if extra else None
    if extra is None or not isinstance(cause, int) or isinstance(cause, bool) or not 0 <= cause <= 127:
        return HangupFacts(False, row_id=row_id, why=f"extra of row {row_id} holds no hangup cause: the old way")
    status = extra.get("dialstatus", "")
    status = "ANSWER" if status == "ANSWERED" else status
    source = extra.get("hangupsource")
    return HangupFacts(
        usable=True,
        cause=cause,
        dial_status=status if isinstance(status, str) else None,
        source=source if isinstance(source, str) and source else None,
        row_id=row_id,
        why=f"row {row_id}: the calling channel ended with cause {cause}, dial status {status or 'empty'}",
    )


def ended_by(facts: CallFacts, hangup: HangupFacts, *, answered: bool) -> str | None:
    """The one who ended the call: caller, called or pbx; None where the rows do not tell."""
    calling = facts.calling
    if calling is None or hangup.row_id is None or not hangup.usable:
        return None
    if answered and (first := hung_up_first(facts)):
        return "caller" if first == calling.name else "called"
    if hangup.source is None:
        return None
    if hangup.source == "dialplan/builtin":
        return "pbx"
    if hangup.source != calling.name:
        return "called"
    by_tone = hangup.cause in (17, 34) and hangup.dial_status not in ("ANSWER", "CANCEL")
    return None if by_tone and not _left_while_ringing(facts) else "caller"


def hung_up_first(facts: CallFacts) -> str | None:
    """Name of the channel of a phone or trunk that ended an answered call, where a HANGUP row names one.

    Of the rows of the call's last second, the first that names a channel that talked: the others follow it, and where
    Queue() or the dialplan lays the caller's channel down afterwards, that one's own row names itself or the dialplan.
    """
    calling = facts.calling
    if calling is None or not calling.real:
        return None
    since = facts.last - MICROS_PER_SECOND
    talked = {channel.name for channel in facts.channels.values() if channel.talks and channel.real}
    rows = sorted(
        (channel.hangup.id, channel.hangup_extra.get("hangupsource"))
        for channel in facts.channels.values()
        if channel.hangup and channel.hangup_extra and channel.ended is not None and channel.ended >= since
    )
    return next((source for _, source in rows if isinstance(source, str) and source in talked), None)


def _left_while_ringing(facts: CallFacts) -> bool:
    """Whether a leg was cut off with the caller. After their tone, Busy() and Congestion() hang up in its name."""
    calling = facts.calling
    ended = calling.ended if calling is not None else None
    ends = [leg.ended for leg in facts.channels.values() if leg is not calling and leg.ended is not None]
    return ended is not None and bool(ends) and abs(ended - max(ends)) < MICROS_PER_SECOND
