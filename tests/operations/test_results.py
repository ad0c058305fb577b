"""`cel2crm results` and `cel2crm missed`: the truth about each call, and who must be called back."""

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from msgspec.structs import replace

from schemas import own_headers
from schemas.codec import Encoder
from schemas.headers import header_of
from schemas.source import WRITTEN_BY_0_1_0, released
from streams.analysis.truth import Truths, follow_truths
from streams.analysis.waiting_clients import waiting_clients
from streams.calls.outcome import outcome_of
from streams.calls.result import CallResult
from streams.cli import missed as missed_command
from streams.clock import MICROS_PER_SECOND, utc_now_us
from streams.kafka.topic_client import Outgoing
from tests.cli.hostile import HOSTILE, unsafe
from tests.crm.calls import call_result
from tests.operations.memory import Operator

MINUTE = 60 * MICROS_PER_SECOND
NOW = utc_now_us()
CLIENT = "+79161234567"


def call(number: int, minutes_ago: float = 60, **fields: Any) -> CallResult:
    """An answered incoming call, so long ago."""
    began = NOW - int(minutes_ago * MINUTE)
    given = {"started_at": began, "ended_at": began + MINUTE, "pbx": "pbx1", "call_id": f"pbx1/1.{number}", **fields}
    given.setdefault("outcome", str(outcome_of(given.get("answered", True), given.get("result", 200))))
    return replace(call_result(number), **given)


def missed(number: int, minutes_ago: float, **fields: Any) -> CallResult:
    nobody: dict[str, Any] = {"answered": False, "result": 408, "result_name": "Request timeout", "answered_by": None}
    return call(number, minutes_ago, **{**nobody, **fields})


def tried(number: int, minutes_ago: float, **fields: Any) -> CallResult:
    return missed(number, minutes_ago, direction="outgoing", **fields)


def told(operator: Operator, *arguments: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in operator.told(*arguments, "--json").splitlines()]


def test_the_truth_is_the_highest_version_then_the_highest_correction(operator: Operator) -> None:
    judged = call(1, version=5, result=200)
    for each in (
        judged,
        replace(judged, version=7, result=486, result_name="Subscriber is busy"),
        replace(judged, version=7, correction=2, result=408, result_name="Request timeout"),
        replace(judged, version=7, correction=1, result=404),
        replace(judged, version=6, correction=9, result=500),
        judged,  # at least once
    ):
        operator.result(each)
    (found,) = told(operator, "results")
    assert (found["version"], found["correction"], found["result"]) == (7, 2, 408)


def test_a_filter_is_asked_of_the_truth_alone(operator: Operator) -> None:
    operator.result(call(1, version=5, result=486))
    operator.result(call(1, version=6, result=200))
    assert told(operator, "results", "--result", "486") == []
    assert len(told(operator, "results", "--result", "200")) == 1


@pytest.mark.parametrize("tree", [{"other_pbxs": [{"name": "branch"}]}])
@pytest.mark.parametrize(
    ("arguments", "calls"),
    [
        ((), [1, 2, 3]),
        (("--pbx", "branch"), [3]),
        (("--result", "missed"), [2]),
        (("--result", "missed", "--result", "486"), [2, 3]),
        (("--number", "+7 916 123-45-67"), [1]),
        (("--number", "8 (916) 123-45-67"), [1]),
        (("--number", "1007"), [2]),
        (("--number", "74959999999"), []),
        (("--until", "2020-01-01"), []),
    ],
)
def test_filters(operator: Operator, arguments: tuple[str, ...], calls: list[int]) -> None:
    operator.result(call(1, 30))
    operator.result(missed(2, 20, caller="101", client=None, extension="1007"))
    operator.result(missed(3, 10, caller="102", client="+74951234567", pbx="branch", result=486, call_id="branch/1.3"))
    operator.result(call(4, 60 * 25))  # longer ago than a day
    assert [each["call_id"][-1] for each in told(operator, "results", *arguments)] == list(map(str, calls))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("results", "--result", "lost"), "--result lost: there is no such result"),
        (("results", "--result", "\u0664\u0660\u0664"), "there is no such result"),
        (("results", "--pbx", "warehouse"), "the settings name no such PBX"),
        (("missed", "--pbx", "warehouse"), "the settings name no such PBX"),
        (("results", "--number", "anonymous"), "it has no digits"),
        (("results", "--since", "2026-11-25", "--until", "2026-11-25"), "--until is not after --since"),
        (("results", "--since", "yesterday"), "is not a time"),
    ],
)
def test_what_cannot_be_meant_is_refused(operator: Operator, arguments: tuple[str, ...], words: str) -> None:
    done = operator.run(*arguments)
    assert words in str(done.exception)
    assert operator.connections == 0


def test_results_of_0_1_0_have_their_outcome_too(operator: Operator) -> None:
    writer = released("call_result")[WRITTEN_BY_0_1_0["call_result"]]
    record = missed(1, 5, outcome=None).record()
    value = Encoder(writer, 9).encode({field["name"]: record[field["name"]] for field in writer["fields"]})
    header = header_of("call_result", writer)
    assert header != own_headers("call_result")[0][1]
    operator.topics.put(Outgoing("cel2crm.call-results", b"pbx1/1.1", value, headers=[("schema", header)]))
    (found,) = told(operator, "results", "--result", "missed")
    assert found["outcome"] == "missed"


