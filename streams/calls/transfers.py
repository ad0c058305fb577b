"""Transfers and pickups, read from the `extra` column of their rows.

Asterisk 12 and later write a JSON object; before, a blind transfer's `extra` is the extension alone and a pickup's
`peer` the channel that picked up. Rows of Asterisk 16 and older do not name the target of an attended transfer.
"""

from typing import NamedTuple

from streams.calls.channel_name import endpoint
from streams.clock import UtcMicros
from streams.rows.row import CelRow

NOT_YET = "N/A"
"""The words of a transfer row in place of the target, where it was transferred while the target still rang."""

_CHANNELS = ("channel2", "transferee_channel", "transfer_target_channel")
"""The channels that a transfer row names besides the one that it is logged on."""


class Transfer(NamedTuple):
    """A BLINDTRANSFER or ATTENDEDTRANSFER row."""

    row: CelRow
    at: UtcMicros
    by: str
    """Endpoint of the channel that transferred."""
    extension: str
    """Where a blind transfer leads; empty where the row does not say, and for an attended one."""
    target: str | None
    """Endpoint of the channel that an attended transfer leads to, where the row names it."""
    transferee: str | None
    """Uniqueid of the channel that was transferred, where the row names it."""
    consulted: str | None
    """Uniqueid of the transferring party's second channel, with which they asked: it began that call."""
    target_uniqueid: str | None
    """Uniqueid of the channel that an attended transfer leads to, or `NOT_YET`."""
    application: str | None
    """The application of the transferring party's second channel, which the transferred one goes on in: Dial while the
    target still rings, Queue while nobody has answered there."""
    named: tuple[str, ...]
    """Uniqueids of all channels that the row names besides its own."""

    @property
    def blind(self) -> bool:
        """Whether the transferring party did not ask the target first."""
        return self.row.eventtype == "BLINDTRANSFER"

    @property
    def unanswered(self) -> bool:
        """Whether the target of an attended transfer had not answered yet: nobody was asked."""
        return not self.blind and (self.application is not None or self.target_uniqueid == NOT_YET)

    def moves(self, uniqueid: str) -> bool:
        """Whether it leads the channel to a new attempt to reach somebody: blind, or before the target answered."""
        if self.blind or self.transferee is not None:
            return (self.blind or self.unanswered) and self.transferee == uniqueid
        return self.unanswered and self.row.uniqueid != uniqueid  # rows of Asterisk 16 and older name no transferee


class Pickup(NamedTuple):
    """A PICKUP row."""

    by: str | None
    """Endpoint of the channel that took the ringing over, where the row names it."""
    instead_of: str
    """Endpoint of the channel that rang."""


def read_transfer(row: CelRow, at: UtcMicros, extra: dict[str, object]) -> Transfer:
    """The transfer of a row whose `extra` holds this JSON object (empty where it holds none)."""
    bare = row.extra if row.extra.isalnum() else ""
    target = _text(extra, "transfer_target_channel_name")
    named = {channel: _text(extra, f"{channel}_uniqueid") for channel in _CHANNELS}
    return Transfer(
        row=row,
        at=at,
        by=endpoint(row.channame),
        extension=str(extra.get("extension") or bare),
        target=endpoint(target) if target and target != NOT_YET else None,
        transferee=named["transferee_channel"],
        consulted=named["channel2"],
        target_uniqueid=named["transfer_target_channel"],
        application=_text(extra, "app"),
        named=tuple(filter(None, named.values())),
    )


def read_pickup(row: CelRow, extra: dict[str, object]) -> Pickup:
    """The pickup of a row whose `extra` holds this JSON object (empty where it holds none)."""
    by = extra.get("pickup_channel") or row.peer
    return Pickup(endpoint(by) if isinstance(by, str) and by else None, endpoint(row.channame))


def _text(extra: dict[str, object], key: str) -> str | None:
    value = extra.get(key)
    return value if isinstance(value, str) else None
