"""`outcome_hash` stands in CRMs and logs: the same outcome has the same one in every release."""

from typing import Any

import pytest
from msgspec.structs import replace

from schemas import SchemaRegistry, Serializer
from streams.calls.result import HASHED, CallResult
from tests.calls.hashed import hashed
from tests.upgrade.stored import DIRECTORY, Stored

BARE = CallResult(
    call_id="office/1795389780.12", pbx="office", linkedid="1795389780.12", version=0, version_row_id=0,
    version_rows=0, rules_hash="r", direction="incoming", answered=True, started_at=1, ended_at=2,
    utc_offset_seconds=3600, utc_offset_source="uniqueid", result=200, result_name="OK", rule="line",
    extra_usable=True, complete=True,
)  # fmt: skip
FULL = replace(
    BARE, answered_by="101", talked_with=("101",), caller="a", called="b", caller_e164="+1", called_e164="+2",
    client="c", extension="e", rang_last="r", did="d", trunk="t", answered_at=9, timezone="Europe/Berlin",
    ivr_seconds=1.5, queue_seconds=2.5, ringing_seconds=3.5, talk_seconds=4.5, hangup_cause=16, dial_status="ANSWER",
    hangup_source="x", ended_by="caller", handled_by="queue", transfers=("1",), pickups=("2",), linked_calls=("3",),
    part_of="4", abandoned=True, incomplete_reason="i", warnings=("w",), why=("y", "z"),
)  # fmt: skip


@pytest.mark.parametrize(("result", "stored"), [(BARE, "4f9e04332073f867"), (FULL, "e95ca3820a3a6979")])
def test_hashes_are_those_of_0_1_0(result: CallResult, stored: str) -> None:
    assert replace(result).stamped(5, 6, 7).outcome_hash == stored


@pytest.mark.parametrize(
    "joined",
    [
        {"correction": 3},
        {"queue": "sales"},
        {"queue": "correction"},
        {"queue": "q" * 300},
        {"queue": "\x00", "correction": 1 << 40},
        {"outcome": "missed"},
        {"queue": "outcome", "outcome": "queue"},
    ],
)
def test_what_joined_results_since_is_not_part_of_the_outcome(joined: dict[str, Any]) -> None:
    assert replace(FULL, **joined).stamped(5, 6, 7).outcome_hash == replace(FULL).stamped(5, 6, 7).outcome_hash


def test_stored_calls_of_0_1_0_keep_their_hash() -> None:
    serializer = Serializer(SchemaRegistry("http://nowhere"))
    serializer.expect("call_result")
    stored = [each for each in Stored.load(DIRECTORY).records if each.topic == "call-results"]
    results = [CallResult.from_record(serializer.decode_own(each.value, "call_result", None)) for each in stored]
    assert len({each.outcome_hash for each in results}) > 10
    assert [hashed(each) for each in results] == results


def test_what_joins_a_result_does_not_join_the_hash() -> None:
    assert CallResult.__struct_fields__ == (*HASHED, "correction", "queue", "outcome")
