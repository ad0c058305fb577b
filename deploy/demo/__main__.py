"""`make demo`: set everything up, run the whole pipeline on recorded calls, show what each CRM got, and judge it."""

import argparse
import asyncio
import contextlib
import signal
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from types import FrameType

from rich.console import Console
from rich.live import Live
from rich.table import Table

from deploy.demo.expected import Expected, expected
from deploy.demo.observer import Observer
from deploy.demo.pipeline import Pipeline, pipeline
from deploy.demo.player import Player
from deploy.demo.recordings import RECORDINGS, Case, read_recordings, unique_starts
from deploy.demo.report import show, tell_verdict, verdict
from deploy.local import LocalStack, end_with_parent
from streams.errors import UserError
from streams.rules import load_rules
from streams.settings import load_settings

STALLED_SECONDS = 90.0
"""Without any progress for so long the demo gives up waiting and judges what there is."""
SETTLE_SECONDS = 3.0
"""After everything expected has arrived: long enough for a double to show."""
PLAIN_SECONDS = 5.0


def main() -> int:
    """Exit status 0: right; 1: something missing, doubled or wrong; 2: could not run."""
    arguments = _arguments()
    console = Console()
    signal.signal(signal.SIGTERM, _terminate)
    end_with_parent()  # whoever kills `make demo` may well kill make alone
    try:
        cases = read_recordings(arguments.recordings)
        return _demo(console, cases, arguments)
    except UserError as error:
        console.print(f"[bold red]demo:[/] {error.problem}", highlight=False)
        if error.remedy:
            console.print(f"  {error.remedy}", highlight=False)
        return 2
    except KeyboardInterrupt:
        console.print("stopped")
        return 130


def _demo(console: Console, cases: list[Case], arguments: argparse.Namespace) -> int:
    console.print("Starting Kafka, Kafka Connect, the schema registry and MariaDB")
    stack = LocalStack(say=lambda line: console.print(f"  {line}", highlight=False, markup=False))
    with stack:
        endpoints = stack.endpoints
        stack.create_pbx_database()
        console.print("Starting the fake CRMs, the capture and the workers")
        with pipeline(stack, endpoints.directory / "product") as running:
            cases = list(unique_starts(cases, int(time.time()) - 60))
            truths = [truth for case in cases for truth in expected(case)]
            player = Player(
                endpoints.mariadb_host,
                endpoints.mariadb_port,
                endpoints.mariadb_root_password,
                lanes=arguments.lanes,
                speed=arguments.speed,
            )
            observer = Observer(load_settings(running.settings_file), running.portals)
            asyncio.run(_run(console, running, player, observer, cases, truths))
            show(console, observer, player.written_at)
            faults = verdict(observer, truths, load_rules(observer.settings.rules))
            tell_verdict(console, faults, truths, running.portals)
            if arguments.keep:
                _keep(console, running)
    return 1 if faults else 0


async def _run(
    console: Console, running: Pipeline, player: Player, observer: Observer, cases: list[Case], truths: list[Expected]
) -> None:
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


def _keep(console: Console, running: Pipeline) -> None:
    for name, url in running.portals.items():
        console.print(f"{name}: {url}/")
    console.print(f"settings: {running.settings_file}")
    console.print("Everything goes on running; Ctrl+C ends it.")
    signal.sigwait({signal.SIGINT, signal.SIGTERM})


def _terminate(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="make demo",
        description="Run the whole pipeline on real servers with recorded calls, and judge the outcome.",
    )
    parser.add_argument("--keep", action="store_true", help="leave it running afterwards (make demo KEEP=1)")
    parser.add_argument("--lanes", type=int, default=8, help="calls played at once")
    parser.add_argument("--speed", type=float, default=4.0, help="how many times as fast as recorded")
    parser.add_argument("--recordings", type=Path, default=RECORDINGS, help="recorded cases to play")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
