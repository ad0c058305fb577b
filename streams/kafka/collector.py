"""Python's garbage collector while very many records are read.

It looks for cycles after each 700 new objects, and there are none among records: a quarter of the time of a take-over,
a tenth of a replay's.
"""

import gc
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

_NEW_OBJECTS = 10_000
"""From here on more of them save nothing."""


@dataclass
class _Readers:
    """Those that read very many records now."""

    count: int = 0
    usual: tuple[int, int, int] = (0, 0, 0)
    """The thresholds before the first of them."""
    lock: threading.Lock = field(default_factory=threading.Lock)


_readers = _Readers()


@contextmanager
def fewer_collections() -> Iterator[None]:
    """Within it the collector runs after more new objects, as it did before afterwards; readers may overlap."""
    with _readers.lock:
        _readers.count += 1
        if _readers.count == 1:
            _readers.usual = gc.get_threshold()
            if 0 < _readers.usual[0] < _NEW_OBJECTS:  # 0: somebody turned it off
                gc.set_threshold(_NEW_OBJECTS, *_readers.usual[1:])
    try:
        yield
    finally:
        with _readers.lock:
            _readers.count -= 1
            if not _readers.count:
                gc.set_threshold(*_readers.usual)
