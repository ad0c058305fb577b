"""One long call in the aggregate worker, and many open ones, without Kafka: `python -m tests.bench.long_calls WHAT N`.

WHAT is `rows`, of the one call, or `calls` that are open. Each measurement is a process of its own and prints one JSON
line. The long call is a conference of hours: the rows of recorded calls, one after the other, under one linkedid, 2,500
an hour (20,000 in 8 hours) of stream time. Its partition is checkpointed as the worker does it by default, by the
worker's own driver, on an event loop whose longest silence is measured.
"""

import asyncio
import gc
import subprocess
import sys
import time
from collections.abc import Awaitable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from itertools import islice
from typing import Any

import msgspec
import orjson
from faust.types import TP
from rich.table import Table

from streams.kafka.turn import Turn
from streams.rows.row import CapturedRow, RowDecoder
from streams.settings import AggregateSettings
from streams.workers.aggregate.assigned_partition import AssignedPartition
from streams.workers.aggregate.marker import Marker
from streams.workers.aggregate.partition_state import PartitionState
from streams.workers.aggregate.steps import Limits
from tests.bench.remembered import START, RecordedCalls

Measurement = dict[str, Any]

LENGTHS = (1_000, 5_000, 20_000)
OPEN_CALLS = 50_000
ROWS_AN_HOUR = 2_500
LINKEDID = f"{START}.1"
_SETTINGS = AggregateSettings()
_LIMITS = Limits.of(_SETTINGS)


class Call:
    """The rows of the call, and the bytes that they have on the topic."""

    def __init__(self, rows: int) -> None:
        self.rows: list[CapturedRow] = []
        self.bytes = 0
        decoder = RowDecoder()
        for number, record in enumerate(islice(self._records(rows), rows)):
            at = START + number * 3600 / ROWS_AN_HOUR
            self.bytes += len(record)
            self.rows.append(
                msgspec.structs.replace(
                    decoder.decode(record), id=number + 1, linkedid=LINKEDID, commit_ms=round(at * 1000),
                    eventtime=datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S"),
                )
            )  # fmt: skip

    @staticmethod
    def _records(rows: int) -> Iterator[bytes]:
        for copy in RecordedCalls().copies(rows):
            yield from (record for record in copy if b"LINKEDID_END" not in record)


class Checkpoints:
    """In the place of Kafka: takes what a checkpoint writes, at once, and what is committed."""

    def __init__(self) -> None:
        self.values: dict[str, bytes] = {}
        self.bytes = self.records = 0
        self.committed = ""

    async def write(self, records: Sequence[tuple[bytes, bytes | None]]) -> Sequence[int]:
        """See FencedLog.write."""
        turn = Turn()
        for key, value in records:
            if turn.is_over:
                await turn.give_way()
            self.records += 1
            self.bytes += len(key) + len(value or b"")
            if value is None:
                self.values.pop(key.decode(), None)
            else:
                self.values[key.decode()] = value
        return range(len(records))

    async def commit_marked(self, tp: TP, offset: int, metadata: str) -> bool:
        """See faust_overrides.Consumer."""
        self.committed = metadata
        return True

    async def drain(self) -> None:
        """See IdempotentProducer."""


def assigned_to(partition: PartitionState, checkpoints: Checkpoints) -> AssignedPartition:
    """The worker's own driver of checkpoints."""
    kafka: Any = checkpoints
    return AssignedPartition(TP("cel", 0), partition, kafka, kafka, kafka)


class Silence:
    """The longest time for which nothing else had the event loop: CPU seconds of its thread, for others may use the
    machine."""

    def __init__(self) -> None:
        self.longest = 0.0
        self._last = 0.0

    async def during(self, work: Awaitable[None]) -> None:
        """Look at every turn of the loop meanwhile."""
        looking = asyncio.create_task(self._look_on())
        await asyncio.sleep(0)
        await work
        self._look()
        looking.cancel()

    async def _look_on(self) -> None:
        self._last = time.thread_time()
        while True:
            await asyncio.sleep(0)
            self._look()

    def _look(self) -> None:
        now = time.thread_time()
        self.longest, self._last = max(self.longest, now - self._last), now


class Clock:
    """When the worker would commit, and flush, by stream time."""

    def __init__(self, start_ms: int) -> None:
        self._committed_ms = self._flushed_ms = start_ms

    def due(self, now_ms: int) -> bool | None:
        """Whether a checkpoint flushes now; None: none is due."""
        if now_ms - self._committed_ms < _SETTINGS.flush_seconds * 1000:
            return None
        self._committed_ms = now_ms
        if now_ms - self._flushed_ms < _SETTINGS.snapshot_seconds * 1000:
            return False
        self._flushed_ms = now_ms
        return True


