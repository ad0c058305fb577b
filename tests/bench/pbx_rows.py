"""Rows as a PBX writes them: each call's in the order of its ids, some dozens of calls at a time.

The calls are the recorded ones, again and again, under linkedids of their own. `mix`: `all` of them (13 rows in the
mean), or those of `freepbx` size (18 to 69 rows, 27 in the mean).
"""

import re
import time
from collections.abc import Iterator
from itertools import count
from typing import Literal

import orjson

from deploy.demo.recordings import read_recordings
from tests.worker_installation import Row, captured

Mix = Literal["all", "freepbx"]

CALLS_AT_ONCE = 50
ROWS_OF_FREEPBX = range(18, 70)
_YOUNG_SECONDS = 100
"""No call begins longer ago than 900 s, the grace time, where its second has any three digits at the end."""
_UNIQUEID = re.compile(rb"\b\d{7}(\d{3})\.(\d+)\b")


def pbx_rows(rows: int, mix: Mix = "all", pbx: str = "pbx1", at_once: int = CALLS_AT_ONCE) -> Iterator[Row]:
    """So many rows, committed now; `at_once`: of so many calls in turn."""
    calls = _calls(mix)
    running = [next(calls) for _ in range(at_once)]
    for number in range(rows):
        slot = number % at_once
        row = next(running[slot], None)
        while row is None:
            running[slot] = next(calls)
            row = next(running[slot], None)
        yield captured({**row, "id": number + 1}, pbx)


def _calls(mix: Mix) -> Iterator[Iterator[Row]]:
    """Calls without end, each with ids of its own: what is not a uniqueid stays as it was recorded."""
    recorded = [
        [orjson.dumps(row) for row in case.rows]
        for case in read_recordings()
        if mix == "all" or len(case.rows) in ROWS_OF_FREEPBX
    ]
    epoch = (int(time.time()) + _YOUNG_SECONDS) // 1000
    for turn in count():
        for number, rows in enumerate(recorded):
            own = rb"%d\g<1>.%d%03d\g<2>" % (epoch, turn, number)
            yield _numbered(rows, own)


def _numbered(rows: list[bytes], own: bytes) -> Iterator[Row]:
    """The rows of a call under other ids, which stay this call's own when the next one has begun."""
    return (orjson.loads(_UNIQUEID.sub(own, row)) for row in rows)
