"""Which calls a replay is about: where their rows begin on the topic, when they began, and what they are. Pure."""

import re
from collections.abc import Collection, Mapping
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import msgspec

from streams.calls.call import epoch_of
from streams.calls.result import CallResult
from streams.clock import MICROS_PER_SECOND, UtcMicros, UtcMillis, utc_now_us
from streams.errors import UserError
from streams.operations.dead_letters import moment
from streams.rules.results import RESULT_NAMES
from streams.settings import Settings

_OFFSETS = re.compile(r"(\d{1,9}):(\d{1,18})")
_FURTHEST_WEST = 12 * 3600 * MICROS_PER_SECOND
_FURTHEST_EAST = 14 * 3600 * MICROS_PER_SECOND
"""No zone's wall clock is further behind UTC, or ahead of it."""


class CallTime(msgspec.Struct, frozen=True):
    """A bound of the times at which calls began (microseconds)."""

    micros: int
    of_pbx: bool = True
    """By the PBX's own clock, as its table has it; else UTC."""

    @classmethod
    def of(cls, text: str, option: str, settings: Settings) -> "CallTime":
        """Raises UserError: no time, or one in the future."""
        try:
            told = datetime.fromisoformat(text)
        except ValueError:
            raise UserError(
                f"{option} {text!r} is not a time",
                "Write it in the PBX's own clock, 2026-11-22 or '2026-11-22 23:23:00', or with an offset: "
                "2026-11-22T23:23+03:00.",
            ) from None
        if told.tzinfo is not None:
            found = cls(int(told.timestamp() * MICROS_PER_SECOND), of_pbx=False)
        else:
            found = cls(int(told.replace(tzinfo=UTC).timestamp() * MICROS_PER_SECOND))
        if found.earliest_us(settings) > utc_now_us():
            raise _in_the_future(text, option)
        return found

    def earliest_us(self, settings: Settings) -> UtcMicros:
        """The UTC time that it is, or one before: several PBXs may be in several zones, or in unknown ones."""
        if not self.of_pbx:
            return self.micros
        known = [settings.timezone_of(pbx.name) for pbx in (settings.pbx, *settings.other_pbxs)]
        return min(self.micros - _offset_at(self.micros, zone) for zone in known)

    def reached(self, result: CallResult) -> bool:
        """Whether a call began then or later."""
        offset = result.utc_offset_seconds * MICROS_PER_SECOND if self.of_pbx else 0
        return result.started_at + offset >= self.micros


def _offset_at(wall: int, zone: str | None) -> int:
    if zone is None:
        return _FURTHEST_EAST
    local = datetime.fromtimestamp(wall / MICROS_PER_SECOND, UTC).replace(tzinfo=ZoneInfo(zone))
    offset = local.utcoffset()
    return round(offset.total_seconds() * MICROS_PER_SECOND) if offset is not None else _FURTHEST_EAST


def _in_the_future(text: str, option: str) -> UserError:
    return UserError(f"{option} {text} is in the future", "Leave it out to replay up to now.")


