"""Calls in the aggregate worker's memory, without Kafka: `python -m tests.bench.remembered WHAT CALLS`.

Each measurement is a process of its own (its memory is the process's) and prints one JSON line. The calls are the
recorded ones of 18 to 69 rows, again and again under linkedids of their own. WHAT:

open         calls that are half over
kept         calls that ended and are in a checkpoint, from their rows
taken over   calls that ended, from their snapshots, as a new owner has them
"""

import gc
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import orjson
from rich.table import Table

from streams.calls.call import MAX_ROWS, call_id
from streams.rows.row import RowDecoder
from streams.settings import AggregateSettings
from streams.workers.aggregate.marker import Marker
from streams.workers.aggregate.partition_state import PartitionState
from streams.workers.aggregate.steps import Limits, WriteSnapshots
from tests.worker_installation import recorded_rows

Measurement = dict[str, Any]

PBX = "pbx1"
START = 1_795_390_000
ROWS_OF_A_CALL = range(18, 70)
CALLS_OF_A_CHECKPOINT = 500
_UNIQUEID = re.compile(rb"\b\d{7}(\d{3})\.(\d+)\b")
_LIMITS = Limits.of(AggregateSettings())


def print_rows() -> None:
    """The recorded calls as records of the topic, one a line; an empty line after each call."""
    calls: dict[str, list[bytes]] = {}
    for row in recorded_rows(PBX):
        # All committed at one time: within the grace time of every call.
        calls.setdefault(row["linkedid"], []).append(orjson.dumps({**row, "__source_ts_ms": START * 1000}))
    for rows in calls.values():
        if len(rows) in ROWS_OF_A_CALL:
            sys.stdout.buffer.write(b"\n".join(rows) + b"\n\n")


