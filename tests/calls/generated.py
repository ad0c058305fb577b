"""Calls as a PBX might log them: a small exchange that does what it is told and writes the rows of it."""

from itertools import count

from hypothesis import strategies as st

from streams.rows.row import CelRow
from streams.rules.results import DIAL_STATUSES
from tests.calls.tables import EPOCH, hangup

CAUSES = st.one_of(st.sampled_from([0, 1, 16, 17, 18, 19, 21, 26, 34, 127]), st.integers(0, 127))
STEPS = st.sampled_from([0, 0, 1, 2, 7, 40, -1])
"""Seconds between rows: whole, often none, now and then out of order."""

CALLERS = [
    ("PJSIP/trunk1", "79161234567", "from-trunk", "74951112233"),
    ("PJSIP/1001", "1001", "from-internal", "79161234567"),
    ("SIP/1002", "1002", "from-internal", "1003"),
    ("PJSIP/gate", "anonymous", "custom", "s"),
]
CALLED = ["PJSIP/1003", "SIP/1004", "PJSIP/trunk2", "DAHDI/i1/79031112233"]


class Exchange:
    """The channels of one call, who is in which bridge, and the rows written so far."""

    def __init__(self, draw: st.DrawFn) -> None:
        self._draw = draw
        self.rows: list[CelRow] = []
        self._clock = 0
        self._numbers = count()
        self._names: dict[str, str] = {}
        self._parties: dict[str, tuple[str, str, str]] = {}
        self._open: list[str] = []
        self._bridges: list[set[str]] = []
        self._was_answered: set[str] = set()
        self._dial_status = ""
        self.linkedid = f"{draw(st.sampled_from(['', 'pbx-7-']))}{EPOCH}.0"
        name, number, context, exten = draw(st.sampled_from(CALLERS))
        self.calling = self._start(name, number, context, exten)
        self.connected = False
        """The calling channel was in a bridge with another one: what the outcome must say."""

    def _row(self, event: str, channel: str, **columns: str) -> None:
        self._clock = max(0, self._clock + self._draw(STEPS))
        minutes, seconds = divmod(self._clock, 60)
        number, context, exten = self._parties[channel]
        self.rows.append(
            CelRow(
                id=len(self.rows) + 1,
                eventtype=event,
                eventtime=f"2026-11-22 23:{23 + minutes:02}:{seconds:02}",
                linkedid=self.linkedid,
                uniqueid=channel,
                channame=self._names[channel],
                cid_num=number,
                context=context,
                exten=exten,
                **columns,
            )
        )

    def _start(self, name: str, number: str, context: str, exten: str) -> str:
        counter = next(self._numbers)
        channel = self.linkedid if counter == 0 else f"{EPOCH + self._clock}.{counter}"
        self._names[channel] = f"{name}-{counter:08x}"
        self._parties[channel] = (number, context, exten)
        self._open.append(channel)
        self._row("CHAN_START", channel)
        return channel

    def _bridge_of(self, channel: str) -> set[str] | None:
        return next((bridge for bridge in self._bridges if channel in bridge), None)

    def _peers(self, channel: str) -> str:
        bridge = self._bridge_of(channel) or set()
        return ",".join(sorted(self._names[each] for each in bridge if each != channel))

    def _enter(self, channel: str, bridge: set[str]) -> None:
        bridge.add(channel)
        self._row("BRIDGE_ENTER", channel, peer=self._peers(channel))
        self.connected = self.connected or (self.calling in bridge and len(bridge) > 1)

    def _exit(self, channel: str) -> None:
        if bridge := self._bridge_of(channel):
            self._row("BRIDGE_EXIT", channel, peer=self._peers(channel))
            bridge.discard(channel)

    def ring(self) -> None:
        """Dial() by the caller: one to three legs start."""
        if self.calling in self._open:
            self._row("APP_START", self.calling, appname="Dial")
            for name in self._draw(st.lists(st.sampled_from(CALLED), min_size=1, max_size=3)):
                self._start(name, "1003", "from-internal", "")

    def answer(self) -> None:
        """A leg answers and is bridged with the caller, or with whoever is left in a bridge."""
        waiting = [each for each in self._open if each not in self._was_answered and each != self.calling]
        if not waiting or self.calling not in self._open:
            return
        channel = self._draw(st.sampled_from(waiting))
        self._was_answered.add(channel)
        self._row("ANSWER", channel)
        self._dial_status = "ANSWER"
        self._exit(self.calling)
        bridge: set[str] = set()
        self._bridges.append(bridge)
        for each in self._draw(st.permutations([self.calling, channel])):
            self._enter(each, bridge)

    def menu(self) -> None:
        """The PBX itself answers: no person."""
        if self.calling in self._open:
            self._row(
                "ANSWER", self.calling, appname=self._draw(st.sampled_from(["Queue", "VoiceMail", "Playback", ""]))
            )

    def queue(self) -> None:
        """The caller waits in a queue, with its legs as members."""
        if self.calling in self._open:
            self._row("APP_START", self.calling, appname="Queue")
            if self._draw(st.booleans()):
                self.ring()
                self.answer()
            if self._draw(st.booleans()):
                self._row("APP_END", self.calling, appname="Queue")

    def hold(self) -> None:
        """A channel leaves its bridge and comes back, or does not."""
        inside = [each for each in self._open if self._bridge_of(each)]
        if inside:
            channel = self._draw(st.sampled_from(inside))
            bridge = self._bridge_of(channel) or set()
            self._exit(channel)
            if self._draw(st.booleans()):
                self._enter(channel, bridge)

    def transfer(self) -> None:
        """Whoever talks with the caller transfers it away."""
        bridge = self._bridge_of(self.calling)
        others = sorted((bridge or set()) - {self.calling})
        if not others:
            return
        extra = f'{{"extension":"1009","context":"x","transferee_channel_uniqueid":"{self.calling}"}}'
        self._row("BLINDTRANSFER", others[0], extra=extra)
        self.hang_up(others[0])
        self.ring()

    def other(self) -> None:
        """Rows that tell little."""
        channel = self._draw(st.sampled_from(self._open)) if self._open else self.calling
        event = self._draw(
            st.sampled_from(["PICKUP", "FORWARD", "PARK_START", "USER_DEFINED", "LOCAL_OPTIMIZE", "DTMF"])
        )
        self._row(event, channel, extra=self._draw(st.sampled_from(["", "{}", '{"pickup_channel":"SIP/1004-7"}'])))

    def hang_up(self, channel: str | None = None) -> None:
        """A channel ends."""
        if not self._open:
            return
        channel = channel or self._draw(st.sampled_from(self._open))
        self._exit(channel)
        status = self._dial_status or self._draw(st.sampled_from(DIAL_STATUSES)) if channel == self.calling else ""
        source = self._draw(st.sampled_from(["", self._names[channel], "dialplan/builtin"]))
        self._row("HANGUP", channel, extra=hangup(self._draw(CAUSES), status, source))
        self._row("CHAN_END", channel)
        self._open.remove(channel)

    def end(self) -> None:
        """Everybody hangs up; Asterisk says that the call is over, or was killed before."""
        for channel in list(self._open):
            if self._draw(st.integers(0, 9)):
                self.hang_up(channel)
        if not self._open and self._draw(st.integers(0, 9)):
            self._row("LINKEDID_END", self.calling)


