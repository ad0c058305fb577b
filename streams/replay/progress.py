"""How far a replay is: rows read in both readings, the rate, and the time that is left. Pure."""

from collections.abc import Callable
from dataclasses import dataclass, field

SCAN_SHARE = 0.2
"""Work of the first reading of a row beside that of the second: reading alone, where the second decodes, folds, judges
and sends besides (docs/performance.md)."""


@dataclass(slots=True)
class Progress:
    """`clock`: seconds. `report` is called after every batch."""

    total: int
    """Rows that are read, at most."""
    clock: Callable[[], float]
    report: Callable[["Progress"], None] = lambda _: None
    results_read: int = 0
    _scanned: int = 0
    _folded: int = 0
    _began: float | None = field(default=None)

    def results(self, count: int) -> None:
        """Records of call-results read by now."""
        self.results_read = count
        self.report(self)

    def scanned(self, rows: int) -> None:
        """Rows passed in the first reading."""
        self._begin()
        self._scanned += rows
        self.report(self)

    def folded(self, rows: int) -> None:
        """Rows passed in the second."""
        self._begin()
        self._folded += rows
        self.report(self)

    def _begin(self) -> None:
        if self._began is None:
            self._began = self.clock()

    @property
    def rows_done(self) -> int:
        """Rows folded."""
        return self._folded

    @property
    def share(self) -> float:
        """0 to 1: how much is done."""
        if not self.total:
            return 1.0
        done = SCAN_SHARE * self._scanned + self._folded
        return min(1.0, done / ((1 + SCAN_SHARE) * self.total))

    @property
    def rows_per_second(self) -> float:
        """Rows of both readings, as one, each second."""
        seconds = 0.0 if self._began is None else self.clock() - self._began
        return self.share * self.total / seconds if seconds > 0 else 0.0

    @property
    def seconds_left(self) -> float | None:
        """None: nobody can say yet."""
        rate = self.rows_per_second
        return (1 - self.share) * self.total / rate if rate > 0 else None
