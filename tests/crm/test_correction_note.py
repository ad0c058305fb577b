"""A version that comes after delivery: kept, noted beside the call, or in its place, never over a person's word."""

from collections.abc import AsyncIterator
from dataclasses import replace as with_
from typing import Any

import pytest
from msgspec.structs import replace
from pydantic import SecretStr

from deploy.fake_crms import Bitrix24Config, Bitrix24Portal, KommoConfig, KommoPortal, Portal
from streams.calls.result import CallResult
from streams.clock import utc_now_us
from streams.crm.bitrix24.client import Bitrix24Client
from streams.crm.kommo.client import KommoClient
from streams.crm.shared.client import CrmClient
from streams.delivery.answers import Answer, OutcomeUnknown, Refused, RetryLater, SkipCall, Succeeded
from streams.delivery.machine import advance
from streams.delivery.plan import Policy
from streams.delivery.record import Delivery, State
from streams.rules import load_rules
from streams.settings import PortalSettings
from tests.crm.calls import POLICY, arrived, call_result, delivered, opened
from tests.crm.test_clients import soon

RULES = load_rules()
BUSY = {"answered": False, "result": 486, "talk_seconds": None, "direction": "outgoing"}
CORRECTED = "Call result corrected: 486 busy, 0 s; before: 200 successful call, 61 s."


@pytest.fixture
async def bitrix24() -> AsyncIterator[Bitrix24Portal]:
    async with Bitrix24Portal(Bitrix24Config(bucket_size=0)) as portal:
        portal.crm.add_client("+79161234567", responsible=14)
        yield portal


@pytest.fixture
async def kommo() -> AsyncIterator[KommoPortal]:
    async with KommoPortal(KommoConfig(requests_per_second=0, known_clients=True)) as portal:
        yield portal


@pytest.fixture
async def b24(bitrix24: Bitrix24Portal) -> AsyncIterator[Bitrix24Client]:
    token = SecretStr("fake-access-token")
    settings = PortalSettings(name="main", crm="bitrix24", url=bitrix24.url, token=token, default_user="1")
    client = Bitrix24Client(settings, RULES.tables["bitrix24"].status)
    yield client
    await client.close()


@pytest.fixture
async def amo(kommo: KommoPortal) -> AsyncIterator[KommoClient]:
    settings = PortalSettings(name="main", crm="kommo", url=kommo.url, token=SecretStr("fake-long-lived-token"))
    client = KommoClient(settings, RULES.tables["kommo"].status)
    yield client
    await client.close()


def later_version(**fields: Any) -> CallResult:
    return call_result(**{"version": call_result().version + 1, **fields})


async def revised(
    client: CrmClient, on_revision: str, before: Delivery | None = None, *, patient: bool = False, **fields: Any
) -> Delivery:
    """The call delivered, then a later version of it."""
    first = before or await delivered(client, call_result(direction="outgoing"))
    assert first.state is State.DELIVERED
    result = later_version(**{**BUSY, **fields})
    policy = _policy(on_revision)
    known = advance(first, arrived(result, utc_now_us()), client.plan, policy).delivery
    return known if known.final else await delivered(client, result, delivery=known, policy=policy, patient=patient)


def _policy(on_revision: str) -> Policy:
    return with_(POLICY, on_revision=on_revision)


def requests(portal: Portal) -> list[str]:
    return [str(line["operation"]).rpartition(".")[2] for line in portal.log]


async def test_by_default_nothing_is_sent_after_delivery(
    bitrix24: Bitrix24Portal, b24: Bitrix24Client, kommo: KommoPortal, amo: KommoClient
) -> None:
    for client in (b24, amo):
        assert (await revised(client, "keep")).state is State.SUPERSEDED
    assert requests(bitrix24) == ["register", "finish"] and requests(kommo) == ["calls"]


async def test_bitrix24_notes_it_in_the_clients_timeline(bitrix24: Bitrix24Portal, b24: Bitrix24Client) -> None:
    delivery = await revised(b24, "note")
    (comment,) = bitrix24.crm.comments
    assert comment["words"] == f"{CORRECTED} (cel2crm {delivery.call_id} v{delivery.version})"
    assert comment["entity_type"] == "contact"
    assert (delivery.state, delivery.status, delivery.sent_version) == (State.DELIVERED, "200", delivery.version)


async def test_kommo_notes_it_beside_the_call(kommo: KommoPortal, amo: KommoClient) -> None:
    delivery = await revised(amo, "note")
    (note,) = kommo.account.texts
    assert note["params"]["text"].startswith("Call result corrected: 7 Number busy, 0 s; before: 4 Success call, 61 s.")
    assert (note["entity"], str(note["entity_id"])) == ("contact", delivery.crm_ids["entity_id"])
    assert (delivery.state, delivery.status) == (State.DELIVERED, "4")
    assert [entry.status for entry in kommo.entries()] == ["4"]


async def test_kommo_changes_the_calls_own_note(kommo: KommoPortal, amo: KommoClient) -> None:
    delivery = await revised(amo, "update")
    (entry,) = kommo.entries()
    assert (entry.status, entry.text, entry.duration) == ("7", "Number busy", 0)
    assert (entry.external_id, entry.phone) == (delivery.call_id, "+79161234567")
    assert (delivery.state, delivery.status, delivery.text) == (State.DELIVERED, "7", "Number busy")
    assert requests(kommo) == ["calls", "notes", "edit_notes"]