STEPS_OF_A_CALL = [
    Exchange.ring, Exchange.ring, Exchange.answer, Exchange.answer, Exchange.menu, Exchange.queue, Exchange.hold,
    Exchange.transfer, Exchange.other, Exchange.hang_up,
]  # fmt: skip


@st.composite
def exchanges(draw: st.DrawFn) -> Exchange:
    """A call of up to a dozen steps, with its end or cut off."""
    exchange = Exchange(draw)
    for step in draw(st.lists(st.sampled_from(STEPS_OF_A_CALL), max_size=12)):
        step(exchange)
    if draw(st.integers(0, 9)):
        exchange.end()
    return exchange


ARBITRARY_CHANNELS = [
    "PJSIP/trunk1-01", "PJSIP/1001-02", "PJSIP/1002-03", "Local/1002@x-04;1", "Local/1002@x-04;2", "CBAnn/8-05;1", "",
]  # fmt: skip
EVENTS = [
    "CHAN_START", "CHAN_END", "HANGUP", "ANSWER", "APP_START", "APP_END", "BRIDGE_ENTER", "BRIDGE_EXIT", "LINKEDID_END",
    "BRIDGE_START", "CONF_EXIT", "BLINDTRANSFER", "ATTENDEDTRANSFER", "PICKUP", "FORWARD", "PARK_START",
    "LOCAL_OPTIMIZE", "DTMF", "STREAM_BEGIN", "MY_EVENT", "\0",
]  # fmt: skip
EXTRAS = st.one_of(
    st.just(""),
    st.text(max_size=12),
    st.builds(hangup, st.integers(-5, 9999), st.sampled_from(["", "ANSWER", "ANSWERED", "BUSY", "CANCEL", "FOO"])),
    st.sampled_from(
        [
            '{"transferee_channel_uniqueid":"1.2"}', '{"pickup_channel":3}', '{"extension":null}', "[]",
            '{"hangupcause":16,"dialstatus":null,"hangupsource":7}', '{"channel2_uniqueid":"1795389700.1"}',
            '{"transfer_target_channel_name":"N/A","transferee_channel_uniqueid":[]}', '{"extra":"\\ud800"}',
        ]
    ),
)  # fmt: skip
TIMES = st.one_of(
    st.integers(0, 59).map(lambda second: f"2026-11-22 23:23:{second:02}"),
    st.sampled_from(
        ["", "never", "2026-11-22T23:23:00.5Z", "NaN", "1795389780.25", "0000-00-00 00:00:00", "9999-12-31 23:59:59",
         "0001-01-01 00:00:00", "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "-1", "1e300"]
    ),
)  # fmt: skip


@st.composite
def arbitrary_rows(draw: st.DrawFn) -> list[CelRow]:
    """Rows of one call: any events in any order, with plausible and damaged columns."""
    linkedid = draw(st.sampled_from([f"{EPOCH}.0", f"pbx-1-{EPOCH}.7", "x/у" * 50, "\0", "0"]))
    rows = []
    for row_id in range(1, draw(st.integers(1, 25)) + 1):
        channel = draw(st.integers(0, len(ARBITRARY_CHANNELS) - 1))
        rows.append(
            CelRow(
                id=row_id,
                eventtype=draw(st.sampled_from(EVENTS)),
                eventtime=draw(TIMES),
                linkedid=linkedid,
                uniqueid=linkedid if channel == 0 else f"{EPOCH}.{channel}",
                channame=ARBITRARY_CHANNELS[channel],
                cid_num=draw(st.sampled_from(["", "1001", "79161234567", "anonymous", "sip:%00@x", "+"])),
                exten=draw(st.sampled_from(["", "s", "1001", "79161234567", "*97"])),
                context=draw(st.sampled_from(["from-trunk", "from-internal", "x"])),
                appname=draw(st.sampled_from(["", "Dial", "Queue", "VoiceMail", "AppDial2"])),
                peer=draw(st.sampled_from(["", *ARBITRARY_CHANNELS, ",".join(ARBITRARY_CHANNELS), ",,"])),
                extra=draw(EXTRAS),
            )
        )
    return rows


def calls() -> st.SearchStrategy[list[CelRow]]:
    """The rows of one call, of an exchange or arbitrary ones."""
    return st.one_of(exchanges().map(lambda exchange: exchange.rows), arbitrary_rows())
