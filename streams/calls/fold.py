"""What happened in a call: its channels, and who was connected with whom, read from the rows in the order of ids."""

from collections.abc import Callable
from dataclasses import dataclass, field

import msgspec

from streams.calls.channel_name import endpoint, is_helper, is_local, is_real, local_twin
from streams.calls.dialstring import dialled
from streams.calls.timeline import Timeline
from streams.rows.row import CelRow
from streams.rules.directions import Side

MACHINES = {
    "Queue": "queue",
    "VoiceMail": "voicemail",
    "VoiceMailMain": "voicemail",
    "ConfBridge": "conference",
    "MeetMe": "conference",
    "Park": "parking",
    "ParkAndAnnounce": "parking",
}
"""Applications that hold a caller without a person."""

ORIGINATED = "AppDial2"
"""The application of a channel that Asterisk itself called: AMI Originate, a call file."""

TRACKED_APPS = frozenset({*MACHINES, ORIGINATED, "Dial"})

IGNORED_EVENTS = frozenset(
    {
        "CHAN_START",
        "LINKEDID_END",
        "LOCAL_OPTIMIZE",
        "LOCAL_OPTIMIZE_BEGIN",
        "PARK_END",
        "STREAM_BEGIN",
        "STREAM_END",
        "DTMF",
    }
)
"""Asterisk's events that tell nothing of their own here."""

ENDINGS = frozenset({"APP_END", "HANGUP", "CHAN_END", "BRIDGE_EXIT", "BRIDGE_END", "CONF_EXIT", "FORWARD"})
"""Rows with which a channel goes on to nothing new."""

EXITS = frozenset({"BRIDGE_EXIT", "BRIDGE_END", "CONF_EXIT"})

NO_NUMBER = frozenset({"", "s", "h", "i", "t", "T", "o", "a", "e", "fax", "failed"})
"""Extensions of the dialplan that nobody dials."""

_EXTRA = msgspec.json.Decoder()


@dataclass(slots=True)
class Channel:
    """One channel of a call. Instants in UTC microseconds."""

    uniqueid: str
    name: str
    start_row: CelRow
    started: int
    born_here: bool
    answered: int | None = None
    ended: int | None = None
    first_number: str = ""
    """The first caller id number seen on it: of a calling channel, who calls, before the dialplan rewrote it."""
    number: str = ""
    """The last one: of a called channel, the number that was called."""
    dialled: str = ""
    """The first extension or number that it asked for."""
    dnid: str = ""
    hangup: CelRow | None = None
    calling: bool = False
    """It began the call (Story.root)."""
    originated: bool = False
    """Asterisk itself called it (a call file, AMI Originate): AppDial2."""
    dialled_by: str = ""
    """Name of the channel that dialled it, where Dial() was given a number for it."""
    number_dialled: bool = False
    """`number` is what Dial() was given, and no caller id."""
    forwarded: bool = False
    """It sent its call elsewhere (302, call forwarding)."""
    picked_up: bool = False
    """Its ringing was taken over by another phone."""
    talks: list[list[int]] = field(default_factory=list)
    """[from, to] of being connected with another real channel; `to` -1 while it lasts."""
    real: bool = False
    endpoint: str = ""
    side: tuple[Side | None, str] | None = None
    """On which side of the PBX its party is, and why, once it was asked for (parties.side_of)."""

    def __post_init__(self) -> None:
        self.rename(self.name)

    @property
    def hung_up_itself(self) -> bool:
        """Its own party ended it: a phone that was busy or declined, or that hung up."""
        extra = json_object(self.hangup.extra) if self.hangup is not None else None
        return extra is not None and extra.get("hangupsource") == self.hangup.channame  # type: ignore[union-attr]

    def rename(self, name: str) -> None:
        """It goes on under another name."""
        self.name, self.real, self.endpoint = name, is_real(name), endpoint(name)