@pytest.mark.parametrize("change", [{"call_status": 2}, {"call_result": "Agreed on a meeting"}])
async def test_a_persons_word_is_never_written_over(
    change: dict[str, Any], kommo: KommoPortal, amo: KommoClient
) -> None:
    first = await delivered(amo, call_result(direction="outgoing"))
    (note,) = kommo.account.notes
    kommo.record("edited", {"id": note["id"], "params": {**note["call"], **change}, "at": kommo.now()})
    delivery = await revised(amo, "update", first)
    assert delivery.state is State.SUPERSEDED
    assert f"a person changed the call in the CRM ({next(iter(change))})" in str(delivery.reason)
    assert change.items() <= kommo.account.notes[0]["call"].items() and "edit_notes" not in requests(kommo)


async def test_a_change_of_ours_is_changed_again(kommo: KommoPortal, amo: KommoClient) -> None:
    second = await revised(amo, "update")
    newest = call_result(version=second.version + 1, direction="outgoing", answered=False, result=603)
    known = advance(second, arrived(newest, utc_now_us()), amo.plan, _policy("update")).delivery
    third = await delivered(amo, newest, delivery=known, policy=_policy("update"))
    assert (third.state, third.sent_version) == (State.DELIVERED, newest.version)
    assert [entry.status for entry in kommo.entries()] == ["2"]


async def test_what_the_crm_shows_alike_is_not_told(
    bitrix24: Bitrix24Portal, b24: Bitrix24Client, kommo: KommoPortal, amo: KommoClient
) -> None:
    same: dict[str, Any] = {
        "direction": "outgoing",
        "answered": True,
        "result": 200,
        "talk_seconds": 60.6,
        "trunk": "other",
    }
    modes: list[tuple[CrmClient, str]] = [(b24, "note"), (amo, "note"), (amo, "update")]
    for client, mode in modes:
        delivery = await revised(client, mode, **same)
        assert (delivery.state, delivery.sent_version) == (State.DELIVERED, delivery.version)
    assert not bitrix24.crm.comments and not kommo.account.texts and "edit_notes" not in requests(kommo)


async def test_a_call_at_no_client_cannot_be_noted(bitrix24: Bitrix24Portal, b24: Bitrix24Client) -> None:
    bitrix24.reset()  # the portal knows nobody
    delivery = await revised(b24, "note")
    assert delivery.state is State.SUPERSEDED and "at no client" in str(delivery.reason)


@pytest.mark.parametrize("fault", ["lost_answer", "half_answer", "reset", "html", "500", "garbage200"])
async def test_whatever_becomes_of_the_request_it_is_told_once(
    fault: str, bitrix24: Bitrix24Portal, b24: Bitrix24Client, kommo: KommoPortal, amo: KommoClient
) -> None:
    bitrix24.faults.order({"mode": fault, "methods": ["comment.add"], "times": 1})
    assert (await revised(b24, "note")).state is State.DELIVERED and len(bitrix24.crm.comments) == 1
    kommo.faults.order({"mode": fault, "methods": ["add_notes", "edit_notes"], "times": 1})
    assert (await revised(amo, "note")).state is State.DELIVERED and len(kommo.account.texts) == 1
    kommo.reset()
    kommo.faults.order({"mode": fault, "methods": ["add_notes", "edit_notes"], "times": 1})
    assert (await revised(amo, "update")).state is State.DELIVERED
    assert [entry.status for entry in kommo.entries()] == ["7"]


@pytest.mark.parametrize(
    ("mode", "kind"),
    [("503", RetryLater), ("insufficient_scope", Refused), ("access_denied", Refused), ("500", OutcomeUnknown)],
)
async def test_what_only_comments_need_stops_no_calls(
    mode: str, kind: type[Answer], bitrix24: Bitrix24Portal, b24: Bitrix24Client
) -> None:
    bitrix24.faults.order({"mode": mode, "methods": ["comment.add"]})
    assert type(await b24.send(await _opened(b24, "comment"), soon())) is kind


async def test_who_is_gone_from_the_crm_takes_no_notes(
    bitrix24: Bitrix24Portal, b24: Bitrix24Client, kommo: KommoPortal, amo: KommoClient
) -> None:
    first = replace(await _opened(b24, "comment"), intent=None, state=State.WAITING)
    gone = replace(first, crm_ids={**first.crm_ids, "CRM_ENTITY_ID": "1"})
    assert isinstance(await b24.send(await _opened(b24, "comment", gone), soon()), SkipCall)
    update = await _opened(amo, "update")
    assert isinstance(await amo.send(update, soon()), Succeeded)
    kommo.reset()
    answer = await amo.send(update, soon())
    assert isinstance(answer, SkipCall) and "no longer there" in answer.why


async def _opened(client: CrmClient, step: str, first: Delivery | None = None) -> Delivery:
    """With an open intent to tell a later version."""
    known = first or await delivered(client, call_result(direction="outgoing"))
    fields = {name: getattr(known, name) for name in ("crm_ids", "sent", "status", "text", "sent_version")}
    return opened(client, later_version(**BUSY), step, **fields)


@pytest.mark.parametrize(("crm", "value"), [("bitrix24", "update"), ("webhook", "note")])
def test_what_a_crm_cannot_do_is_refused_at_start(crm: Any, value: Any) -> None:
    with pytest.raises(ValueError, match=f"on_revision cannot be '{value}' at {crm}; allowed: keep, "):
        PortalSettings(name="main", crm=crm, on_revision=value)
