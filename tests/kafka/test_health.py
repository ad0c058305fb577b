"""A supervisor learns that a worker hangs, never that it has much to do."""

import json
import urllib.request
from urllib.error import HTTPError

import pytest
from faust.types import TP

from deploy.local.ports import free_port
from streams.kafka import partition_owner
from streams.kafka.health import LOOP_SECONDS, Health
from streams.kafka.metrics import serve_metrics
from streams.kafka.partition_owner import SILENT_SECONDS, SilenceWatchdog

CEL = TP("cel", 3)


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def health(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> Health:
    """In place of the process's own."""
    new = Health(SILENT_SECONDS, clock)
    monkeypatch.setattr(partition_owner, "HEALTH", new)
    monkeypatch.setattr("streams.kafka.metrics.HEALTH", new)
    return new


def test_a_worker_is_alive_before_it_is_started_however_long_that_takes(health: Health, clock: Clock) -> None:
    clock.now += 3600
    assert (health.started, health.faults()) == (False, [])
    health.beat()
    assert health.started


def test_an_event_loop_that_does_not_come_round_is_a_fault_until_it_does(health: Health, clock: Clock) -> None:
    health.beat()
    clock.now += LOOP_SECONDS + 1
    assert health.faults() == ["the event loop has not come round for 61 s"]
    health.beat()
    assert health.faults() == []


def test_records_that_wait_while_none_is_taken_are_a_fault_and_a_backlog_is_none(health: Health, clock: Clock) -> None:
    watchdog = SilenceWatchdog(limit_seconds=1e9, clock=clock)
    for position in range(100):  # a backlog that moves
        watchdog.check(CEL, position, 1_000_000)
        clock.now += SILENT_SECONDS - 1
    assert health.faults() == []
    watchdog.check(CEL, 99, 1_000_000)
    clock.now += 2
    assert health.faults() == ["records wait on cel/3, and none was taken for 181 s"]
    watchdog.check(CEL, 1_000_000, 1_000_000)  # nothing waits any more
    clock.now += 10 * SILENT_SECONDS
    assert health.faults() == []


def test_a_partition_that_went_to_another_worker_is_no_fault(health: Health, clock: Clock) -> None:
    watchdog = SilenceWatchdog(limit_seconds=1e9, clock=clock)
    watchdog.check(CEL, 5, 9)
    watchdog.check(CEL, 5, 9)
    watchdog.restart()
    clock.now += 10 * SILENT_SECONDS
    assert health.faults() == []


def test_two_workers_of_one_process_are_told_apart(health: Health, clock: Clock) -> None:
    stuck, well = (SilenceWatchdog(limit_seconds=1e9, clock=clock) for _ in range(2))
    for _ in range(2):
        stuck.check(CEL, 5, 9)
    well.check(CEL, 9, 9)
    clock.now += SILENT_SECONDS + 1
    assert len(health.faults()) == 1


def test_both_are_answered_at_the_port_of_the_metrics(health: Health, clock: Clock) -> None:
    port = free_port()
    end = serve_metrics(port, "127.0.0.1", "worker.metrics_port")

    def get(path: str) -> tuple[int, bytes]:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=10) as answer:
                return answer.status, answer.read()
        except HTTPError as error:
            with error:
                return error.code, error.read()

    try:
        assert get("/healthz")[0] == 200
        assert get("/readyz")[0] == 503
        health.beat()
        assert get("/readyz")[0] == 200
        clock.now += LOOP_SECONDS + 1
        status, said = get("/healthz")
        assert (status, json.loads(said)["started"]) == (503, True)
        assert b"cel2crm_held_partitions" in get("/metrics")[1]
    finally:
        end()
