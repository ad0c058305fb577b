"""Fold a call's CEL rows, in the order of their ids, into facts: channels, talks, attempts, transfers."""

from collections.abc import Callable
from typing import Self

from streams.calls.bridges import Bridges, InferredPeers, logged_peers
from streams.calls.calling import calling_rows_missing, calling_uniqueid
from streams.calls.channel_name import is_helper, is_media, is_real
from streams.calls.dialstring import settle_dialler
from streams.calls.events import (
    AUTOMATA,
    BOT,
    BRIDGE_ENTRIES,
    BRIDGE_EXITS,
    ENDED,
    ENDINGS,
    IGNORED_EVENTS,
    NO_NUMBER,
    ORIGINATED,
    QUEUE,
    TRACKED_APPS,
)
from streams.calls.facts import CallFacts, Channel, hangup_object, json_object
from streams.calls.local_halves import halves_gone
from streams.calls.timeline import Timeline
from streams.calls.transfers import read_pickup, read_transfer
from streams.rows.row import CelRow


def fold_rows(rows: list[CelRow], linkedid: str, zone: str | None) -> CallFacts:
    """The facts of rows sorted by id, without the sides of channels. `zone`: the PBX's, where configured."""
    began, timeline = calling_uniqueid(rows, linkedid), Timeline(zone)
    instants = timeline.instants(rows)
    folder = _RowFolder(began, CallFacts(timeline, rows, instants)).read()
    if gone := halves_gone(folder.facts):  # once more, with those whom they met as persons
        folder = _RowFolder(began, CallFacts(timeline, rows, instants), gone).read()
    folder.facts.calling_missing = calling_rows_missing(rows, linkedid)
    return folder.close()


