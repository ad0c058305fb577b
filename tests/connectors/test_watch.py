"""The watcher, against a Connect and a guard that do what is asked of them."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import pytest
from structlog.testing import capture_logs

from connectors.capture_state import CaptureState, Hold
from connectors.failures import Failure
from connectors.guard import Verdict
from connectors.mariadb.history import DatabaseHistory
from connectors.watch import Backoff, Watcher
from streams.errors import UserError
from tests.connectors.fake_connect import FakeConnect, client_of

HOLD = Hold("its binlog has gone back", "2026-11-23 21:00:00", 0)


@dataclass
class FakeGuard:
    """Finds `hold`; raises UserError where the database is `away`."""

    hold: Hold | None = None
    away: bool = False
    checks: int = 0
    held_for: list[Failure] = field(default_factory=list)

    async def check(self) -> Verdict:
        self.checks += 1
        if self.away:
            raise UserError("no database answers at db:3306")
        return Verdict(self.hold, CaptureState(DatabaseHistory("0-1-8"), hold=self.hold))

    async def hold_for(self, failure: Failure) -> Hold:
        self.held_for.append(failure)
        self.hold = HOLD
        return HOLD

    async def current_hold(self) -> Hold | None:
        return self.hold


class Clock:
    """Time that passes by sleeping only; ends the test after enough of it."""

    def __init__(self, until: float) -> None:
        self.now = 0.0
        self.until = until
        self.slept: list[float] = []

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds
        if self.now >= self.until:
            raise TimeoutError


async def watched(
    fake: FakeConnect, heartbeats: Callable[[Clock], Awaitable[int]], until: float, guard: FakeGuard | None = None
) -> Clock:
    clock = Clock(until)
    async with client_of(fake) as client:
        watcher = Watcher(
            client, "c", lambda: heartbeats(clock), guard or FakeGuard(), Backoff(1, 8, 100), poll_seconds=2,
            silence_seconds=30, clock=clock, sleep=clock.sleep,
        )  # fmt: skip
        with pytest.raises(TimeoutError):
            await watcher.run()
    return clock


async def beating(clock: Clock) -> int:
    return int(clock.now)


async def test_watch_restarts_what_failed_and_waits_longer_each_time() -> None:
    fake = FakeConnect("FAILED")
    with capture_logs() as lines:
        clock = await watched(fake, beating, until=40)
    waits = [line["wait"] for line in lines if line["event"] == "failed"]
    assert waits[:5] == [1, 2, 4, 8, 8]
    assert fake.restarts == ["true"] * len(fake.restarts) and len(fake.restarts) >= 4
    assert all("refuses user cel2crm" in line["reason"] for line in lines if line["event"] == "failed")
    assert clock.slept[0] == 1


async def test_watch_forgets_failures_after_a_good_while() -> None:
    fake = FakeConnect("FAILED", "FAILED", *["RUNNING"] * 60, "FAILED", "RUNNING")
    with capture_logs() as lines:
        await watched(fake, beating, until=200)
    assert [line["wait"] for line in lines if line["event"] == "failed"] == [1, 2, 1]


async def test_the_brokers_are_asked_for_heartbeats_every_ten_seconds_not_at_every_look() -> None:
    asked: list[float] = []

    async def counted(clock: Clock) -> int:
        asked.append(clock.now)
        return int(clock.now)

    await watched(FakeConnect("RUNNING"), counted, until=40)
    assert asked == [0, 10, 20, 30]


async def test_watch_restarts_a_task_that_runs_without_a_sign_of_life() -> None:
    async def silent(_: Clock) -> int:
        return 7

    fake = FakeConnect("RUNNING")
    with capture_logs() as lines:
        await watched(fake, silent, until=50)
    assert fake.restarts == ["false"]
    assert [line["event"] for line in lines] == [
        "connector runs", "no sign of life from the database", "restarted", "connector runs",
    ]  # fmt: skip


async def test_watch_leaves_a_beating_task_alone() -> None:
    fake = FakeConnect("RUNNING")
    await watched(fake, beating, until=300)
    assert fake.restarts == []


async def test_watch_does_not_restart_because_kafka_is_away() -> None:
    async def away(_: Clock) -> int:
        raise UserError("no Kafka broker")

    fake = FakeConnect("RUNNING")
    await watched(fake, away, until=200)
    assert fake.restarts == []


async def test_a_connect_that_is_still_starting_is_not_a_deletion() -> None:
    fake = FakeConnect("RUNNING", *["MISSING"] * 15, "RUNNING", "FAILED", "RUNNING")
    with capture_logs() as lines:
        await watched(fake, beating, until=100)
    assert fake.restarts == ["true"]
    assert not [line for line in lines if line["event"] == "connector missing"]


async def test_a_404_is_not_believed_while_connect_cannot_list_its_connectors() -> None:
    fake = FakeConnect("RUNNING", "MISSING")
    fake.starting = True
    with capture_logs() as lines:
        await watched(fake, beating, until=300)
    assert [line["event"] for line in lines] == ["connector runs", "connect answers with an error"]


@pytest.mark.parametrize("before", [[], ["RUNNING"]])
async def test_a_missing_connector_is_told_every_minute_and_watched_for(before: list[str]) -> None:
    fake = FakeConnect(*before, *["MISSING"] * 100, "RUNNING")
    with capture_logs() as lines:
        await watched(fake, beating, until=300)
    missing = [line for line in lines if line["event"] == "connector missing"]
    assert len(missing) == 3 and missing[0]["log_level"] == "error"
    assert "cel2crm connectors apply" in missing[0]["remedy"]
    assert lines[-1]["event"] == "connector runs"


async def test_a_purged_binlog_is_never_restarted_away_and_told_every_minute() -> None:
    fake, guard = FakeConnect("RUNNING", "PURGED"), FakeGuard()
    with capture_logs() as lines:
        await watched(fake, beating, until=300, guard=guard)
    assert (fake.restarts, fake.calls, fake.stopped) == ([], ["stop"], True)
    assert "binlog was purged" in guard.held_for[0].reason and len(guard.held_for) == 1
    told = [line for line in lines if line["event"] == "capture is held"]
    assert len(told) == 5 and "cel2crm connectors start-afresh" in told[0]["remedy"]
    assert "2026-11-23 21:00:00" in told[0]["missing"]


async def test_a_connector_whose_database_was_replaced_is_stopped_while_it_runs() -> None:
    fake = FakeConnect("RUNNING")
    await watched(fake, beating, until=50, guard=FakeGuard(HOLD))
    assert fake.calls == ["stop"]


async def test_a_failed_task_is_not_restarted_where_rows_would_be_skipped() -> None:
    class ResetGuard(FakeGuard):
        async def check(self) -> Verdict:
            self.hold = HOLD if self.checks else None
            return await super().check()

    fake = FakeConnect("FAILED")
    await watched(fake, beating, until=50, guard=ResetGuard())
    assert (fake.restarts, fake.calls) == ([], ["stop"])


async def test_nothing_is_restarted_while_the_database_cannot_be_compared() -> None:
    fake, guard = FakeConnect("FAILED"), FakeGuard(away=True)
    with capture_logs() as lines:
        await watched(fake, beating, until=100, guard=guard)
    assert fake.restarts == []
    told = [line for line in lines if line["event"] == "database cannot be compared"]
    assert len(told) == 2 and told[0]["effect"] == "restarts wait for it"


async def test_the_database_is_looked_at_every_minute_while_all_runs() -> None:
    guard = FakeGuard()
    await watched(FakeConnect("RUNNING"), beating, until=301, guard=guard)
    assert guard.checks == 6


async def test_a_start_afresh_under_way_is_left_alone() -> None:
    fake = FakeConnect("RUNNING")
    guard = FakeGuard(Hold("purged", "0", 0, starting_afresh=True))
    with capture_logs() as lines:
        await watched(fake, beating, until=100, guard=guard)
    assert fake.calls == []
    assert [line["event"] for line in lines].count("capture is held") == 2


async def test_what_a_person_has_settled_is_not_stopped_again() -> None:
    class SettledGuard(FakeGuard):
        async def current_hold(self) -> Hold | None:
            self.hold = None
            return None

    fake = FakeConnect("RUNNING")
    with capture_logs() as lines:
        await watched(fake, beating, until=100, guard=SettledGuard(HOLD))
    assert fake.calls == []
    assert lines[-1]["event"] == "connector runs"


@pytest.mark.parametrize("state", ["STOPPED", "PAUSED"])
async def test_a_connector_that_somebody_stopped_is_told_every_minute(state: str) -> None:
    fake = FakeConnect("RUNNING")
    fake.stopped, fake.stopped_state = True, state
    with capture_logs() as lines:
        await watched(fake, beating, until=130, guard=FakeGuard())
    assert [line["event"] for line in lines] == [f"connector is {state}"] * 3
    assert fake.calls == []
