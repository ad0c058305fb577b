"""Bitrix24's refusals as live portals word them: the portal waits for a person, or one call goes another way."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from pydantic import SecretStr

from deploy.fake_crms import Bitrix24Config, Bitrix24Portal
from streams.crm.bitrix24.answers import answer_of
from streams.crm.bitrix24.client import Bitrix24Client
from streams.crm.bitrix24.comment import comment_answer_of
from streams.delivery.answers import OutcomeUnknown, PortalBlocked, PrerequisiteLost, Refused, UserUnknown
from streams.delivery.record import State
from streams.http.request import Reply
from streams.rules import load_rules
from streams.settings import PortalSettings
from tests.crm.calls import call_result, delivered

STATUS = load_rules().tables["bitrix24"].status
BY_ID: dict[str, object] = {"USER_ID": "11"}
BY_INNER: dict[str, object] = {"USER_PHONE_INNER": "1001"}
NOT_SET = "USER_ID or USER_PHONE_INNER should be set"


def reply(status: int, code: str, words: str = "") -> Reply:
    return Reply(status, {}, {"error": code, "error_description": words})


def settings(portal: Bitrix24Portal, **fields: Any) -> PortalSettings:
    token = SecretStr("fake-access-token")
    return PortalSettings(name="main", crm="bitrix24", url=portal.url, token=token, default_user="1", **fields)


@pytest.fixture
async def portal() -> AsyncIterator[Bitrix24Portal]:
    async with Bitrix24Portal(Bitrix24Config(bucket_size=0)) as fake:
        yield fake


async def sent(portal: Bitrix24Portal, **fields: Any) -> Any:
    """A call to extension 1001, delivered as far as it goes."""
    client = Bitrix24Client(settings(portal, **fields.pop("settings", {})), STATUS)
    try:
        return await delivered(client, call_result(**fields))
    finally:
        await client.close()


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (401, "authorization_error"),
        (401, "user_access_error"),
        (403, "user_access_error"),
        (401, "APPLICATION_NOT_FOUND"),
        (401, "ERROR_OAUTH"),
        (403, "ACCESS_ERROR"),
        (403, "ALLOWED_ONLY_INTRANET_USER"),
        (400, "INVALID_REQUEST"),
        (401, "INVALID_REQUEST"),
        (401, "ACCESS_DENIED"),
        (401, "OVERLOAD_LIMIT"),
        (401, "brand_new"),
        (402, "brand_new"),
        (403, "brand_new"),
        (400, "SOMETHING_DENIED"),
    ],
)
@pytest.mark.parametrize("step", ["register", "finish"])
def test_an_authorisation_that_is_refused_pauses_the_portal(step: str, status: int, code: str) -> None:
    answer = answer_of(step, reply(status, code, "The portal's words"), 0, BY_ID)
    assert isinstance(answer, PortalBlocked) and code in answer.why and "The portal's words" in answer.why


@pytest.mark.parametrize(
    ("code", "words", "kind"),
    [
        ("brand_new", "Wrong authorization data", PortalBlocked),
        ("brand_new", "Wrong phone", Refused),
        ("ERROR_CORE", "Line of another application", Refused),
        ("INVALID_ARGUMENT", "Access code is too long", Refused),
    ],
)
def test_in_a_batch_words_tell_a_refused_authorisation_by_a_code_that_nobody_knows(
    code: str, words: str, kind: type
) -> None:
    assert type(answer_of("finish", reply(400, code, words), 0, BY_ID)) is kind  # 400: a batch tells no status


@pytest.mark.parametrize("status", [401, 402, 403, 404])
@pytest.mark.parametrize("document", [None, {"message": "blocked"}])
def test_a_page_of_refusal_pauses_the_portal(status: int, document: object) -> None:
    """HTML of a firewall, JSON of a proxy: nothing was applied."""
    ending = Reply(status, {}, document)
    for answer in (answer_of("finish", ending, 0, BY_ID), comment_answer_of(ending, 0)):
        assert isinstance(answer, PortalBlocked) and f"HTTP {status}" in answer.why and "check" in answer.why
    assert isinstance(answer_of("finish", Reply(502, {}, document), 0, BY_ID), OutcomeUnknown)


@pytest.mark.parametrize("status", [400, 401, 403])
@pytest.mark.parametrize(
    ("sent", "words", "kind"),
    [
        (BY_ID, "Call is not found (call should be registered prior to finishing)", PrerequisiteLost),
        (BY_ID, "User is not found or is not active", UserUnknown),
        (BY_INNER, NOT_SET, UserUnknown),
        (BY_ID, NOT_SET, Refused),
        (BY_ID, "Unsupported phone number format", Refused),
    ],
)
@pytest.mark.parametrize("code", ["ERROR_CORE", ""])
def test_a_remark_about_one_call_stops_no_other(
    sent: dict[str, object], words: str, kind: type, code: str, status: int
) -> None:
    assert type(answer_of("finish", reply(status, code, words), 0, sent)) is kind


@pytest.mark.parametrize("extension", ["1999", "7777", "12345"])
@pytest.mark.parametrize("batch", ["never", "always"])
async def test_an_inner_number_that_nobody_has_goes_to_the_default_user(
    portal: Bitrix24Portal, batch: str, extension: str
) -> None:
    who = {"extension": extension, "answered_by": extension, "rang_last": extension}
    delivery = await sent(portal, settings={"users_by": "inner_phone", "bitrix24_batch": batch}, **who)
    assert delivery.state is State.DELIVERED and delivery.unmatched == (extension,)
    assert [entry.user_id for entry in portal.entries()] == [1]


async def test_the_owner_who_left_pauses_the_portal_and_nothing_is_lost(portal: Bitrix24Portal) -> None:
    portal.faults.order({"mode": "authorization_error"})
    delivery = await sent(portal)
    assert delivery.state is State.PAUSED and "authorise again" in str(delivery.reason)
    assert "Unable to authorize user" in str(delivery.reason)
