"""The facts of a call: its channels, who talked when, its attempts, transfers and pickups.

`fold.py` gathers them from the rows in one pass, `sides.py` adds on which side of the PBX each channel's party is. What
follows (direction, answered, durations, the story of `explain`) reads the same facts and no rows.
Instants are UTC microseconds.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

import msgspec

from streams.calls.channel_name import endpoint, is_real
from streams.calls.timeline import Timeline
from streams.calls.transfers import Pickup, Transfer
from streams.clock import UtcMicros
from streams.rows.row import CelRow
from streams.rules.directions import Side


@dataclass(slots=True)
class Channel:
    """One channel of a call."""

    uniqueid: str
    name: str
    """The channel's name; after a masquerade, the name that it goes on under."""
    start_row: CelRow
    started: UtcMicros
    started_in_call: bool
    """The call's rows hold the channel's CHAN_START; otherwise it came from another call, or cel.conf logs none."""
    answered: UtcMicros | None = None
    ended: UtcMicros | None = None
    first_number: str = ""
    """The first caller id number seen on it: of a calling channel, who calls, before the dialplan rewrote it."""
    number: str = ""
    """The last caller id number seen on it: of a called channel, the number that was called."""
    dialled: str = ""
    """The first extension or number that it asked for."""
    dnid: str = ""
    """The first dialled number (`cid_dnid`) seen on it."""
    hangup: CelRow | None = None
    """The channel's HANGUP row."""
    hangup_extra: dict[str, object] | None = None
    """The JSON object in that row's `extra`; None where it holds none."""
    is_calling: bool = False
    """The channel began the call (`CallFacts.calling`)."""
    originated: bool = False
    """Asterisk itself called the channel (a call file, AMI Originate): AppDial2."""
    dialled_by: str = ""
    """Name of the channel that dialled it, where Dial() was given a number for it."""
    number_dialled: bool = False
    """`number` is the one that Dial() was given, and not a caller id."""
    forwarded: bool = False
    """The called phone sent its call elsewhere (302, call forwarding)."""
    picked_up: bool = False
    """The channel's ringing was taken over by another phone."""
    talks: list[list[UtcMicros]] = field(default_factory=list)
    """[from, to] of being connected with another real channel; `to` is -1 while the rows are folded and it lasts."""
    real: bool = False
    """A phone or a trunk is on the channel: it is neither half of a Local channel nor one of Asterisk's helpers."""
    endpoint: str = ""
    side: Side | None = None
    """On which side of the PBX its party is; None where nothing tells (sides.py)."""
    side_reason: str = ""

    def __post_init__(self) -> None:
        self.rename(self.name)

    @property
    def hung_up_itself(self) -> bool:
        """Whether the channel's own party ended it: a phone that was busy or declined, or that hung up."""
        if self.hangup is None or self.hangup_extra is None:
            return False
        return self.hangup_extra.get("hangupsource") == self.hangup.channame

    def rename(self, name: str) -> None:
        """Give the channel the name that it goes on under."""
        self.name, self.real, self.endpoint = name, is_real(name), endpoint(name)


