"""`cel2crm classify --rules`: what other rules would tell."""

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from typer.testing import CliRunner, Result

from streams.cli.command_line import command_line
from streams.errors import UserError
from streams.rows.row import CelRow
from tests.calls.tables import cel

IN_VAIN = """
    0 start  PJSIP/trunk1-01 0 num=79161234567 context=from-trunk exten=1001
    1 start  PJSIP/1001-02   1 num=1001 context=from-internal
    9 hangup PJSIP/1001-02   1 cause=19
    9 end    PJSIP/1001-02   1
    9 hangup PJSIP/trunk1-01 0 cause=19/NOANSWER
    9 end    PJSIP/trunk1-01 0
    9 over   PJSIP/trunk1-01 0
"""
OTHER = """
results:
  - {cause: 19, status: NOANSWER, result: 408}
texts:
  en: {did_not_answer: Nobody there}
directions:
  - {context: from-queue, side: outside}
"""


def lines(rows: list[CelRow]) -> bytes:
    return b"".join(msgspec.json.encode(row) + b"\n" for row in rows)


CALLS = lines(
    [
        *cel(IN_VAIN, linkedid="1.1"),
        *cel(IN_VAIN.replace("cause=19", "cause=21"), linkedid="1.2", first_id=10),
        *cel(IN_VAIN.replace("from-trunk", "from-queue").replace("79161234567", "s"), linkedid="1.3", first_id=20),
    ]
)


@pytest.fixture
def other(tmp_path: Path) -> str:
    path = tmp_path / "other.yaml"
    path.write_text(OTHER)
    return str(path)


def classify(*arguments: str) -> Result:
    return CliRunner().invoke(command_line(), ["classify", *arguments], input=CALLS)


def told(*arguments: str) -> dict[str, dict[str, Any]]:
    return {each["linkedid"]: each for each in map(json.loads, classify("--json", *arguments).stdout.splitlines())}


def test_calls_are_told_by_the_other_rules(other: str) -> None:
    before, after = told(), told("--rules", other)
    assert [each["result"] for each in before.values()] == [480, 603, 480]
    assert [each["result"] for each in after.values()] == [408, 603, 408]
    assert before["1.1"]["rules_hash"] != after["1.1"]["rules_hash"]


def test_a_result_names_the_hash_that_rules_show_prints(other: str) -> None:
    for arguments in ([], ["--rules", other]):
        shown = json.loads(CliRunner().invoke(command_line(), ["rules", "show", "--json", *arguments]).stdout)
        assert {each["rules_hash"] for each in told(*arguments).values()} == {shown["hash"]}


def test_only_the_calls_that_are_told_differently_are_compared(other: str) -> None:
    changes = told("--rules", other, "--compare")
    assert list(changes) == ["1.1", "1.3"]
    assert changes["1.1"]["before"] == {
        "result": 480, "result_name": "Temporarily unavailable",
        "kommo": {"status": 3, "text": "Subscriber did not answer"},
    }  # fmt: skip
    assert changes["1.1"]["after"]["kommo"]["text"] == "Nobody there"
    assert (changes["1.3"]["before"]["direction"], changes["1.3"]["after"]["direction"]) == ("unknown", "incoming")


def test_people_see_a_table_and_how_many_calls_change(other: str) -> None:
    done = classify("--rules", other, "--compare")
    assert "3, Nobody there" in done.stdout
    assert "2 of 3 calls would be told differently" in done.stderr


def test_the_same_rules_change_no_call(tmp_path: Path) -> None:
    (tmp_path / "same.yaml").write_text("")
    done = classify("--rules", str(tmp_path / "same.yaml"), "--compare", "--json")
    assert (done.stdout, done.stderr) == ("", "cel2crm: 0 of 3 calls would be told differently\n")


def test_comparing_needs_other_rules() -> None:
    assert isinstance(error := classify("--compare").exception, UserError)
    assert "--rules FILE" in error.remedy
