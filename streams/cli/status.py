"""`cel2crm status`: what stands still, why, and what to do next."""

import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.live import Live
from rich.text import Text

from streams.cli.logging_setup import quiet_kafka_client
from streams.cli.options import JsonOption, SettingsOption, warn_of_plugins
from streams.cli.output import say, say_json, say_lines
from streams.clock import boot_seconds
from streams.operations.status.bounded import run_bounded
from streams.operations.status.facts import Facts
from streams.operations.status.gather import TOTAL_SECONDS, gather
from streams.operations.status.verdict import Verdict, verdict_of
from streams.operations.status.view import status_json, status_lines
from streams.printable import printable
from streams.settings import Settings, load_settings

_END_SECONDS = 12.5
"""From the start of the process to the end of the questions: 15 s are promised."""
_LEAST_SECONDS = 4.0


def status(
    watch: Annotated[bool, typer.Option("--watch", help="Stay, and look again and again, until Ctrl-C.")] = False,
    every: Annotated[float, typer.Option(min=1, max=3600, help="With --watch: seconds between two looks.")] = 5.0,
    as_json: JsonOption = False,
    settings_file: SettingsOption = None,
) -> None:
    """Say within 15 seconds what stands still and why, and for each thing what to do next.

    Looks at capture, at the partitions that nobody holds, at the oldest record that no worker has taken, at each
    portal, at records that cannot be read, at gaps and at dead letters. Nothing is changed. What cannot be looked at
    (no broker, no database) is told, and the rest all the same.

    Exit status 0: all is well; 1: something stands still, or lacks a person; 2: nothing is known to, but not
    everything could be looked at. With --watch: of the last look.

    Examples:

        cel2crm status

        cel2crm status --watch

        cel2crm status --json | jq -r '.findings[].remedy'
    """
    settings = load_settings(settings_file)
    quiet_kafka_client()
    warn_of_plugins()
    if watch:
        verdict = _watch(settings, every, as_json=as_json)
    else:
        verdict, facts = _look(settings, min(TOTAL_SECONDS, max(_LEAST_SECONDS, _END_SECONDS - _process_seconds())))
        _tell(verdict, facts, as_json=as_json)
    if verdict is not None and verdict.exit_status:
        raise typer.Exit(verdict.exit_status)


def _look(settings: Settings, seconds: float) -> tuple[Verdict, Facts]:
    facts = run_bounded(gather(settings, seconds=seconds))
    return verdict_of(facts, settings), facts


def _process_seconds() -> float:
    """How long this process has been there: on a machine that is busy its start alone takes seconds."""
    try:
        fields = Path("/proc/self/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
        return boot_seconds() - int(fields[19]) / os.sysconf("SC_CLK_TCK")
    except (OSError, ValueError, IndexError):
        return 1.0


def _tell(verdict: Verdict, facts: Facts, *, as_json: bool) -> None:
    if as_json:
        say_json(status_json(verdict, facts))
    else:
        say_lines(status_lines(verdict, facts))
    sys.stdout.flush()


def _watch(settings: Settings, every: float, *, as_json: bool) -> Verdict | None:
    """Look again and again; on a terminal in place, else one after the other. The last verdict; None: none yet."""
    verdict: Verdict | None = None
    live = None if as_json or not sys.stdout.isatty() else Live(console=Console(), auto_refresh=False)
    with _ended_by_sigterm():
        try:
            if live is not None:
                live.start()
            while live is None or sys.stdout.isatty():  # else its terminal was closed: nobody looks any more
                began = time.monotonic()
                verdict, facts = _look(settings, TOTAL_SECONDS)
                if live is not None:
                    live.update(_shown(verdict, facts), refresh=True)
                else:
                    _tell(verdict, facts, as_json=as_json)
                    if not as_json:
                        say()
                time.sleep(max(0.0, every - (time.monotonic() - began)))
        except KeyboardInterrupt:
            pass
        finally:
            if live is not None:
                live.stop()
    return verdict


def _shown(verdict: Verdict, facts: Facts) -> Text:
    return Text("\n".join(map(printable, status_lines(verdict, facts))))


@contextmanager
def _ended_by_sigterm() -> Iterator[None]:
    """SIGTERM ends the watch as Ctrl-C does: by KeyboardInterrupt, which an event loop lets through at once."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
