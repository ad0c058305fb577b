"""Progress of a replay on standard error: a bar on a terminal, else a line now and then."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, TextColumn
from rich.progress import Progress as Bar

from streams.cli.output import add_remark
from streams.clock import MICROS_PER_SECOND, format_span
from streams.replay.progress import Progress

_LINE_SECONDS = 15.0
_BAR_SECONDS = 0.2


def told(progress: Progress) -> str:
    """How far it is, in words: `1,200,000 of 4,000,000 rows, 51,000 a second, 55 s left`."""
    if not progress.rows_per_second:
        return f"{progress.results_read:,} results read"
    left = progress.seconds_left
    rest = "" if left is None else f", {format_span(left * MICROS_PER_SECOND)} left"
    done = round(progress.share * progress.total)
    return f"{done:,} of {progress.total:,} rows, {progress.rows_per_second:,.0f} a second{rest}"


@contextmanager
def progress_shown() -> Iterator[Callable[[Progress], None]]:
    """The function that takes each step of a Progress."""
    tty = sys.stderr.isatty()
    columns = TextColumn("{task.description}"), BarColumn()
    shown = time.monotonic()
    with Bar(*columns, console=Console(stderr=True), transient=True, disable=not tty) as bar:
        task = bar.add_task("reading results", total=None)

        def report(progress: Progress) -> None:
            nonlocal shown
            if time.monotonic() - shown < (_BAR_SECONDS if tty else _LINE_SECONDS):
                return
            shown = time.monotonic()
            if not tty:
                add_remark(told(progress))
                return
            total = progress.total if progress.rows_per_second else None
            bar.update(task, description=told(progress), completed=progress.share * progress.total, total=total)

        yield report