@dataclass(slots=True)
class CallFacts:
    """Everything that classifying needs, gathered in one pass."""

    channels: dict[str, Channel] = field(default_factory=dict)
    root: Channel | None = None
    inside: list[Channel] | None = None
    """The channels of inside parties, once they were asked for (people.py)."""
    strangers: dict[str, list[list[int]]] = field(default_factory=dict)
    """Talks of channels that only `peer` columns name: other calls' legs in a conference."""
    root_answered: bool = False
    """The rule of call-status.md: the calling channel was connected to another real one."""
    root_talk_row: int = 0
    """Last row at which the calling channel was in a talk."""
    root_reached: set[str] = field(default_factory=set)
    """Real channels that a calling Local channel was connected with, alone or not."""
    root_reached_row: int = 0
    root_moved_row: int = 0
    """The last row with which the calling channel went on to something: what ended before did not end with it."""
    talk_seen_late: bool = False
    """That the calling channel talked is first seen on an EXIT row: since when is not known."""
    talk_open: bool = False
    """The rows stop in a talk: how long it was is not known."""
    root_left_row: int | None = None
    """The row with which the calling channel hung up, or transferred the other one away, and did not come back."""
    attempts: list[CelRow] = field(default_factory=list)
    """Rows that begin an attempt to reach somebody: legs that started, Dial and Queue of the calling channel."""
    dialling: dict[tuple[str, str], int] = field(default_factory=dict)
    """Which channel gave Dial() what, and the first row that says so."""
    dials: list[CelRow] = field(default_factory=list)
    machines: list[tuple[int, str]] = field(default_factory=list)
    queue_spans: list[list[int]] = field(default_factory=list)
    transfers: list[CelRow] = field(default_factory=list)
    transferred_at: list[int] = field(default_factory=list)
    """When, in the same order."""
    pickups: list[CelRow] = field(default_factory=list)
    forwards: list[CelRow] = field(default_factory=list)
    user_events: set[str] = field(default_factory=set)
    """What the dialplan logged by itself (CELGenUserEvent)."""
    bridges_seen: bool = False
    """At least one row of a bridge is there."""
    peerless: bool = False
    """No bridge row says who else is there: who was in bridges at the same time was taken as joined."""
    first: int = 0
    last: int = 0
    timeline: Timeline = field(default_factory=lambda: Timeline(None))

    @property
    def starts_logged(self) -> bool:
        """cel.conf has CHAN_START events."""
        return any(channel.born_here for channel in self.channels.values())


def json_object(text: str) -> dict[str, object] | None:
    """The JSON object in an `extra` column; None where it holds none."""
    if not text.startswith("{"):
        return None
    try:
        value = _EXTRA.decode(text)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


class _Bridges:
    """Who is joined with whom at this moment, by channel names."""

    __slots__ = ("_joined",)

    def __init__(self) -> None:
        self._joined: dict[str, set[str]] = {}

    def join(self, name: str, peers: list[str]) -> None:
        for peer in peers:
            self._joined.setdefault(name, set()).add(peer)
            self._joined.setdefault(peer, set()).add(name)

    def joins(self, name: str) -> bool:
        """Whether the channel is joined with another."""
        return bool(self._joined.get(name))

    def part(self, name: str) -> None:
        """Take a channel that `joins` from those that it is joined with."""
        for peer in self._joined.pop(name):
            self._joined.get(peer, set()).discard(name)

    def component(self, name: str) -> set[str]:
        """Every channel that `name` is connected to, itself included."""
        reached, waiting = {name}, [name]
        while waiting:
            each = waiting.pop()
            near = set(self._joined.get(each, ()))
            if is_local(each) and (twin := local_twin(each)):
                near.add(twin)
            fresh = near - reached
            reached |= fresh
            waiting.extend(fresh)
        return reached


