"""Bridges while a call's rows go by: which channel names are joined."""

from collections.abc import Iterable, Sequence

from streams.calls.channel_name import is_helper, is_local, is_real, local_twin
from streams.calls.events import BRIDGE_EVENTS, BRIDGE_EXITS
from streams.calls.facts import Channel, json_object
from streams.rows.row import CelRow


class Bridges:
    """The channels that are joined at this moment, by name. The halves of a Local channel are always joined."""

    __slots__ = ("joined",)

    def __init__(self) -> None:
        self.joined: dict[str, set[str]] = {}
        """The channels with which each is joined; those that are joined with none are not there."""

    def join(self, name: str, peers: Iterable[str]) -> None:
        """Join a channel with others."""
        for peer in peers:
            self.joined.setdefault(name, set()).add(peer)
            self.joined.setdefault(peer, set()).add(name)

    def part(self, name: str) -> None:
        """Take a channel that is joined with others from them."""
        for peer in self.joined.pop(name):
            if (others := self.joined.get(peer)) is not None:
                others.discard(name)
                if not others:
                    del self.joined[peer]

    def component(self, name: str) -> set[str]:
        """Every channel that `name` is connected to, itself included."""
        reached, waiting, none = {name}, [name], frozenset[str]()
        for each in waiting:  # it grows
            fresh = self.joined.get(each, none) - reached
            if is_local(each) and (twin := local_twin(each)) and twin not in reached:
                fresh |= {twin}
            if fresh:
                reached |= fresh
                waiting.extend(fresh)
        return reached


def logged_peers(row: CelRow) -> list[str]:
    """The channels that a bridge row names as being in the bridge too."""
    return [peer for peer in row.peer.split(",") if peer and not is_helper(peer)]


class InferredPeers:
    """Who else is in a bridge, for calls of which no bridge row says so: whoever was in it at the same time.

    Bridges are told apart by their id in `extra`; without one, they all count as one. Before Asterisk 12 only the
    calling channel's BRIDGE_START was logged (main/features.c, ast_bridge_call): whoever has answered is in. A channel
    that came from a call of its own (a pickup) entered there: only its exit is here, and it is taken to be in from the
    beginning.
    """

    __slots__ = ("_bridge_ids", "_inside")

    def __init__(self, bridge_rows: list[CelRow]) -> None:
        self._bridge_ids = _bridge_ids(bridge_rows)
        first: dict[str, CelRow] = {}
        for row in bridge_rows:
            first.setdefault(row.channame, row)
        self._inside = {
            name: self._bridge_ids[row.id]
            for name, row in first.items()
            if row.eventtype in BRIDGE_EXITS and is_real(name)
        }

    @classmethod
    def where_needed(cls, rows: Sequence[CelRow]) -> "InferredPeers | None":
        """The inferred peers of a call's rows; None where a bridge row names a peer, or no row is of a bridge."""
        bridge_rows = []
        for row in rows:
            if row.eventtype in BRIDGE_EVENTS and not is_helper(row.channame):
                if row.peer:
                    return None
                bridge_rows.append(row)
        return cls(bridge_rows) if bridge_rows else None

    def of(self, row: CelRow, channels: Iterable[Channel]) -> list[str]:
        """Who else is in the bridge at a bridge row. `channels`: those of the call so far."""
        bridge = self._bridge_ids[row.id]
        others = [name for name, entered in self._inside.items() if entered == bridge and name != row.channame]
        if row.eventtype == "BRIDGE_START":
            answered = [each.name for each in channels if each.answered is not None and each.ended is None]
            others += [name for name in answered if name != row.channame]
        if row.eventtype in BRIDGE_EXITS:
            self._inside.pop(row.channame, None)
        else:
            self._inside[row.channame] = bridge
        return others


def _bridge_ids(bridge_rows: list[CelRow]) -> dict[int, str]:
    """The bridge of each row, by the row's id; a row that does not tell its bridge has that of its channel's next exit
    or last entry, else the only one that the call has; empty where that cannot be told."""
    told = {row.id: _bridge_id(row) for row in bridge_rows}
    known = set(told.values()) - {""}
    only = next(iter(known)) if len(known) == 1 else ""
    for rows, here in ((bridge_rows, BRIDGE_EXITS), (bridge_rows[::-1], BRIDGE_EVENTS - BRIDGE_EXITS)):
        last: dict[str, str] = {}
        for row in rows:
            if not told[row.id] and row.eventtype in here and row.channame in last:
                told[row.id] = last[row.channame]
            last[row.channame] = told[row.id]
    return {row_id: bridge or only for row_id, bridge in told.items()}


def _bridge_id(row: CelRow) -> str:
    bridge = (json_object(row.extra) or {}).get("bridge_id")
    return bridge if isinstance(bridge, str) else ""
