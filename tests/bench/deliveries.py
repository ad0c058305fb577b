"""Deliveries, measured in a process of their own: `python -m tests.bench.deliveries NAME CRM CALLS SETTINGS.json`.

Each runs `cel2crm worker CRM` and prints one JSON line. What the worker finds on its topics, and how its portal
behaves, is the parent's affair (`tests.bench.portals`).
"""

import asyncio
import os
import resource
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import orjson
import psutil
from prometheus_client import REGISTRY

from streams.kafka import worker_runtime as runtime
from streams.settings import Settings
from streams.workers.deliver.worker import DeliverWorker

MB = 1024 * 1024
WARM_UP_SECONDS = 12.0
"""Until the burst that a portal allows is used up."""
LIMITED_SECONDS = 20.0
POLL_SECONDS = 0.02

Figures = dict[str, Any]


class Watched:
    """A delivery worker in this process, and what its metrics say."""

    def __init__(self, settings: Settings, crm: str) -> None:
        self.crm = crm
        self.worker = DeliverWorker(settings, crm)
        self._app = runtime.make_app(settings, self.worker)
        self.began = time.monotonic()

    async def start(self) -> None:
        """Begin to take part in the group."""
        await self.worker.start(self._app.group)
        await self._app.start()

    @property
    def taken(self) -> int:
        """Results that were taken."""
        return round(REGISTRY.get_sample_value("cel2crm_delivery_results_total", {"crm": self.crm}) or 0)

    @property
    def delivered(self) -> int:
        """Calls that stand in the portal."""
        labels = {"crm": self.crm, "portal": "main", "state": "delivered"}
        return round(REGISTRY.get_sample_value("cel2crm_deliveries_total", labels) or 0)

    @property
    def waiting(self) -> int:
        """Calls that do not yet."""
        return self.worker._owned.open_calls

    async def until(self, reached: Callable[[], bool]) -> None:
        """Wait; the parent sees to the time."""
        while not reached():  # noqa: ASYNC110
            await asyncio.sleep(POLL_SECONDS)


async def rate(watched: Watched, calls: int) -> Figures:
    """Calls per second against a portal without limits, from the first one that is taken to the last that stands."""
    await watched.until(lambda: watched.taken > 0)
    began, cpu = time.monotonic(), time.process_time()
    await watched.until(lambda: watched.delivered >= calls)
    return {"seconds": time.monotonic() - began, "cpu_seconds": time.process_time() - cpu}


async def limited(watched: Watched, calls: int) -> Figures:
    """Calls per second against the limits that the vendor has, after the burst."""
    await watched.until(lambda: watched.delivered > 0)
    await asyncio.sleep(WARM_UP_SECONDS)
    before, began, cpu = watched.delivered, time.monotonic(), time.process_time()
    await asyncio.sleep(LIMITED_SECONDS)
    delivered = watched.delivered - before
    return {"calls": delivered, "seconds": time.monotonic() - began, "cpu_seconds": time.process_time() - cpu}


async def waiting(watched: Watched, calls: int) -> Figures:
    """Memory while all calls wait for a portal that is down, and how long it took to take them in."""
    await watched.until(lambda: watched.taken > 0)
    began, cpu = time.monotonic(), time.process_time()
    await watched.until(lambda: watched.taken >= calls and watched.waiting >= calls)
    return {"seconds": time.monotonic() - began, "cpu_seconds": time.process_time() - cpu, **memory()}


async def taken_over(watched: Watched, calls: int) -> Figures:
    """The same after a restart: how long until the new worker has them all, and then how fast they drain."""
    await watched.until(lambda: watched.waiting >= calls)
    figures = {"seconds": time.monotonic() - watched.began, **memory()}
    sys.stdout.write("ready\n")  # the parent lets the portal come back
    sys.stdout.flush()
    await watched.until(lambda: watched.delivered > 0)
    before, began, cpu = watched.delivered, time.monotonic(), time.process_time()
    await asyncio.sleep(LIMITED_SECONDS / 2)
    drained, seconds = watched.delivered - before, time.monotonic() - began
    cpu_per_call = (time.process_time() - cpu) / max(1, drained)
    return figures | {"drained_per_second": drained / seconds, "cpu_seconds": cpu_per_call}


async def finished(watched: Watched, _: int) -> Figures:
    """What it costs to take over a log of finished calls: of the whole process, from its start."""
    await watched.until(lambda: bool(watched.worker._owned.by_results))
    return {"seconds": time.monotonic() - watched.began, "cpu_seconds": time.process_time(), **memory()}


def memory() -> Figures:
    """Of this process: now, and at most so far."""
    now = psutil.Process().memory_info().rss / MB
    return {"rss_mb": now, "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / MB}


SUBJECTS: dict[str, Callable[[Watched, int], Awaitable[Figures]]] = {
    "rate": rate,
    "limited": limited,
    "waiting": waiting,
    "taken over": taken_over,
    "finished": finished,
}


async def measure(name: str, crm: str, calls: int, tree: Figures) -> None:
    """Measure one subject and end as a killed process does: what is left over is the next one's."""
    watched = Watched(Settings.model_validate(tree), crm)
    await watched.start()
    figures = {"calls": calls, **await SUBJECTS[name](watched, calls)}
    sys.stdout.buffer.write(orjson.dumps(figures) + b"\n")
    sys.stdout.flush()
    os._exit(0)


def main() -> None:
    """Measure one subject."""
    name, crm, calls, settings = sys.argv[1:]
    asyncio.run(measure(name, crm, int(calls), orjson.loads(Path(settings).read_bytes())))


if __name__ == "__main__":
    main()
