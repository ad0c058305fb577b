"""Findings of `cel2crm status`: what is concluded of facts, without a server."""

import json
from dataclasses import replace
from typing import Any

import pytest

from connectors.client import ConnectorStatus, TaskStatus
from connectors.failures import Failure
from connectors.fault import Fault
from connectors.gap_memory import GapOutcome
from connectors.row_mark import RowMark
from connectors.sinks.report import SinkPartReport, SinkReport
from streams.clock import MICROS_PER_SECOND
from streams.credentials.standing import AuthorisationState, Tokens
from streams.dead_letter_reasons import Recovery
from streams.operations.complete_until import PbxComplete
from streams.operations.dead_letters import Group
from streams.operations.portal_status import PortalStatus
from streams.operations.status.dead_letters import command_for
from streams.operations.status.facts import (
    Backlog,
    CaptureFacts,
    DeadLetterFacts,
    Facts,
    PartitionProgress,
    Unanswered,
    UnreadableMemory,
    WorkerFacts,
)
from streams.operations.status.findings import Finding
from streams.operations.status.patience import backlog_settled, workers_settled
from streams.operations.status.verdict import verdict_of
from streams.operations.status.view import status_json, status_lines
from streams.settings import PortalSettings, Settings
from tests.cli.hostile import HOSTILE

NOW = 1_796_000_000 * MICROS_PER_SECOND
SETTINGS = Settings()
ROW = RowMark(4711, "1795389780.12", "2026-11-24 01:02:03")
RUNNING = ConnectorStatus("cel2crm-pbx1", "RUNNING", "w", (TaskStatus(0, "RUNNING", "w"),))
CAPTURE = CaptureFacts("cel2crm-pbx1", RUNNING, True, True, 3.0, captured=ROW, last_row=ROW, backlog_known=True)
LET_IN = AuthorisationState("token", Tokens.FIXED)
SALES = PortalStatus(PortalSettings(name="sales", crm="kommo"), LET_IN)


def seconds_ago(seconds: float) -> int:
    return NOW - int(seconds * MICROS_PER_SECOND)


def partition(number: int, behind: int = 0, age: float = 0.0, **fields: Any) -> PartitionProgress:
    """A partition whose oldest record, if any, has been waiting for `age` seconds."""
    since = seconds_ago(age) // 1000 if behind else None
    known: dict[str, Any] = {"holder": "10.0.0.5", "first": 0, "next": 100, "end": 100 + behind, **fields}
    return PartitionProgress("cel2crm.cel", number, waiting_since=since, **known)


def worker(*partitions: PartitionProgress, name: str = "aggregate", **fields: Any) -> WorkerFacts:
    known: dict[str, Any] = {"state": "Stable", "members": 1, **fields}
    return WorkerFacts(name, partitions=partitions or (partition(0), partition(1)), **known)


