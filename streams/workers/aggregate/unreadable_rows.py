"""A brake on dead letters: when so many rows cannot be read, the fault is in their source, not in single rows.

Pure. The rows that stand before a partition's committed offset are looked at again when a process starts
(take_over.py), so that a worker which was stopped by this brake does not send another half a window of dead letters at
every restart.
"""

from collections import Counter, deque

from streams.errors import UserError

_REASONS_SHOWN = 3
_REASON_CHARACTERS = 160


class UnreadableRows:
    """The rows that cannot be read among the last `window` ones of this process, whatever their partition.

    Too many are more than `max_share` (0 to 1) of a whole window: also while fewer rows than that have come, so that
    a few bad rows among the first few do not stop a worker. With 1 there are never too many.
    """

    def __init__(self, window: int, max_share: float) -> None:
        self._window = window
        self._max_share = max_share
        self._rows: deque[str | None] = deque(maxlen=window)
        self._unreadable = 0

    def add(self, reason: str | None) -> None:
        """Count a row: why it cannot be read, or None where it can."""
        if len(self._rows) == self._window and self._rows[0] is not None:
            self._unreadable -= 1
        self._rows.append(reason)
        self._unreadable += reason is not None

    @property
    def too_many(self) -> bool:
        """Whether the last rows say that something is wrong with the source."""
        return self._unreadable > self._max_share * self._window

    @property
    def can_be_too_many(self) -> bool:
        """False where the settings let every row pass."""
        return self._max_share < 1

    def error(self, place: str) -> UserError:
        """The error of a worker that stops before the unreadable row at `place` (topic/partition/offset)."""
        reasons = Counter(reason[:_REASON_CHARACTERS] for reason in self._rows if reason is not None)
        listed = "".join(f"\n  {count} times: {reason}" for reason, count in reasons.most_common(_REASONS_SHOWN))
        others = len(reasons) - _REASONS_SHOWN
        more = f"\n  and {others} other reasons" if others > 0 else ""
        return UserError(
            f"{self._unreadable} of the last {len(self._rows)} CEL rows cannot be read, more than "
            f"aggregate.max_unreadable_share ({self._max_share:g}) of aggregate.unreadable_window ({self._window}) "
            f"allows; the worker stops before {place} instead of filling the dead letters:{listed}{more}",
            "Every row before that one is processed, or is a dead letter; a restart goes on there, and stops again at "
            "the next unreadable row. Check what writes the topic: cel2crm connectors status, the table's columns, "
            "database.column_name_aliases. "
            "If the unreadable rows on the topic stay as they are, let them pass to the dead letters: set "
            "aggregate.max_unreadable_share: 1 until they are behind. Rows that become readable later are taken from "
            "there by cel2crm dead-letters retry --component aggregate --reason unreadable_row.",
        )
