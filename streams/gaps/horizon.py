"""Which rows of the table can be expected on the topic at all: those from its first kept row on. Pure.

Each partition has a first kept row of its own, since retention removes records partition by partition. Where ids have
started again (TRUNCATE, a restored table), or the first kept row was purged from the table, its id says nothing about
the rows that are there now: then its time does, on the same clock as theirs.
"""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class FirstRow:
    """The first streamed row of this PBX that a partition holds. Backfilled rows say nothing about capture."""

    row_id: int
    uniqueid: str
    wall: int | None
    """`eventtime` in microseconds of the PBX's clock; None: it cannot be read."""
    commit_ms: int = 0


@dataclass(frozen=True, slots=True)
class Horizon:
    """The first kept rows of a topic."""

    overall: FirstRow | None
    """The first of all; it stands for every partition of which nothing was removed yet."""
    trimmed: Mapping[int, FirstRow | None]
    """Partitions that have lost records; None: nothing of this PBX is left, so that nothing can be said of them."""
    in_table: frozenset[FirstRow] = frozenset()
    """Those that the table still holds under their ids: ids have not started again since."""

    @classmethod
    def of(cls, firsts: Mapping[int, tuple[bool, FirstRow | None]]) -> "Horizon":
        """By partition: whether it has lost records, and its first row."""
        rows = [row for _, row in firsts.values() if row is not None]
        overall = min(rows, key=lambda row: (row.commit_ms, row.row_id), default=None)
        return cls(overall, {number: row for number, (lost, row) in firsts.items() if lost})

    @property
    def rows(self) -> list[FirstRow]:
        """Every first row, each once."""
        return list(dict.fromkeys(row for row in (self.overall, *self.trimmed.values()) if row is not None))

    def expects(self, row_id: int, wall: int | None, partition: int) -> bool | None:
        """Whether a row of the table should be on that partition; None: nobody can say."""
        first = self.trimmed.get(partition, self.overall)
        if first is None:
            return None
        if first in self.in_table or wall is None or first.wall is None:
            return row_id > first.row_id
        return (wall, row_id) > (first.wall, first.row_id)
