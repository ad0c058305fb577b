"""`python -m tests.faults.gap`: how long the gap is between the last check of a request's time and its bytes.

A worker that is stopped (SIGSTOP, a suspended machine) exactly there, loses its partition and wakes up later sends what
the next owner sends too: the one gap that no client can close. Measured is the time from the check to the return of the
write to the socket, in one worker process, idle and with as many requests at once as a busy one.
"""

import argparse
import asyncio
import statistics
import sys
import time
from asyncio.subprocess import PIPE
from unittest import mock

import orjson
from rich.console import Console
from rich.table import Table
from yarl import URL

from streams import clock
from streams.http import request as http

WRITES = "asyncio.selector_events._SelectorSocketTransport"


class Gaps:
    """Nanoseconds from the last check to the end of the write after it."""

    def __init__(self) -> None:
        self.seen: list[int] = []
        self._checked = 0
        self._clock = clock.boot_seconds

    def check(self) -> float:
        """In place of `http.boot_seconds`."""
        now = self._clock()
        self._checked = time.perf_counter_ns()
        return now

    def written(self) -> None:
        """The bytes are with the kernel."""
        if self._checked:
            self.seen.append(time.perf_counter_ns() - self._checked)
            self._checked = 0


async def measure(url: URL, requests: int, parallel: int) -> list[int]:
    """The gaps of so many requests."""
    gaps, left = Gaps(), iter(range(requests))

    async def sender() -> None:
        async with http.session() as session:
            for number in left:
                ending = await http.request(session, "POST", url, until=clock.boot_seconds() + 60, json=[{"n": number}])
                assert isinstance(ending, http.Reply), ending

    from asyncio.selector_events import _SelectorSocketTransport as Transport  # type: ignore[attr-defined]

    write, writelines = Transport.write, Transport.writelines

    def watched_write(transport: object, sent: bytes) -> None:
        write(transport, sent)
        gaps.written()

    def watched_writelines(transport: object, sent: list[bytes]) -> None:
        writelines(transport, sent)
        gaps.written()

    with (
        mock.patch.object(http, "boot_seconds", gaps.check),
        mock.patch.object(Transport, "write", watched_write),
        mock.patch.object(Transport, "writelines", watched_writelines),
    ):
        await asyncio.gather(*(sender() for _ in range(parallel)))
    return gaps.seen


async def _run(requests: int) -> list[tuple[str, list[int]]]:
    command = [sys.executable, "-m", "deploy.fake_crms", "kommo", "--no-limits", "--watch-stdin"]
    portal = await asyncio.create_subprocess_exec(*command, stdin=PIPE, stdout=PIPE)
    assert portal.stdout is not None and portal.stdin is not None
    url = URL(orjson.loads(await portal.stdout.readline())["url"]) / "api" / "v4" / "calls"
    measured = [(f"{parallel} at once", await measure(url, requests, parallel)) for parallel in (1, 8, 32)]
    portal.stdin.close()
    await portal.wait()
    return measured


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults.gap", description=__doc__)
    parser.add_argument("--requests", type=int, default=5000)
    measured = asyncio.run(_run(parser.parse_args().requests))
    table = Table(title="From the last check to the bytes, microseconds")
    for column in ("requests", "measured", "p50", "p99", "p99.9", "longest", "mean"):
        table.add_column(column, justify="right")
    for name, gaps in measured:
        cuts = statistics.quantiles(gaps, n=1000)
        figures = (statistics.median(gaps), cuts[989], cuts[998], max(gaps), statistics.mean(gaps))
        table.add_row(name, str(len(gaps)), *(f"{each / 1000:.1f}" for each in figures))
    Console().print(table)
    return 0


if __name__ == "__main__":
    sys.exit(main())
