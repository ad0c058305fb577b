"""What `connectors status` says."""

import json

import pytest

from connectors.capture_state import CaptureState, Hold
from connectors.client import ConnectorStatus, TaskStatus
from connectors.failures import Failure
from connectors.fault import Fault
from connectors.gap_memory import GapOutcome
from connectors.guard import Verdict
from connectors.mariadb.history import DatabaseHistory
from connectors.report import CaptureReport, connector_faults, gap_fault
from connectors.row_mark import RowMark

FAILURE = Failure("the binlog was purged", "Run: cel2crm connectors start-afresh", needs_person=True)


def status(state: str, *tasks: str) -> ConnectorStatus:
    parts = [TaskStatus(n, each, "w", FAILURE if each == "FAILED" else None) for n, each in enumerate(tasks)]
    return ConnectorStatus("c", state, "w", tuple(parts))


@pytest.mark.parametrize(
    ("found", "beat", "words"),
    [
        (None, None, "not applied yet, or deleted"),
        (status("RUNNING", "FAILED"), 3.0, "the binlog was purged"),
        (status("STOPPED"), 3.0, "it is STOPPED: nothing is captured"),
        (status("RUNNING"), 3.0, "nothing is captured"),
        (status("RUNNING", "RUNNING"), None, "no sign of life from the database yet"),
        (status("RUNNING", "RUNNING"), 61.0, "no sign of life for 61 s"),
    ],
)
def test_a_capture_that_stands_still_is_told(found: ConnectorStatus | None, beat: float | None, words: str) -> None:
    (fault,) = connector_faults(found, beat, held=False)
    assert words in fault.problem and fault.remedy


def test_a_capture_that_works_has_no_fault() -> None:
    assert connector_faults(status("RUNNING", "RUNNING"), 12.0, held=False) == []


def test_a_held_connector_is_stopped_for_it_and_not_to_be_resumed() -> None:
    assert connector_faults(status("STOPPED"), 90.0, held=True) == []


def test_for_a_person_and_for_machines() -> None:
    hold = Hold("its binlog has gone back", "2026-11-23 21:02:03", 0)
    known = DatabaseHistory("0-1-8", None, RowMark(7, "u", "2026-11-24 01:02:03"), 1)
    told = CaptureReport(
        "c", status("STOPPED"), 90.0, Verdict(hold, CaptureState(known, hold=hold)), (Fault(hold.reason, hold.remedy),)
    )
    assert told.lines() == [
        "connector c STOPPED, no tasks, last heartbeat 90 s ago",
        "  its binlog has gone back",
        f"    {hold.remedy}",
        "  database: server 1, GTID 0-1-8, highest id 7",
        "  gaps: nothing is remembered of a comparison: connectors watch compares, or: cel2crm gaps",
    ]
    machine = json.loads(json.dumps(told.as_json()))
    assert (machine["running"], machine["healthy"], machine["state"]) == (False, False, "STOPPED")
    assert machine["hold"]["backfill_since"] == "2026-11-23 21:02:03"


@pytest.mark.parametrize(
    ("gaps", "words"),
    [
        (
            GapOutcome(60_000, compared_to=RowMark(7, "u", "2026-11-24 01:02:03")),
            "none up to row 7 of 2026-11-24 01:02",
        ),
        (GapOutcome(60_000, problem="no database answers"), "not compared at 1970-01-01 00:01:00 UTC: no database"),
        (GapOutcome(60_000, missing_rows=1), "see above, compared at 1970-01-01 00:01:00 UTC"),
    ],
)
def test_the_last_comparison_for_gaps_is_told(gaps: GapOutcome, words: str) -> None:
    told = CaptureReport("c", None, None, None, (), gaps)
    assert words in told.lines()[-1]
    assert told.as_json()["gaps"]["compared_at_ms"] == 60_000


def test_gaps_name_their_remedies_the_first_three() -> None:
    assert gap_fault(GapOutcome(0, remedies=("a", "b"))).remedy == "Run: a; b"
    assert gap_fault(GapOutcome(0, remedies=("a", "b", "c", "d"))).remedy == "Run: a; b; c; more by: cel2crm gaps"
    assert gap_fault(GapOutcome(0)).remedy == "See: cel2crm gaps"


def test_a_missing_connector_keeps_its_name_for_machines() -> None:
    machine = CaptureReport("c", None, None, None, (Fault("x", "y"),)).as_json()
    assert (machine["name"], machine["state"], machine["running"]) == ("c", "MISSING", False)


def test_a_hold_says_which_rows_may_be_missing() -> None:
    assert Hold("r", "2026-11-23 21:02:03", 0).missing == (
        "Rows written since 2026-11-23 21:02:03 may be missing on the topic."
    )
    assert Hold("r", "0", 0).missing == "Rows may be missing on the topic."
