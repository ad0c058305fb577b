"""The verdict of `cel2crm status` in one line, on standard error of other commands, where it is bad.

A command that shows deliveries shows nothing wrong while the worker before them is dead. Only what a few short
questions tell is looked at, beside the command and in a thread: it neither waits for them nor fails with them.
"""

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import typer

from streams.cli.output import remark
from streams.operations.status.bounded import run_bounded
from streams.operations.status.gather import QUICK_SECONDS, gather_quickly
from streams.operations.status.verdict import Verdict, verdict_of
from streams.settings import Settings


@contextmanager
def verdict_line(settings: Settings, *, told: str = "") -> Iterator[None]:
    """Tell after the command's own words, at most QUICK_SECONDS after its start, whether something stands still.

    `told`: the area of findings (Finding.area) that the command itself shows. Nothing is told where all is well, where
    nobody can tell, or after an error.
    """
    look = _QuickLook(settings)
    try:
        yield
    except typer.Exit:
        look.tell(told)
        raise
    look.tell(told)


class _QuickLook:
    """A look at the installation in a thread, begun at once."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._until = time.monotonic() + QUICK_SECONDS
        self._done = threading.Event()
        self._verdict: Verdict | None = None
        threading.Thread(target=self._look, name="quick look", daemon=True).start()

    def tell(self, told: str) -> None:
        """One line where something is found; where the look takes too long, nothing."""
        sys.stdout.flush()
        if not self._done.wait(max(0.0, self._until - time.monotonic())) or self._verdict is None:
            return
        verdict = self._verdict.without(told)
        if verdict.findings:
            remark(f"{verdict.line}; see: cel2crm status")

    def _look(self) -> None:
        try:
            run_bounded(self._gather())
        except Exception:  # noqa: S110 - whatever it is: the command goes on as if nobody had looked
            pass
        finally:
            self._done.set()

    async def _gather(self) -> None:
        self._verdict = verdict_of(await gather_quickly(self._settings), self._settings)
        self._done.set()
