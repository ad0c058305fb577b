"""Seeded schedules of the checkpoint protocol: `python -m tests.simulate --schedules 100000 --seed 1`.

Ends with status 1 and the seed of the first schedule that breaks an invariant; `--seed <that> --schedules 1` plays it
again.
"""

import argparse
import multiprocessing
import os
import secrets
import sys
from collections.abc import Iterator
from functools import cache

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from streams.calls.call import Call
from tests.workers.aggregate.core_classifier import core_classifier
from tests.workers.aggregate.simulated_partition import Classifier, Violation, simulate

BATCH = 250
"""Schedules that a process plays at a time."""

Failure = tuple[int, str]
"""Seed, and what was violated."""


def main() -> int:
    """Play the schedules on all cores; the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulate", description=__doc__)
    parser.add_argument("--schedules", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=None, help="seed of the first schedule (default: a random one)")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    options = parser.parse_args()
    first = secrets.randbelow(1 << 40) if options.seed is None else options.seed
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    with Progress(*columns, disable=not sys.stderr.isatty()) as progress:
        task = progress.add_task("schedules", total=options.schedules)
        for played, failure in play(first, options.schedules, options.processes):
            progress.advance(task, played)
            if failure:
                seed, violation = failure
                progress.stop()
                sys.stdout.write(
                    f"seed {seed}: {violation}\nAgain: python -m tests.simulate --schedules 1 --seed {seed}\n"
                )
                return 1
    sys.stdout.write(f"{options.schedules} schedules from seed {first}: no violation\n")
    return 0


def play(first: int, schedules: int, processes: int) -> Iterator[tuple[int, Failure | None]]:
    """Play schedules `first`, `first` + 1, ..: how many were played, and the first failure among them."""
    batches = [(seed, min(BATCH, first + schedules - seed)) for seed in range(first, first + schedules, BATCH)]
    if processes == 1 or len(batches) == 1:
        yield from map(_play_batch, batches)
        return
    with multiprocessing.get_context("spawn").Pool(min(processes, len(batches))) as pool:
        yield from pool.imap_unordered(_play_batch, batches)


def _play_batch(batch: tuple[int, int]) -> tuple[int, Failure | None]:
    first, schedules = batch
    classify = _classify()
    for seed in range(first, first + schedules):
        try:
            simulate(seed, classify)
        except Violation as violation:
            return seed - first + 1, (seed, str(violation))
    return schedules, None


@cache
def _classify() -> Classifier:
    return core_classifier()


def identity(call: Call) -> bytes:
    """Stands in for the core where only the protocol matters: which rows the call holds."""
    return repr((call.version, [row.id for row in call.rows])).encode()


if __name__ == "__main__":
    sys.exit(main())
