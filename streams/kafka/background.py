"""A service beside the workers of a process, in a thread with an event loop of its own: nothing that it does holds
theirs up.

It may fail, but neither they with it nor in silence: its fault is logged, told by metrics and at /healthz, and it is
begun anew after a while. Only where its thread stands still for ten minutes does the process end, since a thread cannot
be ended alone; the supervisor starts the process again.
"""

import asyncio
import contextlib
import threading
import time
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass

import structlog
from prometheus_client import Counter, Gauge

from streams.errors import UserError
from streams.kafka.hard_exit import hard_exit
from streams.kafka.health import Health
from streams.kafka.partition_owner import HEALTH

RUNNING = Gauge(
    "cel2crm_background_running", "Whether a service beside the workers runs (1), or waits (0)", ["service"]
)
FAILURES = Counter("cel2crm_background_failures", "Times that it ended by a fault, and was begun anew", ["service"])

BEAT_SECONDS = 5.0
STANDS_SECONDS = 600.0
"""Longer than any question to a database is waited for (120 s), several in a row at its end included."""
STOP_SECONDS = 10.0

_log = structlog.get_logger("worker")


@dataclass(frozen=True, slots=True)
class Waits:
    """Before a service is begun anew, in seconds: doubled at each fault, back to the first after a while of running."""

    first: float = 1.0
    longest: float = 60.0
    forgotten_after: float = 600.0

    def before(self, faults: int) -> float:
        """The wait after so many faults in a row, less the last."""
        return float(min(self.longest, self.first * 2 ** min(faults, 30)))


class BackgroundService:
    """Runs a coroutine that does not end by itself. `start`, `look` and `stop` are called from the workers' loop."""

    def __init__(
        self, name: str, run: Callable[[], Awaitable[None]], *, waits: Waits = Waits(), health: Health = HEALTH
    ) -> None:
        """`name`: as people and metrics know it; `run`: called in the thread, anew after each fault."""
        self.name = name
        self._run = run
        self._waits = waits
        self._health = health
        self._stopping = threading.Event()
        self._ended = threading.Event()
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[None] | None = None
        self._waiting = False
        self._alive = True
        """It came round since the last look."""
        self._looks = 0
        """In a row, at which it had not."""

    def start(self) -> None:
        """Begin."""
        FAILURES.labels(self.name)
        threading.Thread(target=self._thread, name=self.name, daemon=True).start()

    def look(self) -> None:
        """To be called every BEAT_SECONDS: ends the process hard where the thread has stood still for too long.

        Looks are counted, not seconds: a process that was stopped or a machine that was suspended is not blamed.
        """
        self._looks = 0 if self._alive else self._looks + 1
        self._alive = self._waiting or self._ended.is_set()
        if self._looks * BEAT_SECONDS >= STANDS_SECONDS:
            hard_exit(f"{self.name} has stood still for {STANDS_SECONDS:.0f} s")

    async def stop(self, seconds: float = STOP_SECONDS) -> bool:
        """End it. False: it has not ended by then, since a question to a database cannot be cut off."""
        self._stopping.set()
        with self._lock:
            if self._loop is not None and self._task is not None:
                self._loop.call_soon_threadsafe(self._task.cancel)
        ended = await asyncio.to_thread(self._ended.wait, seconds)
        if not ended:
            _log.warning("a service does not end in time", service=self.name, seconds=seconds)
        return ended

    def _thread(self) -> None:
        faults = 0
        try:
            while not self._stopping.is_set():
                began = time.monotonic()
                error = self._run_once()
                if self._stopping.is_set():
                    return
                faults = 0 if time.monotonic() - began > self._waits.forgotten_after else faults
                wait = self._waits.before(faults)
                faults += 1
                self._tell(error, wait)
                self._alive = self._waiting = True
                self._stopping.wait(wait)
                self._waiting = False
        finally:
            self._ended.set()

    def _run_once(self) -> BaseException:
        """Why it ended."""
        try:
            asyncio.run(self._watched())
        except BaseException as error:  # whatever it is: nobody else would tell it
            return error
        return RuntimeError("it came to an end by itself")

    async def _watched(self) -> None:
        with self._lock:
            self._loop, self._task = asyncio.get_running_loop(), asyncio.current_task()
        beating = asyncio.ensure_future(self._beat())
        try:
            if not self._stopping.is_set():
                self._health.services[self.name] = ""
                RUNNING.labels(self.name).set(1)
                await self._run()
        finally:
            with self._lock:
                self._loop = self._task = None
            RUNNING.labels(self.name).set(0)
            beating.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await beating

    async def _beat(self) -> None:
        while True:
            self._alive = True
            await asyncio.sleep(BEAT_SECONDS / 2)

    def _tell(self, error: BaseException, wait: float) -> None:
        FAILURES.labels(self.name).inc()
        known = isinstance(error, UserError)
        problem = error.problem if isinstance(error, UserError) else f"{type(error).__name__}: {error}"
        self._health.services[self.name] = problem
        _log.error(
            "a service beside the workers failed, and is begun anew",
            service=self.name,
            reason=problem,
            remedy=error.remedy if isinstance(error, UserError) else "",
            wait=wait,
            exc_info=None if known else error,
        )


async def stop_all(services: Iterable[BackgroundService]) -> bool:
    """Whether all have ended in time."""
    return all(await asyncio.gather(*(service.stop() for service in services)))
