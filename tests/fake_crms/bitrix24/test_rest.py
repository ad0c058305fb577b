"""Bitrix24's REST layer: authorisation, limits, forms of parameters, errors, batch."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

import pytest

from deploy.fake_crms.bitrix24.rest import ERRORS
from tests.fake_crms.conftest import Bitrix24

REGISTER = {"PHONE_NUMBER": "123456", "TYPE": 2, "USER_ID": 11, "SHOW": 0}


async def post(bitrix24: Bitrix24, path: str, **request: Any) -> tuple[int, dict[str, Any]]:
    """POST to any path of the portal."""
    async with bitrix24.session.post(bitrix24.portal.url + path, **request) as response:
        body: dict[str, Any] = await response.json()
        return response.status, body


async def refresh(bitrix24: Bitrix24, **fields: str) -> tuple[int, dict[str, Any]]:
    """Ask the authorisation server as the vendor documents it: GET with everything in the query."""
    config = bitrix24.portal.config
    usual = {"grant_type": "refresh_token", "client_id": config.client_id, "client_secret": config.client_secret}
    async with bitrix24.session.get(bitrix24.portal.url + "/oauth/token/", params={**usual, **fields}) as response:
        body: dict[str, Any] = await response.json()
        return response.status, body


async def test_a_wrong_webhook_is_refused(bitrix24: Bitrix24) -> None:
    status, body = await post(bitrix24, "/rest/1/wrong/scope.json")
    assert (status, body["error"]) == (401, "INVALID_CREDENTIALS")


@pytest.mark.parametrize("way", ["body", "query", "form", "header"])
async def test_an_access_token_is_taken_in_body_query_form_and_header(bitrix24: Bitrix24, way: str) -> None:
    path, token = "/rest/telephony.externalCall.register", "fake-access-token"
    requests: dict[str, dict[str, Any]] = {
        "body": {"json": {**REGISTER, "auth": token}},
        "query": {"json": REGISTER, "params": {"auth": token}},
        "form": {"data": {**REGISTER, "auth": token}},
        "header": {"json": REGISTER, "headers": {"Authorization": f"Bearer {token}"}},
    }
    status, body = await post(bitrix24, path, **requests[way])
    assert status == 200, body
    assert body["result"]["CALL_ID"].startswith("externalCall.")


@pytest.mark.parametrize("auth", [{}, {"auth": "never-issued"}])
async def test_no_or_an_unknown_token_is_refused(bitrix24: Bitrix24, auth: dict[str, str]) -> None:
    status, body = await post(bitrix24, "/rest/scope.json", json=auth)
    assert (status, body["error"]) == (401, "NO_AUTH_FOUND")


async def test_an_access_token_lives_an_hour_and_a_refresh_token_is_good_once(bitrix24: Bitrix24) -> None:
    old = {"auth": "fake-access-token"}
    bitrix24.clock.now += 3599
    assert (await post(bitrix24, "/rest/scope", json=old))[0] == 200
    bitrix24.clock.now += 1
    status, body = await post(bitrix24, "/rest/scope", json=old)
    assert (status, body["error"]) == (401, "expired_token")
    status, issued = await refresh(bitrix24, refresh_token="fake-refresh-token")
    assert (status, issued["expires_in"]) == (200, 3600)
    assert issued["client_endpoint"] == bitrix24.portal.url + "/rest/"
    assert (await post(bitrix24, "/rest/scope", json={"auth": issued["access_token"]}))[0] == 200
    status, body = await refresh(bitrix24, refresh_token="fake-refresh-token")
    assert (status, body["error"]) == (400, "invalid_grant")
    assert (await refresh(bitrix24, refresh_token=issued["refresh_token"]))[0] == 200


async def test_a_refresh_ends_the_access_token_of_the_used_pair(bitrix24: Bitrix24) -> None:
    assert (await post(bitrix24, "/rest/scope", json={"auth": "fake-access-token"}))[0] == 200
    await refresh(bitrix24, refresh_token="fake-refresh-token")
    assert (await post(bitrix24, "/rest/scope", json={"auth": "fake-access-token"}))[0] == 401


async def test_the_authorisation_server_knows_its_client(bitrix24: Bitrix24) -> None:
    assert await refresh(bitrix24, refresh_token="fake-refresh-token", client_id="x") == (
        200,
        {"error": "wrong_client"},
    )
    status, body = await refresh(bitrix24, refresh_token="fake-refresh-token", client_secret="wrong")
    assert (status, body["error"]) == (400, "invalid_client")
    assert (await refresh(bitrix24, refresh_token="fake-refresh-token"))[0] == 200


async def test_a_code_is_redeemed_once(bitrix24: Bitrix24) -> None:
    code = bitrix24.portal.authorise()
    status, issued = await refresh(bitrix24, grant_type="authorization_code", code=code)
    assert (status, len(issued["access_token"]) > 16) == (200, True)
    assert (await refresh(bitrix24, grant_type="authorization_code", code=code))[0] == 400
    late = bitrix24.portal.authorise()
    bitrix24.clock.now += 30
    assert (await refresh(bitrix24, grant_type="authorization_code", code=late))[0] == 400


@pytest.mark.parametrize("method", ["externalcall.register", "externalcall.finish", "externalLine.add"])
async def test_telephony_takes_no_webhook_unless_a_portal_is_older(bitrix24: Bitrix24, method: str) -> None:
    status, body = await bitrix24.by_webhook(f"telephony.{method}", **REGISTER)
    assert (status, body["error"]) == (403, "WRONG_AUTH_TYPE")
    for allowed in ("voximplant.statistic.get", "scope"):
        assert (await bitrix24.by_webhook(allowed))[0] == 200
    assert (await bitrix24("telephony.externalcall.register", **REGISTER))[0] == 200
    bitrix24.portal.change_settings(webhook_allowed=True)
    assert (await bitrix24.by_webhook(f"telephony.{method}", **REGISTER))[1].get("error") != "WRONG_AUTH_TYPE"


async def test_an_unknown_method_is_not_found(bitrix24: Bitrix24) -> None:
    status, body = await bitrix24("telephony.externalcall.sing")
    assert (status, body["error"]) == (404, "ERROR_METHOD_NOT_FOUND")


async def test_every_answer_has_the_time_block(bitrix24: Bitrix24) -> None:
    for answer in (await bitrix24("scope"), await bitrix24("nonsense"), await bitrix24("batch", cmd={})):
        assert {"start", "finish", "duration", "operating", "operating_reset_at"} <= answer[1]["time"].keys()


async def test_the_bucket_overflows_at_50_and_drains_two_a_second(bitrix24: Bitrix24) -> None:
    answers = [(await bitrix24("scope"))[0] for _ in range(52)]
    assert answers == [200] * 50 + [503] * 2
    assert (await bitrix24("scope"))[1]["error"] == "QUERY_LIMIT_EXCEEDED"
    bitrix24.clock.now += 2
    assert [(await bitrix24("scope"))[0] for _ in range(5)] == [200] * 4 + [503]


async def test_a_batch_is_one_hit(bitrix24: Bitrix24) -> None:
    commands = {str(number): "scope?" for number in range(50)}
    assert [(await bitrix24("batch", cmd=commands))[0] for _ in range(51)] == [200] * 50 + [503]


@pytest.mark.parametrize("told", [True, False])
async def test_a_method_that_worked_too_long_is_blocked_until_it_said(bitrix24: Bitrix24, told: bool) -> None:
    bitrix24.portal.change_settings(operating_cost=200, time_in_429=told)
    answers = [await bitrix24("scope") for _ in range(3)]
    assert [status for status, _ in answers] == [200, 200, 429]
    assert [body.get("time", {}).get("operating") for _, body in answers] == [200, 400, 600 if told else None]
    _, body = await bitrix24("scope")
    assert body["error"] == "OPERATION_TIME_LIMIT" and ("time" in body) == told
    assert (await bitrix24("user.current"))[0] == 200
    bitrix24.portal.change_settings(operating_cost=0)
    bitrix24.clock.now = (body if told else answers[1][1])["time"]["operating_reset_at"]
    assert (await bitrix24("scope"))[0] == 200


async def test_each_command_of_a_batch_counts_as_work_of_its_method(bitrix24: Bitrix24) -> None:
    bitrix24.portal.change_settings(operating_cost=200)
    commands = {str(number): "scope" for number in range(3)}
    _, body = await bitrix24("batch", cmd=commands)
    assert body["result"]["result_error"]["2"]["error"] == "OPERATION_TIME_LIMIT"
    assert [one["operating"] for one in body["result"]["result_time"]] == [200, 400]
    assert (await bitrix24("user.current"))[0] == 200


async def test_blank_error_codes_as_seen_on_live_portals(bitrix24: Bitrix24) -> None:
    bitrix24.portal.change_settings(blank_errors=True)
    status, body = await bitrix24.register(TYPE=9)
    assert (status, body["error"], body["error_description"]) == (400, "", "Unknown TYPE")


@pytest.mark.parametrize("mode", sorted(ERRORS))
async def test_each_documented_error_on_order(bitrix24: Bitrix24, mode: str) -> None:
    bitrix24.portal.change_settings(time_in_429=True)
    bitrix24.portal.faults.order({"mode": mode, "times": 1, "retry_after": 7})
    status, body = await bitrix24.register()
    assert (status, body["error"], body["error_description"]) == ERRORS[mode]
    assert bitrix24.portal.orphans() == []
    if mode == "429":
        assert 7 <= body["time"]["operating_reset_at"] - bitrix24.clock.now <= 8
    assert (await bitrix24.register())[0] == 200


async def test_a_code_that_no_page_lists_can_be_ordered(bitrix24: Bitrix24) -> None:
    bitrix24.portal.faults.order({"mode": "403", "code": "brand_new", "times": 1})
    status, body = await bitrix24.register()
    assert (status, body["error"]) == (403, "brand_new")


def command(method: str, **params: object) -> str:
    """A command of a batch."""
    return f"{method}?{urlencode(params)}"


async def test_a_batch_registers_and_finishes_in_one_request(bitrix24: Bitrix24) -> None:
    commands = {
        "reg": command("telephony.externalcall.register", **REGISTER, EXTERNAL_CALL_ID="pbx/1.1"),
        "fin": command("telephony.externalcall.finish", CALL_ID="$result[reg][CALL_ID]", USER_ID=11, DURATION=5),
    }
    status, body = await bitrix24("batch", halt=1, cmd=commands)
    assert status == 200
    assert body["result"]["result_error"] == []
    assert body["result"]["result"]["fin"]["CALL_ID"] == body["result"]["result"]["reg"]["CALL_ID"]
    assert [(entry.external_id, entry.duration) for entry in bitrix24.portal.entries()] == [("pbx/1.1", 5)]


@pytest.mark.parametrize(("halt", "ran"), [(1, []), (0, ["fin", "after"])])
async def test_a_batch_answers_200_with_errors_by_command_and_halts_if_told(
    bitrix24: Bitrix24, halt: int, ran: list[str]
) -> None:
    call_id = await bitrix24.call_id()
    commands = {
        "bad": command("telephony.externalcall.register", TYPE=9, USER_ID=11, PHONE_NUMBER="1"),
        "fin": command("telephony.externalcall.finish", CALL_ID=call_id, USER_ID=11),
        "after": "scope",
    }
    status, body = await bitrix24("batch", halt=halt, cmd=commands)
    assert status == 200
    assert body["result"]["result_error"] == {"bad": {"error": "ERROR_CORE", "error_description": "Unknown TYPE"}}
    assert list(body["result"]["result"]) == ran


async def test_a_reference_to_nothing_finishes_no_call(bitrix24: Bitrix24) -> None:
    commands = {"fin": command("telephony.externalcall.finish", CALL_ID="$result[reg][CALL_ID]", USER_ID=11)}
    _, body = await bitrix24("batch", cmd=commands)
    assert body["result"]["result_error"]["fin"]["error"] == "INVALID_ARGUMENT"


async def test_batches_have_50_commands_and_no_batch_inside(bitrix24: Bitrix24) -> None:
    status, body = await bitrix24("batch", cmd={str(number): "scope" for number in range(51)})
    assert (status, body["error"]) == (400, "ERROR_BATCH_LENGTH_EXCEEDED")
    _, body = await bitrix24("batch", cmd=["batch?"])
    assert body["result"]["result_error"][0]["error"] == "ERROR_BATCH_METHOD_NOT_ALLOWED"


async def test_a_batch_may_come_as_a_form(bitrix24: Bitrix24) -> None:
    form = {
        "halt": "1",
        "cmd[reg]": command("telephony.externalcall.register", **REGISTER),
        "cmd[who]": "user.get?ID=12",
    }
    form["auth"] = bitrix24.token
    async with bitrix24.session.post(bitrix24.portal.url + "/rest/batch", data=form) as response:
        body = await response.json()
    assert body["result"]["result"]["reg"]["CALL_ID"]
    assert body["result"]["result"]["who"][0]["UF_PHONE_INNER"] == "1002"
    assert body["result"]["result_total"] == {"who": 1}


async def test_a_fault_can_strike_one_command_of_a_batch(bitrix24: Bitrix24) -> None:
    bitrix24.portal.faults.order({"mode": "500", "methods": ["finish"], "times": 1})
    commands = {
        "reg": command("telephony.externalcall.register", **REGISTER),
        "fin": command("telephony.externalcall.finish", CALL_ID="$result[reg][CALL_ID]", USER_ID=11),
    }
    status, body = await bitrix24("batch", halt=1, cmd=commands)
    assert (status, body["result"]["result_error"]["fin"]["error"]) == (200, "INTERNAL_SERVER_ERROR")
    assert (len(bitrix24.portal.orphans()), bitrix24.portal.entries()) == (1, [])


@pytest.mark.parametrize(
    ("method", "params"),
    [
        ("voximplant.statistic.get", {"start": "soon"}),
        ("telephony.externalcall.show", {"CALL_ID": "x", "USER_ID": "me"}),
        ("batch", {"cmd": "scope"}),
    ],
)
async def test_nonsense_is_an_invalid_argument(bitrix24: Bitrix24, method: str, params: dict[str, Any]) -> None:
    status, body = await bitrix24(method, **params)
    assert (status, body["error"]) == (400, "INVALID_ARGUMENT")
