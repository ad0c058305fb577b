"""`make demo`: set everything up, run the whole pipeline on recorded calls, show what each CRM got, and judge it."""

import argparse
import asyncio
import signal
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from types import FrameType

from rich.console import Console

from deploy.demo.analytics import Analytics, analytics, show_analytics, take_calls
from deploy.demo.expected import expected
from deploy.demo.observer import Observer
from deploy.demo.pipeline import Pipeline, pipeline
from deploy.demo.player import Player
from deploy.demo.recordings import RECORDINGS, Case, read_recordings, unique_starts
from deploy.demo.report import show, tell_verdict, verdict
from deploy.demo.run import run
from deploy.local import LocalStack, end_with_parent
from streams.errors import UserError
from streams.rules import load_rules
from streams.settings import load_settings


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
        stack.create_pbx_database()
        with ExitStack() as with_analytics:
            found = None
            if arguments.analytics:
                console.print("Starting PostgreSQL for analysts")
                found = with_analytics.enter_context(analytics(stack))
            faults = _played(console, stack, cases, arguments, found)
    return 1 if faults else 0


def _played(
    console: Console, stack: LocalStack, cases: list[Case], arguments: argparse.Namespace, found: Analytics | None
) -> list[str]:
    """Play the cases, show the outcome and judge it: the faults."""
    endpoints = stack.endpoints
    console.print("Starting the fake CRMs, the capture and the workers")
    with pipeline(stack, endpoints.directory / "product", sinks=[found.sink] if found else []) as running:
        if found is not None:
            take_calls(running)
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
        asyncio.run(run(console, running, player, observer, cases, truths))
        show(console, observer, player.written_at)
        faults = verdict(observer, truths, load_rules(observer.settings.rules))
        if found is not None:
            faults += show_analytics(console, found, running, observer.results)
        tell_verdict(console, faults, truths, running.portals)
        if arguments.keep:
            _keep(console, running, found)
    return faults


def _keep(console: Console, running: Pipeline, found: Analytics | None) -> None:
    for name, url in running.portals.items():
        console.print(f"{name}: {url}/")
    if found is not None:
        console.print(f"PostgreSQL: {found.psql}", markup=False, soft_wrap=True)
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
    parser.add_argument(
        "--analytics", action="store_true", help="with a PostgreSQL that calls go to (make demo ANALYTICS=1)"
    )
    parser.add_argument("--lanes", type=int, default=8, help="calls played at once")
    parser.add_argument("--speed", type=float, default=4.0, help="how many times as fast as recorded")
    parser.add_argument("--recordings", type=Path, default=RECORDINGS, help="recorded cases to play")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