WELL = Facts(
    NOW,
    1.0,
    CAPTURE,
    {"aggregate": worker(), "kommo": worker(name="kommo")},
    portals=(SALES,),
    dead_letters=(),
    gaps=GapOutcome(NOW // 1000),
    gaps_known=True,
)


def findings(facts: Facts, settings: Settings = SETTINGS) -> dict[str, Finding]:
    """By code."""
    return {each.code: each for each in verdict_of(facts, settings).findings}


def of_worker(one: WorkerFacts, settings: Settings = SETTINGS) -> dict[str, Finding]:
    return findings(replace(WELL, workers={one.name: one}), settings)


def of_portal(**fields: Any) -> dict[str, Finding]:
    return findings(replace(WELL, portals=(replace(SALES, **fields),)))


def of_capture(**fields: Any) -> dict[str, Finding]:
    return findings(replace(WELL, capture=replace(CAPTURE, **fields)))


def test_all_is_well() -> None:
    verdict = verdict_of(WELL, SETTINGS)
    assert (verdict.exit_status, verdict.word, verdict.line) == (0, "well", "all is well")
    first, *rest = status_lines(verdict, WELL)
    assert first == "all is well"
    assert any("last row captured 4711 of 2026-11-24 01:02:03" in line for line in rest)
    assert any(line.startswith("worker aggregate ") and "1 process holds 2 of 2 partitions" in line for line in rest)


def test_the_worker_is_dead_and_a_call_is_waiting() -> None:
    dead = worker(partition(0, 34, age=41, holder=None), partition(1, holder=None), state="Empty", members=0)
    found = of_worker(dead)
    assert list(found) == ["partitions_not_held"]
    assert found["partitions_not_held"].problem == (
        "worker aggregate: nobody holds 2 of 2 partitions of cel2crm.cel; 34 records wait, the oldest for 41 s"
    )
    assert found["partitions_not_held"].remedy == "Start it: cel2crm worker aggregate"
    assert verdict_of(replace(WELL, workers={"aggregate": dead}), SETTINGS).exit_status == 1


def test_a_command_does_not_repeat_what_it_shows_itself() -> None:
    dead = worker(partition(0, holder=None), state="Empty", members=0)
    verdict = verdict_of(replace(WELL, capture=replace(CAPTURE, connector=None), workers={"aggregate": dead}), SETTINGS)
    assert [each.area for each in verdict.findings] == ["capture", "workers"]
    assert verdict.line.endswith("nothing is captured (and 1 more)")
    assert [each.area for each in verdict.without("capture").findings] == ["workers"]


def test_a_worker_that_was_never_there_stands_still_without_a_call_too() -> None:
    assert "partitions_not_held" in of_worker(worker(partition(0, holder=None), state="Dead", members=0))


def test_partitions_without_a_holder_are_told_when_that_is_no_passing_state() -> None:
    halves = (partition(0), partition(1, holder=None))
    assert of_worker(worker(*halves)) == {}
    assert "1 of 2 partitions" in of_worker(worker(*halves, watched_seconds=3.5))["partitions_not_held"].problem


def test_a_killed_worker_holds_its_partitions_until_its_session_is_over() -> None:
    killed = worker(partition(0, 1, age=9), partition(1), watched_seconds=8.2)
    found = of_worker(killed)["partitions_stand"]
    assert "1 of 2 partitions of cel2crm.cel do not move, watched for 8 s" in found.problem
    assert "a process at 10.0.0.5 holds them; 1 record waits, the oldest for 9 s" in found.problem
    assert found.remedy.endswith("cel2crm worker aggregate")


@pytest.mark.parametrize(
    "working",
    [
        worker(partition(0, 1, age=9), watched_seconds=7),  # not watched for long enough
        worker(partition(0, 1, age=7), watched_seconds=8.2),  # it came while we watched
        worker(partition(0, 50_000, age=9_000, moved=True), watched_seconds=8.2),  # catching up
        worker(partition(0), watched_seconds=8.2),
    ],
)
def test_work_under_way_is_no_standstill(working: WorkerFacts) -> None:
    assert of_worker(working) == {}


def test_a_worker_that_commits_seldom_is_judged_by_the_age_of_its_oldest_record() -> None:
    seldom = Settings.model_validate({"aggregate": {"flush_seconds": 60}})
    assert of_worker(worker(partition(0, 1, age=100), watched_seconds=8.2), seldom) == {}
    assert "partitions_stand" in of_worker(worker(partition(0, 1, age=130), watched_seconds=8.2), seldom)
    assert workers_settled({"a": worker(partition(0, 1, age=100), watched_seconds=8.2)}, seldom)


def test_a_delivery_worker_commits_each_second() -> None:
    assert "partitions_stand" in of_worker(worker(partition(0, 1, age=5), name="kommo", watched_seconds=4.1))


def test_a_group_that_does_not_settle_is_told_in_the_end() -> None:
    free = (partition(0, 3, age=20, holder=None),)
    assert of_worker(worker(*free, state="PreparingRebalance")) == {}
    late = of_worker(worker(*free, state="CompletingRebalance", watched_seconds=8.2))
    assert list(late) == ["rebalancing"] and "3 records wait, the oldest for 20 s" in late["rebalancing"].problem


def test_records_that_expired_before_they_were_taken() -> None:
    found = of_worker(worker(partition(0, 30, age=5, first=119)))
    assert "19 records of 1 of 1 partitions of cel2crm.cel were removed by retention" in found["expired"].problem
    assert partition(0, 30, first=119).waiting == 11


def test_a_topic_that_is_gone() -> None:
    found = of_worker(worker(missing_topics=("cel2crm.cel",)))
    assert found["topic_missing"].problem == "worker aggregate: there is no topic cel2crm.cel"
    assert found["topic_missing"].remedy == "Run: cel2crm topics apply"


@pytest.mark.parametrize(
    ("looked", "settled"),
    [
        (worker(), True),
        (worker(partition(0, holder=None), members=0, state="Empty"), True),
        (worker(partition(0, 1)), False),
        (worker(partition(0, 1, moved=True)), True),
        (worker(partition(0, 1), watched_seconds=8.0), True),
        (worker(partition(0), partition(1, holder=None)), False),
        (worker(partition(0), partition(1, holder=None), watched_seconds=3.0), True),
        (worker(partition(0, holder=None), state="PreparingRebalance", watched_seconds=4.0), False),
        (worker(partition(0, holder=None), state="PreparingRebalance", watched_seconds=8.0), True),
    ],
)
def test_when_another_look_would_show_more(looked: WorkerFacts, settled: bool) -> None:
    assert workers_settled({"aggregate": looked}, SETTINGS) is settled


def test_capture_that_is_not_applied_failed_or_silent() -> None:
    assert of_capture(connector=None)["connector"].remedy == "Run: cel2crm connectors apply"
    failed = TaskStatus(0, "FAILED", "w", Failure("the database user is locked", "Give it a password."))
    found = of_capture(connector=replace(RUNNING, tasks=(failed,)))["connector"]
    assert found.problem == "connector cel2crm-pbx1: the database user is locked"
    assert "no sign of life for 75 s" in of_capture(seconds_since_heartbeat=75.0)["connector"].problem
    away = of_capture(connector=None, connector_known=False, seconds_since_heartbeat=75.0)
    assert list(away) == ["silent"]
    assert of_capture(connector=None, connector_known=False) == {}, "its heartbeat shows that it works"
    assert of_capture(heartbeat_known=False, seconds_since_heartbeat=None) == {}, "nobody asked a broker"


def test_a_capture_that_waits_for_a_person_or_has_a_warning() -> None:
    hold = Fault("capture is held: its binlog has gone back", "Run: cel2crm connectors start-afresh")
    found = of_capture(hold=hold, connector=ConnectorStatus("c", "STOPPED", "w", ()))
    assert list(found) == ["held"] and found["held"].remedy == hold.remedy
    assert "warning" in of_capture(warnings=(Fault("the schema history has lost records", "x"),))


def test_rows_that_do_not_come_to_the_topic() -> None:
    late = Backlog(12, RowMark(4712, "u", "2026-11-24 01:02:09"), "1.1", 6.5)
    found = of_capture(backlog=late)["behind"]
    assert "12 rows of the table are not on the topic, the first of them 4712 of 2026-11-24 01:02:09" in found.problem
    assert of_capture(backlog=replace(late, seconds=2.0)) == {}, "they may be on their way"
    assert not backlog_settled(replace(late, seconds=2.0)) and backlog_settled(late) and backlog_settled(None)


def test_gaps_that_the_watcher_remembers() -> None:
    outcome = GapOutcome(NOW // 1000, missing_rows=7, remedies=("cel2crm backfill --ids 1200-1207",))
    found = findings(replace(WELL, gaps=outcome))["gaps"]
    assert "7 rows of the table never reached the topic" in found.problem
    assert found.remedy == "Run: cel2crm backfill --ids 1200-1207"
    assert findings(replace(WELL, gaps=None)) == {}


def test_a_record_that_a_worker_stops_at() -> None:
    places = ("cel2crm.deliveries-kommo/3/1207", "cel2crm.deliveries-kommo/4/9")
    found = findings(replace(WELL, unreadable=(UnreadableMemory("kommo", places),)))["unreadable"]
    assert "cel2crm.deliveries-kommo/3/1207 (and 1 more) cannot be read" in found.problem
    assert "cel2crm topics set-aside cel2crm.deliveries-kommo/3/1207" in found.remedy


def test_a_portal_that_is_paused_disabled_or_lets_nobody_in() -> None:
    waits: dict[str, Any] = {"waiting": 3, "oldest": "pbx1/1.1", "oldest_since": seconds_ago(90)}
    paused = of_portal(paused="the licence has ended", **waits)["paused"]
    assert paused.problem == "portal sales (kommo) is paused: the licence has ended; 3 calls wait, the oldest for 90 s"
    assert paused.remedy.endswith("cel2crm portal status sales")
    gone = of_portal(paused="it wants no more calls", disabled="it wants no more calls", **waits)
    assert list(gone) == ["disabled"] and "cel2crm portal enable sales" in gone["disabled"].remedy
    refused = of_portal(authorisation=AuthorisationState("oauth", Tokens.REFUSED, why="run x"))["not_authorised"]
    assert refused.remedy == "Run: cel2crm portal authorise sales"
    assert of_portal(authorisation=AuthorisationState("oauth", Tokens.UNKNOWN)) == {}


def test_a_portal_that_takes_no_calls_and_one_that_catches_up() -> None:
    waits: dict[str, Any] = {"waiting": 900, "oldest": "pbx1/1.1", "oldest_since": seconds_ago(3600)}
    found = of_portal(oldest_reason="HTTP 503", **waits)["takes_no_calls"]
    assert found.problem == "portal sales (kommo) takes no calls: HTTP 503; 900 calls wait, the oldest for 1 h"
    assert found.remedy.endswith("cel2crm deliveries pbx1/1.1")
    assert of_portal(last_delivered=seconds_ago(2), **waits) == {}
    assert of_portal(**{**waits, "oldest_since": seconds_ago(30)}) == {}
    shadow = PortalSettings(name="sales", crm="kommo", shadow=True)
    assert of_portal(portal=shadow, **waits) == {}


def letters(reason: str, recovery: Recovery, count: int = 1, portal: str | None = None) -> DeadLetterFacts:
    group = Group("kommo", reason, portal, recovery, count, {"pbx1/1.1"}, NOW, NOW, "the CRM said no", "the last's")
    return DeadLetterFacts(group, command_for(group))


@pytest.mark.parametrize(
    ("found", "command"),
    [
        (letters("refused", Recovery.RETRY), "the last's"),
        (
            letters("refused", Recovery.RETRY, 2, "sales"),
            "cel2crm dead-letters retry --component kommo --reason refused --portal sales",
        ),
        (
            letters("unreadable_result", Recovery.RETURN, 2),
            "cel2crm dead-letters retry --component kommo --reason unreadable_result",
        ),
        (letters("late_row", Recovery.BACKFILL, 2), "cel2crm backfill --dead-letters"),
        (
            letters("wrong_partition", Recovery.NOTHING, 2),
            "cel2crm dead-letters drop --component kommo --reason wrong_partition",
        ),
    ],
)
def test_dead_letters_have_one_command(found: DeadLetterFacts, command: str) -> None:
    facts = replace(WELL, dead_letters=(found,))
    told = findings(facts)["dead_letters"]
    assert told.remedy == f"Run: {command}" and "the last: the CRM said no" in told.problem
    (group,) = status_json(verdict_of(facts, SETTINGS), facts)["dead_letters"]
    assert (group["command"], group["letters"]) == (command, found.group.count)


def test_expired_records_say_that_their_letter_is_to_be_dropped() -> None:
    found = findings(replace(WELL, dead_letters=(letters("expired_rows", Recovery.BACKFILL),)))["expired_records"]
    assert found.remedy == "Run: the last's. When its calls are there, drop the letter."


def test_numbers_are_masked_where_the_settings_say_so() -> None:
    masked = Settings.model_validate({"logging": {"mask_numbers": True}})
    facts = replace(WELL, portals=(replace(SALES, paused="+79161234567 is not let in"),))
    assert "+79161234567" in findings(facts)["paused"].problem
    assert "+79161234567" not in findings(facts, masked)["paused"].problem


def test_what_could_not_be_looked_at_is_no_all_is_well() -> None:
    away = Unanswered("the workers, the portals", "no Kafka broker at 10.0.0.7:9092", "Start it.")
    facts = Facts(NOW, 1.0, CAPTURE, unanswered=(away,))
    verdict = verdict_of(facts, SETTINGS)
    assert (verdict.exit_status, verdict.word) == (2, "cannot_tell")
    assert "no Kafka broker at 10.0.0.7:9092" in verdict.line
    lines = list(status_lines(verdict, facts))
    assert "  could not be looked at: the workers, the portals: no Kafka broker at 10.0.0.7:9092" in lines
    assert any("cel2crm-pbx1 RUNNING" in line for line in lines), "what could be looked at is told all the same"
    machine = json.loads(json.dumps(status_json(verdict, facts)))
    assert (machine["portals"], machine["dead_letters"], machine["workers"]) == (None, None, [])
    both = replace(facts, capture=replace(CAPTURE, connector=None))
    assert verdict_of(both, SETTINGS).exit_status == 1, "what is known to stand still goes before"


def test_every_member_has_a_form_for_machines() -> None:
    facts = replace(
        WELL,
        workers={"aggregate": worker(partition(0, 2, age=30, holder=None), state="Empty", members=0)},
        portals=(replace(SALES, waiting=1, oldest="pbx1/1.1", oldest_since=seconds_ago(60)),),
        unreadable=(UnreadableMemory("kommo", ("t/0/1",)),),
    )
    machine = json.loads(json.dumps(status_json(verdict_of(facts, SETTINGS), facts)))
    (aggregate,), (portal,) = machine["workers"], machine["portals"]
    assert (aggregate["waiting"], aggregate["oldest_seconds"], aggregate["processes"]) == (2, 30.0, 0)
    assert aggregate["partitions"][0]["holder"] is None
    assert (portal["oldest"], portal["oldest_seconds"], portal["tokens"]) == ("pbx1/1.1", 60.0, "fixed")
    assert (machine["capture"]["captured"]["id"], machine["capture"]["rows_behind"]) == (4711, 0)
    assert machine["unreadable"] == [{"worker": "kommo", "records": ["t/0/1"]}]
    assert [each["code"] for each in machine["findings"]] == ["partitions_not_held", "unreadable"]


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_what_others_chose_makes_no_line_of_its_own(text: str) -> None:
    facts = replace(
        WELL,
        capture=replace(CAPTURE, captured=RowMark(1, text, text)),
        portals=(replace(SALES, paused=text, oldest=text, oldest_since=seconds_ago(60)),),
        dead_letters=(DeadLetterFacts(replace(letters("refused", Recovery.RETRY).group, explanation=text), text),),
    )
    verdict = verdict_of(facts, SETTINGS)
    assert len(list(status_lines(verdict, facts))) == len(list(status_lines(verdict, WELL)))
    json.dumps(status_json(verdict, facts))


SINK = SinkReport(
    "postgresql", "postgresql at db:5432, database calls",
    tuple(SinkPartReport(part, f"cel2crm-sink-postgresql-{part}", RUNNING, 0, ()) for part in ("results", "legs")), (),
)  # fmt: skip
AWAY = Fault("no database answers at db:5432 for sink postgresql", "Start it.")


def test_a_sink_that_works_is_a_line() -> None:
    facts = replace(WELL, sinks=(SINK,))
    assert not findings(facts)
    lines = list(status_lines(verdict_of(facts, SETTINGS), facts))
    (line,) = [each for each in lines if each.startswith("sink postgresql ")]
    assert line.endswith("  results: RUNNING, 0 records behind; legs: RUNNING, 0 records behind")
    assert status_json(verdict_of(facts, SETTINGS), facts)["sinks"][0]["healthy"] is True


def test_what_is_wrong_with_a_sink_is_one_finding_each() -> None:
    """Its database is away: each connector says so too."""
    parts = tuple(replace(part, behind=7, faults=(AWAY,)) for part in SINK.parts)
    verdict = verdict_of(replace(WELL, sinks=(replace(SINK, faults=(AWAY,), parts=parts),)), SETTINGS)
    assert [(each.area, each.code, each.problem) for each in verdict.findings] == [
        ("sinks", "sink", "sink postgresql: no database answers at db:5432 for sink postgresql")
    ]
    changed = Fault("table call_legs lacks a column that its records have", "Compare the tables.")
    parts = (SINK.parts[0], replace(SINK.parts[1], behind=1, faults=(changed,)))
    (found,) = verdict_of(replace(WELL, sinks=(replace(SINK, parts=parts),)), SETTINGS).findings
    assert found.problem == (
        "sink postgresql, legs: table call_legs lacks a column that its records have; 1 record behind"
    )
    assert verdict_of(replace(WELL, sinks=(replace(SINK, parts=parts),)), SETTINGS).exit_status == 1


def test_until_when_calls_are_complete_is_told() -> None:
    complete = PbxComplete("office", seconds_ago(70), seconds_ago(10), "office/1.1", 2, 2)
    facts = replace(WELL, complete=(complete,))
    assert not findings(facts)
    (line,) = [each for each in status_lines(verdict_of(facts, SETTINGS), facts) if "calls of office" in each]
    assert ", 70 s ago; call office/1.1 began then, and is under way" in line
    (told,) = status_json(verdict_of(facts, SETTINGS), facts)["complete_until"]
    assert (told["pbx"], told["held_by"]) == ("office", "office/1.1")


def test_nobody_told_yet_until_when_calls_are_complete() -> None:
    def lines(facts: Facts) -> list[str]:
        return [each for each in status_lines(verdict_of(facts, SETTINGS), facts) if each.startswith("calls ")]

    assert not lines(WELL)  # not asked
    (line,) = lines(replace(WELL, complete=()))
    assert "cel2crm connectors watch tells it" in line
