"""People and unknown numbers against the fake portals: a call through machine and client to its end."""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from pydantic import SecretStr

from deploy.fake_crms import Bitrix24Config, Bitrix24Portal, KommoConfig, KommoPortal
from streams.calls.result import CallResult
from streams.crm.bitrix24.client import Bitrix24Client
from streams.crm.kommo.client import KommoClient
from streams.crm.shared.client import CrmClient
from streams.delivery.record import Delivery, State
from streams.rules import load_rules
from streams.settings import PortalSettings
from tests.crm.calls import call_result, delivered

RULES = load_rules()
USERS = {"1001": "11", "1002": "12", "1009": "19"}  # 19 has left the company
MISSED = {"answered": False, "answered_by": None, "result": 408, "talk_seconds": None, "rang_last": "1002"}
CLIENT = "+79161234567"

Deliver = Callable[..., Awaitable[Delivery]]


@pytest.fixture
async def bitrix24() -> AsyncIterator[Bitrix24Portal]:
    async with Bitrix24Portal(Bitrix24Config(bucket_size=0)) as portal:
        yield portal


@pytest.fixture
async def kommo() -> AsyncIterator[KommoPortal]:
    async with KommoPortal(KommoConfig(requests_per_second=0)) as portal:
        yield portal


async def through(client: CrmClient, result: CallResult) -> Delivery:
    try:
        return await delivered(client, result)
    finally:
        await client.close()


async def to_bitrix24(portal: Bitrix24Portal, settings: dict[str, Any] | None = None, **call: Any) -> Delivery:
    fields = {
        "default_user": "1",
        "users": USERS,
        "url": portal.url,
        "token": SecretStr("fake-access-token"),
        **(settings or {}),
    }
    main = PortalSettings(name="main", crm="bitrix24", **fields)
    return await through(Bitrix24Client(main, RULES.tables["bitrix24"].status), call_result(**call))


async def to_kommo(portal: KommoPortal, settings: dict[str, Any] | None = None, **call: Any) -> Delivery:
    token = SecretStr("fake-long-lived-token")
    fields = {"url": portal.url, "token": token, "default_user": "1", "users": USERS, **(settings or {})}
    main = PortalSettings(name="main", crm="kommo", **fields)
    return await through(KommoClient(main, RULES.tables["kommo"].status), call_result(**call))


def operations(portal: Bitrix24Portal | KommoPortal) -> list[str]:
    return [str(line["operation"]).removeprefix("telephony.externalcall.") for line in portal.log]


# Bitrix24.


async def test_bitrix24_finds_the_person_by_inner_phone(bitrix24: Bitrix24Portal) -> None:
    await to_bitrix24(bitrix24, {"users": {}, "users_by": "inner_phone"}, extension="1005")
    assert [entry.user_id for entry in bitrix24.entries()] == [15]


async def test_an_inner_phone_that_nobody_has_goes_to_the_default_user_and_is_remembered(
    bitrix24: Bitrix24Portal,
) -> None:
    delivery = await to_bitrix24(bitrix24, {"users": {}, "users_by": "inner_phone"}, extension="1042", answered_by=None)
    assert [entry.user_id for entry in bitrix24.entries()] == [1]
    assert delivery.unmatched == ("1042",)


async def test_who_left_the_company_gets_no_calls_and_stops_none(bitrix24: Bitrix24Portal) -> None:
    delivery = await to_bitrix24(bitrix24, extension="1009", answered_by=None)
    assert [entry.user_id for entry in bitrix24.entries()] == [1]
    assert delivery.unmatched == ("user:19", "1009")


async def test_a_default_user_whom_the_portal_does_not_know_pauses_it(bitrix24: Bitrix24Portal) -> None:
    delivery = await to_bitrix24(bitrix24, {"default_user": "404"}, extension=None, answered_by=None)
    assert delivery.state is State.PAUSED and "default_user" in str(delivery.reason)
    assert not bitrix24.entries()


async def test_bitrix24_gives_a_missed_call_to_who_is_responsible_for_the_client(bitrix24: Bitrix24Portal) -> None:
    bitrix24.crm.add_client("8 (916) 123-45-67", responsible=14)
    delivery = await to_bitrix24(bitrix24, {"missed_call_user": "responsible"}, **MISSED)
    assert [entry.user_id for entry in bitrix24.entries()] == [14]
    assert operations(bitrix24) == ["searchcrmentities", "register", "finish"]
    assert delivery.crm_ids["responsible"] == "14" and delivery.crm_ids["CRM_ENTITY_TYPE"] == "CONTACT"


async def test_nobody_is_responsible_for_a_stranger(bitrix24: Bitrix24Portal) -> None:
    await to_bitrix24(bitrix24, {"missed_call_user": "responsible"}, **MISSED)
    assert [entry.user_id for entry in bitrix24.entries()] == [12]


async def test_a_portal_that_cannot_be_asked_takes_the_call_all_the_same(bitrix24: Bitrix24Portal) -> None:
    bitrix24.faults.order({"mode": "404", "methods": ["searchcrmentities"]})
    await to_bitrix24(bitrix24, {"missed_call_user": "responsible"}, **MISSED)
    assert [entry.user_id for entry in bitrix24.entries()] == [12]