class _RowFolder:
    """Reads rows into a story, one after the other."""

    def __init__(self, calling: str, zone: str | None, *, peerless: dict[str, str] | None = None) -> None:
        """`calling`: uniqueid of the channel that began the call. `peerless`: see `_at_the_same_time`."""
        self._peerless = peerless is not None
        self._in_bridge: dict[str, str] = dict(peerless or {})
        self.peers_logged = False
        self.story = CallFacts(timeline=Timeline(zone))
        self._calling = calling
        self._bridges = _Bridges()
        self._by_name: dict[str, Channel] = {}
        self._talking: set[str] = set()
        self._over = False
        self._forwarding = False
        self._root_sent_on = False
        """Transferred blindly: the exits that follow are of the talk before."""
        self._root_bridged = False

    def read(self, rows: list[CelRow]) -> None:
        """Take the rows, in the order of their ids. This loop is most of what classifying costs."""
        story, channels, handlers = self.story, self.story.channels, _HANDLERS
        story.timeline.begin(rows)
        instant = story.timeline.instant
        instants = []
        for row in rows:
            event, now = row.eventtype, instant(row)
            instants.append(now)
            if event == "LINKEDID_END":
                self._over = True
                continue
            channel = channels.get(row.uniqueid)
            if channel is None or channel.name != row.channame:
                if is_helper(row.channame):
                    continue
                channel = self._channel(row, now)
            if (number := row.cid_num) and number not in NO_NUMBER:
                channel.number = number
                if not channel.first_number:
                    channel.first_number = number
            if not channel.dialled and row.exten not in NO_NUMBER:
                channel.dialled = row.exten
            if row.cid_dnid and not channel.dnid:
                channel.dnid = row.cid_dnid
            if row.appname in TRACKED_APPS:
                self._application(row, channel, now)
            if channel.calling and event not in ENDINGS:
                story.root_moved_row = row.id
            handler = handlers.get(event)
            if handler is not None:
                handler(self, row, channel, now)
            elif event not in IGNORED_EVENTS:
                story.user_events.add(row.userdeftype if event == "USER_DEFINED" else event)
        story.first, story.last = min(instants, default=0), max(instants, default=0)

    def _application(self, row: CelRow, channel: Channel, now: int) -> None:
        if row.appname == "Dial":
            self.story.dialling.setdefault((row.channame, row.appdata), row.id)
        elif row.appname == ORIGINATED:
            channel.originated = True
        else:
            machine, machines = MACHINES[row.appname], self.story.machines
            if not machines or machines[-1][1] != machine:
                machines.append((now, machine))

    def close(self) -> CallFacts:
        """The story, with what is still open closed at the last row."""
        story = self.story
        story.talk_open = bool(self._talking) and not self._over
        for name in self._talking:
            _close(self._talks(name), story.last)
        for span in story.queue_spans:
            _close([span], story.last)
        if story.dialling:
            for channel in story.channels.values():
                if channel.real and not channel.calling:
                    self._find_dialler(channel)
        return story

    def _find_dialler(self, leg: Channel) -> None:
        """Who dialled the leg, and the number that Dial() was given: caller ids may hold the dialling one's instead."""
        before = [
            (row_id <= leg.start_row.id, row_id if row_id <= leg.start_row.id else -row_id, by, number)
            for (by, appdata), row_id in self.story.dialling.items()
            for at, number in dialled(appdata)
            if at == leg.endpoint
        ]
        if before:
            *_, leg.dialled_by, number = max(before)
            if number not in (leg.number, leg.first_number):
                leg.number = number
            leg.number_dialled = True

    def _channel(self, row: CelRow, now: int) -> Channel:
        story = self.story
        channel, key = story.channels.get(row.uniqueid), row.uniqueid
        if channel is not None and channel.name != row.channame:
            namesake = self._by_name.get(row.channame)
            if namesake is not None and namesake.uniqueid == row.uniqueid:
                channel = namesake
            elif row.eventtype == "CHAN_START":  # a table without uniqueids, or one that repeats them
                channel, key = None, f"{row.uniqueid} {row.channame}"
        if channel is None:
            channel = Channel(row.uniqueid, row.channame, row, now, row.eventtype == "CHAN_START")
            if not channel.born_here:  # later rows hold what it came with in these columns only
                channel.first_number, channel.dialled = row.cid_ani, row.cid_dnid
            story.channels[key] = self._by_name[row.channame] = channel
            # It came from a call of its own, and peers named it before its first row here.
            channel.talks = story.strangers.pop(row.channame, [])
            if key == self._calling:
                channel.calling = True
                story.root = channel
            elif channel.born_here and not self._root_bridged:
                story.attempts.append(row)  # while the caller is in a bridge it is the transferer who asks around
        elif channel.name != row.channame:
            self._by_name[row.channame] = channel  # masqueraded: it goes on under another name
            if is_real(row.channame):
                channel.rename(row.channame)
        return channel

    def _joined(self, row: CelRow, channel: Channel, now: int) -> None:
        self.story.bridges_seen = True
        if channel is self.story.root:
            self._root_bridged = True
            if row.eventtype not in EXITS:
                self.story.root_left_row = None
                self._root_sent_on = False
        if self._peerless:
            peers = self._at_the_same_time(row)
        elif row.peer:
            self.peers_logged = True
            peers = [peer for peer in row.peer.split(",") if peer and not is_helper(peer)]
        else:
            peers = []
        if peers and "holding_bridge" not in row.extra:
            self._bridges.join(row.channame, peers)
            self._settle(row, now)

    def _at_the_same_time(self, row: CelRow) -> list[str]:
        """Who else is in the bridge where no row of the call says so: by its id in `extra`; without one, in any bridge;
        before Asterisk 12, who has answered.

        Only the calling channel's BRIDGE_START was logged then (main/features.c, ast_bridge_call). Who came from a call
        of his own (a pickup) entered there: only his exit is here, and he is taken to be in from the beginning.
        """
        key = _bridge_id(row)
        others = [name for name, joined in self._in_bridge.items() if joined == key and name != row.channame]
        if row.eventtype == "BRIDGE_START":
            channels = self.story.channels.values()
            others += [each.name for each in channels if each.answered is not None and each.ended is None]
            others = [name for name in others if name != row.channame]
        if row.eventtype in EXITS:
            self._in_bridge.pop(row.channame, None)
        else:
            self._in_bridge[row.channame] = key
        return others

    def _parted(self, row: CelRow, channel: Channel, now: int) -> None:
        self._joined(row, channel, now)
        if row.channame in self._talking:
            self._settle(row, now)
        self._part(row.channame, now)
        if channel is self.story.root:
            self._root_bridged = False

    def _settle(self, row: CelRow, now: int) -> None:
        """Those of a component who talk now, and did not before, begin; the calling channel is answered."""
        component = self._bridges.component(row.channame)
        real = sorted(filter(is_real, component))
        root = self.story.root
        if root is not None and not root.real and root.name in component:
            self.story.root_reached.update(real)
            self.story.root_reached_row = row.id
        if len(real) < 2:
            return
        for name in real:
            if name not in self._talking:
                self._talking.add(name)
                self._talks(name).append([now, -1])
        if root is not None and root.name in component:
            if not self.story.root_answered:
                self.story.talk_seen_late = row.eventtype in EXITS
            self.story.root_answered = True
            if not (self._root_sent_on and row.eventtype in EXITS):
                self.story.root_talk_row = row.id

    def _part(self, name: str, now: int) -> None:
        """A channel leaves its bridge: it, and whoever it leaves alone, talks no more."""
        if not self._bridges.joins(name):
            return
        before = self._bridges.component(name)
        self._bridges.part(name)
        for each in sorted(before & self._talking):
            if sum(map(is_real, self._bridges.component(each))) < 2:
                self._talking.discard(each)
                _close(self._talks(each), now)

    def _talks(self, name: str) -> list[list[int]]:
        channel = self._by_name.get(name)
        return channel.talks if channel is not None else self.story.strangers.setdefault(name, [])

    def _answer(self, row: CelRow, channel: Channel, now: int) -> None:
        if channel.answered is None:
            channel.answered = now

    def _app_start(self, row: CelRow, channel: Channel, now: int) -> None:
        if row.appname == "Queue":
            self.story.queue_spans.append([now, -1])
        if row.appname in ("Dial", "Queue"):
            self.story.dials.append(row)
            if channel is self.story.root:
                self.story.attempts.append(row)

    def _app_end(self, row: CelRow, channel: Channel, now: int) -> None:
        if row.appname == "Queue":
            _close(self.story.queue_spans, now)

    def _ended(self, row: CelRow, channel: Channel, now: int) -> None:
        if row.eventtype == "HANGUP":
            channel.hangup = row
            if self._forwarding and channel.real and not channel.calling and channel.answered is None:
                channel.forwarded, self._forwarding = True, False
        if channel is self.story.root:
            self._root_left(row)
        channel.ended = now
        self._part(row.channame, now)

    def _transfer(self, row: CelRow, channel: Channel, now: int) -> None:
        self.story.transfers.append(row)
        self.story.transferred_at.append(now)
        root = self.story.root
        if channel is root:
            self._root_left(row)
        if row.eventtype == "BLINDTRANSFER" and root is not None:
            extra = json_object(row.extra) or {}
            if extra.get("transferee_channel_uniqueid") == root.uniqueid:
                self.story.attempts.append(row)
                self._root_sent_on = True

    def _root_left(self, row: CelRow) -> None:
        if self.story.root_left_row is None:
            self.story.root_left_row = row.id

    def _pickup(self, row: CelRow, channel: Channel, now: int) -> None:
        self.story.pickups.append(row)
        channel.picked_up = True

    def _forward(self, row: CelRow, channel: Channel, now: int) -> None:
        self.story.forwards.append(row)
        self._forwarding = True

    def _park(self, row: CelRow, channel: Channel, now: int) -> None:
        self.story.machines.append((now, "parking"))


