"""`cel2crm report`: figures worked out by hand, periods by the PBX's clock, hostile values, and no half a page."""

import csv
import io
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from schemas import own_headers
from streams.analysis.report.calls import ReportCall, report_call
from streams.analysis.report.figures import figures_of, quantile
from streams.analysis.report.settled import settled_calls, still_waiting
from streams.analysis.report.words import Words, texts
from streams.analysis.waiting_clients import is_missed, waiting_clients
from streams.calls.outcome import outcome_of
from streams.calls.result import CallResult
from streams.cli.report.forms import clock
from streams.clock import MICROS_PER_SECOND
from streams.kafka.topic_client import Outgoing
from tests.cli.hostile import HOSTILE, unsafe
from tests.crm.calls import call_result
from tests.operations.memory import Operator
from tests.operations.report_calls import many_calls

MINUTE = 60 * MICROS_PER_SECOND
NOON = int(datetime(2026, 11, 25, 12, tzinfo=UTC).timestamp()) * MICROS_PER_SECOND
"""On the PBX's clock 15:00, three hours ahead of UTC."""
DAY = ("--since", "2026-11-25", "--until", "2026-11-26")


def call(number: int, minutes: float, *, wait: float = 10, **fields: Any) -> CallResult:
    """An answered incoming call so many minutes after 15:00 of the PBX's clock."""
    began = NOON + int(minutes * MINUTE)
    given: dict[str, Any] = {
        "answered": True, "result": 200, "hangup_cause": 16, "trunk": "sipnet", "queue": None, "started_at": began,
        "ended_at": began + MINUTE, "utc_offset_seconds": 10800, **fields,
    }  # fmt: skip
    given["answered_at"] = began + int(wait * MICROS_PER_SECOND) if given["answered"] else None
    given.setdefault("talk_seconds", 60.0 if given["answered"] else 0.0)
    given["outcome"] = str(outcome_of(given["answered"], given["result"]))
    return replace(call_result(number), **given)


CALLS = (
    call(1, 0, wait=10, talk_seconds=30.0, queue="sales", ivr_seconds=4.0),
    call(2, 1, wait=20, talk_seconds=90.0, queue="sales", client="+79160000002"),
    call(3, 2, answered=False, result=408, client="+79160000003", queue="sales"),
    call(4, 61, answered=False, result=486, client="+79160000004"),
    call(5, 62, answered=False, result=500, hangup_cause=34, client="+79160000005", trunk="mtt"),
    call(6, 63, direction="outgoing", wait=5, talk_seconds=240.0, client="+79160000003"),
    call(7, 64, direction="outgoing", answered=False, result=404, hangup_cause=1, client="+79160000005", trunk="mtt"),
    call(8, 122, wait=3, talk_seconds=None, client="+79160000004"),
    call(9, 123, answered=False, result=480, client=None),
    call(10, 124, answered=False, result=408, abandoned=True, client="+79160000010"),
)


@pytest.fixture
def reported(operator: Operator) -> Operator:
    for each in CALLS:
        operator.result(each)
    return operator


def told(operator: Operator, *arguments: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in operator.told("report", *arguments, "--json").splitlines()]


def lines(found: list[dict[str, Any]], by: str) -> dict[tuple[str | None, str | None], dict[str, Any]]:
    return {(each["name"], each.get("direction")): each for each in found if each["by"] == by}


def test_the_figures_of_nine_calls(reported: Operator) -> None:
    found = told(reported, *DAY)
    assert lines(found, "total")[None, None] == {
        "by": "total", "name": None, "direction": None, "calls": 9, "answered": 4, "missed": 2, "busy": 1, "failed": 2,
        "answered_percent": 44.4,  # 4 of 9
        "wait_median_seconds": 5.5,  # of 3, 5, 10 - 4 in the IVR, 20
        "wait_90_seconds": 15.8,  # 6 + 0.7 * (20 - 6)
        "talk_total_seconds": 360.0,
        "talk_mean_seconds": 120.0,  # of the three whose talk is known
    }  # fmt: skip


