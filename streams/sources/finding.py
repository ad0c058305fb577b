"""Finding one call, and those that its channels came from or went on in, in any source of rows."""

from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from streams.calls.call import Call
from streams.calls.facts import json_object
from streams.errors import UserError
from streams.rows.files import RowSource
from streams.rows.row import CapturedRow, RowDecoder
from streams.rows.unreadable import UnreadableLine

MOST_LINKED = 50
"""Calls followed from one: the channel of an agent who stays logged in leads to every call of their day."""


class RowFinder(Protocol):
    """A source in which rows can be looked up. Each look-up raises UserError where the source cannot be read."""

    @property
    def name(self) -> str:
        """For messages."""

    def matching(self, linkedids: Collection[str], uniqueids: Collection[str]) -> Iterable[CapturedRow]:
        """Every row with one of these linkedids, or of one of these channels, in the order of ids."""


@dataclass(slots=True)
class Found:
    """A call and those linked with it. `pbx` tells apart what several PBXs logged under one linkedid."""

    calls: dict[tuple[str, str], Call] = field(default_factory=dict)
    asked: str = ""
    """The linkedid that was asked for, or that of the call in which the channel asked for was."""
    more: bool = False
    """There are more linked calls than are followed."""

    @property
    def own(self) -> list[Call]:
        """The call asked for: one for each PBX that has it."""
        return [call for (_, linkedid), call in self.calls.items() if linkedid == self.asked]

    @property
    def linked(self) -> list[Call]:
        """The calls linked with it, oldest rows first."""
        others = [call for (_, linkedid), call in self.calls.items() if linkedid != self.asked]
        return sorted(others, key=lambda call: min(row.id for row in call.rows))


def find_call(finder: RowFinder, linkedid: str, *, pbx: str | None = None) -> Found:
    """The rows of a call, and of the calls that share a channel with it, however many steps away.

    `linkedid` may be the uniqueid of a channel: then it is the call that the channel ended in. `pbx`: this one's rows
    only. Raises UserError where there is no such row.
    """
    rows = _rows(finder, {linkedid}, {linkedid}, pbx)
    if not rows:
        raise UserError(
            f"no row of call {linkedid} in {finder.name}",
            "The linkedid stands in the column of that name, and after the slash in a call id (`pbx1/1795389780.0`).",
        )
    found = Found(asked=linkedid if any(row.linkedid == linkedid for row in rows) else rows[-1].linkedid)
    looked_up, channels = {linkedid}, {linkedid}
    while True:
        for row in rows:
            key = (row.pbx, row.linkedid)
            found.calls.setdefault(key, Call(*key)).add(row)
        linkedids = {name for _, name in found.calls} | _foreign(found.calls.values())
        uniqueids = {row.uniqueid for call in found.calls.values() for row in call.rows}
        new_linkedids, new_channels = linkedids - looked_up, uniqueids - channels
        found.more = bool(new_linkedids or new_channels) and len(found.calls) > MOST_LINKED
        if found.more or not (new_linkedids or new_channels):
            if isinstance(finder, FileFinder):
                finder.mark(found.calls.values())
            return found
        looked_up |= new_linkedids
        channels |= new_channels
        rows = _rows(finder, new_linkedids, new_channels, pbx)


def _rows(finder: RowFinder, linkedids: set[str], uniqueids: set[str], pbx: str | None) -> list[CapturedRow]:
    return [row for row in finder.matching(linkedids, uniqueids) if pbx is None or row.pbx == pbx]


def _foreign(calls: Iterable[Call]) -> set[str]:
    """Channels that began elsewhere, or that only `extra` names: each may have given its uniqueid to a call."""
    born, seen = set(), set()
    for call in calls:
        for row in call.rows:
            seen.add(row.uniqueid)
            if row.eventtype == "CHAN_START":
                born.add(row.uniqueid)
            if row.eventtype in ("ATTENDEDTRANSFER", "BLINDTRANSFER", "PICKUP"):
                named = json_object(row.extra) or {}
                seen |= {value for key, value in named.items() if key.endswith("_uniqueid") and isinstance(value, str)}
    return {uniqueid for uniqueid in seen - born if uniqueid and uniqueid != "N/A"}


@dataclass(slots=True)
class FileFinder:
    """Rows in files, read from beginning to end for each look-up: memory does not grow with them."""

    paths: list[Path]
    decoder: RowDecoder
    columns: tuple[str, ...] | None = None
    """Of tables without a header."""
    unreadable: dict[UnreadableLine, None] = field(default_factory=dict)
    """Rows that were passed over; a dict, for each look-up reads them again."""
    remarks: dict[str, None] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return ", ".join(map(str, self.paths))

    def mark(self, calls: Iterable[Call]) -> None:
        """Tell calls how many of their rows could not be read."""
        lost = Counter(linkedid for line in self.unreadable for linkedid in line.linkedids)
        for call in calls:
            call.unreadable_rows = lost[call.linkedid]

    def _note(self, line: UnreadableLine) -> None:
        self.unreadable[line] = None

    def _remark(self, words: str) -> None:
        self.remarks[words] = None

    def matching(self, linkedids: Collection[str], uniqueids: Collection[str]) -> Iterator[CapturedRow]:
        # A new source each time: rows without an id get the same one in each reading.
        source = RowSource(self.decoder, self._note, columns=self.columns, on_remark=self._remark)
        for path in self.paths:
            for row in source.rows(path):
                if row.linkedid in linkedids or row.uniqueid in uniqueids:
                    yield row
