"""What every export shares: one at a time in a directory, and days of UTC."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, timedelta
from pathlib import Path

from streams.analysis.new_file import told_where
from streams.errors import UserError

_EPOCH = date(1970, 1, 1)
_MS_PER_DAY = 86_400_000


@contextmanager
def alone(directory: Path) -> Iterator[None]:
    """No other export writes to the directory meanwhile. Raises UserError: one does, or there is no directory."""
    lock = directory / ".cel2crm-export.lock"
    with told_where(directory):
        directory.mkdir(parents=True, exist_ok=True)
        handle = os.open(lock, os.O_CREAT | os.O_RDWR, 0o644)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UserError(
                f"another export is writing to {directory}", "Wait for it, or name another directory with --to."
            ) from None
        yield
    finally:
        os.close(handle)


def date_of(day: int) -> date:
    """The date so many days after 1970 began."""
    return _EPOCH + timedelta(days=day)


def day_of_ms(at_ms: int) -> int:
    """Days from 1970, UTC, of a time in Unix milliseconds."""
    return at_ms // _MS_PER_DAY


def begin_ms(day: date) -> int:
    """The first millisecond of a day, UTC."""
    return (day - _EPOCH).days * _MS_PER_DAY
