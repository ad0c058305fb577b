"""Dead letters as an operator sees them: filtered, grouped, and what heals each. Pure but for the readings."""

import re
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

import msgspec

from schemas import MalformedRecord
from streams.clock import MICROS_PER_SECOND
from streams.dead_letter_reasons import DeadLetterReason, Recovery
from streams.errors import UserError
from streams.operations.connection import CRMS, Connection
from streams.operations.resolutions import Place, Resolution
from streams.topics import DEAD_LETTER_RESOLUTIONS, DEAD_LETTERS

_PLACE = re.compile(r"\d+/\d+")


@dataclass(frozen=True, slots=True)
class Letter:
    """A dead letter without its bytes. Times: UTC microseconds from 1970."""

    partition: int
    offset: int
    component: str
    reason: str
    explanation: str
    failed_at: int
    call_id: str | None
    portal: str | None
    source: tuple[str, int, int]
    resolved: tuple[Resolution, ...] = ()

    @property
    def place(self) -> Place:
        """Where it stands on the dead letters' topic."""
        return self.partition, self.offset

    @property
    def recovery(self) -> Recovery:
        """How the call behind it gets its place after all."""
        reason = DeadLetterReason.of(self.reason)
        if reason is not None and reason.recovery is not Recovery.RETRY:
            return reason.recovery
        return Recovery.RETRY if self.component in CRMS and self.call_id else Recovery.NOTHING

    @property
    def remedy(self) -> str:
        """The command that heals it."""
        match self.recovery:
            case Recovery.BACKFILL if self.call_id:
                pbx, _, linkedid = self.call_id.partition("/")
                return f"cel2crm backfill --call {linkedid} --pbx {pbx}"
            case Recovery.NOTHING:
                return f"cel2crm dead-letters drop {self.partition}/{self.offset}"
        target = self.call_id or f"{self.partition}/{self.offset}"
        return f"cel2crm dead-letters retry {target}" + (f" --crm {self.component}" if self.call_id else "")


@dataclass(frozen=True, slots=True)
class Filter:
    """Which dead letters are meant. Times: UTC microseconds."""

    crm: str | None = None
    portal: str | None = None
    component: str | None = None
    reason: str | None = None
    since: int | None = None
    until: int | None = None
    calls: frozenset[str] = frozenset()
    places: frozenset[Place] = frozenset()
    resolved: bool = False
    """Also those about which something was done."""

    def fits(self, letter: Letter) -> bool:
        """Whether a letter is meant."""
        if letter.resolved and not self.resolved:
            return False
        asked = (self.crm, self.component, self.portal, self.reason)
        found = (letter.component, letter.component, letter.portal, letter.reason)
        if any(each is not None and each != its for each, its in zip(asked, found, strict=True)):
            return False
        if self.since is not None and letter.failed_at < self.since:
            return False
        if self.until is not None and letter.failed_at >= self.until:
            return False
        if not self.calls and not self.places:
            return True
        return letter.call_id in self.calls or letter.place in self.places


@dataclass(slots=True)
class Group:
    """Letters that have the same cause."""

    component: str
    reason: str
    portal: str | None
    recovery: Recovery
    count: int = 0
    calls: set[str] = field(default_factory=set)
    first: int = 1 << 62
    last: int = 0
    explanation: str = ""
    remedy: str = ""

    def take(self, letter: Letter) -> None:
        """Count one."""
        self.count += 1
        if letter.call_id:
            self.calls.add(letter.call_id)
        self.first = min(self.first, letter.failed_at)
        if letter.failed_at >= self.last:
            self.last, self.explanation, self.remedy = letter.failed_at, letter.explanation, letter.remedy


def grouped(letters: Iterable[Letter]) -> list[Group]:
    """By component, reason and portal; the largest first."""
    return _groups(letters, lambda letter: (letter.component, letter.reason, letter.portal))


def by_call(letters: Iterable[Letter]) -> list[Group]:
    """Each call once for each component, reason and portal; letters of no call each for itself; the oldest first."""
    groups = _groups(
        letters, lambda letter: (letter.component, letter.reason, letter.portal, letter.call_id or letter.place)
    )
    return sorted(groups, key=lambda group: group.first)


