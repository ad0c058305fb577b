"""`cel2crm capture` as a person reports a wrong status with it."""

import json
from pathlib import Path

import pytest

from deploy.demo.recordings import RECORDINGS, read_recordings
from tests.cli.commands import run

PICKED_UP, PICKER = "1795389970.80", "1795389971.82"
RECORDED = json.loads(RECORDINGS.read_text(encoding="utf-8").splitlines()[0])


def test_a_case_has_the_form_of_the_recordings_and_holds_the_linked_call_too(tmp_path: Path) -> None:
    done = run("capture", PICKED_UP, str(RECORDINGS))
    case = json.loads(done.stdout)
    assert set(RECORDED) <= set(case)
    assert list(case["cel"][0]) == list(RECORDED["cel"][0])
    assert case["linkedids"] == [PICKED_UP, PICKER]
    assert [case[truth] for truth in ("human_answered", "who_answered", "direction", "result")] == [None] * 4
    (file := tmp_path / "case.jsonl").write_text(done.stdout, encoding="utf-8")
    assert [each.linkedids for each in read_recordings(file)] == [(PICKED_UP, PICKER)]


def test_what_was_replaced_is_told_with_the_advice_to_look() -> None:
    told = run("capture", PICKED_UP, str(RECORDINGS)).stderr
    assert "22 rows of 2 calls; replaced:" in told
    assert "2 outside numbers" in told
    assert "before you share it" in told
    assert "differently" not in told


def test_the_truth_that_a_user_gives_is_replaced_too_and_compared(tmp_path: Path) -> None:
    file = tmp_path / "cases.jsonl"
    truth = (
        "--answered",
        "--who",
        "1002",
        "--direction",
        "inbound",
        "--result",
        "200",
        "--bitrix24",
        "200",
        "--kommo",
        "4",
    )
    assert run("capture", PICKED_UP, str(RECORDINGS), "-o", str(file), *truth).status == 0
    done = run("classify", "--truth", str(file))
    assert done.status == 0, done.stdout
    assert "6 answers compared" in done.stdout


def test_a_wrong_truth_makes_classify_fail(tmp_path: Path) -> None:
    file = tmp_path / "cases.jsonl"
    run("capture", PICKED_UP, str(RECORDINGS), "-o", str(file), "--kommo", "1")
    run("capture", "1795391128.1109", str(RECORDINGS), "-o", str(file), "--not-answered")
    done = run("classify", "--truth", str(file))
    assert done.status == 1
    assert "2 disagree" in done.stdout


def test_settings_that_decide_travel_with_the_case(tmp_path: Path) -> None:
    settings = tmp_path / "s.yaml"
    settings.write_text("numbers: {trunks: [trunk1], region: DE, internal_patterns: ['7926\\d+']}\n", encoding="utf-8")
    case = json.loads(run("capture", "1795390755.775", str(RECORDINGS), "-s", str(settings)).stdout)
    assert case["settings"]["numbers"]["trunks"] == ["trunk1"]
    assert case["settings"]["numbers"]["region"] == "DE"
    assert len(case["settings"]["numbers"]["internal_patterns"]) == 1
    assert "1112233" not in json.dumps(case)


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["--result", "201"], "--result 201 is not known"),
        (["--bitrix24", "999"], "--bitrix24 999 is not known"),
        (["--kommo", "8"], "--kommo 8 is not known"),
        (["--direction", "sideways"], "--direction sideways is not known"),
        (["-o", "/nowhere/case.jsonl"], "cannot write /nowhere/case.jsonl"),
    ],
)
def test_mistakes_are_one_message(arguments: list[str], problem: str) -> None:
    done = run("capture", PICKED_UP, str(RECORDINGS), *arguments)
    assert done.status == 2
    assert problem in done.stderr