@dataclass(slots=True)
class CallFacts:
    """Everything that classifying and explaining a call need, gathered in one pass over its rows."""

    timeline: Timeline
    rows: Sequence[CelRow] = ()
    """In the order of their ids."""
    instants: list[UtcMicros] = field(default_factory=list)
    """The instant of each of `rows`."""
    channels: dict[str, Channel] = field(default_factory=dict)
    """By uniqueid, in the order of their first rows; without Asterisk's helpers."""
    calling: Channel | None = None
    """The channel that began the call."""
    other_channels: list[Channel] = field(default_factory=list)
    """The real channels but the calling one, once all rows are folded."""
    calling_missing: bool = False
    """No row of that channel is there: `calling` is the first one seen, and was called."""
    unlogged_peers: dict[str, list[list[UtcMicros]]] = field(default_factory=dict)
    """Talks of channels that only `peer` columns name: other calls' legs in a conference."""
    calling_connected: bool = False
    """The calling channel was connected to another real one: the call is answered."""
    calling_talk_row: int = 0
    """Id of the last row at which the calling channel was in a talk."""
    calling_reached: set[str] = field(default_factory=set)
    """Real channels that a calling Local channel was connected with, alone or not."""
    calling_reached_row: int = 0
    calling_progress_row: int = 0
    """Id of the last row with which the calling channel went on to something: what ended before did not end with it."""
    calling_left_row: int | None = None
    """Id of the row with which the calling channel hung up or transferred the other one away, and did not come back."""
    talk_start_unknown: bool = False
    """The first evidence of the calling channel's talk is a bridge-exit row, so its start is not known."""
    talk_open: bool = False
    """The rows stop in a talk: how long it was is not known."""
    attempts: list[CelRow] = field(default_factory=list)
    """Rows that begin an attempt to reach somebody: legs that started, Dial and Queue of the calling channel."""
    dialling: dict[tuple[str, str], int] = field(default_factory=dict)
    """Which channel gave Dial() what, and the id of the first row that says so."""
    dials: list[CelRow] = field(default_factory=list)
    """APP_START rows of Dial and Queue."""
    automata: list[tuple[UtcMicros, str]] = field(default_factory=list)
    """When which application that holds a caller without a person began: queue, voicemail, conference, parking, bot."""
    queue_spans: list[list[UtcMicros]] = field(default_factory=list)
    queue_data: dict[bool, str] = field(default_factory=dict)
    """What Queue() was given last: by the calling channel (True), by any other one (False)."""
    transfers: list[Transfer] = field(default_factory=list)
    pickups: list[Pickup] = field(default_factory=list)
    forwarded: bool = False
    """A FORWARD row is there."""
    user_events: set[str] = field(default_factory=set)
    """Events that the dialplan logged by itself (CELGenUserEvent)."""
    bridges_seen: bool = False
    """At least one row of a bridge is there."""
    peers_inferred: bool = False
    """No bridge row says who else is there: who was in bridges at the same time was taken as joined."""
    first: UtcMicros = 0
    """The earliest instant of the rows."""
    last: UtcMicros = 0
    """The latest instant of the rows."""

    @property
    def starts_logged(self) -> bool:
        """Whether cel.conf has CHAN_START events."""
        return any(channel.started_in_call for channel in self.channels.values())

    def on_side(self, side: Side) -> list[Channel]:
        """The real channels whose party is on a side of the PBX."""
        return [channel for channel in self.channels.values() if channel.real and channel.side == side]


_PLAIN = re.compile(r"([0-9]{1,3}),([^,]*),([A-Z]*)")

_DECODER = msgspec.json.Decoder()


def json_object(text: str) -> dict[str, object] | None:
    """The JSON object in an `extra` column; None where it holds none."""
    if not text.startswith("{"):
        return None
    try:
        value = _DECODER.decode(text)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def hangup_object(text: str) -> dict[str, object] | None:
    """The object in the `extra` of a HANGUP row; Asterisk 1.8 to 11 wrote `17,SIP/1001-0a,BUSY` (main/channel.c).

    The status there is the dialplan variable, which calls unreachable whatever failed: it is told as CEL tells it since
    Asterisk 12, by the cause (main/dial.c, ast_hangup_cause_to_dial_status).
    """
    if (found := json_object(text)) is not None:
        return found
    plain = _PLAIN.fullmatch(text)
    if plain is None:
        return None
    cause, status = int(plain[1]), plain[3]
    if status in ("CHANUNAVAIL", "CONGESTION"):
        status = {3: "CHANUNAVAIL", 20: "CHANUNAVAIL", 34: "CONGESTION", 17: "BUSY"}.get(cause, "NOANSWER")
    return {"hangupcause": cause, "hangupsource": plain[2], "dialstatus": status}
