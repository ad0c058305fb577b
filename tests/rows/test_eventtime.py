"""Times of every spelling that only one time can be meant by; of others nothing is guessed, and that is said."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from streams.rows.eventtime import lacks_seconds, wall_micros
from tests.cli.commands import run
from tests.rows.test_file_kinds import CELLS, LINKEDID

MOMENT = datetime(2026, 11, 22, 10, 40, 5, tzinfo=UTC)


@pytest.mark.parametrize(
    "text",
    [
        "2026-11-22 10:40:05", "2026-11-22T10:40:05Z", "2026-11-22 10:40:05.000", "22.11.2026 10:40:05",
        "22.11.26 10:40:05", "22.11.2026, 10:40:05", "2026/11/22 10:40:05", "2026.11.22 10:40:05",
        "22/11/2026 10:40:05", "11/22/2026 10:40:05", "11/22/2026 10:40:05 AM", "22-11-2026 10:40:05",
        "22-Nov-2026 10:40:05", "22 November 2026 10:40:05", "Sun Nov 22 10:40:05 2026", "Nov 22, 2026 10:40:05",
        "20261122104005", "20261122 104005", "10:40:05 22.11.2026", "2026-11-22 10:40:05 MSK", "1795344005",
        "1795344005.0", "1795344005000", "1795344005000000", " 22.11.2026 10:40:05 ",
    ],
)  # fmt: skip
def test_one_time_is_meant(text: str) -> None:
    assert wall_micros(text) == int(MOMENT.timestamp()) * 1_000_000


@pytest.mark.parametrize(
    "text",
    [
        "11/12/2026 10:40:05", "11-12-2026 10:40:05", "12/11/26 10:40:05", "10:40:05", "40:05.0", "soon", "",
        "31.02.2026 10:40:05", "22.13.2026 10:40:05", "22.11.2026", "22.11.2026 25:00:00", "13:00:00 PM 22.11.2026",
    ],
)  # fmt: skip
def test_nothing_is_guessed(text: str) -> None:
    assert wall_micros(text) is None


def test_the_same_day_and_month_is_no_question() -> None:
    assert wall_micros("11/11/2026 10:40:05") == wall_micros("2026-11-11 10:40:05")


@pytest.mark.parametrize("text", ["22.11.2026 10:40", "2026-11-22 10:40", "2026-11-22"])
def test_times_without_seconds_are_known(text: str) -> None:
    assert lacks_seconds(text)
    assert not lacks_seconds("2026-11-22 10:40:00") and not lacks_seconds("1795344005")


def call(form: str) -> dict[str, Any]:
    """The call with its times written otherwise."""
    rows = [{**row, "eventtime": datetime.fromisoformat(row["eventtime"]).strftime(form)} for row in CELLS]
    done = run("classify", "--json", given="".join(json.dumps(row) + "\n" for row in rows).encode())
    assert done.status == 0
    return next(each for each in map(json.loads, done.stdout.splitlines()) if each["linkedid"] == LINKEDID)


@pytest.mark.parametrize("form", ["%d.%m.%Y %H:%M:%S", "%Y/%m/%d %H:%M:%S", "%m/%d/%Y %I:%M:%S %p", "%s", "%c"])
def test_a_call_with_such_times_has_its_talk(form: str) -> None:
    told = call(form)
    assert (told["answered"], told["talk_seconds"], told["warnings"]) == (True, 30.0, [])


@pytest.mark.parametrize("form", ["%H:%M:%S", "%M:%S.0", "week %W", "%d.%m.%Y %H:%M", "%Y-%m-%d"])
def test_a_call_whose_times_measure_nothing_says_so(form: str) -> None:
    told = call(form)
    assert (told["answered"], told["result"], told["talk_seconds"]) == (True, 200, None)
    assert told["warnings"] == ["time_unreadable"]
