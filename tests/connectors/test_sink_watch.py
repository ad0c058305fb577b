"""The watcher of a sink's connector, and what `connectors status` says of one, against a Connect that does as asked."""

import pytest
from structlog.testing import capture_logs

from connectors.client import ConnectorStatus, TaskStatus
from connectors.failures import Failure
from connectors.fault import Fault
from connectors.sinks.report import SinkPartReport, SinkReport, sink_faults
from connectors.sinks.watch import SinkWatcher
from connectors.watch import Backoff
from tests.connectors.fake_connect import FakeConnect, client_of
from tests.connectors.test_watch import Clock

APPLY = "Run: cel2crm connectors apply --sink lake"


async def watched(fake: FakeConnect, until: float) -> None:
    clock = Clock(until)
    async with client_of(fake) as client:
        watcher = SinkWatcher(client, "c", APPLY, Backoff(1, 8, 100), clock=clock, sleep=clock.sleep)
        with pytest.raises(TimeoutError):
            await watcher.run()


async def test_what_failed_is_restarted_with_longer_waits() -> None:
    fake = FakeConnect("FAILED")
    with capture_logs() as lines:
        await watched(fake, until=40)
    failed = [line for line in lines if line["event"] == "sink failed"]
    assert [line["wait"] for line in failed][:5] == [1, 2, 4, 8, 8]
    assert "refuses user cel2crm" in failed[0]["reason"] and failed[0]["part"] == "task 0"
    assert len(fake.restarts) >= 4 and set(fake.restarts) == {"true"}


async def test_failures_are_forgotten_after_a_good_while() -> None:
    fake = FakeConnect("FAILED", "FAILED", *["RUNNING"] * 60, "FAILED", "RUNNING")
    with capture_logs() as lines:
        await watched(fake, until=200)
    assert [line["wait"] for line in lines if line["event"] == "sink failed"] == [1, 2, 1]
    assert [line["event"] for line in lines if line["event"] == "sink runs"] == ["sink runs"] * 2


async def test_a_missing_sink_is_believed_after_a_minute_and_told_each_minute() -> None:
    fake = FakeConnect("RUNNING", *["MISSING"] * 100, "RUNNING")
    with capture_logs() as lines:
        await watched(fake, until=200)
    missing = [line for line in lines if line["event"] == "sink missing"]
    assert len(missing) == 3 and missing[0]["remedy"] == APPLY
    assert not fake.restarts


async def test_a_stopped_sink_is_told_and_left_alone() -> None:
    fake = FakeConnect("RUNNING")
    fake.stopped = True
    with capture_logs() as lines:
        await watched(fake, until=100)
    assert [line["event"] for line in lines] == ["sink is STOPPED"] * 2 and lines[0]["remedy"] == APPLY
    assert not fake.restarts and not fake.calls


def connector(state: str = "RUNNING", failure: Failure | None = None) -> ConnectorStatus:
    return ConnectorStatus("n", "RUNNING", "w", (TaskStatus(0, state, "w", failure),))


def test_faults_are_told_with_what_to_do() -> None:
    failure = Failure("the table has no column number", "Put it back.")
    assert sink_faults(connector(), "lake") == ()
    assert sink_faults(None, "lake") == (Fault("not applied yet, or deleted", APPLY),)
    assert sink_faults(connector("FAILED", failure), "lake") == (Fault(failure.reason, failure.remedy),)
    assert sink_faults(ConnectorStatus("n", "STOPPED", "w", ()), "lake") == (Fault("it is STOPPED", APPLY),)


def test_a_fault_of_the_whole_sink_is_told_once() -> None:
    away = Fault("no database answers", "Start it.")
    parts = tuple(
        SinkPartReport(part, f"n-{part}", connector("FAILED"), behind, (away,))
        for part, behind in (("results", 1), ("legs", 7))
    )
    report = SinkReport("lake", "postgresql at db:5432, database calls", parts, ())
    assert report.lines() == [
        "sink lake (postgresql at db:5432, database calls)",
        "  results: FAILED, 1 record behind",
        "    no database answers",
        "      Start it.",
        "  legs: FAILED, 7 records behind",
    ]
    assert not report.healthy
    told = report.as_json()
    assert [each["behind"] for each in told["connectors"]] == [1, 7] and told["healthy"] is False
    well = SinkReport("lake", "", (SinkPartReport("legs", "n", connector(), 0, ()),), ())
    assert well.healthy and well.lines()[1] == "  legs: RUNNING, 0 records behind"
