"""Recorded calls through the installed server, also while it is changed; what of them is missing, doubled or wrong."""

import asyncio
import sys
import threading
import time
from collections.abc import Callable, Mapping
from itertools import cycle
from pathlib import Path
from typing import Any

from rich.console import Console

from deploy.demo.expected import Expected, expected
from deploy.demo.observer import Observer
from deploy.demo.pipeline import Pipeline
from deploy.demo.player import Player
from deploy.demo.recordings import Case, read_recordings
from deploy.demo.report import verdict
from deploy.demo.run import run
from streams.rules import load_rules
from streams.settings import load_settings
from tests.deploy.server.machine import DATABASE_PASSWORD

_LANES = 8
"""Cases that are played at once."""
_BATCH = 12
"""Cases of one start of the player while something else goes on."""
_ROWS_AROUND = 30
_SECONDS = 120.0


class _Watched:
    """What deploy.demo.run asks of a pipeline: none of these processes is its child."""

    def __init__(self, portals: Mapping[str, dict[str, str]]) -> None:
        self.portals = {name: found["url"] for name, found in portals.items()}

    def check(self) -> None:
        """systemd sees to them."""


class Calls:
    """The recorded cases again and again, as calls of a minute ago, each under ids of its own."""

    def __init__(self, settings: Path, portals: Mapping[str, dict[str, str]]) -> None:
        """`portals`: what each fake CRM says of itself, by name."""
        self._settings = load_settings(settings)
        self._watched: Any = _Watched(portals)
        self._recorded = cycle(read_recordings())
        self._ids: set[str] = set()
        self._truths: list[Expected] = []
        self._threads: list[threading.Thread] = []
        self._player = Player("127.0.0.1", 3306, DATABASE_PASSWORD)

    @property
    def rows(self) -> int:
        """Rows written to the PBX's table so far."""
        return self._player.rows

    def play(self, count: int) -> None:
        """So many cases, from their first row to their last."""
        self._start(count, speed=20.0)
        self._end()

    def begin(self) -> None:
        """One more case at the pace of its recording (pauses of a second at most); returns while it goes on."""
        self._start(1, speed=1.0)
        self._require_written()

    def play_while(self, act: Callable[[], list[str]]) -> tuple[list[str], dict[str, int]]:
        """Calls go on from before `act` begins until after it ended: what it returned, and how many rows were written
        before, while and after it."""
        over = threading.Event()
        thread = threading.Thread(target=self._go_on, args=(over,))
        first = self.rows
        thread.start()
        try:
            self._wait_for(first + _ROWS_AROUND)
            begun = self.rows
            told = act()
            ended = self.rows
            self._wait_for(ended + _ROWS_AROUND)
        finally:
            over.set()
            thread.join()
        self._require_written()
        return told, {"before": begun - first, "while": ended - begun, "after": self.rows - ended}

    def judged(self) -> dict[str, Any]:
        """Wait until everything that was ever played has arrived, or nothing comes any more; then what is wrong."""
        self._end()
        observer = Observer(self._settings, self._watched.portals)
        running: Pipeline = self._watched
        asyncio.run(run(Console(file=sys.stderr), running, self._player, observer, [], self._truths))
        faults = verdict(observer, self._truths, load_rules(self._settings.rules))
        entries = {name: len(found) for name, found in observer.entries.items()}
        return {"calls": len(self._truths), "faults": faults, "entries": entries}

    def _start(self, count: int, speed: float) -> None:
        cases = [self._next() for _ in range(count)]
        self._truths += [truth for case in cases for truth in expected(case)]
        self._player.speed, self._player.lanes = speed, min(_LANES, count)
        self._threads += self._player.start(cases)

    def _end(self) -> None:
        """Until the last row of what was begun is written."""
        while self._threads:
            self._threads.pop().join()
        self._require_written()

    def _next(self) -> Case:
        case, start = next(self._recorded), int(time.time()) - 60
        while self._ids & _ids(moved := case.moved(start)):
            start += 1
        self._ids |= _ids(moved)
        return moved

    def _go_on(self, over: threading.Event) -> None:
        while not over.is_set():
            self.play(_BATCH)

    def _wait_for(self, rows: int) -> None:
        deadline = time.monotonic() + _SECONDS
        while self.rows < rows:
            self._require_written()
            if time.monotonic() > deadline:
                raise AssertionError(f"{self.rows} rows were written within {_SECONDS:.0f} s, not {rows}")
            time.sleep(0.1)

    def _require_written(self) -> None:
        if self._player.failure is not None:
            raise AssertionError(f"the PBX's table took no row: {self._player.failure!r}")


def _ids(case: Case) -> set[str]:
    return {row["uniqueid"] for row in case.rows}
