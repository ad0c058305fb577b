"""The judge and the reader of remedies can fail: what is missing, doubled or wrong is said, and only what is named."""

import shlex
import time
from dataclasses import dataclass, field
from typing import cast

import pytest

from deploy.demo.expected import expected
from deploy.demo.recordings import read_recordings
from streams.settings import Settings
from tests.chaos.call_flow import InsertedCall
from tests.chaos.installation import Installation, Said
from tests.chaos.operator_view import loud_words
from tests.chaos.oracle import Oracle
from tests.chaos.remedies import allowed_commands, follow, named_commands

ANSWERED = "inbound_answered_caller_hangs_up"


@pytest.fixture
def call() -> InsertedCall:
    case = next(case for case in read_recordings() if case.name == ANSWERED)
    (truth,) = expected(case)
    return InsertedCall(truth, [dict(row) for row in case.rows], time.time())


@pytest.fixture
def oracle() -> Oracle:
    return Oracle(Settings())


def entry(call: InsertedCall, status: str) -> dict[str, object]:
    return {"external_id": f"pbx1/{call.truth.linkedid}", "status": status}


def entries(oracle: Oracle, call: InsertedCall) -> dict[str, list[dict[str, object]]]:
    return {portal: [entry(call, status)] for portal, status in oracle.due(call).items()}


def test_an_answered_call_is_due_everywhere_with_the_status_of_the_tables(oracle: Oracle, call: InsertedCall) -> None:
    assert oracle.due(call) == {"bitrix24": "200", "kommo": "4", "webhook": "200"}
    assert oracle.judge([call], entries(oracle, call)).right


def test_a_call_that_is_not_there_is_missing(oracle: Oracle, call: InsertedCall) -> None:
    shown = entries(oracle, call) | {"kommo": []}
    judgement = oracle.judge([call], shown)
    assert judgement.missing == {("kommo", call.truth.linkedid)}
    assert not judgement.right


def test_a_call_that_is_there_twice_is_doubled(oracle: Oracle, call: InsertedCall) -> None:
    shown = entries(oracle, call)
    shown["bitrix24"] *= 2
    assert oracle.judge([call], shown).doubled == {("bitrix24", call.truth.linkedid)}


def test_another_status_is_wrong(oracle: Oracle, call: InsertedCall) -> None:
    shown = entries(oracle, call) | {"webhook": [entry(call, "304")]}
    assert oracle.judge([call], shown).wrong == {("webhook", call.truth.linkedid): "304, due 200"}


def test_rows_that_do_not_say_what_the_recording_says_put_the_oracle_in_doubt(
    oracle: Oracle, call: InsertedCall
) -> None:
    call.rows = [row for row in call.rows if "BRIDGE" not in row["eventtype"] and row["eventtype"] != "ANSWER"]
    assert oracle.judge([call], entries(oracle, call)).disagreements


def test_a_command_counts_as_named_when_it_can_be_run_as_it_stands() -> None:
    words = (
        "rows A..B expired: `cel2crm backfill --since 4711 --deliver`. See cel2crm dead-letters list --calls, "
        "cel2crm deliver CALL, or cel2crm backfill --since .. ; Run: cel2crm connectors apply"
    )
    assert named_commands(words) == ["backfill --since 4711 --deliver", "connectors apply"]
    assert named_commands("Run: cel2crm backfill --since '2026-11-24 10:00:00'. Then more.") == [
        "backfill --since '2026-11-24 10:00:00'"
    ]
    assert named_commands("run `cel2crm portal authorise kommo` (invalid), then cel2crm topics apply and wait") == [
        "portal authorise kommo",
        "topics apply",
    ]
    assert allowed_commands(words, ("backfill",)) == ["backfill --since 4711 --deliver"]


@dataclass
class Product:
    """Stands in for an installation: each command's words, and which were given."""

    words: dict[str, str]
    given: list[str] = field(default_factory=list)

    def cel2crm(self, *words: str) -> Said:
        self.given.append(shlex.join(words))
        return Said(shlex.join(words), 0, self.words.get(shlex.join(words[:2]), ""), 0.1)


def test_a_command_that_a_remedy_names_is_followed_too_and_each_once() -> None:
    backfill = "cel2crm backfill --since '2026-11-24 10:00:00'"
    product = Product(
        {"connectors start-afresh": f"To bring them: {backfill}", "backfill --since": f"again: {backfill}"}
    )
    told = "Run: cel2crm connectors start-afresh. It captures from then on, and names the backfill."
    done = follow(cast("Installation", product), told, ("connectors", "backfill"))
    assert product.given == [
        "connectors start-afresh --yes",
        "backfill --since '2026-11-24 10:00:00' --deliver --yes",
    ]
    assert [each.command for each in done] == product.given


def test_of_several_backfills_since_a_time_the_earliest_is_done() -> None:
    product = Product({})
    told = "; ".join(f"cel2crm backfill --since '2026-11-24 1{hour}:00:00'." for hour in (2, 1, 3))
    follow(cast("Installation", product), told, ("backfill",))
    assert product.given == ["backfill --since '2026-11-24 11:00:00' --deliver --yes"]


def test_what_is_told_is_a_warning_or_an_error_of_the_product() -> None:
    assert loud_words('{"event": "started", "level": "info", "logger": "worker"}') is None
    assert loud_words('{"event": "x", "level": "error", "logger": "aiokafka.consumer"}') is None
    own = '{"event": "no partition", "level": "warning", "logger": "streams.kafka.faust_overrides"}'
    assert loud_words(own) == "no partition"
    told = loud_words('{"event": "rows expired", "level": "error", "logger": "aggregate", "partition": 1}')
    assert told == "rows expired (partition=1)"
    assert loud_words("cel2crm: no Kafka broker answers at 127.0.0.1:1") is not None
