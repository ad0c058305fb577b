"""Plays recorded calls through the running pipeline, until they are where they should be; shows how far they are."""

import asyncio
import contextlib
import threading
import time
from collections.abc import Mapping

from rich.console import Console
from rich.live import Live
from rich.table import Table

from deploy.demo.expected import Expected
from deploy.demo.observer import Observer
from deploy.demo.pipeline import Pipeline
from deploy.demo.player import Player
from deploy.demo.recordings import Case
from streams.errors import UserError

STALLED_SECONDS = 90.0
"""Without any progress for so long the demo gives up waiting and judges what there is."""
SETTLE_SECONDS = 3.0
"""After everything expected has arrived: long enough for a double to show."""
PLAIN_SECONDS = 5.0


async def run(
    console: Console, running: Pipeline, player: Player, observer: Observer, cases: list[Case], truths: list[Expected]
) -> None:
    """Play the cases; return when everything expected has arrived and nothing has come since, or nothing comes any
    more."""
    watching = asyncio.create_task(observer.watch())
    threads = player.start(cases)
    try:
        with _Progress(console) as progress:
            await _until_delivered(running, player, observer, truths, threads, progress, watching)
    finally:
        watching.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await watching


async def _until_delivered(
    running: Pipeline,
    player: Player,
    observer: Observer,
    truths: list[Expected],
    threads: list[threading.Thread],
    progress: "_Progress",
    watching: "asyncio.Task[None]",
) -> None:
    wanted = {name: sum(truth.stands_in(name) for truth in truths) for name in running.portals}
    seen: tuple[int, ...] = ()
    since = time.monotonic()
    while True:
        running.check()
        if player.failure is not None:
            raise UserError(f"writing the recorded rows failed: {player.failure}")
        if watching.done():
            watching.result()
        delivered = [len(entries) for entries in observer.entries.values()]
        now = (player.rows, observer.captured, observer.result_records, *delivered)
        if now != seen:
            seen, since = now, time.monotonic()
        progress.show(player, observer, len(truths), wanted)
        quiet = time.monotonic() - since
        writing = any(thread.is_alive() for thread in threads)
        complete = (
            not writing
            and observer.captured >= player.rows
            and len(observer.results) >= len(truths)
            and all(len(observer.entries.get(name, ())) >= count for name, count in wanted.items())
        )
        if (complete and quiet > SETTLE_SECONDS) or (not writing and quiet > STALLED_SECONDS):
            return
        await asyncio.sleep(0.2)


class _Progress:
    """Live on a terminal; a plain line now and then in a log."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live = (
            Live(console=console, transient=True) if console.is_terminal and not console.is_dumb_terminal else None
        )
        self._told = 0.0
        self._last = ""

    def __enter__(self) -> "_Progress":
        if self._live:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live:
            self._live.stop()
        elif self._last:
            self._console.print(self._last, highlight=False)

    def show(self, player: Player, observer: Observer, calls: int, wanted: Mapping[str, int]) -> None:
        """The progress of rows and calls."""
        stages = [
            ("rows written", f"{player.rows}"),
            ("rows captured", f"{observer.captured}, lag {player.rows - observer.captured}"),
            ("calls classified", f"{len(observer.results)} of {calls}"),
            *((f"in {name}", f"{len(entries)} of {wanted[name]}") for name, entries in observer.entries.items()),
            ("dead letters", f"{len(observer.dead_letters)}"),
        ]
        if self._live:
            table = Table.grid(padding=(0, 2))
            for stage, count in stages:
                table.add_row(stage, count)
            self._live.update(table)
            return
        self._last = "; ".join(f"{stage} {count}" for stage, count in stages)
        if time.monotonic() - self._told > PLAIN_SECONDS:
            self._told = time.monotonic()
            self._console.print(self._last, highlight=False)