async def _long_call(rows: int) -> Measurement:
    call, partition, checkpoints, silence = Call(rows), PartitionState(_LIMITS), Checkpoints(), Silence()
    assigned = assigned_to(partition, checkpoints)
    clock, folding, flushing = Clock(START * 1000), 0.0, 0.0
    for row in call.rows:
        begun = time.thread_time()
        partition.row(partition.position, row)
        folding += time.thread_time() - begun
        flush = True if row is call.rows[-1] else clock.due(row.commit_ms)
        if flush is None:
            continue
        begun = time.thread_time()
        await silence.during(assigned.checkpoint(flush=flush))
        flushing += time.thread_time() - begun
    return {
        "rows": rows,
        "row_bytes": call.bytes,
        "checkpoint_bytes": checkpoints.bytes,
        "longest_block_ms": silence.longest * 1000,
        "fold_us_a_row": folding / rows * 1e6,
        "flush_us_a_row": flushing / rows * 1e6,
        **_restored(checkpoints, rows),
    }


def _restored(checkpoints: Checkpoints, rows: int) -> Measurement:
    marker = Marker.decode(checkpoints.committed)
    if marker is None:
        raise SystemExit("nothing was committed")
    partition = PartitionState(_LIMITS, marker.offset, marker.times)
    begun = time.thread_time()
    partition.adopt(checkpoints.values, marker, marker.offset, sys.maxsize)
    restored = time.thread_time() - begun
    ended = partition.tick((START + 10**6) * 1000, partition.position)
    if [each.call.version[1] for each in ended] != [rows]:
        raise SystemExit("the call was not restored with all its rows")
    return {"restore_ms": restored * 1000}


async def _open_calls(calls: int) -> Measurement:
    """A flush of so many calls of which half the rows have come."""
    partition, decoder, silence = PartitionState(_LIMITS), RowDecoder(), Silence()
    for copy in RecordedCalls().copies(calls):
        for record in copy[: len(copy) // 2]:
            row = decoder.decode(record)
            partition.row(partition.position, msgspec.structs.replace(row, id=partition.position + 1))
    gc.collect()
    begun = time.thread_time()
    await silence.during(assigned_to(partition, Checkpoints()).checkpoint(flush=True))
    return {
        "calls": calls,
        "rows": partition.position,
        "flush_seconds": time.thread_time() - begun,
        "longest_block_ms": silence.longest * 1000,
    }


MEASUREMENTS = {"rows": _long_call, "calls": _open_calls}


def measure() -> Mapping[str, list[Measurement]]:
    """One call of each length, and many open ones; each in a process of its own."""
    return {
        "long": [_measured("rows", rows) for rows in LENGTHS],
        "open": [_measured("calls", calls) for calls in (OPEN_CALLS // 10, OPEN_CALLS)],
    }


def _measured(what: str, number: int) -> Measurement:
    command = [sys.executable, "-W", "ignore", "-m", "tests.bench.long_calls", what, str(number)]
    ended = subprocess.run(command, capture_output=True, timeout=1800, check=False)
    if ended.returncode:
        raise SystemExit(f"{number} {what} could not be measured:\n{ended.stderr.decode(errors='replace')[-2000:]}")
    found: Measurement = orjson.loads(ended.stdout.splitlines()[-1])
    return found


def tables(measured: Mapping[str, list[Measurement]]) -> list[Table]:
    """The measurements as tables."""
    return [_long_table(measured["long"]), _open_table(measured["open"])]


def _open_table(measured: list[Measurement]) -> Table:
    table = Table("open calls", "rows", "a flush, CPU s", "longest block, ms", title="A flush of open calls, pure")
    for each in measured:
        figures = f"{each['flush_seconds']:.2f}", f"{each['longest_block_ms']:.1f}"
        table.add_row(f"{each['calls']:,}", f"{each['rows']:,}", *figures)
    return table


def _long_table(measured: list[Measurement]) -> Table:
    table = Table(
        "rows", "MB", "written, MB", "of the rows", "longest block, ms", "fold, us a row", "checkpoints, us a row",
        "restore, ms", title="One long call, pure",
    )  # fmt: skip
    for each in measured:
        table.add_row(
            f"{each['rows']:,}", f"{each['row_bytes'] / 1e6:.1f}", f"{each['checkpoint_bytes'] / 1e6:.2f}",
            f"{each['checkpoint_bytes'] / each['row_bytes']:.2f}",
            *(f"{each[name]:.1f}" for name in ("longest_block_ms", "fold_us_a_row", "flush_us_a_row", "restore_ms")),
        )  # fmt: skip
    return table


def main() -> None:
    """Measure one."""
    what, number = sys.argv[1:]
    sys.stdout.buffer.write(orjson.dumps(asyncio.run(MEASUREMENTS[what](int(number)))) + b"\n")


if __name__ == "__main__":
    main()
