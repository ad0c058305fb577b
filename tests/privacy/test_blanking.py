"""A call without a number: in no field, and in no hash of the fields."""

from typing import Any

import msgspec
from msgspec.structs import replace

from schemas import load
from streams.privacy.blanking import ERASED, LISTS_OF_NUMBERS, LISTS_OF_TEXTS, NUMBERS, TEXTS
from streams.privacy.hashed import LEFT_OUT, hashed_result
from streams.privacy.hashing import HashKey
from tests.privacy.examples import CALL, CLIENT, KEY, OTHER, RESULT, SPELLINGS, blanking, leg


def texts_in(record: Any) -> str:
    return msgspec.json.encode(record).decode()


def test_the_number_is_in_no_field_in_no_spelling() -> None:
    blanked = blanking(CLIENT).classification(CALL)
    told = texts_in([blanked.result.record(), [each.record() for each in blanked.legs]])
    assert "9161234567" not in told.replace(" ", "").replace("-", "").replace("(", "").replace(")", "")
    assert (blanked.result.caller, blanked.result.client, blanked.result.caller_e164) == (None, None, None)
    assert blanked.result.talked_with == ("1001", ERASED, "1002")
    assert blanked.result.why == (
        f"{ERASED} called 74950000000.",
        f"the trunk gave {ERASED}",
        "1795389970.80 was linked",
    )
    assert [each.number for each in blanked.legs] == [None, "1002", None]


def test_what_is_counted_stays() -> None:
    blanked = blanking(CLIENT).result(RESULT)
    kept = {
        "call_id",
        "version",
        "version_row_id",
        "version_rows",
        "started_at",
        "result",
        "extension",
        "did",
        "trunk",
        "direction",
    }
    assert {name: getattr(blanked, name) for name in kept} == {name: getattr(RESULT, name) for name in kept}


def test_the_hash_of_the_outcome_is_that_of_what_is_left() -> None:
    blanked = blanking(CLIENT).result(RESULT)
    other = replace(
        RESULT,
        version=0,
        version_row_id=0,
        version_rows=0,
        outcome_hash="",
        caller="89160000000",
        caller_e164=OTHER,
        client=OTHER,
    )
    other = replace(
        other, talked_with=("1001", "89160000000", "1002"), hangup_source="Local/89160000000@from-queue-00000001;1",
        why=("89160000000 called 74950000000.", "the trunk gave 89160000000", "1795389970.80 was linked"),
    ).stamped(RESULT.version, 7, 12)  # fmt: skip
    assert blanked.outcome_hash == blanking(OTHER).result(other).outcome_hash, "it tells nothing of the number"
    assert blanked.outcome_hash != RESULT.outcome_hash
    assert blanking(CLIENT).result(blanked) is blanked, "twice is once"


def test_a_call_of_others_is_the_very_same() -> None:
    assert blanking(OTHER).classification(CALL) is CALL
    assert blanking(OTHER).legs(CALL.legs) is CALL.legs


def test_a_spelling_that_only_e164_tells_is_taken_out_everywhere() -> None:
    odd = replace(RESULT, caller="client-7", why=("client-7 called",), talked_with=("client-7",))
    blanked = blanking(CLIENT).result(odd)
    assert "client-7" not in texts_in([blanked.caller, blanked.talked_with])
    assert blanking(CLIENT).legs((leg("client-7", "SIP/x-1"),), odd)[0].number is None


def test_every_field_that_holds_numbers_is_looked_at() -> None:
    fields = {each["name"]: each.get("personal") for each in load("call_result")["fields"]}
    assert {name for name, kind in fields.items() if kind == "number"} == {*NUMBERS, *LISTS_OF_NUMBERS}
    assert {name for name, kind in fields.items() if kind == "text"} == {*TEXTS, *LISTS_OF_TEXTS}
    legs = {each["name"] for each in load("call_leg")["fields"] if each.get("personal") in ("number", "text")}
    assert legs == {"number", "channel"}


def test_a_hashed_result_holds_no_number_and_equal_hashes_for_equal_numbers() -> None:
    hashed = hashed_result(RESULT, KEY, SPELLINGS)
    told = texts_in(hashed.record())
    for number in ("9161234567", '"1002"', '"1001"', "4950000000"):
        assert number not in told
    assert hashed.client == hashed.caller == hashed.caller_e164 == hashed.talked_with[1] == KEY.of(CLIENT)[:32]
    assert hashed.did == hashed.called and hashed.extension == hashed.answered_by == hashed.talked_with[2]
    assert (hashed.call_id, hashed.version, hashed.trunk) == (RESULT.call_id, RESULT.version, RESULT.trunk)
    assert hashed.why == (LEFT_OUT,) * 3
    assert hashed.outcome_hash != RESULT.outcome_hash


def test_another_key_gives_other_hashes() -> None:
    other = hashed_result(RESULT, HashKey("o" * 40), SPELLINGS)
    assert other.client != hashed_result(RESULT, KEY, SPELLINGS).client
    assert other.outcome_hash != hashed_result(RESULT, KEY, SPELLINGS).outcome_hash
