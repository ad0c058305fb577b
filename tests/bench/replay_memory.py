"""Memory of a replay over millions of rows, without Kafka: `python -m tests.bench.replay_memory ROWS OPEN`.

The measured process reads ROWS generated rows of recorded calls, OPEN calls of them at a time, from a topic of one
partition that is made as it is read, twice as a replay reads it; judges every call, makes its result and legs as Avro,
and keeps the index of what stands on call-results. It prints its memory as JSON lines, now and then.
"""

import asyncio
import re
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from itertools import count
from pathlib import Path
from typing import Any

import msgspec
import orjson
from rich.table import Table

from deploy.demo.recordings import read_recordings
from streams.calls.pbx_profile import PbxProfile
from streams.replay.comparison import Replay
from streams.replay.judge import CallJudge, Judged
from streams.replay.progress import Progress
from streams.replay.published import PublishedResults
from streams.replay.ranges import PartitionRange
from streams.replay.selection import Selection
from streams.replay.source import OnGone
from streams.rules import load_rules
from streams.settings import Settings
from streams.workers.aggregate.record_decoder import RecordDecoder
from streams.workers.aggregate.steps import Limits
from tests.operations.memory import Operator
from tests.replay.memory import Record
from tests.worker_installation import captured

Measurement = dict[str, Any]

OPEN_CALLS = (50, 5_000)
_BATCH = 5_000
_START = 1_795_390
"""The first seven digits of every uniqueid."""
_UNIQUEID = re.compile(rb"\b\d{7}(\d{3}\.)(\d+)\b")
_OWN = b"#######"
_ROW_ID = 1_234_567_890_123


class GeneratedSource:
    """See streams.replay.source.CelSource: the recorded calls again and again, the same rows at each reading."""

    name = "bench.cel"

    def __init__(self, rows: int, open_calls: int) -> None:
        self._rows = rows
        self._open_calls = open_calls
        # Each row with marks in the places of its call's number and its own.
        self._calls = [
            [_UNIQUEID.sub(rb"%d\g<1>%s\g<2>" % (_START, _OWN), each) for each in call] for call in _recorded()
        ]

    async def begins(self) -> Mapping[int, int]:
        return {0: 0}

    async def ends(self) -> Mapping[int, int]:
        return {0: self._rows}

    async def since(self, moment_ms: int) -> Mapping[int, int]:
        return {}

    async def read(self, partition: int, start: int, end: int, on_gone: OnGone) -> AsyncIterator[Sequence[Record]]:
        batch: list[Record] = []
        for record in self._records(end):
            batch.append(record)
            if len(batch) == _BATCH:
                yield batch
                batch = []
        if batch:
            yield batch

    def _records(self, end: int) -> Iterator[Record]:
        number, mark = count(1), b"%d" % _ROW_ID
        running = [self._rows_of(next(number)) for _ in range(self._open_calls)]
        for offset in range(end):
            slot = offset % self._open_calls
            while (row := next(running[slot], None)) is None:
                running[slot] = self._rows_of(next(number))
            key, value = row
            yield Record(offset, key, value.replace(mark, b"%d" % (offset + 1)), 1_795_390_000_000)

    def _rows_of(self, number: int) -> Iterator[tuple[bytes, bytes]]:
        own = b"%d" % number
        for row in self._calls[number % len(self._calls)]:
            value = row.replace(_OWN, own)
            yield orjson.loads(value)["linkedid"].encode(), value


def _recorded() -> Iterator[list[bytes]]:
    for case in read_recordings():
        yield [orjson.dumps({**captured(row, commit_ms=1_795_390_000_000), "id": _ROW_ID}) for row in case.rows]


def resident_kb() -> int:
    """Memory of this process now."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(status.split("VmRSS:")[1].split()[0])


async def replayed(rows: int, open_calls: int, say: Callable[[Measurement], None]) -> None:
    """Replay them; `say` is given a measurement after each fourth of the rows, and one before the first."""
    settings, operator = Settings(), Operator(Settings())
    connection, source = await operator.connection(), GeneratedSource(rows, open_calls)
    judge = CallJudge(load_rules(settings.rules), PbxProfile.of(settings), Limits.of(settings.aggregate), source.name)
    place = PartitionRange(0, 0, 0, 0, rows, rows, 1 << 45)
    published, progress = PublishedResults(), Progress(rows, lambda: 0.0)
    decoder = RecordDecoder(settings)
    replay = Replay(connection, source, Selection(), [place], judge, decoder, published, progress)
    encode, calls, steps = operator.serializer.encode, 0, [rows * each // 4 for each in range(1, 5)]
    say({"rows": 0, "calls": 0, "kb": resident_kb()})
    async for batch in replay.batches(place):
        for _, told in batch.calls:
            assert isinstance(told, Judged)
            result = told.outcome.result
            encode("call_result", result.record())
            for leg in told.outcome.legs:
                encode("call_leg", leg.record())
            published.add(msgspec.structs.replace(result, correction=0), 0, calls)
            calls += 1
        while steps and progress.rows_done + _BATCH >= steps[0]:
            say({"rows": steps.pop(0), "calls": calls, "kb": resident_kb()})


def measure(rows: int, say: Callable[[str], None]) -> list[Measurement]:
    """Each number of open calls, in a process of its own."""
    found = []
    for open_calls in OPEN_CALLS:
        say(f"measuring: memory of a replay with {open_calls} open calls")
        command = [sys.executable, "-W", "ignore", "-m", "tests.bench.replay_memory", str(rows), str(open_calls)]
        printed = subprocess.run(command, capture_output=True, check=True).stdout
        found += [{"open": open_calls, **orjson.loads(line)} for line in printed.splitlines()]
    return found


def show(measured: list[Measurement]) -> Table:
    """A line for each fourth."""
    table = Table("open calls", "rows", "calls", "memory", "a call", title="Memory of a replay")
    for each in measured:
        first = next(one for one in measured if one["open"] == each["open"] and one["calls"])
        more = each["calls"] - first["calls"]
        grown = f"{(each['kb'] - first['kb']) * 1024 / more:,.0f} bytes" if more > 0 else ""
        numbers = f"{each['open']:,}", f"{each['rows']:,}", f"{each['calls']:,}", f"{each['kb'] / 1024:,.0f} MB"
        table.add_row(*numbers, grown)
    return table


def _print(measured: Measurement) -> None:
    sys.stdout.buffer.write(orjson.dumps(measured) + b"\n")
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    asyncio.run(replayed(int(sys.argv[1]), int(sys.argv[2]), _print))