def tell(rows: list[CelRow], linkedid: str, zone: str | None) -> CallFacts:
    """Read a call's rows, sorted by id, into its story. `zone`: the PBX's, where configured."""
    calling = _calling(rows, linkedid)
    teller = _RowFolder(calling, zone)
    teller.read(rows)
    if teller.story.bridges_seen and not teller.peers_logged:
        teller = _RowFolder(calling, zone, peerless=_in_from_the_beginning(rows))
        teller.read(rows)
        teller.story.peerless = True
    return teller.close()


def _calling(rows: list[CelRow], linkedid: str) -> str:
    """Uniqueid of the channel that began the call: it gave the call its linkedid; else the first one seen."""
    if not rows or rows[0].uniqueid == linkedid:
        return linkedid
    uniqueids = [row.uniqueid for row in rows if not is_helper(row.channame)]
    return linkedid if linkedid in uniqueids else next(iter(uniqueids), linkedid)


def _bridge_id(row: CelRow) -> str:
    bridge = (json_object(row.extra) or {}).get("bridge_id")
    return bridge if isinstance(bridge, str) else ""


def _in_from_the_beginning(rows: list[CelRow]) -> dict[str, str]:
    """Channels whose first bridge row is an exit, and from which bridge."""
    first: dict[str, CelRow] = {}
    for row in rows:
        if _HANDLERS.get(row.eventtype) in (_RowFolder._joined, _RowFolder._parted):
            first.setdefault(row.channame, row)
    return {name: _bridge_id(row) for name, row in first.items() if row.eventtype in EXITS and is_real(name)}


def _close(talks: list[list[int]], now: int) -> None:
    if talks and talks[-1][1] < 0:
        talks[-1][1] = max(now, talks[-1][0])


_HANDLERS: dict[str, Callable[[_RowFolder, CelRow, Channel, int], None]] = {
    "BRIDGE_ENTER": _RowFolder._joined,
    "BRIDGE_START": _RowFolder._joined,
    "CONF_ENTER": _RowFolder._joined,
    "BRIDGE_EXIT": _RowFolder._parted,
    "BRIDGE_END": _RowFolder._parted,
    "CONF_EXIT": _RowFolder._parted,
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
