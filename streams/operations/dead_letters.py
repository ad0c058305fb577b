"""Dead letters as an operator sees them: filtered, grouped, and the command that recovers each. Pure."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from streams.clock import MICROS_PER_SECOND, UtcMicros
from streams.crm.registry import registered
from streams.dead_letter_reasons import DeadLetterReason, Recovery
from streams.errors import UserError
from streams.operations.resolutions import Place, Resolution

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
    remedy: str | None = None
    """Of records that are gone: the command that recovers their calls, as the worker wrote it down."""

    @property
    def place(self) -> Place:
        """Partition and offset of the letter on its topic."""
        return self.partition, self.offset

    @property
    def recovery(self) -> Recovery:
        """The way in which the call behind the letter gets its place after all."""
        reason = DeadLetterReason.of(self.reason)
        if reason is not None and reason.recovery is not Recovery.RETRY:
            return reason.recovery
        return Recovery.RETRY if self.component in registered().names and self.call_id else Recovery.NOTHING

    @property
    def command(self) -> str:
        """The command line that recovers the call, or puts the letter aside."""
        match self.recovery:
            case Recovery.BACKFILL if self.call_id:
                pbx, _, linkedid = self.call_id.partition("/")
                return f"cel2crm backfill --call {linkedid} --pbx {pbx}"
            case Recovery.BACKFILL if self.remedy:
                return self.remedy
            case Recovery.NOTHING:
                return f"cel2crm dead-letters drop {self.partition}/{self.offset}"
        target = self.call_id or f"{self.partition}/{self.offset}"
        return f"cel2crm dead-letters retry {target}" + (f" --crm {self.component}" if self.call_id else "")


@dataclass(frozen=True, slots=True)
class Filter:
    """The dead letters that are meant: those for which everything that is set holds."""

    component: str | None = None
    """The worker that wrote the letter: aggregate, or the name of a CRM."""
    portal: str | None = None
    reason: str | None = None
    since: UtcMicros | None = None
    until: UtcMicros | None = None
    calls: frozenset[str] = frozenset()
    """Call ids; with `places`: either of the two."""
    places: frozenset[Place] = frozenset()
    resolved: bool = False
    """Take also the letters about which something was done."""

    def fits(self, letter: Letter) -> bool:
        """Return whether a letter is meant."""
        if letter.resolved and not self.resolved:
            return False
        asked = (self.component, self.portal, self.reason)
        found = (letter.component, letter.portal, letter.reason)
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
    """Of the last letter, as is `command`."""
    command: str = ""

    def take(self, letter: Letter) -> None:
        """Count a letter."""
        self.count += 1
        if letter.call_id:
            self.calls.add(letter.call_id)
        self.first = min(self.first, letter.failed_at)
        if letter.failed_at >= self.last:
            self.last, self.explanation, self.command = letter.failed_at, letter.explanation, letter.command


def grouped(letters: Iterable[Letter]) -> list[Group]:
    """Group letters by component, reason and portal; the largest first."""
    return _groups(letters, lambda letter: (letter.component, letter.reason, letter.portal))


def by_call(letters: Iterable[Letter]) -> list[Group]:
    """Group letters by component, reason, portal and call, the oldest first; a letter of no call is a group."""
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
    """The place that `list` shows as PARTITION/OFFSET; empty where the text is something else, such as a call."""
    if not _PLACE.fullmatch(text):
        return frozenset()
    partition, _, offset = text.partition("/")
    return frozenset({(int(partition), int(offset))})


def moment(text: str | None, option: str) -> int | None:
    """A time as people give it, of UTC unless it says otherwise, in UTC microseconds. Raises UserError."""
    if text is None:
        return None
    try:
        parsed = datetime.fromisoformat(text)
    except ValueError:
        raise UserError(
            f"{option} {text!r} is not a time", "Write it as 2026-11-25 or 2026-11-25T10:00+03:00."
        ) from None
    return int((parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)).timestamp() * MICROS_PER_SECOND)