@pytest.mark.parametrize("policy", ["nothing", "create_lead", "skip", None])
async def test_what_bitrix24_does_about_an_unknown_number(policy: str | None, bitrix24: Bitrix24Portal) -> None:
    delivery = await to_bitrix24(bitrix24, {"unknown_number": policy})
    leads = [client["type"] for client in bitrix24.crm.known(CLIENT)]
    assert leads == (["LEAD"] if policy == "create_lead" else [])
    assert len(bitrix24.entries()) == (policy != "skip")
    assert delivery.state is (State.SKIPPED if policy == "skip" else State.DELIVERED)
    assert policy != "skip" or "does not know this number" in str(delivery.reason)


@pytest.mark.parametrize("policy", ["create_lead", "skip"])
async def test_bitrix24_takes_a_known_number_as_it_is(policy: str, bitrix24: Bitrix24Portal) -> None:
    bitrix24.crm.add_client(CLIENT, responsible=14)
    delivery = await to_bitrix24(bitrix24, {"unknown_number": policy})
    assert delivery.state is State.DELIVERED and len(bitrix24.crm.clients) == 1


async def test_a_lead_that_cannot_be_made_is_no_failure_of_the_call(bitrix24: Bitrix24Portal) -> None:
    bitrix24.change_settings(lead_creation_error="Lead creation is disabled")
    delivery = await to_bitrix24(bitrix24, {"unknown_number": "create_lead"})
    assert delivery.state is State.DELIVERED and len(bitrix24.entries()) == 1
    assert delivery.crm_ids["LEAD_CREATION_ERROR"] == "Lead creation is disabled"


# Kommo.


async def test_kommo_gives_a_missed_call_to_who_is_responsible_for_the_contact(kommo: KommoPortal) -> None:
    kommo.account.add_contact("a stranger called 9161234567", [], kommo.now(), 13)  # no phone: found by its name only
    kommo.account.add_contact("Client", ["8 (916) 123-45-67"], kommo.now(), 14)
    await to_kommo(kommo, {"missed_call_user": "responsible"}, **MISSED)
    assert [entry.user_id for entry in kommo.entries()] == [14]
    assert operations(kommo) == ["contacts", "calls"]  # no company is asked for


async def test_kommo_knows_nobody_responsible_for_a_stranger(kommo: KommoPortal) -> None:
    await to_kommo(kommo, {"missed_call_user": "responsible"}, **MISSED)
    assert [entry.user_id for entry in kommo.entries()] == [12]


async def test_who_left_the_account_gets_no_calls_and_stops_none(kommo: KommoPortal) -> None:
    kommo.account.add_contact("Client", [CLIENT], kommo.now())
    delivery = await to_kommo(kommo, extension="1009", answered_by=None)
    assert [entry.user_id for entry in kommo.entries()] == [1]
    assert delivery.unmatched == ("user:19", "1009")


@pytest.mark.parametrize("policy", ["create_contact", None])
async def test_kommo_makes_the_contact_of_an_unknown_number(policy: str | None, kommo: KommoPortal) -> None:
    delivery = await to_kommo(kommo, {"unknown_number": policy})
    (contact,) = kommo.account.contacts.values()
    assert (contact["phones"], contact["responsible"]) == ([CLIENT], 11)
    assert [entry.via for entry in kommo.entries()] == ["calls"]
    assert operations(kommo) == ["calls", "contacts", "calls"] and delivery.state is State.DELIVERED


async def test_kommo_makes_the_lead_of_an_unknown_number(kommo: KommoPortal) -> None:
    delivery = await to_kommo(kommo, {"unknown_number": "create_lead"})
    assert [lead["name"] for lead in kommo.account.leads] == [CLIENT]
    assert len(kommo.account.contacts) == len(kommo.entries()) == 1
    assert delivery.crm_ids["lead"] == str(kommo.account.leads[0]["id"])


async def test_kommo_puts_an_unknown_caller_among_the_incoming_leads(kommo: KommoPortal) -> None:
    delivery = await to_kommo(kommo, {"unknown_number": "unsorted"}, **MISSED)
    assert [(entry.via, entry.phone) for entry in kommo.entries()] == [("unsorted", CLIENT)]
    (lead,) = kommo.account.unsorted
    assert lead["item"]["_embedded"]["leads"][0]["name"] == f"{CLIENT}: Subscriber did not answer"
    assert (delivery.state, delivery.crm_ids["unsorted"]) == (State.DELIVERED, lead["uid"])
    assert not kommo.account.contacts


async def test_incoming_leads_take_no_outgoing_calls(kommo: KommoPortal) -> None:
    await to_kommo(kommo, {"unknown_number": "unsorted"}, direction="outgoing")
    assert [entry.via for entry in kommo.entries()] == ["calls"] and not kommo.account.unsorted
    assert len(kommo.account.contacts) == 1


async def test_kommo_skips_as_told(kommo: KommoPortal) -> None:
    skipped = await to_kommo(kommo, {"unknown_number": "skip"})
    assert skipped.state is State.SKIPPED and "does not know this number" in str(skipped.reason)
    assert not kommo.entries() and not kommo.account.contacts


@pytest.mark.parametrize("policy", ["create_contact", "create_lead", "unsorted"])
async def test_what_was_made_for_a_lost_answer_is_found_again(policy: str, kommo: KommoPortal) -> None:
    kommo.faults.order({"mode": "lost_answer", "methods": ["contacts", "leads", "unsorted"], "times": 1})
    delivery = await to_kommo(kommo, {"unknown_number": policy}, **MISSED)
    assert delivery.state is State.DELIVERED and len(kommo.entries()) == 1
    made = (len(kommo.account.contacts), len(kommo.account.leads), len(kommo.account.unsorted))
    assert made == {"create_contact": (1, 0, 0), "create_lead": (1, 1, 0), "unsorted": (0, 0, 1)}[policy]