def test_groups(reported: Operator) -> None:
    found = told(reported, *DAY)
    assert {key: (each["calls"], each["answered"]) for key, each in lines(found, "trunk").items()} == {
        ("sipnet", "incoming"): (6, 3), ("sipnet", "outgoing"): (1, 1), ("mtt", "incoming"): (1, 0),
        ("mtt", "outgoing"): (1, 0),
    }  # fmt: skip
    assert {key: each["calls"] for key, each in lines(found, "hour").items()} == {
        ("15", None): 3, ("16", None): 4, ("17", None): 2,
    }  # fmt: skip
    assert list(lines(found, "day")) == [("2026-11-25", None)]
    (queue,) = lines(found, "queue").values()
    assert (queue["name"], queue["calls"], queue["answered"], queue["talk_total_seconds"]) == ("sales", 3, 2, 120.0)
    assert [each for each in found if each["by"] == "failure"] == [
        {"by": "failure", "name": "mtt", "result": 404, "cause": 1, "calls": 1},
        {"by": "failure", "name": "mtt", "result": 500, "cause": 34, "calls": 1},
    ]


def test_what_became_of_missed_calls(reported: Operator) -> None:
    (found,) = (each for each in told(reported, *DAY) if each["by"] == "unanswered_incoming")
    assert found == {
        "by": "unanswered_incoming", "calls": 4, "called_back": 1, "called_again": 1, "waiting": 1, "no_number": 1,
        "called_back_median_seconds": 61 * 60, "called_again_median_seconds": 61 * 60,
    }  # fmt: skip


def test_a_call_back_after_the_period_counts(operator: Operator) -> None:
    operator.result(call(1, 0, answered=False, result=408))
    operator.result(call(2, 24 * 60, direction="outgoing"))
    found = told(operator, *DAY)
    assert lines(found, "total")[None, None]["calls"] == 1
    assert next(each for each in found if each["by"] == "unanswered_incoming")["called_back_median_seconds"] == 86400


def test_who_waits_is_who_the_command_missed_names() -> None:
    results = [each for each in many_calls(3000) if not each.abandoned]
    known = [made for each in results if (made := report_call(each))]
    expected = waiting_clients(results)
    missed = settled_calls(known, known)
    assert len(missed) == sum(map(is_missed, results)) and len(expected) > 50
    assert [(each.missed[0].client, len(each.missed), each.tries) for each in still_waiting(missed, known)] == [
        (each.client, len(each.missed), len(each.tries)) for each in expected
    ]


@pytest.mark.parametrize(
    ("arguments", "calls"),
    [
        (("--since", "2026-11-25T16:00", "--until", "2026-11-25T17:00"), 4),  # of the PBX's clock
        (("--since", "2026-11-25T13:00+00:00", "--until", "2026-11-25T14:00+00:00"), 4),
        (("--since", "2026-11-25T15:02", "--until", "2026-11-25T15:02:00.000001"), 1),
        (("--until", "2026-11-26"), 9),  # of the 7 days before
        (("--since", "2026-11-24", "--pbx", "pbx1"), 9),
    ],
)
@pytest.mark.parametrize("tree", [{"pbx": {"name": "pbx1"}}])
def test_periods(reported: Operator, arguments: tuple[str, ...], calls: int) -> None:
    assert lines(told(reported, *arguments), "total")[None, None]["calls"] == calls


def test_the_period_is_told_on_the_clock_of_the_pbx(reported: Operator) -> None:
    shown = reported.told("report", "--since", "2026-11-25T00:00+00:00", "--until", "2026-11-26T10:30")
    assert shown.startswith("Calls, 2026-11-25 03:00 to 2026-11-26 10:30\n")
    nothing = reported.told("report", "--until", "2026-10-02T10:30Z")
    assert nothing == "No calls from 2026-09-25 10:30 UTC to 2026-10-02 10:30 UTC.\n"