def _groups(letters: Iterable[Letter], key_of: Any) -> list[Group]:
    groups: dict[object, Group] = {}
    for letter in letters:
        fresh = Group(letter.component, letter.reason, letter.portal, letter.recovery)
        groups.setdefault(key_of(letter), fresh).take(letter)
    return sorted(groups.values(), key=lambda group: -group.count)


def places_of(text: str) -> frozenset[Place]:
    """PARTITION/OFFSET as `list` shows it; empty: something else, such as a call."""
    if not _PLACE.fullmatch(text):
        return frozenset()
    partition, _, offset = text.partition("/")
    return frozenset({(int(partition), int(offset))})


def moment(text: str | None, option: str) -> int | None:
    """A time as people give it, UTC unless it says otherwise; UTC microseconds. Raises UserError."""
    if text is None:
        return None
    try:
        parsed = datetime.fromisoformat(text)
    except ValueError:
        raise UserError(f"{option} {text!r} is no time", "Write it as 2026-11-25 or 2026-11-25T10:00+03:00.") from None
    return int((parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)).timestamp() * MICROS_PER_SECOND)


# Readings.


async def letters_of(connection: Connection, wanted: Filter) -> AsyncIterator[tuple[Letter, dict[str, Any]]]:
    """The letters that are meant, each with its record; memory follows the resolutions, not the letters.

    Raises UserError: no broker, no topic.
    """
    done = await _resolutions(connection)
    since_ms = None if wanted.since is None else wanted.since // 1000 - 3_600_000
    partitions = {partition for partition, _ in wanted.places} if wanted.places and not wanted.calls else None
    async for record in connection.topics.read(connection.topic(DEAD_LETTERS), partitions, since_ms=since_ms):
        try:
            fields = await connection.serializer.read(record.value, DEAD_LETTERS.schema)
        except MalformedRecord:
            continue  # not ours: shown by no list, touched by no command
        letter = letter_of(fields, record.partition, record.offset)
        letter = replace(letter, resolved=done.get(letter.place, ()))
        if wanted.fits(letter):
            yield letter, fields


def letter_of(fields: Mapping[str, Any], partition: int, offset: int) -> Letter:
    """A record of the topic."""
    source = fields["topic"], fields["partition"], fields["offset"]
    return Letter(
        partition,
        offset,
        fields["component"],
        fields["reason"],
        fields["explanation"],
        fields["failed_at"],
        fields["call_id"],
        fields["portal"],
        source,
    )


async def _resolutions(connection: Connection) -> dict[Place, tuple[Resolution, ...]]:
    found: dict[Place, tuple[Resolution, ...]] = {}
    async for record in connection.topics.read(connection.topic(DEAD_LETTER_RESOLUTIONS)):
        try:
            fields = await connection.serializer.read(record.value, DEAD_LETTER_RESOLUTIONS.schema)
            resolution = Resolution.from_record(fields)
        except (MalformedRecord, msgspec.ValidationError):
            continue
        found[resolution.place] = (*found.get(resolution.place, ()), resolution)
    return found


def decoded(fields: Mapping[str, Any], connection: Connection) -> Iterator[tuple[str, Any]]:
    """What the untouched bytes say, as far as they can be read."""
    for name in ("key", "value"):
        yield name, readable(fields[name], connection)
    for header in fields["headers"]:
        yield f"header {header['name']}", readable(header["value"], connection)


def readable(value: bytes | None, connection: Connection) -> Any:
    """One of our records or JSON as its members, text as text, anything else in hexadecimal."""
    if value is None:
        return None
    try:
        return connection.serializer.decode(value)
    except (MalformedRecord, LookupError):
        pass
    try:
        return [msgspec.json.decode(line) for line in value.splitlines()] if value.startswith(b"{") else value.decode()
    except (msgspec.DecodeError, UnicodeDecodeError):
        return value.hex(" ")
