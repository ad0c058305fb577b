"""The client of Kafka Connect, and the watcher, against a Connect that does what is asked of it."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from aiohttp.test_utils import TestServer, unused_port
from structlog.testing import capture_logs

from connectors.client import ConnectClient, ConnectUnreachable
from connectors.watch import Backoff, Watcher
from streams.errors import UserError
from tests.connectors.fake_connect import FakeConnect

CONFIG = {"connector.class": "io.example.Source", "database.hostname": "db", "database.password": "${file:/p:k}"}


@asynccontextmanager
async def client_of(fake: FakeConnect) -> AsyncIterator[ConnectClient]:
    async with TestServer(fake.app()) as server, ConnectClient(str(server.make_url("")), secrets=["hunter2"]) as client:
        yield client


async def test_applying_twice_changes_nothing() -> None:
    fake = FakeConnect("RUNNING")
    async with client_of(fake) as client:
        answers = [
            await client.apply("c", CONFIG),
            await client.apply("c", CONFIG),
            await client.apply("c", CONFIG | {"a": "1"}),
        ]
    assert (answers, fake.puts) == (["created", "unchanged", "updated"], 2)


async def test_a_rebalance_is_waited_out() -> None:
    fake = FakeConnect("RUNNING")
    fake.conflicts = 1
    async with client_of(fake) as client:
        assert await client.apply("c", CONFIG) == "created"


async def test_a_failed_task_is_one_line() -> None:
    async with client_of(FakeConnect("FAILED")) as client:
        status = await client.status("c")
    assert status is not None
    assert not status.running
    assert [failure.reason for failure in status.failures] == [
        "the database refuses user cel2crm: wrong password, or no such user"
    ]


async def test_a_connector_that_is_not_there_has_no_status_and_is_not_deleted() -> None:
    async with client_of(FakeConnect("MISSING")) as client:
        assert await client.status("c") is None
        assert await client.config("c") is None
        assert await client.delete("c") is False


async def test_faults_name_the_field_and_never_the_secret() -> None:
    async with client_of(FakeConnect("RUNNING")) as client:
        faults = await client.validate(CONFIG)
    assert len(faults) == 2
    assert faults[0].startswith("database.hostname = db: the database refuses user cel2crm")
    assert faults[1] == "database.password: *** is too short"


async def test_no_connect_is_one_clear_message() -> None:
    port = unused_port()
    async with ConnectClient(f"http://user:hunter2@127.0.0.1:{port}") as client:
        with pytest.raises(ConnectUnreachable, match=rf"no Kafka Connect at http://127\.0\.0\.1:{port} ") as caught:
            await client.status("c")
    assert "hunter2" not in str(caught.value)
    assert "connect.url" in caught.value.remedy


async def test_another_server_is_not_taken_for_connect() -> None:
    server = TestServer(FakeConnect("RUNNING").app())
    async with server, ConnectClient(str(server.make_url("/elsewhere"))) as client:
        with pytest.raises(UserError, match="cannot apply connector c: HTTP 404"):
            await client.apply("c", CONFIG)


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


async def watched(fake: FakeConnect, heartbeats: Callable[[Clock], Awaitable[int]], until: float) -> Clock:
    clock = Clock(until)
    async with client_of(fake) as client:
        watcher = Watcher(
            client, "c", lambda: heartbeats(clock), Backoff(1, 8, 100), poll_seconds=2, silence_seconds=30,
            clock=clock, sleep=clock.sleep,
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
