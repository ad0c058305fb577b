"""Register, finish, statistics: the life of a call as the vendor documents it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.fake_crms.conftest import NOON, Bitrix24

HALF_AN_HOUR = 30 * 60


def at(seconds: float) -> str:
    """A moment relative to noon, in the form of CALL_START_DATE."""
    return (datetime.fromtimestamp(NOON, UTC) + timedelta(seconds=seconds)).isoformat()


async def test_a_finished_call_is_an_entry(bitrix24: Bitrix24) -> None:
    call_id = await bitrix24.call_id(
        EXTERNAL_CALL_ID="pbx/1.1", CALL_START_DATE="2026-11-23T14:30:00+03:00", LINE_NUMBER="74951001234"
    )
    status, body = await bitrix24.finish(call_id, DURATION=95, STATUS_CODE="200")
    assert status == 200
    assert body["result"]["CALL_FAILED_CODE"] == "200"
    assert body["result"]["CALL_DURATION"] == 95
    assert body["result"]["CALL_STATUS"] == 1
    assert body["result"]["CRM_ACTIVITY_ID"] > 0
    [entry] = bitrix24.portal.entries()
    assert (entry.external_id, entry.crm_id, entry.phone) == ("pbx/1.1", call_id, "+79161234567")
    assert (entry.direction, entry.user, entry.duration) == ("incoming", "Anna Ivanova", 95)
    assert (entry.status, entry.words, entry.tone, entry.line) == ("200", "Successful call", "good", "74951001234")
    assert entry.started_at == "2026-11-23T11:30:00.000+00:00"


async def test_a_registered_call_alone_is_no_entry_but_an_orphan(bitrix24: Bitrix24) -> None:
    await bitrix24.call_id(EXTERNAL_CALL_ID="pbx/1.1")
    assert bitrix24.portal.entries() == []
    assert [orphan["external_id"] for orphan in bitrix24.portal.orphans()] == ["pbx/1.1"]


@pytest.mark.parametrize(("show", "popups"), [(0, 0), ("0", 0), (1, 1), (None, 1)])
async def test_show_is_on_unless_switched_off(bitrix24: Bitrix24, show: object, popups: int) -> None:
    await bitrix24.call_id(SHOW=show)
    assert [popup["user"] for popup in bitrix24.portal.popups()] == ["Anna Ivanova"] * popups


@pytest.mark.parametrize(
    ("params", "code", "words"),
    [
        ({"USER_PHONE_INNER": None}, "ERROR_CORE", "USER_ID or USER_PHONE_INNER should be set"),
        ({"USER_PHONE_INNER": "7777"}, "ERROR_CORE", "USER_ID or USER_PHONE_INNER should be set"),
        ({"USER_PHONE_INNER": "1999"}, "ERROR_CORE", "USER_ID or USER_PHONE_INNER should be set"),
        ({"USER_PHONE_INNER": "12345"}, "ERROR_CORE", "USER_ID or USER_PHONE_INNER should be set"),
        ({"USER_PHONE_INNER": None, "USER_ID": 19}, "ERROR_CORE", "User is not found or is not active"),
        ({"USER_PHONE_INNER": None, "USER_ID": 999}, "ERROR_CORE", "User is not found or is not active"),
        ({"TYPE": None}, "ERROR_CORE", "Unknown TYPE"),
        ({"TYPE": 6}, "ERROR_CORE", "Unknown TYPE"),
        ({"PHONE_NUMBER": None}, "ERROR_CORE", "Unsupported phone number format"),
        ({"PHONE_NUMBER": "anonymous"}, "ERROR_CORE", "Unsupported phone number format"),
        ({"CALL_START_DATE": "yesterday"}, "ERROR_CORE", "CALL_START_DATE should be in the ISO-8601 format"),
        ({"CALL_START_DATE": "2026-11-23T12:00:00"}, "ERROR_CORE", "CALL_START_DATE should be in the ISO-8601 format"),
        ({"EXTERNAL_CALL_ID": "x" * 65}, "ERROR_CORE", "EXTERNAL_CALL_ID should not be longer than 64 characters"),
    ],
)
async def test_register_refuses(bitrix24: Bitrix24, params: dict[str, Any], code: str, words: str) -> None:
    status, body = await bitrix24.register(**params)
    assert (status, body["error"], body["error_description"]) == (400, code, words)
    assert bitrix24.portal.orphans() == []


async def test_an_external_call_id_of_64_characters_passes(bitrix24: Bitrix24) -> None:
    await bitrix24.call_id(EXTERNAL_CALL_ID="x" * 64)
    assert len(bitrix24.portal.orphans()) == 1


async def test_register_repeated_within_half_an_hour_is_the_same_call(bitrix24: Bitrix24) -> None:
    first = await bitrix24.call_id(EXTERNAL_CALL_ID="pbx/1.1", CALL_START_DATE=at(0))
    bitrix24.clock.now += HALF_AN_HOUR - 1
    assert await bitrix24.call_id(EXTERNAL_CALL_ID="pbx/1.1", CALL_START_DATE=at(0)) == first
    bitrix24.clock.now += 1
    assert await bitrix24.call_id(EXTERNAL_CALL_ID="pbx/1.1", CALL_START_DATE=at(0)) != first


async def test_the_half_hour_counts_from_the_start_of_the_call(bitrix24: Bitrix24) -> None:
    old = {"EXTERNAL_CALL_ID": "pbx/1.1", "CALL_START_DATE": at(-HALF_AN_HOUR)}
    assert await bitrix24.call_id(**old) != await bitrix24.call_id(**old)
    assert len(bitrix24.portal.orphans()) == 2


@pytest.mark.parametrize(
    "other",
    [
        {"EXTERNAL_CALL_ID": "pbx/2.2"},
        {"PHONE_NUMBER": "+79161234568"},
        {"TYPE": 1},
        {"USER_PHONE_INNER": "1002"},
        {"LINE_NUMBER": "2"},
    ],
)
async def test_another_phone_type_user_line_or_external_id_is_another_call(
    bitrix24: Bitrix24, other: dict[str, Any]
) -> None:
    first = await bitrix24.call_id(EXTERNAL_CALL_ID="pbx/1.1", LINE_NUMBER="1")
    assert await bitrix24.call_id(**{"EXTERNAL_CALL_ID": "pbx/1.1", "LINE_NUMBER": "1", **other}) != first


async def test_without_external_id_parallel_calls_of_the_same_numbers_are_confused(bitrix24: Bitrix24) -> None:
    assert await bitrix24.call_id(CALL_START_DATE=at(0)) == await bitrix24.call_id(CALL_START_DATE=at(5))


async def test_register_after_finish_makes_a_new_call(bitrix24: Bitrix24) -> None:
    first = await bitrix24.call_id(EXTERNAL_CALL_ID="pbx/1.1")
    await bitrix24.finish(first)
    assert await bitrix24.call_id(EXTERNAL_CALL_ID="pbx/1.1") != first


async def test_a_second_finish_finds_no_call(bitrix24: Bitrix24) -> None:
    call_id = await bitrix24.call_id()
    assert (await bitrix24.finish(call_id, DURATION=3))[0] == 200
    status, body = await bitrix24.finish(call_id, DURATION=3)
    assert (status, body["error"]) == (400, "ERROR_CORE")
    assert body["error_description"].startswith("Call is not found")
    assert len(bitrix24.portal.entries()) == 1


@pytest.mark.parametrize(
    ("params", "code", "words"),
    [
        ({"CALL_ID": 17}, "INVALID_ARGUMENT", "CALL_ID must be a string"),
        ({"CALL_ID": "externalCall.none.1"}, "ERROR_CORE", "Call is not found"),
        ({"USER_ID": None}, "ERROR_CORE", "USER_ID or USER_PHONE_INNER should be set"),
        ({"FAILED_REASON": "x" * 256}, "ERROR_CORE", "Unexpected database error"),
        ({"DURATION": "long"}, "INVALID_ARGUMENT", "DURATION"),
        ({"COST": "much"}, "INVALID_ARGUMENT", "much"),
    ],
)
async def test_finish_refuses(bitrix24: Bitrix24, params: dict[str, Any], code: str, words: str) -> None:
    call_id = await bitrix24.call_id()
    status, body = await bitrix24.finish(params.pop("CALL_ID", call_id), **params)
    assert (status, body["error"]) == (400, code)
    assert words in body["error_description"]
    assert bitrix24.portal.entries() == []


@pytest.mark.parametrize(
    ("params", "call_type", "code", "tone", "successful", "missed"),
    [
        ({"DURATION": 7}, 2, "200", "good", True, False),
        ({"DURATION": 0}, 2, "304", "missed", False, True),
        ({}, 2, "304", "missed", False, True),
        ({"STATUS_CODE": "304"}, 1, "304", "failed", False, False),
        ({"STATUS_CODE": "486"}, 2, "486", "failed", False, False),
        ({"DURATION": 7, "STATUS_CODE": "304"}, 2, "304", "good", True, True),
    ],
)
async def test_success_follows_the_duration_and_missed_is_304_of_an_incoming_call(
    bitrix24: Bitrix24,
    *,
    params: dict[str, Any],
    call_type: int,
    code: str,
    tone: str,
    successful: bool,
    missed: bool,
) -> None:
    await bitrix24.finish(await bitrix24.call_id(TYPE=call_type), **params)
    [entry] = bitrix24.portal.entries()
    assert (entry.status, entry.tone, entry.successful, entry.missed) == (code, tone, successful, missed)


@pytest.mark.parametrize(("code", "words"), [("500", "Internal server error"), ("405", "Other"), ("OTHER", "Other")])
async def test_undocumented_codes_are_taken(bitrix24: Bitrix24, code: str, words: str) -> None:
    await bitrix24.finish(await bitrix24.call_id(), STATUS_CODE=code)
    assert [(entry.status, entry.words) for entry in bitrix24.portal.entries()] == [(code, words)]


async def test_a_lead_that_cannot_be_made_is_no_failure_of_the_call(bitrix24: Bitrix24) -> None:
    bitrix24.portal.change_settings(lead_creation_error="Lead creation is disabled")
    status, body = await bitrix24.register(CRM_CREATE=1)
    assert status == 200
    assert body["result"]["LEAD_CREATION_ERROR"] == "Lead creation is disabled"
    assert body["result"]["CALL_ID"]


async def test_crm_create_makes_one_lead_for_a_phone(bitrix24: Bitrix24) -> None:
    first = (await bitrix24.register(CRM_CREATE=1))[1]["result"]
    again = (await bitrix24.register(CRM_CREATE=1))[1]["result"]
    assert first["CRM_CREATED_ENTITIES"] == [{"ENTITY_TYPE": "LEAD", "ENTITY_ID": first["CRM_CREATED_LEAD"]}]
    assert (again["CRM_CREATED_LEAD"], again["CRM_ENTITY_ID"]) == (None, first["CRM_CREATED_LEAD"])


async def test_statistics_hold_finished_calls_only(bitrix24: Bitrix24) -> None:
    await bitrix24.call_id(EXTERNAL_CALL_ID="pbx/1.1")
    done = await bitrix24.call_id(EXTERNAL_CALL_ID="pbx/2.2")
    await bitrix24.finish(done, DURATION=3)
    for conditions in ({"EXTERNAL_CALL_ID": "pbx/2.2"}, {"CALL_ID": done}, {"=CALL_ID": done}, {}):
        status, body = await bitrix24("voximplant.statistic.get", FILTER=conditions)
        assert (status, body["total"]) == (200, 1)
        assert (body["result"][0]["CALL_ID"], body["result"][0]["CALL_FAILED_CODE"]) == (done, "200")
    _, body = await bitrix24("voximplant.statistic.get", FILTER={"EXTERNAL_CALL_ID": "pbx/1.1"})
    assert (body["result"], body["total"]) == ([], 0)


async def test_statistics_may_lag(bitrix24: Bitrix24) -> None:
    bitrix24.portal.change_settings(lookup_lag=10)
    await bitrix24.finish(await bitrix24.call_id(EXTERNAL_CALL_ID="pbx/1.1"))
    search = {"FILTER": {"EXTERNAL_CALL_ID": "pbx/1.1"}}
    assert (await bitrix24("voximplant.statistic.get", **search))[1]["total"] == 0
    bitrix24.clock.now += 10
    assert (await bitrix24("voximplant.statistic.get", **search))[1]["total"] == 1


async def test_statistics_filter_sort_and_page(bitrix24: Bitrix24) -> None:
    bitrix24.portal.change_settings(bucket_size=0)
    for number in range(53):
        call_id = await bitrix24.call_id(EXTERNAL_CALL_ID=str(number), CALL_START_DATE=at(number))
        await bitrix24.finish(call_id, DURATION=number)
    _, page = await bitrix24("voximplant.statistic.get", SORT="CALL_DURATION", ORDER="DESC")
    assert (len(page["result"]), page["total"], page["next"]) == (50, 53, 50)
    assert page["result"][0]["CALL_DURATION"] == "52"
    _, page = await bitrix24("voximplant.statistic.get", SORT="CALL_DURATION", ORDER="DESC", start=50)
    assert [record["CALL_DURATION"] for record in page["result"]] == ["2", "1", "0"]
    assert "next" not in page
    for conditions, total in [
        ({">=CALL_START_DATE": at(50)}, 3),
        ({">CALL_DURATION": 50}, 2),
        ({"<CALL_DURATION": 5, "!CALL_FAILED_CODE": "304"}, 4),
        ({"EXTERNAL_CALL_ID": ["1", "7"]}, 2),
        ({"%CALL_ID": "externalCall."}, 53),
    ]:
        _, body = await bitrix24("voximplant.statistic.get", FILTER=conditions)
        assert body["total"] == total, conditions


async def test_user_get_finds_the_person_behind_an_extension(bitrix24: Bitrix24) -> None:
    _, body = await bitrix24("user.get", FILTER={"UF_PHONE_INNER": "1002"})
    assert [(user["ID"], user["NAME"], user["ACTIVE"]) for user in body["result"]] == [("12", "Boris", True)]