class RecordedCalls:
    """The recorded calls, read in another process: what reading them leaves behind would count as memory of calls."""

    def __init__(self) -> None:
        command = [sys.executable, "-W", "ignore", "-m", "tests.bench.remembered", "rows", "0"]
        printed = subprocess.run(command, capture_output=True, timeout=600, check=True).stdout
        self._calls = [call.split(b"\n") for call in printed.strip().split(b"\n\n")]

    def copies(self, count: int) -> Iterator[list[bytes]]:
        """So many calls, each under ids of its own, none older than the grace time at `START`."""
        for number in range(count):
            own = rb"%d\g<1>.%d\g<2>" % (START // 1000, number // len(self._calls))
            yield [_UNIQUEID.sub(own, row) for row in self._calls[number % len(self._calls)]]


def _feed(partition: PartitionState, decoder: RowDecoder, rows: list[bytes]) -> None:
    for record in rows:
        row = decoder.decode(record)
        partition.row(partition.position, msgspec.structs.replace(row, id=partition.position + 1))


def checkpoint(partition: PartitionState) -> dict[str, bytes | None]:
    """A checkpoint that succeeds; what it wrote."""
    steps, written = partition.checkpoint(), dict[str, bytes | None]()
    answer: bool | None = None
    try:
        while True:
            step = steps.send(answer)  # type: ignore[arg-type]  # None starts it
            if isinstance(step, WriteSnapshots):
                written |= dict(step.records)
            answer = True
    except StopIteration:
        return written


def measure_open(calls: int) -> Measurement:
    """Calls of which half the rows have come."""
    recorded, decoder, partition = RecordedCalls(), RowDecoder(), PartitionState(_LIMITS)
    memory = Memory(calls)
    for copy in recorded.copies(calls):
        _feed(partition, decoder, copy[: len(copy) // 2])
        memory.added(1)
    return _measured(partition, "open", memory)


def measure_kept(calls: int) -> Measurement:
    """Calls that ended, from their rows; checkpointed on the way."""
    recorded, decoder, partition = RecordedCalls(), RowDecoder(), PartitionState(_LIMITS)
    memory = Memory(calls)
    for number, copy in enumerate(recorded.copies(calls), 1):
        _feed(partition, decoder, copy)
        if number % CALLS_OF_A_CHECKPOINT == 0 or number == calls:
            end_all(partition)
            checkpoint(partition)
        memory.added(1)
    return _measured(partition, "kept", memory)


def end_all(partition: PartitionState) -> None:
    clock = START * 1000
    for later in (0, _LIMITS.settle_ms, _LIMITS.time_limit_ms):
        partition.tick(clock + later, partition.position)


def measure_taken_over(calls: int) -> Measurement:
    """Calls that ended, taken over from the snapshots of `kept`."""
    recorded, decoder, writer = RecordedCalls(), RowDecoder(), PartitionState(_LIMITS)
    for copy in recorded.copies(CALLS_OF_A_CHECKPOINT):
        _feed(writer, decoder, copy)
    end_all(writer)
    written = [value for value in checkpoint(writer).values() if value is not None]
    memory, partition, seconds = Memory(calls), PartitionState(_LIMITS), 0.0
    for first in range(0, calls, CALLS_OF_A_CHECKPOINT):  # in portions, for the snapshots read are no memory of calls
        snapshots = {
            # Under a name of its own; the bytes are as many objects as a topic would give.
            call_id(PBX, f"{START}.{number}"): bytes(bytearray(written[number % len(written)]))
            for number in range(first, min(calls, first + CALLS_OF_A_CHECKPOINT))
        }
        begun = time.process_time()
        partition.adopt(snapshots, Marker(MAX_ROWS, {PBX: START * 1000}), MAX_ROWS, sys.maxsize)
        seconds += time.process_time() - begun
        memory.added(len(snapshots))
    return _measured(partition, "taken over", memory) | {"take_over_seconds": seconds}


class Memory:
    """The memory of this process for each call, after the first quarter of them: what is needed once does not count."""

    def __init__(self, calls: int) -> None:
        self.calls = calls
        self._added = 0
        self._before = (0, 0)

    def added(self, calls: int) -> None:
        """So many calls more are there."""
        self._added += calls
        if not self._before[0] and self._added >= self.calls // 4:
            self._before = self._added, _resident()

    @property
    def bytes_a_call(self) -> float:
        """When all of them are there."""
        return (_resident() - self._before[1]) / (self._added - self._before[0])


MEASUREMENTS: dict[str, Callable[[int], Measurement]] = {
    "open": measure_open,
    "kept": measure_kept,
    "taken over": measure_taken_over,
}


def _measured(partition: PartitionState, what: str, memory: Memory) -> Measurement:
    if len(partition.calls) != memory.calls:
        raise SystemExit(f"{len(partition.calls)} calls are held of {memory.calls}: rows were refused, or forgotten")
    found: Measurement = {
        "what": what,
        "calls": memory.calls,
        "rows": partition.position,
        "bytes_a_call": memory.bytes_a_call,
        "take_over_seconds": None,
    }
    end = partition.position
    found["tick_ms"] = _milliseconds(lambda: partition.tick(START * 1000, end))
    checkpoint(partition)
    found["checkpoint_ms"] = _milliseconds(lambda: checkpoint(partition))
    found["full_gc_ms"] = _milliseconds(gc.collect)
    return found


def _milliseconds(act: Callable[[], object]) -> float:
    """The least of three: with nothing due."""
    best = float("inf")
    for _ in range(3):
        begun = time.process_time()
        act()
        best = min(best, time.process_time() - begun)
    return best * 1000


def _resident() -> int:
    """Bytes of memory of this process."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


def measure(calls: int) -> list[Measurement]:
    """All of them, each in a process of its own."""
    found = []
    for what in MEASUREMENTS:
        command = [sys.executable, "-W", "ignore", "-m", "tests.bench.remembered", what, str(calls)]
        ended = subprocess.run(command, capture_output=True, timeout=1800, check=False)
        if ended.returncode:
            raise SystemExit(f"{what} could not be measured:\n{ended.stderr.decode(errors='replace')[-2000:]}")
        found.append(orjson.loads(ended.stdout.splitlines()[-1]))
    return found


def show(measured: list[Measurement]) -> Table:
    """The measurements as a table."""
    table = Table(
        "calls", "number", "KB each", "take-over, CPU s", "tick, ms", "checkpoint, ms", "full GC, ms",
        title="Calls in memory, pure; nothing due",
    )  # fmt: skip
    for each in measured:
        table.add_row(
            each["what"], f"{each['calls']:,}",
            *("" if value is None else f"{value / scale:.2f}" for value, scale in (
                (each["bytes_a_call"], 1024), (each["take_over_seconds"], 1),
                (each["tick_ms"], 1), (each["checkpoint_ms"], 1), (each["full_gc_ms"], 1),
            )),
        )  # fmt: skip
    return table


def main() -> None:
    """Measure one."""
    what, calls = sys.argv[1:]
    if what == "rows":
        print_rows()
        return
    sys.stdout.buffer.write(orjson.dumps(MEASUREMENTS[what](int(calls))) + b"\n")


if __name__ == "__main__":
    main()
