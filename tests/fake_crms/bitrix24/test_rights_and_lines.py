"""What the fake Bitrix24 takes from the product's source: statistics by right, automations, lines."""

from __future__ import annotations

from typing import Any

import pytest

from tests.fake_crms.conftest import Bitrix24


async def finished(bitrix24: Bitrix24, external_id: str, user: int) -> str:
    """A finished call of a user; its CALL_ID."""
    call_id = await bitrix24.call_id(EXTERNAL_CALL_ID=external_id, USER_PHONE_INNER=None, USER_ID=user)
    assert (await bitrix24.finish(call_id, USER_ID=user, DURATION=5))[0] == 200
    return call_id


async def listed(bitrix24: Bitrix24, **conditions: Any) -> list[str]:
    """EXTERNAL_CALL_IDs of the calls that the statistics show."""
    status, body = await bitrix24("voximplant.statistic.get", FILTER=conditions)
    assert status == 200, body
    return [record["EXTERNAL_CALL_ID"] for record in body["result"]]


async def test_who_may_see_own_calls_only_is_not_told_of_others(bitrix24: Bitrix24) -> None:
    await finished(bitrix24, "mine", 1)
    others = await finished(bitrix24, "theirs", 11)
    assert await listed(bitrix24) == ["mine", "theirs"]
    bitrix24.portal.change_settings(statistics_of="own")
    assert await listed(bitrix24) == ["mine"]
    assert await listed(bitrix24, CALL_ID=others) == [] and await listed(bitrix24, EXTERNAL_CALL_ID="theirs") == []


async def test_who_has_no_right_at_all_is_refused(bitrix24: Bitrix24) -> None:
    bitrix24.portal.change_settings(statistics_of="none")
    status, body = await bitrix24("voximplant.statistic.get")
    assert (status, body["error"]) == (403, "ACCESS_DENIED")


async def test_an_older_portal_ignores_the_filter_by_our_id(bitrix24: Bitrix24) -> None:
    first, _ = await finished(bitrix24, "a", 11), await finished(bitrix24, "b", 11)
    bitrix24.portal.change_settings(knows_external_id=False)
    assert await listed(bitrix24, EXTERNAL_CALL_ID="no such call") == ["a", "b"]
    assert await listed(bitrix24, CALL_ID=first) == ["a"]


async def test_a_register_runs_automations_each_time_that_it_makes_a_call(bitrix24: Bitrix24) -> None:
    for _ in range(2):
        await bitrix24.call_id(EXTERNAL_CALL_ID="x")
    assert bitrix24.portal.calls.automations() == ["+79161234567"]
    bitrix24.clock.now += 31 * 60
    await bitrix24.call_id(EXTERNAL_CALL_ID="x")
    assert bitrix24.portal.calls.automations() == ["+79161234567"] * 2
    assert bitrix24.portal.entries() == []


async def test_a_lead_has_the_source_that_was_given(bitrix24: Bitrix24) -> None:
    await bitrix24.call_id(CRM_CREATE=1, CRM_SOURCE="CALL")
    (lead,) = bitrix24.portal.crm.known("+79161234567")
    assert (lead["type"], lead["source"]) == ("LEAD", "CALL")


async def test_lines_are_added_once_renamed_and_listed(bitrix24: Bitrix24) -> None:
    line = {"NUMBER": "74951001001", "NAME": "Sales", "CRM_AUTO_CREATE": "N"}
    assert (await bitrix24("telephony.externalLine.add", **line))[1]["result"] == {"ID": 1}
    status, body = await bitrix24("telephony.externalLine.add", **line)
    assert (status, body["error_description"]) == (400, "Line already exists")
    assert (await bitrix24("telephony.externalLine.update", NUMBER="74951001001", NAME="Shop"))[0] == 200
    assert (await bitrix24("telephony.externalLine.get"))[1]["result"] == [{**line, "NAME": "Shop"}]


@pytest.mark.parametrize("method", ["add", "update"])
async def test_a_line_needs_a_number(bitrix24: Bitrix24, method: str) -> None:
    status, body = await bitrix24(f"telephony.externalLine.{method}", NAME="Sales")
    assert (status, body["error_description"]) == (400, "NUMBER should not be empty")
