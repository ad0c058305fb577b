"""Gaps as stretches of rows and as calls, each with the command that heals it. Pure."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from connectors.row_mark import RowMark
from streams.operations.backfill import is_plain

JOINED_IDS = 1_000
"""Missing rows whose ids are not further apart make one stretch."""
MOST_NAMED = 10
"""Calls that one command names; more are named by the ids in which they begin."""
MOST_STRETCHES = 20


@dataclass(slots=True)
class Stretch:
    """Rows of the table that never reached the topic, between two ids."""

    first_id: int
    last_id: int
    rows: int = 0
    calls: dict[str, None] = field(default_factory=dict)
    """The first calls that they are of: one more than can be named."""
    strange: str = ""
    """A linkedid among them that cannot stand in a backfill's filter; hostile data."""
    begins_at: int = 0
    """The first id of any row of these calls: a backfill reads whole calls."""

    def add(self, row_id: int, linkedid: str) -> None:
        """Add a row, in the order of ids."""
        self.last_id = row_id
        self.rows += 1
        if not is_plain(linkedid):
            self.strange = self.strange or linkedid or "(empty)"
        elif len(self.calls) <= MOST_NAMED:
            self.calls[linkedid] = None

    def join(self, other: "Stretch") -> None:
        """Take a later stretch in."""
        self.last_id, self.rows = other.last_id, self.rows + other.rows
        self.calls = dict.fromkeys([*self.calls, *other.calls][: MOST_NAMED + 1])
        self.strange = self.strange or other.strange

    def command(self, pbx: str) -> str:
        """The backfill that brings them; empty: none can."""
        if not self.calls:
            return ""
        if len(self.calls) <= MOST_NAMED:
            return backfill_of(list(self.calls), pbx)
        return f"cel2crm backfill --ids {self.begins_at or self.first_id}-{self.last_id} --pbx {pbx}"


@dataclass(slots=True)
class Stretches:
    """Missing rows, put together while they are read in the order of ids."""

    found: list[Stretch] = field(default_factory=list)
    rows: int = 0
    _calls: set[int] = field(default_factory=set)

    def add(self, row_id: int, linkedid: str) -> None:
        """Add a row, in the order of ids."""
        if not self.found or row_id - self.found[-1].last_id > JOINED_IDS:
            self.found.append(Stretch(row_id, row_id))
        self.found[-1].add(row_id, linkedid)
        self.rows += 1
        self._calls.add(hash(linkedid))

    @property
    def calls(self) -> int:
        """Different calls among them."""
        return len(self._calls)

    def few(self) -> list[Stretch]:
        """The stretches; of very many, the last ones are put together."""
        head, tail = self.found[: MOST_STRETCHES - 1], self.found[MOST_STRETCHES - 1 :]
        if tail:
            last = tail[0]
            for each in tail[1:]:
                last.join(each)
            head.append(last)
        return head


@dataclass(frozen=True, slots=True)
class CallGap:
    """A call whose rows the topic holds, and that nothing shows. `rows`: as many as the topic has of it."""

    linkedid: str
    first_id: int
    last_id: int
    rows: int


@dataclass(slots=True)
class Findings:
    """The outcome of a comparison."""

    pbx: str
    first_id: int
    """The first id of the table that was compared."""
    last_id: int
    table_rows: int = 0
    topic_rows: int = 0
    waiting_rows: int = 0
    """Rows on the topic that the aggregate worker has still to take."""
    before: int = 0
    """Rows that are not on the topic and from before its first kept row: nobody can say."""
    unsettled: int = 0
    """Rows that are not on the topic, while the connector has not come so far that they should be."""
    missing_rows: int = 0
    missing_calls: int = 0
    stretches: Sequence[Stretch] = ()
    calls: Sequence[CallGap] = ()
    """Calls that no result shows."""
    purged: frozenset[str] = frozenset()
    """Those of them that the table holds no more."""
    calls_begin_at: int = 0
    """The first id of any row of those calls, where they are more than can be named."""
    nothing_kept: bool = False
    """The topic holds no streamed row of this PBX: there is nothing to compare the table with."""
    compared_to: RowMark | None = None
    """The last row up to which nothing is missing."""
    seconds: float = 0.0

    @property
    def found(self) -> bool:
        """Whether anything is missing."""
        return bool(self.missing_rows or self.calls)

    @property
    def call_command(self) -> str:
        """The backfill that brings the calls without a result; empty: none can, or there are none."""
        plain = [call for call in self.calls if call.linkedid not in self.purged and is_plain(call.linkedid)]
        if not plain:
            return ""
        if len(plain) <= MOST_NAMED:
            return backfill_of([call.linkedid for call in plain], self.pbx)
        first = self.calls_begin_at or min(call.first_id for call in plain)
        return f"cel2crm backfill --ids {first}-{max(call.last_id for call in plain)} --pbx {self.pbx}"

    @property
    def remedies(self) -> tuple[str, ...]:
        """Every command, each once."""
        commands = [each.command(self.pbx) for each in self.stretches]
        return tuple(dict.fromkeys(filter(None, (*commands, self.call_command))))


def backfill_of(linkedids: Iterable[str], pbx: str) -> str:
    """The command for some calls, all of which can stand in a filter."""
    return f"cel2crm backfill {' '.join(f'--call {each}' for each in linkedids)} --pbx {pbx}"
