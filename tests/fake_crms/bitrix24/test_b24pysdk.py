"""The fake Bitrix24 against the vendor's own client: what the SDK sends is understood, what it gets back it can read.

The SDK always builds https addresses; the one place where it does (`_MethodCaller._base_url`, and the constant of the
authorisation server) is pointed at the portal's http address. Everything else is the SDK as published.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, TypeVar

import pytest
from b24pysdk import BitrixApp, BitrixToken, BitrixWebhook, Client  # type: ignore[import-untyped]
from b24pysdk.api.callers.call_method import _MethodCaller  # type: ignore[import-untyped]
from b24pysdk.api.requesters import BitrixOAuthRequester  # type: ignore[import-untyped]
from b24pysdk.errors import (  # type: ignore[import-untyped]
    BitrixAPIBadRequest,
    BitrixAPIInvalidCredentials,
    BitrixAPIOperationTimeLimit,
    BitrixAPIQueryLimitExceeded,
    BitrixAPIWrongAuthType,
)

from tests.fake_crms.conftest import Bitrix24

T = TypeVar("T")


@pytest.fixture(autouse=True)
def plain_http(bitrix24: Bitrix24, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the SDK speak http to the portal."""
    url = bitrix24.portal.url
    monkeypatch.setattr(_MethodCaller, "_base_url", property(lambda caller: f"http://{caller._domain}/rest"))
    monkeypatch.setattr(BitrixOAuthRequester, "_OAUTH_TOKEN_URL", f"{url}/oauth/token/")


@pytest.fixture
def client(bitrix24: Bitrix24) -> Client:
    """The SDK's client with the tokens of an application."""
    return Client(application(bitrix24))


def application(bitrix24: Bitrix24) -> BitrixToken:
    """The SDK's tokens of an application, as they are known from the start."""
    config = bitrix24.portal.config
    return BitrixToken(
        domain=bitrix24.portal.url.removeprefix("http://"),
        auth_token=config.access_token,
        refresh_token=config.refresh_token,
        bitrix_app=BitrixApp(client_id=config.client_id, client_secret=config.client_secret),
    )


def webhook(bitrix24: Bitrix24, secret: str) -> BitrixWebhook:
    """The SDK's token for an incoming webhook."""
    return BitrixWebhook(domain=bitrix24.portal.url.removeprefix("http://"), webhook_token=f"1/{secret}")


async def threaded(call: Callable[[], T]) -> T:
    """The SDK blocks: run it beside the portal."""
    return await asyncio.to_thread(call)


def register(client: Client, **more: Any) -> Any:
    """An unsent register request for user 11."""
    return client.telephony.external_call.register(
        phone_number="+79161234567", call_type=2, user_id=11, show=False, external_call_id="pbx/1.1", **more
    )


async def test_register_finish_and_statistics(bitrix24: Bitrix24, client: Client) -> None:
    registered = await threaded(lambda: register(client).result)
    finished = await threaded(
        lambda: (
            client.telephony.external_call.finish(
                registered["CALL_ID"], user_id=11, duration=42, status_code="200"
            ).result
        )
    )
    assert (finished["CALL_FAILED_CODE"], finished["CALL_DURATION"]) == ("200", 42)
    found = await threaded(lambda: client.voximplant.statistic.get(filter={"EXTERNAL_CALL_ID": "pbx/1.1"}).result)
    assert [record["CALL_ID"] for record in found] == [registered["CALL_ID"]]
    [entry] = bitrix24.portal.entries()
    assert (entry.external_id, entry.duration, entry.popup) == ("pbx/1.1", 42, False)


async def test_a_second_finish_is_the_sdks_bad_request(client: Client) -> None:
    call_id = (await threaded(lambda: register(client).result))["CALL_ID"]
    finish = client.telephony.external_call.finish
    await threaded(lambda: finish(call_id, user_id=11).result)
    with pytest.raises(BitrixAPIBadRequest, match="Call is not found"):
        await threaded(lambda: finish(call_id, user_id=11).result)


async def test_errors_are_the_sdks_own_kinds(bitrix24: Bitrix24, client: Client) -> None:
    with pytest.raises(BitrixAPIInvalidCredentials):
        await threaded(lambda: register(Client(webhook(bitrix24, "wrong"))).result)
    bitrix24.portal.faults.order({"mode": "429", "times": 1})
    with pytest.raises(BitrixAPIOperationTimeLimit):
        await threaded(lambda: register(client).result)
    with pytest.raises(BitrixAPIWrongAuthType):
        await threaded(lambda: register(Client(webhook(bitrix24, bitrix24.portal.config.webhook_secret))).result)
    bitrix24.portal.faults.order({"mode": "503"})  # one try: by itself the SDK repeats a 503 for seconds
    with pytest.raises(BitrixAPIQueryLimitExceeded):
        await threaded(lambda: client.get_token().call_method("scope", max_retries=1))


async def test_a_batch_with_a_reference(bitrix24: Bitrix24, client: Client) -> None:
    methods = {
        "reg": ("telephony.externalcall.register", {"PHONE_NUMBER": "123456", "TYPE": 1, "USER_ID": 11, "SHOW": 0}),
        "fin": ("telephony.externalcall.finish", {"CALL_ID": "$result[reg][CALL_ID]", "USER_ID": 11, "DURATION": 3}),
    }
    answer = await threaded(lambda: client.get_token().call_batch(methods, halt=True))
    assert answer["result"]["result_error"] == []
    assert answer["result"]["result"]["fin"]["CALL_DURATION"] == 3
    assert [entry.direction for entry in bitrix24.portal.entries()] == ["outgoing"]


async def test_an_expired_token_is_refreshed_by_the_sdk(bitrix24: Bitrix24) -> None:
    config = bitrix24.portal.config
    token = application(bitrix24)
    bitrix24.portal.tokens.expire_access()
    result = await threaded(lambda: register(Client(token)).result)
    assert result["CALL_ID"]
    assert token.refresh_token not in {None, config.refresh_token}
    assert [line["operation"] for line in bitrix24.portal.log] == [
        "telephony.externalcall.register",
        "token",
        "telephony.externalcall.register",
    ]


async def test_who_is_responsible_for_a_client_and_a_comment_in_the_clients_timeline(
    bitrix24: Bitrix24, client: Client
) -> None:
    contact = bitrix24.portal.crm.add_client("8 (916) 123-45-67", responsible=14)
    search = client.telephony.external_call.search_crm_entities
    [found] = await threaded(lambda: search(phone_number="+79161234567").result)
    assert (found["CRM_ENTITY_ID"], found["ASSIGNED_BY_ID"]) == (contact, 14)
    assert found["ASSIGNED_BY"]["USER_PHONE_INNER"] == "1004"
    assert await threaded(lambda: search(phone_number="+79990000000").result) == []
    comment = client.crm.timeline.comment
    fields = {"ENTITY_ID": contact, "ENTITY_TYPE": "contact", "COMMENT": "Corrected: busy"}
    made = await threaded(lambda: comment.add(fields=fields).result)
    listed = await threaded(lambda: comment.list(filter={"ENTITY_ID": contact, "ENTITY_TYPE": "contact"}).result)
    assert [(one["ID"], one["COMMENT"]) for one in listed] == [(str(made), "Corrected: busy")]
    with pytest.raises(BitrixAPIBadRequest, match="Owner was not found"):
        await threaded(lambda: comment.add(fields={**fields, "ENTITY_ID": 1}).result)
