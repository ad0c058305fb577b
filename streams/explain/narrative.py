"""A call told as a short story with times: what a person would say who had watched its rows go by. Pure."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import groupby
from typing import NamedTuple

from streams.calls.call import Call
from streams.calls.channel_name import endpoint, is_helper
from streams.calls.direction import extension_of, side_of
from streams.calls.fold import CallFacts, Channel, json_object, tell
from streams.calls.legs import legs_of
from streams.calls.pbx_profile import PbxProfile
from streams.calls.result import CallLeg, CallResult
from streams.calls.timeline import Timeline
from streams.clock import MICROS_PER_SECOND
from streams.explain.conversations import conversations
from streams.explain.phrases import APPLICATIONS, ASTERISKS, PARK_ENDS, STREAMS, listed, seconds
from streams.rows.row import CelRow

TOGETHER = MICROS_PER_SECOND // 4
"""Channels called within this time, and that fared alike, are told in one line (microseconds)."""

_BETWEEN_DIGITS = 4 * MICROS_PER_SECOND


class Moment(NamedTuple):
    """One line of the story. `at`: UTC microseconds; `row`: the id of the row that shows it, where one does."""

    at: int
    text: str
    row: int | None = None


@dataclass(frozen=True, slots=True)
class Narrative:
    """The story of one call, in the order of time."""

    moments: tuple[Moment, ...]
    utc_offset_seconds: int
    whole_seconds: bool
    """The PBX's times have no fraction: neither have the story's."""
    hangup: CelRow | None
    """The row that gave cause and dial status."""


def narrate(call: Call, result: CallResult, profile: PbxProfile) -> Narrative:
    """Tell a call whose outcome is known."""
    rows = call.rows
    story = tell(rows, call.linkedid, profile.timezone_of(call.pbx))
    times = _times(rows, profile.timezone_of(call.pbx))
    narrator = _Narrator(story, result, profile, times)
    moments = sorted(narrator.moments(rows), key=lambda moment: moment.at)
    return Narrative(
        tuple(moments),
        result.utc_offset_seconds,
        narrator.whole_seconds,
        story.root.hangup if story.root else None,
    )


def _times(rows: list[CelRow], zone: str | None) -> dict[int, int]:
    timeline = Timeline(zone)
    return {row.id: timeline.instant(row) for row in rows}


@dataclass(slots=True)
class _Narrator:
    """Gathers the moments: those of rows as they come, those of channels, legs and talks from the story."""

    story: CallFacts
    result: CallResult
    profile: PbxProfile
    times: dict[int, int]
    _applications: dict[str, str] = field(default_factory=dict)
    _transfers: Iterator[str] = field(init=False)
    _pickups: Iterator[str] = field(init=False)

    def moments(self, rows: list[CelRow]) -> Iterator[Moment]:
        """In no order but that of equal times."""
        self._transfers, self._pickups = iter(self.result.transfers), iter(self.result.pickups)
        yield from self._opening()
        yield from self._legs()
        for row in rows:
            if row.eventtype in STREAMS or is_helper(row.channame):
                continue
            teller = _EVENTS.get(row.eventtype)
            text = teller(self, row) if teller else self._own_event(row)
            for told in (self._application(row), text):
                if told:
                    yield Moment(self.times[row.id], told, row.id)
        yield from self._digits(rows)
        for talk in conversations(self.story):
            yield Moment(talk.start, self._talk(talk.names, talk.end - talk.start))
        yield from self._ending()

    def _opening(self) -> Iterator[Moment]:
        root, result = self.story.root, self.result
        if root is None:
            return
        if root.originated or not root.real:
            text = self._originated(root)
        else:
            text = f"{result.caller or 'somebody without a number'} called {result.called or 'no number'}"
            if side_of(root, self.profile)[0] == "outside":
                text += f" through {root.endpoint}"
        yield Moment(self.story.first, text, root.start_row.id)
        for channel in self.story.channels.values():
            if channel is not root and channel.real and not channel.born_here:
                came = min([channel.started, *(start for start, _ in channel.talks)])
                yield Moment(came, f"{self._named(channel)} came from call {channel.uniqueid}", channel.start_row.id)

    def _originated(self, root: Channel) -> str:
        if not root.real:
            return "Asterisk began a call by itself"
        outside = side_of(root, self.profile)[0] == "outside"
        named = f"somebody through {root.endpoint}" if outside else self._named(root)
        if root.answered is not None:
            return f"Asterisk called {named}: answered after {seconds(root.answered - root.started)}"
        leg = next(leg for leg in self._told_legs() if leg.channel == root.name)
        return f"Asterisk called {named}: {leg.outcome}"

    def _told_legs(self) -> tuple[CallLeg, ...]:
        return legs_of(self.story, self.result, self.profile)

    def _legs(self) -> Iterator[Moment]:
        """The channels called. Those called at once that fared alike are one line; so are vain attempts repeated."""
        real = [channel for channel in self.story.channels.values() if channel.real]
        groups: list[list[tuple[Channel, CallLeg]]] = []
        for channel, leg in zip(real, self._told_legs(), strict=True):
            if channel is self.story.root or not channel.born_here:
                continue
            if groups and _alike(groups[-1][-1], (channel, leg)):
                groups[-1].append((channel, leg))
            else:
                groups.append([(channel, leg)])
        told = [(self._rang(group), group[0][0]) for group in groups]
        for text, same in groupby(told, key=lambda each: each[0]):
            channels = [channel for _, channel in same]
            times = f" ({len(channels)} times)" if len(channels) > 1 else ""
            yield Moment(channels[0].started, text + times, channels[0].start_row.id)

    def _rang(self, legs: list[tuple[Channel, CallLeg]]) -> str:
        _, leg = legs[0]
        names = listed(sorted(self._reached(each) for each, _ in legs))
        rang = "" if leg.ring_seconds is None else f" for {seconds(round(leg.ring_seconds * MICROS_PER_SECOND))}"
        outcome = leg.outcome
        if outcome == "unavailable" and leg.hangup_cause is not None:
            outcome = f"unavailable (cause {leg.hangup_cause})"
        return f"rang {names}{rang}: {outcome}"

    def _talk(self, names: tuple[str, ...], span: int) -> str:
        root = self.story.root
        others = [self._person(name) for name in names if root is None or name != root.name]
        lasted = f"for {seconds(span)}"
        if root is not None and root.name in names:
            return f"{self._person(root.name)} talked with {listed(others)} {lasted}" if others else f"talked {lasted}"
        return f"{listed(others)} talked {lasted}"

    def _application(self, row: CelRow) -> str | None:
        """A channel's application, told at the first row that names it, be it APP_START or not."""
        if self._applications.get(row.uniqueid) == row.appname + row.appdata:
            return None
        self._applications[row.uniqueid] = row.appname + row.appdata
        words = APPLICATIONS.get(row.appname)
        if words is None or row.eventtype == "APP_END":
            return None
        text = words.format(row.appdata.split(",")[0].split("&")[0].partition("@")[0] or "?")
        if text.startswith("the "):
            return text
        channel = self.story.channels.get(row.uniqueid)
        if channel is None or not channel.real:
            channel = self.story.root  # a Local half: whoever waits behind it
        return f"{self._named(channel)} {text}" if channel is not None else text

    def _answer(self, row: CelRow) -> str | None:
        root = self.story.root
        if root is None or row.uniqueid != root.uniqueid or root.originated:
            return None
        if row.appname in ("Dial", "Queue") or row.appname in APPLICATIONS:
            return None  # a person answered, or the application was told already
        return f"the PBX answered by itself ({row.appname or 'no application named'})"

    def _transfer(self, row: CelRow) -> str | None:
        return next(self._transfers, None)

    def _pickup(self, row: CelRow) -> str | None:
        return next(self._pickups, None)

    def _forward(self, row: CelRow) -> str:
        to = (json_object(row.extra) or {}).get("forward")
        return f"forwarded to {to or 'another number'}"

    def _park(self, row: CelRow) -> str:
        extra = json_object(row.extra) or {}
        by = extra.get("parker_dial_string")
        who = self._person(row.channame)
        return f"{who} was parked" + (f" by {endpoint(by)}" if isinstance(by, str) and by else "")

    def _unpark(self, row: CelRow) -> str:
        extra = json_object(row.extra) or {}
        retriever, reason = extra.get("retriever"), str(extra.get("reason") or "")
        if isinstance(retriever, str) and retriever:
            return f"{endpoint(retriever)} took the parked call"
        return PARK_ENDS.get(reason, f"parking ended ({reason or 'no reason logged'})")

    def _own_event(self, row: CelRow) -> str | None:
        if row.eventtype in ASTERISKS:
            return None
        note = (json_object(row.extra) or {}).get("extra")
        return f"the dialplan logged {row.eventtype}" + (f": {note}" if note else "")

    def _digits(self, rows: list[CelRow]) -> Iterator[Moment]:
        """What a person keyed in, digits that follow each other in one line."""
        first: CelRow | None = None
        pressed, at = "", 0
        for row in rows:
            if row.eventtype != "DTMF":
                continue
            if first is not None and (row.uniqueid != first.uniqueid or self.times[row.id] - at > _BETWEEN_DIGITS):
                yield self._pressed(first, pressed)
                first, pressed = None, ""
            first, at = first or row, self.times[row.id]
            pressed += str((json_object(row.extra) or {}).get("digit") or "?")
        if first is not None:
            yield self._pressed(first, pressed)

    def _pressed(self, first: CelRow, digits: str) -> Moment:
        return Moment(self.times[first.id], f"{self._person(first.channame)} pressed {digits}", first.id)

    def _ending(self) -> Iterator[Moment]:
        root, result, last = self.story.root, self.result, self.story.last
        if root is not None and root.hangup is not None:
            left = last - self.times[root.hangup.id] > (MICROS_PER_SECOND if self.whole_seconds else TOGETHER)
            text = f"{self._named(root)} left" if left else self._ended(root)
            yield Moment(self.times[root.hangup.id], text, root.hangup.id)
            if left:
                yield Moment(last, "the call ended")
        if result.abandoned:
            whole = f"call {result.part_of}" if result.part_of else "another call"
            yield Moment(last, f"went on in {whole}")
        elif result.incomplete_reason:
            yield Moment(last, result.incomplete_reason)

    @property
    def whole_seconds(self) -> bool:
        return all(at % MICROS_PER_SECOND == 0 for at in self.times.values())

    def _ended(self, root: Channel) -> str:
        result = self.result
        if result.ended_by == "caller":
            return f"{self._named(root)} {'hung up' if result.answered else 'gave up'}"
        if result.ended_by == "called" and result.hangup_source:
            return f"{self._person(result.hangup_source)} hung up"
        return "the dialplan ended the call" if result.ended_by == "pbx" else "the call ended, no row says by whom"

    def _person(self, name: str) -> str:
        """Who is on a channel, by the channel's name."""
        for channel in self.story.channels.values():
            if channel.name == name:
                return self._named(channel)
        return endpoint(name)

    def _named(self, channel: Channel) -> str:
        if side_of(channel, self.profile)[0] == "inside":
            return extension_of(channel, self.profile)
        if channel is self.story.root and not channel.originated:
            return self.result.caller or channel.first_number or channel.endpoint
        return channel.number or channel.endpoint

    def _reached(self, channel: Channel) -> str:
        name = self._named(channel)
        return name if channel.endpoint == name else f"{name} through {channel.endpoint}"


def _alike(one: tuple[Channel, CallLeg], other: tuple[Channel, CallLeg]) -> bool:
    (_, leg), (_, next_leg) = one, other
    near = abs(next_leg.started_at - leg.started_at) <= TOGETHER
    rang, next_rang = leg.ring_seconds or 0.0, next_leg.ring_seconds or 0.0
    fared = (leg.outcome, leg.hangup_cause) == (next_leg.outcome, next_leg.hangup_cause)
    return near and fared and abs(rang - next_rang) * MICROS_PER_SECOND <= TOGETHER


_EVENTS: dict[str, Callable[[_Narrator, CelRow], str | None]] = {
    "ANSWER": _Narrator._answer,
    "BLINDTRANSFER": _Narrator._transfer,
    "ATTENDEDTRANSFER": _Narrator._transfer,
    "PICKUP": _Narrator._pickup,
    "FORWARD": _Narrator._forward,
    "PARK_START": _Narrator._park,
    "PARK_END": _Narrator._unpark,
}
