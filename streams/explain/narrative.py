"""Tell a classified call as a short story with times, as a person would who had watched its rows go by. Pure."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import groupby
from typing import NamedTuple

from streams.calls.channel_name import endpoint, is_helper
from streams.calls.direction import extension_of
from streams.calls.events import BOT
from streams.calls.facts import CallFacts, Channel, json_object
from streams.calls.hangup import hung_up_first
from streams.calls.legs import legs_of
from streams.calls.pbx_profile import PbxProfile
from streams.calls.result import CallLeg, CallResult
from streams.clock import MICROS_PER_SECOND, UtcMicros
from streams.explain.conversations import conversations
from streams.explain.phrases import APPLICATIONS, ASTERISK_EVENTS, PARK_ENDS, STREAMS, format_seconds, join_names
from streams.rows.event_type import UNKNOWN
from streams.rows.row import CelRow

TOGETHER = MICROS_PER_SECOND // 4
"""Channels called within this time, and that fared alike, are one line of the story (microseconds)."""

_BETWEEN_DIGITS = 4 * MICROS_PER_SECOND


class Moment(NamedTuple):
    """One line of the story. `row`: the id of the row that shows it, where one does."""

    at: UtcMicros
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


def narrate(facts: CallFacts, result: CallResult, profile: PbxProfile) -> Narrative:
    """Tell a call by the facts that gave its result (`classify.facts_and_result`)."""
    narrator = _Narrator(facts, result, profile.of_pbx(result.pbx))
    moments = sorted(narrator.moments(), key=lambda moment: moment.at)
    hangup = facts.calling.hangup if facts.calling else None
    return Narrative(tuple(moments), result.utc_offset_seconds, narrator.whole_seconds, hangup)


@dataclass(slots=True)
class _Narrator:
    """Gathers the moments: those of rows as they come, those of channels, legs and talks from the facts."""

    facts: CallFacts
    result: CallResult
    profile: PbxProfile
    _instants: dict[int, UtcMicros] = field(init=False)
    """By row id."""
    _applications: dict[str, str] = field(default_factory=dict)
    _transfers: Iterator[str] = field(init=False)
    _pickups: Iterator[str] = field(init=False)

    def __post_init__(self) -> None:
        self._instants = {row.id: instant for row, instant in zip(self.facts.rows, self.facts.instants, strict=True)}

    def moments(self) -> Iterator[Moment]:
        """The lines of the story; only those of the same instant are in order."""
        self._transfers, self._pickups = iter(self.result.transfers), iter(self.result.pickups)
        yield from self._opening()
        yield from self._legs()
        for row in self.facts.rows:
            if row.eventtype in STREAMS or is_helper(row.channame):
                continue
            in_words = _EVENTS.get(row.eventtype, _Narrator._own_event)
            for text in (self._application(row), in_words(self, row)):
                if text:
                    yield Moment(self._instants[row.id], text, row.id)
        yield from (Moment(at, "a bot took the call") for at, automaton in self.facts.automata if automaton == BOT)
        yield from self._digits()
        for talk in conversations(self.facts):
            yield Moment(talk.start, self._talk(talk.names, talk.end - talk.start))
        yield from self._ending()

    def _opening(self) -> Iterator[Moment]:
        calling, result = self.facts.calling, self.result
        if calling is None:
            return
        if calling.originated or not calling.real:
            text = self._originated(calling)
        else:
            text = f"{result.caller or 'somebody without a number'} called {result.called or 'no number'}"
            if calling.side == "outside":
                text += f" through {calling.endpoint}"
        yield Moment(self.facts.first, text, calling.start_row.id)
        for channel in self.facts.channels.values():
            if channel is not calling and channel.real and not channel.started_in_call:
                came = min([channel.started, *(start for start, _ in channel.talks)])
                yield Moment(came, f"{self._named(channel)} came from call {channel.uniqueid}", channel.start_row.id)

    def _originated(self, calling: Channel) -> str:
        if not calling.real:
            return "Asterisk began a call by itself"
        outside = calling.side == "outside"
        named = f"somebody through {calling.endpoint}" if outside else self._named(calling)
        if calling.answered is not None:
            return f"Asterisk called {named}: answered after {format_seconds(calling.answered - calling.started)}"
        leg = next(leg for leg in self._call_legs() if leg.channel == calling.name)
        return f"Asterisk called {named}: {leg.outcome}"

    def _call_legs(self) -> tuple[CallLeg, ...]:
        return legs_of(self.facts, self.result, self.profile)

    def _legs(self) -> Iterator[Moment]:
        """The channels called. Those called at once that fared alike are one line; so are vain attempts repeated."""
        real = [channel for channel in self.facts.channels.values() if channel.real]
        groups: list[list[tuple[Channel, CallLeg]]] = []
        for channel, leg in zip(real, self._call_legs(), strict=True):
            if channel is self.facts.calling or not channel.started_in_call:
                continue
            if groups and _alike(groups[-1][-1], (channel, leg)):
                groups[-1].append((channel, leg))
            else:
                groups.append([(channel, leg)])
        lines = [(self._rang(group), group[0][0]) for group in groups]
        for text, same in groupby(lines, key=lambda each: each[0]):
            channels = [channel for _, channel in same]
            times = f" ({len(channels)} times)" if len(channels) > 1 else ""
            yield Moment(channels[0].started, text + times, channels[0].start_row.id)

    def _rang(self, legs: list[tuple[Channel, CallLeg]]) -> str:
        _, leg = legs[0]
        names = join_names(sorted(self._reached(each) for each, _ in legs))
        rang = "" if leg.ring_seconds is None else f" for {format_seconds(round(leg.ring_seconds * MICROS_PER_SECOND))}"
        outcome = leg.outcome
        if outcome == "unavailable" and leg.hangup_cause is not None:
            outcome = f"unavailable (cause {leg.hangup_cause})"
        return f"rang {names}{rang}: {outcome}"

    def _talk(self, names: tuple[str, ...], span: int) -> str:
        calling = self.facts.calling
        others = [self._person(name) for name in names if calling is None or name != calling.name]
        lasted = f"for {format_seconds(span)}"
        if calling is not None and calling.name in names:
            talked_with = f"{self._person(calling.name)} talked with {join_names(others)}" if others else "talked"
            return f"{talked_with} {lasted}"
        return f"{join_names(others)} talked {lasted}"

    def _application(self, row: CelRow) -> str | None:
        """The words for a channel's application, at the first row that names it, be it APP_START or not."""
        if self._applications.get(row.uniqueid) == row.appname + row.appdata:
            return None
        self._applications[row.uniqueid] = row.appname + row.appdata
        words = APPLICATIONS.get(row.appname)
        if words is None or row.eventtype == "APP_END":
            return None
        text = words.format(row.appdata.split(",")[0].split("&")[0].partition("@")[0] or "?")
        if text.startswith("the "):
            return text
        channel = self.facts.channels.get(row.uniqueid)
        if channel is None or not channel.real:
            channel = self.facts.calling  # a Local half: whoever waits behind it
        return f"{self._named(channel)} {text}" if channel is not None else text

    def _answer(self, row: CelRow) -> str | None:
        calling = self.facts.calling
        if calling is None or row.uniqueid != calling.uniqueid or calling.originated:
            return None
        if row.appname in ("Dial", "Queue") or row.appname in APPLICATIONS:
            return None  # a person answered, or the story mentions the application already
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
        if row.eventtype in ASTERISK_EVENTS:
            return None
        if row.eventtype.startswith(UNKNOWN):
            return f"an event was logged by its number, {row.eventtype.removeprefix(UNKNOWN)}: what it was is not known"
        note = (json_object(row.extra) or {}).get("extra")
        return f"the dialplan logged {row.eventtype}" + (f": {note}" if note else "")

    def _digits(self) -> Iterator[Moment]:
        """The digits that a person keyed in, those that follow each other in one line."""
        first: CelRow | None = None
        pressed, at = "", 0
        for row in self.facts.rows:
            if row.eventtype != "DTMF":
                continue
            if first is not None and (row.uniqueid != first.uniqueid or self._instants[row.id] - at > _BETWEEN_DIGITS):
                yield self._pressed(first, pressed)
                first, pressed = None, ""
            first, at = first or row, self._instants[row.id]
            pressed += str((json_object(row.extra) or {}).get("digit") or "?")
        if first is not None:
            yield self._pressed(first, pressed)

    def _pressed(self, first: CelRow, digits: str) -> Moment:
        return Moment(self._instants[first.id], f"{self._person(first.channame)} pressed {digits}", first.id)

    def _ending(self) -> Iterator[Moment]:
        calling, result, last = self.facts.calling, self.result, self.facts.last
        if calling is not None and calling.hangup is not None:
            left = last - self._instants[calling.hangup.id] > (MICROS_PER_SECOND if self.whole_seconds else TOGETHER)
            text = f"{self._named(calling)} left" if left else self._ended(calling)
            yield Moment(self._instants[calling.hangup.id], text, calling.hangup.id)
            if left:
                yield Moment(last, "the call ended")
        if result.abandoned:
            other = f"call {result.part_of}" if result.part_of else "another call"
            yield Moment(last, f"went on in {other}")
        elif result.incomplete_reason:
            yield Moment(last, result.incomplete_reason)

    @property
    def whole_seconds(self) -> bool:
        return all(at % MICROS_PER_SECOND == 0 for at in self.facts.instants)

    def _ended(self, calling: Channel) -> str:
        result = self.result
        if result.ended_by == "caller":
            return f"{self._named(calling)} {'hung up' if result.answered else 'gave up'}"
        first = (hung_up_first(self.facts) if result.answered else None) or result.hangup_source
        if result.ended_by == "called" and first:
            return f"{self._person(first)} hung up"
        return "the dialplan ended the call" if result.ended_by == "pbx" else "the call ended, no row says by whom"

    def _person(self, name: str) -> str:
        """The number or endpoint of who is on a channel, by the channel's name."""
        for channel in self.facts.channels.values():
            if channel.name == name:
                return self._named(channel)
        return endpoint(name)

    def _named(self, channel: Channel) -> str:
        if channel.side == "inside":
            return extension_of(channel, self.profile)
        if channel is self.facts.calling and not channel.originated:
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