def test_a_period_without_calls_is_one_sentence_and_no_page(reported: Operator, tmp_path: Path) -> None:
    period = ("--since", "2026-10-01", "--until", "2026-10-02T08:00")
    sentence = "No calls from 2026-10-01 to 2026-10-02 08:00.\n"
    page = tmp_path / "page.html"
    assert reported.told("report", *period) == sentence
    assert reported.told("report", *period, "--html", str(page)) == sentence
    assert not page.exists()
    for form in ("--csv", "--json"):
        done = reported.run("report", *period, form)
        assert (done.exit_code, done.stdout, done.stderr) == (0, "", f"cel2crm: {sentence}")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--since", "2026-11-25", "--until", "2026-11-25"), "--until is not after --since"),
        (("--since", "yesterday"), "is not a time"),
        (("--language", "fr"), "There are: en, ru"),
        (("--csv", "--json"), "exclude each other"),
        (("--pbx", "warehouse"), "the settings name no such PBX"),
        (("--html", ""), "names no file"),
    ],
)
def test_what_cannot_be_meant_is_refused(operator: Operator, arguments: tuple[str, ...], words: str) -> None:
    done = operator.run("report", *arguments)
    problem = done.exception
    assert words in f"{problem} {getattr(problem, 'remedy', '')}"
    assert operator.connections == 0


def test_the_table(reported: Operator) -> None:
    shown = reported.told("report", *DAY)
    assert "Calls, 2026-11-25 to 2026-11-26" in shown and "sipnet" in shown and "500 Server error" in shown
    russian = reported.told("report", *DAY, "--language", "ru")
    assert "Звонки, 2026-11-25 – 2026-11-26" in russian and "перезвонили" in russian


@pytest.mark.parametrize("tree", [{"logging": {"mask_numbers": True}}])
def test_numbers_are_masked_where_the_settings_say_so(operator: Operator) -> None:
    operator.result(call(1, 0, extension="+79161234567", trunk="74951234567", queue="sales"))
    for form in ((), ("--csv",), ("--json",)):
        shown = operator.told("report", *DAY, *form)
        assert "sales" in shown and "+791******67" in shown and "34567" not in shown


def test_records_that_cannot_be_read_are_told(reported: Operator) -> None:
    reported.topics.put(Outgoing("cel2crm.call-results", b"x", b"\0\0\0\0\1junk", headers=own_headers("call_result")))
    done = reported.run("report", *DAY)
    assert done.exit_code == 1 and "1 records of the topic cannot be read" in done.stderr


def hostile(operator: Operator) -> None:
    for number, text in enumerate(HOSTILE.values()):
        operator.result(call(number, number, trunk=text, queue=text, extension=text, rang_last=text, did=text,
                             answered=False, result=500, client=text))  # fmt: skip


def test_hostile_values_stay_text_on_the_terminal_and_in_a_spreadsheet(operator: Operator) -> None:
    hostile(operator)
    assert unsafe(operator.told("report", *DAY)) == ""
    assert unsafe(operator.told("report", *DAY, "--json")) == ""
    rows = list(csv.reader(io.StringIO(operator.told("report", *DAY, "--csv"))))
    assert len(rows) > 3 * len(HOSTILE)
    assert [cell for row in rows for cell in row if cell[:1] in ("=", "+", "-", "@", "\t", "\r")] == []


def test_csv_holds_the_figures_of_json(reported: Operator) -> None:
    rows = list(csv.DictReader(io.StringIO(reported.told("report", *DAY, "--csv"))))
    expected = told(reported, *DAY)
    assert len(rows) == len(expected)
    for row, line in zip(rows, expected, strict=True):
        assert {name: row[name] for name in line} == {
            name: "" if value is None else str(value) for name, value in line.items()
        }


def test_every_language_has_every_text() -> None:
    english = texts()["en"]
    for language, own in texts().items():
        assert own.keys() == english.keys(), language
        for name, text in own.items():
            assert text.count("{") == english[name].count("{"), (language, name)


@pytest.mark.parametrize(
    ("seconds", "shown", "in_words"),
    [(None, "-", "-"), (0.4, "0:00", "0 s"), (59.6, "1:00", "1 min"), (185, "3:05", "3 min 5 s"),
     (45000, "12:30:00", "12 h 30 min")],
)  # fmt: skip
def test_lengths(seconds: float | None, shown: str, in_words: str) -> None:
    assert (clock(seconds), Words("en").seconds(seconds)) == (shown, in_words)


def test_quantiles_are_those_of_the_plots() -> None:
    assert quantile([], 0.5) is None
    assert quantile([3.0], 0.9) == 3.0
    assert quantile([1.0, 2.0, 3.0, 10.0], 0.9) == pytest.approx(7.9)


def test_no_calls_have_no_rates() -> None:
    nothing: list[ReportCall] = []
    assert figures_of(nothing).answered_percent is None and figures_of(nothing).talk_mean_seconds is None