class Selection(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The calls for which everything that is set holds; nothing is set: every call on the topic.

    A call is where, and when, its first row stands on the topic. Stands in the control record of a replay.
    """

    from_offsets: dict[int, int] = {}
    """By partition. Where any offset is given, only the partitions that are named are read."""
    to_offsets: dict[int, int] = {}
    """By partition, exclusive."""
    written_since_ms: UtcMillis | None = None
    """Time of the first row's record (Unix milliseconds)."""
    written_until_ms: UtcMillis | None = None
    since: CallTime | None = None
    until: CallTime | None = None
    calls: tuple[str, ...] | None = None
    """Call ids; None: whichever."""
    pbxs: tuple[str, ...] = ()
    trunks: tuple[str, ...] = ()
    numbers: tuple[str, ...] = ()
    """Of the caller, the called or the client, as logged or E.164."""
    results: tuple[int, ...] = ()

    @property
    def by_place(self) -> bool:
        """Whether offsets or the time of records choose a part of the topic."""
        times = self.written_since_ms is not None or self.written_until_ms is not None
        return times or bool(self.from_offsets or self.to_offsets)

    @property
    def by_outcome(self) -> bool:
        """Whether a call's outcome decides, so that its outcome before counts too."""
        return bool(self.trunks or self.numbers or self.results)

    def partitions(self, known: Collection[int]) -> list[int]:
        """The partitions that are read. Raises UserError for one that the topic has not got."""
        named = {*self.from_offsets, *self.to_offsets}
        if unknown := sorted(named - set(known)):
            raise UserError(
                f"the topic has no partition {', '.join(map(str, unknown))}",
                f"Its partitions are 0 to {max(known, default=0)}.",
            )
        return sorted(named or known)

    def keys(self) -> frozenset[bytes] | None:
        """The keys of the rows that are needed; None: all."""
        return None if self.calls is None else frozenset(each.partition("/")[2].encode() for each in self.calls)

    def wants_call(self, pbx: str, call_id: str) -> bool:
        """Whether a call is meant as far as its id tells."""
        if self.pbxs and pbx not in self.pbxs:
            return False
        return self.calls is None or call_id in self.calls

    def wants_time(self, result: CallResult) -> bool:
        """Whether a call began when it should have."""
        if self.since is not None and not self.since.reached(result):
            return False
        return self.until is None or not self.until.reached(result)

    def may_want_time(self, linkedid: str, settings: Settings) -> bool:
        """The same as far as a linkedid tells, of a call that cannot be judged."""
        opened = epoch_of(linkedid)
        if opened is None:
            return True
        micros = opened * MICROS_PER_SECOND
        if self.since is not None and micros < self.since.earliest_us(settings):
            return False
        return self.until is None or micros < self.until.earliest_us(settings) + _FURTHEST_EAST + _FURTHEST_WEST

    def wants_outcome(self, result: CallResult) -> bool:
        """Whether an outcome of a call is one that is meant; the outcome before it may be, all the same."""
        if self.trunks and result.trunk not in self.trunks:
            return False
        if self.results and result.result not in self.results:
            return False
        shown = (result.caller, result.called, result.caller_e164, result.called_e164, result.client)
        return not self.numbers or not set(self.numbers).isdisjoint(filter(None, shown))


def offsets_of(texts: Collection[str], option: str) -> dict[int, int]:
    """Offsets by partition, from `0:1000,1:2000`. Raises UserError."""
    found: dict[int, int] = {}
    for each in (part.strip() for text in texts for part in text.split(",")):
        match = _OFFSETS.fullmatch(each)
        if match is None or int(match[1]) in found:
            raise UserError(
                f"{option} {each!r} is not a partition and its offset, or names it twice",
                "Write PARTITION:OFFSET, several between commas: 0:1000,1:2000.",
            )
        found[int(match[1])] = int(match[2])
    return found


def written_bound(text: str | None, option: str) -> UtcMillis | None:
    """A time of records, of UTC unless it says otherwise. Raises UserError."""
    found = moment(text, option)
    if found is not None and found > utc_now_us():
        raise _in_the_future(text or "", option)
    return None if found is None else found // 1000


def known_pbxs(names: Collection[str], settings: Settings) -> tuple[str, ...]:
    """Names of PBXs, if the settings know them. Raises UserError."""
    known = [each.name for each in (settings.pbx, *settings.other_pbxs)]
    if unknown := [name for name in names if name not in known]:
        raise UserError(f"the settings know no PBX {unknown[0]!r}", f"Known: {', '.join(known)}.")
    return tuple(names)


def known_results(results: Collection[int], names: Mapping[int, str] = RESULT_NAMES) -> tuple[int, ...]:
    """Result codes, if there are such. Raises UserError."""
    if unknown := [each for each in results if each not in names]:
        raise UserError(f"there is no result {unknown[0]}", f"Results: {', '.join(map(str, names))}.")
    return tuple(results)