class _RowFolder:
    """Takes the rows of one call, one after the other, into its facts."""

    def __init__(self, calling_uniqueid: str, facts: CallFacts, gone: frozenset[str] = frozenset()) -> None:
        self.facts = facts
        self._calling_uniqueid = calling_uniqueid
        self._gone = gone
        self._inferred_peers: InferredPeers | None = None
        """Known from the first row of a bridge on."""
        self._bridges = Bridges()
        self._by_name: dict[str, Channel] = {}
        self._talking: set[str] = set()
        """Names of the real channels that are connected with another one at this moment."""
        self._over = False
        self._forwarding = False
        """A FORWARD row came, and not yet the end of the leg that it concerns."""
        self._calling_transferred = False
        """The exits that follow are of the talk before the transfer."""
        self._calling_bridged = False

    def read(self) -> Self:
        """Take the rows, in the order of their ids. This loop is most of what classifying costs."""
        facts, channels, handlers = self.facts, self.facts.channels, _HANDLERS
        for row, now in zip(facts.rows, facts.instants, strict=True):
            event = row.eventtype
            if event == "LINKEDID_END":
                self._over = True
                continue
            channel = channels.get(row.uniqueid)
            if channel is None or channel.name != row.channame:
                if is_helper(row.channame):
                    self._helper(row, now)
                    continue
                channel = self._new_channel(row, now) if channel is None else self._goes_on(channel, row, now)
            if (number := row.cid_num) and number != channel.number and number not in NO_NUMBER:
                channel.number = number
                channel.first_number = channel.first_number or number
            if not channel.dialled and row.exten not in NO_NUMBER and event not in ENDED:
                channel.dialled = row.exten
            if row.cid_dnid and not channel.dnid:
                channel.dnid = row.cid_dnid
            if row.appname in TRACKED_APPS:
                self._application(row, channel, now)
            if channel.is_calling and event not in ENDINGS:
                facts.calling_progress_row = row.id
            if (handler := handlers.get(event)) is not None:
                handler(self, row, channel, now)
            elif event not in IGNORED_EVENTS:
                facts.user_events.add(row.userdeftype if event == "USER_DEFINED" else event)
        if facts.instants:
            facts.first, facts.last = min(facts.instants), max(facts.instants)
        return self

    def close(self) -> CallFacts:
        """The facts, with what is still open closed at the last row."""
        facts = self.facts
        facts.other_channels = [each for each in facts.channels.values() if each.real and not each.is_calling]
        unended = bool(self._gone) and facts.calling is not None and facts.calling.ended is None
        facts.talk_open = (bool(self._talking) and not self._over) or unended
        for name in self._talking:
            _close(self._talks(name), facts.last)
        for span in facts.queue_spans:
            _close([span], facts.last)
        if facts.dialling:
            for leg in facts.other_channels:
                settle_dialler(leg, facts.dialling)
        return facts

    def _goes_on(self, channel: Channel, row: CelRow, now: int) -> Channel:
        """The channel of a row with the uniqueid of a channel that has another name."""
        namesake = self._by_name.get(row.channame)
        if namesake is not None and namesake.uniqueid == row.uniqueid:
            channel = namesake
        elif row.eventtype == "CHAN_START":  # a table without uniqueids, or one that repeats them
            return self._new_channel(row, now, f"{row.uniqueid} {row.channame}")
        if channel.name != row.channame:
            self._by_name[row.channame] = channel  # masqueraded
            if is_real(row.channame):
                channel.rename(row.channame)
        return channel

    def _new_channel(self, row: CelRow, now: int, key: str | None = None) -> Channel:
        """A channel of which this is the first row. `key`: its own, where another one has its uniqueid."""
        facts, key = self.facts, key or row.uniqueid
        channel = Channel(row.uniqueid, row.channame, row, now, row.eventtype == "CHAN_START")
        if not channel.started_in_call:  # later rows hold what it came with in these columns only
            channel.first_number, channel.dialled = row.cid_ani, row.cid_dnid
        facts.channels[key] = self._by_name[row.channame] = channel
        if facts.unlogged_peers:  # it came from a call of its own, and peers named it before its first row here
            channel.talks = facts.unlogged_peers.pop(row.channame, channel.talks)
        if key == self._calling_uniqueid:
            facts.calling, channel.is_calling = channel, True
        elif channel.started_in_call and not self._calling_bridged:
            facts.attempts.append(row)  # while the caller is in a bridge it is the transferring party who asks around
        return channel

    def _helper(self, row: CelRow, now: int) -> None:
        if row.eventtype in BRIDGE_ENTRIES and is_media(row.channame) and logged_peers(row):
            self._automaton(BOT, now)

    def _application(self, row: CelRow, channel: Channel, now: int) -> None:
        if row.appname == "Dial":
            self.facts.dialling.setdefault((row.channame, row.appdata), row.id)
        elif row.appname == ORIGINATED:
            channel.originated = True
        else:
            if row.appname == QUEUE and row.appdata:
                self.facts.queue_data[channel.is_calling] = row.appdata
            self._automaton(AUTOMATA[row.appname], now)

    def _automaton(self, automaton: str, now: int) -> None:
        automata = self.facts.automata
        if not automata or automata[-1][1] != automaton:
            automata.append((now, automaton))

    def _bridge_row(self, row: CelRow, channel: Channel, now: int) -> None:
        """Join the row's channel with those that are in the bridge with it: entry and exit rows both name them."""
        facts = self.facts
        if not facts.bridges_seen:
            facts.bridges_seen = True
            self._inferred_peers = None if row.peer else InferredPeers.where_needed(facts.rows)
            facts.peers_inferred = self._inferred_peers is not None
        if channel is facts.calling:
            self._calling_bridged = True
            if row.eventtype not in BRIDGE_EXITS:
                facts.calling_left_row = None
                self._calling_transferred = False
        inferred = self._inferred_peers
        peers = logged_peers(row) if inferred is None else inferred.of(row, facts.channels.values())
        if peers and "holding_bridge" not in row.extra:
            self._bridges.join(row.channame, peers)
            self._begin_talks(row, now)
        elif is_media(row.peer):
            self._automaton(BOT, now)

    def _bridge_exit(self, row: CelRow, channel: Channel, now: int) -> None:
        self._bridge_row(row, channel, now)
        if row.channame in self._talking:
            self._begin_talks(row, now)
        self._part(row.channame, now)
        if channel is self.facts.calling:
            self._calling_bridged = False

    def _begin_talks(self, row: CelRow, now: int) -> None:
        """Start talk intervals for channels that just became connected; note whether the calling channel is."""
        facts, component = self.facts, self._bridges.component(row.channame)
        real = sorted(filter(self._is_person, component))
        calling = facts.calling
        if calling is not None and not calling.real and calling.name in component:
            facts.calling_reached.update(real)
            facts.calling_reached_row = row.id
        if len(real) < 2:
            return
        for name in real:
            if name not in self._talking:
                self._talking.add(name)
                self._talks(name).append([now, -1])
        if calling is not None and calling.name in component:
            if not facts.calling_connected:
                facts.talk_start_unknown = row.eventtype in BRIDGE_EXITS
            facts.calling_connected = True
            if not (self._calling_transferred and row.eventtype in BRIDGE_EXITS):
                facts.calling_talk_row = row.id

    def _part(self, name: str, now: int) -> None:
        """Take a channel from its bridge: its talk, and that of whoever it leaves alone, ends."""
        if name not in self._bridges.joined:
            return
        before = self._bridges.component(name)
        self._bridges.part(name)
        for each in sorted(before & self._talking):
            if sum(map(self._is_person, self._bridges.component(each))) < 2:
                self._talking.discard(each)
                _close(self._talks(each), now)

    def _is_person(self, name: str) -> bool:
        return is_real(name) or name in self._gone

    def _talks(self, name: str) -> list[list[int]]:
        channel = self._by_name.get(name)
        return channel.talks if channel is not None else self.facts.unlogged_peers.setdefault(name, [])

    def _answer(self, row: CelRow, channel: Channel, now: int) -> None:
        if channel.answered is None:
            channel.answered = now

    def _app_start(self, row: CelRow, channel: Channel, now: int) -> None:
        if row.appname == QUEUE:
            self.facts.queue_spans.append([now, -1])
        if row.appname in ("Dial", QUEUE):
            self.facts.dials.append(row)
            if channel is self.facts.calling:
                self.facts.attempts.append(row)

    def _app_end(self, row: CelRow, channel: Channel, now: int) -> None:
        if row.appname == QUEUE:
            _close(self.facts.queue_spans, now)

    def _ended(self, row: CelRow, channel: Channel, now: int) -> None:
        if row.eventtype == "HANGUP":
            channel.hangup, channel.hangup_extra = row, hangup_object(row.extra)
            if self._forwarding and channel.real and not channel.is_calling and channel.answered is None:
                channel.forwarded, self._forwarding = True, False
        if channel is self.facts.calling:
            self._calling_left(row)
        channel.ended = now
        self._part(row.channame, now)

    def _transfer(self, row: CelRow, channel: Channel, now: int) -> None:
        facts = self.facts
        transfer = read_transfer(row, now, json_object(row.extra) or {})
        facts.transfers.append(transfer)
        calling = facts.calling
        if channel is calling:
            self._calling_left(row)
        if calling is not None and transfer.moves(calling.uniqueid):
            facts.attempts.append(row)
            self._calling_transferred = True

    def _calling_left(self, row: CelRow) -> None:
        if self.facts.calling_left_row is None:
            self.facts.calling_left_row = row.id

    def _pickup(self, row: CelRow, channel: Channel, now: int) -> None:
        self.facts.pickups.append(read_pickup(row, json_object(row.extra) or {}))
        channel.picked_up = True

    def _forward(self, row: CelRow, channel: Channel, now: int) -> None:
        self.facts.forwarded = self._forwarding = True

    def _park(self, row: CelRow, channel: Channel, now: int) -> None:
        self.facts.automata.append((now, "parking"))


def _close(spans: list[list[int]], now: int) -> None:
    """End the last span, if it is open, where it begins at the earliest."""
    if spans and spans[-1][1] < 0:
        spans[-1][1] = max(now, spans[-1][0])


_HANDLERS: dict[str, Callable[[_RowFolder, CelRow, Channel, int], None]] = {
    **dict.fromkeys(BRIDGE_ENTRIES, _RowFolder._bridge_row),
    **dict.fromkeys(BRIDGE_EXITS, _RowFolder._bridge_exit),
    "ANSWER": _RowFolder._answer,
    "APP_START": _RowFolder._app_start,
    "APP_END": _RowFolder._app_end,
    "HANGUP": _RowFolder._ended,
    "CHAN_END": _RowFolder._ended,
    "BLINDTRANSFER": _RowFolder._transfer,
    "ATTENDEDTRANSFER": _RowFolder._transfer,
    "PICKUP": _RowFolder._pickup,
    "FORWARD": _RowFolder._forward,
    "PARK_START": _RowFolder._park,
}
