"""`make demo`: set everything up, run the whole pipeline on recorded calls, show what each CRM got, and judge it."""

import argparse
import asyncio
import signal
import sys
import time
from pathlib import Path
from types import FrameType

from rich.console import Console

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
            asyncio.run(run(console, running, player, observer, cases, truths))
            show(console, observer, player.written_at)
            faults = verdict(observer, truths, load_rules(observer.settings.rules))
            tell_verdict(console, faults, truths, running.portals)
            if arguments.keep:
                _keep(console, running)
    return 1 if faults else 0


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