def test_records_that_cannot_be_read_are_told(operator: Operator) -> None:
    operator.result(call(1))
    operator.topics.put(Outgoing("cel2crm.call-results", b"x", b"\0\0\0\0\1junk", headers=own_headers("call_result")))
    for command in ("results", "missed"):
        done = operator.run(command)
        assert done.exit_code == 0 and "1 records of the topic cannot be read" in done.stderr


async def test_following_tells_what_joins_and_each_later_version_once(operator: Operator) -> None:
    connection = await operator.connection()
    operator.result(call(1))
    truths = Truths(lambda _, result: (result.call_id, result.version))
    told: list[tuple[str, int]] = []

    async def turns() -> AsyncIterator[None]:
        yield
        assert told == [("pbx1/1.1", (1 << 20) + 5)]
        operator.result(call(1))
        operator.result(call(1, version=1 << 30))
        operator.result(call(2))
        yield
        operator.result(call(1, version=9))
        yield

    async for kept in follow_truths(connection, truths, NOW - 3600 * MICROS_PER_SECOND, turns):
        told.append(kept)
    assert sorted(told[1:]) == [("pbx1/1.1", 1 << 30), ("pbx1/1.2", (2 << 20) + 5)]


WAITING = {
    "nobody called back": ([missed(1, 50)], 1, 0),
    "they called again": ([missed(1, 50), missed(2, 40)], 2, 0),
    "called back": ([missed(1, 50), call(2, 40, direction="outgoing")], 0, 0),
    "got through themselves": ([missed(1, 50), call(2, 40)], 0, 0),
    "talked before, and not since": ([call(1, 50), missed(2, 40)], 1, 0),
    "called back in vain": ([missed(1, 50), tried(2, 40), tried(3, 30)], 1, 2),
    "missed again after the talk": ([missed(1, 50), call(2, 40), missed(3, 30), tried(4, 20)], 1, 1),
    "a try before is none": ([tried(1, 60), missed(2, 50)], 1, 0),
    "busy and failed are missed too": ([missed(1, 50, result=486), missed(2, 40, result=500)], 2, 0),
    "an IVR is nobody": ([missed(1, 50, result=200)], 1, 0),
    "an outgoing call is none": ([tried(1, 50)], 0, 0),
    "an inside call is none": ([missed(1, 50, direction="internal")], 0, 0),
    "nobody to call": ([missed(1, 50, client=None)], 0, 0),
    "the piece of another call": ([missed(1, 50, abandoned=True)], 0, 0),
    "somebody else talked": ([missed(1, 50), call(2, 40, client="+74951234567")], 1, 0),
    "in the second of the talk": ([call(1, 50), missed(2, 50)], 1, 0),
    "order makes no difference": ([call(2, 40), missed(1, 50)], 0, 0),
}


@pytest.mark.parametrize(("calls", "count", "tries"), WAITING.values(), ids=WAITING)
def test_who_waits(calls: list[CallResult], count: int, tries: int) -> None:
    found = {each.client: (len(each.missed), len(each.tries)) for each in waiting_clients(calls)}
    assert found == ({CLIENT: (count, tries)} if count else {})


@pytest.mark.parametrize("tree", [{"other_pbxs": [{"name": "branch"}]}])
def test_missed_calls_of_a_pbx_are_settled_at_any(operator: Operator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(missed_command, "utc_now_us", lambda: NOW)
    branch: dict[str, Any] = {"pbx": "branch", "direction": "outgoing"}
    operator.result(missed(1, 50))
    operator.result(call(2, 40, call_id="branch/1.2", **branch))
    operator.result(missed(3, 30, client="+74950000001"))
    operator.result(missed(4, 90, client="+74950000002", pbx="branch", call_id="branch/1.4"))
    operator.result(missed(5, 60 * 24 * 8, client="+74950000003"))  # longer ago than a week
    assert [each["client"] for each in told(operator, "missed")] == ["+74950000002", "+74950000001"]
    (found,) = told(operator, "missed", "--pbx", "pbx1")
    assert found["client"] == "+74950000001" and found["call_id"] == "pbx1/1.3"
    assert found["waiting_seconds"] == 30 * 60
    table = operator.told("missed")
    assert "+74950000001" in table and "30 min" in table and "1 h 30 min" in table


def test_empty_answers_are_words(operator: Operator) -> None:
    assert operator.told("results") == "no calls\n"
    assert operator.told("missed") == "nobody waits for a call back\n"


@pytest.mark.parametrize("tree", [{"logging": {"mask_numbers": True}}])
def test_numbers_are_masked(operator: Operator) -> None:
    operator.result(missed(1, 5, did="74951234567", called="74951234567"))
    for command in ("results", "missed"):
        for form in ((), ("--json",)):
            shown = operator.told(command, *form)
            assert "+79161234567" not in shown and "74951234567" not in shown
            assert "+791*" in shown


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_what_callers_chose_is_shown_and_never_obeyed(text: str, operator: Operator) -> None:
    chosen: dict[str, Any] = dict.fromkeys(
        ("caller", "called", "client", "did", "trunk", "extension", "rang_last", "queue"), text
    )
    operator.result(missed(1, 5, **chosen, call_id=f"pbx1/{text}", linkedid=text))
    for command in ("results", "missed"):
        for form in ((), ("--json",)):
            done = operator.run(command, *form)
            assert done.exit_code == 0, done.exception
            assert unsafe(done.stdout + done.stderr) == ""
        (found,) = told(operator, command)
        assert found["client"] == text
