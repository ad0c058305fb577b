"""A service beside the workers: it fails alone, never in silence, and ends with them."""

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable

import pytest
from prometheus_client import REGISTRY
from structlog.testing import capture_logs

from streams.errors import UserError
from streams.kafka import background
from streams.kafka.background import BEAT_SECONDS, STANDS_SECONDS, BackgroundService, Waits
from streams.kafka.health import Health

SECONDS = 10.0
QUICK = Waits(first=0.01, longest=0.02)


@pytest.fixture
def health() -> Health:
    return Health(60.0)


def service(run: Callable[[], Awaitable[None]], health: Health, waits: Waits = QUICK) -> BackgroundService:
    return BackgroundService("a service", run, waits=waits, health=health)


def metric(name: str) -> float:
    return REGISTRY.get_sample_value(f"cel2crm_background_{name}", {"service": "a service"}) or 0.0


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(SECONDS):
        while not true():  # noqa: ASYNC110 (of another thread)
            await asyncio.sleep(0.005)


async def test_it_runs_in_another_thread_so_that_what_blocks_it_blocks_nobody_else(health: Health) -> None:
    began, go_on = threading.Event(), threading.Event()

    async def run() -> None:
        began.set()
        go_on.wait(SECONDS)  # its own loop stands still
        await asyncio.Event().wait()

    blocked = service(run, health)
    blocked.start()
    await asyncio.to_thread(began.wait, SECONDS)
    before = time.monotonic()
    await asyncio.sleep(0.01)
    assert time.monotonic() - before < SECONDS / 2
    go_on.set()
    assert await blocked.stop()


async def test_a_fault_is_logged_counted_told_at_healthz_and_it_is_begun_anew(health: Health) -> None:
    runs, failures = 0, metric("failures_total")
    seen: list[str] = []

    async def run() -> None:
        nonlocal runs
        runs += 1
        seen.append(health.services["a service"])
        if runs == 1:
            raise ValueError("no such thing")
        if runs == 2:
            return
        if runs == 3:
            raise UserError("the database is away", "Start it.")
        await asyncio.Event().wait()

    with capture_logs() as logs:
        failing = service(run, health, Waits(first=0.05, longest=0.05))
        failing.start()
        await until(lambda: "ValueError" in health.services.get("a service", ""))
        assert metric("running") == 0
        await until(lambda: runs == 4 and metric("running") == 1)
        assert health.services == {"a service": ""}
        assert health.faults() == []
        assert await failing.stop()
    assert seen == [""] * 4
    assert metric("failures_total") == failures + 3
    assert metric("running") == 0
    told = [(each["log_level"], each["reason"], each["remedy"]) for each in logs]
    assert told == [
        ("error", "ValueError: no such thing", ""),
        ("error", "RuntimeError: it came to an end by itself", ""),
        ("error", "the database is away", "Start it."),
    ]
    assert [each["exc_info"] is None for each in logs] == [False, False, True]


async def test_what_it_left_behind_is_ended_before_it_is_begun_anew(health: Health) -> None:
    left: list[str] = []

    async def linger() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            left.append("ended")

    async def run() -> None:
        if left:
            await asyncio.Event().wait()
        lingering.append(asyncio.ensure_future(linger()))
        await asyncio.sleep(0)
        raise ValueError

    lingering: list[asyncio.Future[None]] = []
    failing = service(run, health)
    with capture_logs():
        failing.start()
        await until(lambda: left == ["ended"])
        assert await failing.stop()
    assert len(lingering) == 1


async def test_it_is_ended_while_it_waits_to_be_begun_anew(health: Health) -> None:
    async def run() -> None:
        raise ValueError

    failing = service(run, health, Waits(first=3600.0, longest=3600.0))
    with capture_logs():
        failing.start()
        await until(lambda: bool(health.services.get("a service")))
        assert await failing.stop()


async def test_a_service_that_does_not_end_in_time_is_told(health: Health) -> None:
    began, go_on = threading.Event(), threading.Event()

    async def run() -> None:
        began.set()
        go_on.wait(SECONDS)

    blocked = service(run, health)
    with capture_logs() as logs:
        blocked.start()
        await asyncio.to_thread(began.wait, SECONDS)
        assert not await blocked.stop(seconds=0.05)
        go_on.set()
        await asyncio.to_thread(blocked._ended.wait, SECONDS)
    assert [each["event"] for each in logs] == ["a service does not end in time"]


def test_a_thread_that_stands_still_for_ten_minutes_ends_the_process(
    health: Health, monkeypatch: pytest.MonkeyPatch
) -> None:
    ends: list[str] = []
    monkeypatch.setattr(background, "hard_exit", ends.append)
    standing = service(asyncio.Event().wait, health)  # type: ignore[arg-type]  # never started: it gives no sign of life
    looks = round(STANDS_SECONDS / BEAT_SECONDS)
    for _ in range(looks):
        standing.look()
    standing._alive = True
    for _ in range(looks):
        standing.look()
    assert ends == []
    standing.look()
    assert len(ends) == 1


async def test_one_that_runs_or_waits_gives_signs_of_life(health: Health, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(background, "BEAT_SECONDS", 0.01)
    fail = asyncio.Event()

    async def run() -> None:
        while not fail.is_set():  # noqa: ASYNC110 (of another thread)
            await asyncio.sleep(0.001)
        raise ValueError

    running = service(run, health, Waits(first=3600.0, longest=3600.0))
    with capture_logs():
        running.start()
        await until(lambda: metric("running") == 1)
        for _ in range(3):
            running.look()
            await until(lambda: running._alive)
        fail.set()
        await until(lambda: bool(health.services["a service"]))
        for _ in range(3):
            running.look()
            assert running._alive
        assert await running.stop()


def test_waits_double_up_to_the_longest() -> None:
    waits = Waits(first=1.0, longest=60.0)
    assert [waits.before(faults) for faults in (0, 1, 2, 5, 6, 1000)] == [1, 2, 4, 32, 60, 60]
