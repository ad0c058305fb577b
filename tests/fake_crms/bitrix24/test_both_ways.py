"""What no document settles, in both ways; and what a probe removes: activities of calls, and leads."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from tests.fake_crms.conftest import NOON, Bitrix24

CALL = {"EXTERNAL_CALL_ID": "pbx/1.1"}


def forty_minutes_ago() -> str:
    return datetime.fromtimestamp(NOON - 2400, UTC).isoformat()


@pytest.mark.parametrize(("window_from", "same"), [("call_start", False), ("registration", True)])
async def test_a_call_of_long_ago_that_is_registered_twice(bitrix24: Bitrix24, window_from: str, same: bool) -> None:
    bitrix24.portal.change_settings(window_from=window_from)
    old = {**CALL, "CALL_START_DATE": forty_minutes_ago()}
    assert (await bitrix24.call_id(**old) == await bitrix24.call_id(**old)) is same
    bitrix24.clock.now += 1801
    first, second = await bitrix24.call_id(**CALL), await bitrix24.call_id(**CALL)
    assert first == second
    bitrix24.clock.now += 1801
    assert await bitrix24.call_id(**CALL) != first, "in either way the window ends"


@pytest.mark.parametrize(
    ("unknown_inner", "words"),
    [
        ("not_set", "USER_ID or USER_PHONE_INNER should be set"),
        ("not_found", "User is not found or is not active"),
    ],
)
@pytest.mark.parametrize("inner", ["9999", "99999"])
async def test_an_inner_number_that_nobody_has(bitrix24: Bitrix24, unknown_inner: str, words: str, inner: str) -> None:
    bitrix24.portal.change_settings(unknown_inner=unknown_inner)
    call = {"PHONE_NUMBER": "+79161234567", "TYPE": 2, "USER_PHONE_INNER": inner}
    status, body = await bitrix24("telephony.externalcall.register", **call)
    assert (status, body["error_description"]) == (400, words)
    assert await bitrix24.call_id(USER_PHONE_INNER="1001")


async def test_an_inner_number_that_nobody_has_may_be_the_owners(bitrix24: Bitrix24) -> None:
    bitrix24.portal.change_settings(unknown_inner="owner")
    await bitrix24.call_id(USER_PHONE_INNER="9999")
    assert [orphan["user_id"] for orphan in bitrix24.portal.orphans()] == [1]


@pytest.mark.parametrize(
    ("host", "knows", "error"),
    [
        ("oauth.bitrix.info", False, "invalid_grant"),
        ("oauth.bitrix24.tech", False, "wrong_client"),
        ("oauth.bitrix24.tech", True, "invalid_grant"),
        ("127.0.0.1", False, "invalid_grant"),
    ],
)
async def test_the_other_authorisation_server(bitrix24: Bitrix24, host: str, knows: bool, error: str) -> None:
    bitrix24.portal.change_settings(other_server_knows=knows)
    config = bitrix24.portal.config
    fields = {"grant_type": "refresh_token", "refresh_token": "none", "client_id": config.client_id}
    fields |= {"client_secret": config.client_secret}
    address, headers = f"{bitrix24.portal.url}/oauth/token/", {"Host": f"{host}:{bitrix24.portal.port}"}
    async with bitrix24.session.post(address, data=fields, headers=headers) as response:
        assert (await response.json())["error"] == error
    assert "fake-refresh-token" in bitrix24.portal.tokens.refresh


async def test_the_activity_of_a_call_is_removed_once(bitrix24: Bitrix24) -> None:
    call_id = await bitrix24.call_id(**CALL)
    activity = (await bitrix24.finish(call_id))[1]["result"]["CRM_ACTIVITY_ID"]
    _, shown = await bitrix24("crm.activity.get", id=activity)
    assert shown["result"]["ORIGIN_ID"] == f"VI_{call_id}"
    assert (await bitrix24("crm.activity.delete", id=activity))[1]["result"] is True
    for method in ("crm.activity.get", "crm.activity.delete"):
        assert (await bitrix24(method, id=activity))[0] == 400
    assert (await bitrix24("crm.activity.get", id=activity + 1))[0] == 400
    assert len(bitrix24.portal.entries()) == 1, "the call stays in the statistics"


async def test_a_lead_is_removed_and_its_number_is_nobodys(bitrix24: Bitrix24) -> None:
    await bitrix24.call_id(CRM_CREATE=1)
    [lead] = bitrix24.portal.crm.clients
    _, shown = await bitrix24("crm.lead.get", id=lead["id"])
    assert [phone["VALUE"] for phone in shown["result"]["PHONE"]] == ["+79161234567"]
    assert (await bitrix24("crm.lead.delete", id=lead["id"]))[1]["result"] is True
    assert (await bitrix24("crm.lead.get", id=lead["id"]))[0] == 400
    found = await bitrix24("telephony.externalCall.searchCrmEntities", PHONE_NUMBER="+79161234567")
    assert found[1]["result"] == []


async def test_removing_needs_the_scope_crm(bitrix24: Bitrix24) -> None:
    bitrix24.portal.change_settings(scopes=("telephony",))
    assert (await bitrix24("crm.activity.delete", id=7001))[0] == 403
