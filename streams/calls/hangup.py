"""Cause and dial status of a call: what the calling channel's HANGUP row says."""

from typing import NamedTuple

from streams.calls.fold import CallFacts, json_object
from streams.calls.pbx_profile import PbxProfile
from streams.clock import MICROS_PER_SECOND


class HangupFacts(NamedTuple):
    """What the calling channel's HANGUP row says."""

    usable: bool
    """`extra` holds the object that Asterisk writes."""
    cause: int | None = None
    dial_status: str | None = None
    source: str | None = None
    row_id: int | None = None
    why: str = ""


def hangup_facts(story: CallFacts, profile: PbxProfile) -> HangupFacts:
    """Cause and dial status, from the HANGUP row of the calling channel."""
    row = story.root.hangup if story.root else None
    if row is None:
        return HangupFacts(False, why="no HANGUP row of the calling channel: processed the old way")
    if profile.two_status_mode:
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


def ended_by(story: CallFacts, hangup: HangupFacts) -> str | None:
    """caller, called or pbx; None where the rows do not tell."""
    if hangup.source is None or story.root is None:
        return None
    if hangup.source == "dialplan/builtin":
        return "pbx"
    if hangup.source != story.root.name:
        return "called"
    by_tone = hangup.cause in (17, 34) and hangup.dial_status not in ("ANSWER", "CANCEL")
    return None if by_tone and not _left_while_ringing(story) else "caller"


def _left_while_ringing(story: CallFacts) -> bool:
    """Whether a leg was cut off with the caller. Busy() and Congestion() hang up in his name when their tone ends."""
    root = story.root
    ended = root.ended if root is not None else None
    ends = [leg.ended for leg in story.channels.values() if leg is not root and leg.ended is not None]
    return ended is not None and bool(ends) and abs(ended - max(ends)) < MICROS_PER_SECOND
