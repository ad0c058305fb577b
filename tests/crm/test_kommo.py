"""Kommo as its documents and its users describe it: who made a call, blocks, numbers that wait, nulls, customers."""

from collections.abc import AsyncIterator, Callable
from dataclasses import replace as with_
from typing import Any

import orjson
import pytest
from msgspec.structs import replace
from pydantic import SecretStr

from deploy.fake_crms import KommoConfig, KommoPortal
from deploy.fake_crms.kommo.requests import BLOCKED_PAGE
from streams.clock import MICROS_PER_SECOND, boot_seconds, utc_now_us
from streams.crm.kommo.answers import answer_of, choice_refused, portal_problem
from streams.crm.kommo.client import KommoClient
from streams.delivery.answers import (
    CallFound,
    FieldRefused,
    NotFound,
    NotYet,
    OutcomeUnknown,
    PortalBlocked,
    RetryLater,
    Succeeded,
)
from streams.delivery.events import Answered
from streams.delivery.machine import advance
from streams.delivery.record import State
from streams.http.request import Reply
from streams.rules import load_rules
from streams.settings import PortalSettings
from tests.crm.calls import POLICY, STARTED, call_result, delivered, doubtful, opened
from tests.crm.test_clients import soon
from tests.crm.test_correction_note import revised

RULES = load_rules()
CLIENT = "+79161234567"
MISSED: dict[str, Any] = {
    "answered": False,
    "answered_by": None,
    "result": 408,
    "talk_seconds": None,
    "rang_last": "1002",
}

MakeClient = Callable[..., KommoClient]


@pytest.fixture
async def kommo() -> AsyncIterator[KommoPortal]:
    async with KommoPortal(KommoConfig(requests_per_second=0)) as portal:
        yield portal


@pytest.fixture
async def client_of(kommo: KommoPortal) -> AsyncIterator[MakeClient]:
    made: list[KommoClient] = []

    def make(**fields: Any) -> KommoClient:
        token = SecretStr("fake-long-lived-token")
        users = {"1001": "11", "1002": "12", "1009": "19"}  # 19 has left the company
        fields = {"url": kommo.url, "token": token, "default_user": "1", "users": users, **fields}
        portal = PortalSettings(name="main", crm="kommo", **fields)
        made.append(KommoClient(portal, RULES.tables["kommo"].status))
        return made[-1]

    yield make
    for client in made:
        await client.close()


def operations(portal: KommoPortal) -> list[str]:
    return [str(line["operation"]) for line in portal.log]


def call_of(portal: KommoPortal) -> dict[str, Any]:
    """The only call as it was sent."""
    (note,) = portal.account.notes
    call: dict[str, Any] = note["call"]
    return call


# Who made the call.


async def test_the_account_is_told_who_made_the_call(kommo: KommoPortal, client_of: MakeClient) -> None:
    kommo.change_settings(known_clients=True)
    await delivered(client_of(), call_result())
    (entry,) = kommo.entries()
    assert (entry.user_id, entry.user) == (11, "Anna Ivanova")
    assert [call_of(kommo)[name] for name in ("responsible_user_id", "created_by", "call_responsible")] == [11] * 3


async def test_without_a_user_the_extension_is_shown(kommo: KommoPortal, client_of: MakeClient) -> None:
    kommo.change_settings(known_clients=True)
    delivery = await delivered(client_of(users={}, default_user=None), call_result())
    (entry,) = kommo.entries()
    assert entry.user == "1001" and delivery.unmatched == ("1001",)
    assert "created_by" not in call_of(kommo) and "responsible_user_id" not in call_of(kommo)


async def test_a_token_that_may_name_nobody_else_delivers_without(kommo: KommoPortal, client_of: MakeClient) -> None:
    kommo.change_settings(known_clients=True, owner_is_admin=False)
    client = client_of()
    delivery = await delivered(client, call_result())
    assert delivery.state is State.DELIVERED and kommo.entries()[0].user == "Robot"
    assert call_of(kommo)["responsible_user_id"] == 11
    assert delivery.unmatched == ("field:created_by", "field:call_responsible")
    assert [attempt.outcome for attempt in delivery.history] == ["nofield", "done"]
    assert operations(kommo) == ["calls", "users", "calls"]
    await delivered(client, call_result(2))
    assert operations(kommo) == ["calls", "users", "calls", "calls"]  # it is known now


async def test_it_is_tried_again_after_an_hour(
    kommo: KommoPortal, client_of: MakeClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    kommo.change_settings(known_clients=True, owner_is_admin=False)
    client = client_of()
    await delivered(client, call_result())
    kommo.change_settings(owner_is_admin=True)
    later = boot_seconds() + 3700
    monkeypatch.setattr("streams.crm.kommo.client.boot_seconds", lambda: later)
    await delivered(client, call_result(2))
    assert kommo.entries()[1].user_id == 11


async def test_who_left_is_told_by_the_field_of_who_made_the_call(kommo: KommoPortal, client_of: MakeClient) -> None:
    """Issues 170 and 220 of the official PHP SDK: only created_by was named, of a user who was no longer active."""
    kommo.change_settings(known_clients=True)
    kommo.faults.order({"mode": "400", "times": 1, "methods": ["calls"]})
    client = client_of()
    delivery = opened(client, call_result(extension="1009", answered_by=None))
    assert delivery.intent is not None
    sent = orjson.loads(delivery.intent.sent)
    reply = refusal("created_by")
    answer = answer_of("call", reply, sent, "create_contact", utc_now_us())
    assert answer == FieldRefused(("created_by",), "Request validation failed; created_by: no")
    assert choice_refused(reply)
    assert await client._account.user_left("19", soon()) and not await client._account.user_left("11", soon())
    assert await client._account.user_left("404", soon())


def refusal(*paths: str, code: str = "NotSupportedChoice") -> Reply:
    errors = [{"code": code, "path": path, "detail": "no"} for path in paths]
    document = {"title": "Request validation failed", "validation-errors": [{"request_id": "0", "errors": errors}]}
    return Reply(400, {}, document)


@pytest.mark.parametrize(
    ("paths", "kind"),
    [
        (("responsible_user_id", "created_by", "call_responsible"), "nouser"),
        (("responsible_user_id",), "nouser"),
        (("created_by",), "nofield"),
        (("call_responsible", "created_by"), "nofield"),
        (("created_by", "duration"), "refused"),
        (("uniq",), "unsure"),
        (("source_uid",), "unsure"),
        (("phone",), "refused"),
    ],
)
def test_what_a_refusal_means_is_told_by_the_fields_that_it_names(paths: tuple[str, ...], kind: str) -> None:
    sent: dict[str, object] = {"request_id": "0", "responsible_user_id": 11, "created_by": 11, "call_responsible": 11}
    assert answer_of("call", refusal(*paths), sent, "create_contact", 0).code == kind


@pytest.mark.parametrize(
    ("step", "doubtful", "kind"),
    [
        ("unsorted", 0, "refused"),
        ("unsorted", 1, "unsure"),
        ("unsorted", 2, "unsure"),
        ("unsorted", 3, "refused"),
        ("call", 1, "unsure"),
        ("contact", 1, "refused"),
    ],
)
def test_a_refusal_after_a_lost_answer_is_looked_up_before_it_is_believed(step: str, doubtful: int, kind: str) -> None:
    assert answer_of(step, refusal("phone"), {"request_id": "0"}, "unsorted", 0, doubtful).code == kind


async def test_a_repeat_that_is_refused_for_good_ends_in_the_dead_letters(
    kommo: KommoPortal, client_of: MakeClient
) -> None:
    kommo.change_settings(known_clients=True)
    kommo.faults.order({"mode": "reset", "methods": ["calls"], "times": 1})
    kommo.faults.order({"mode": "400", "methods": ["calls"], "times": 10})
    delivery = await delivered(client_of(), call_result(), patient=True)
    assert delivery.state is State.REFUSED and not kommo.entries()
    tried = [attempt.outcome for attempt in delivery.history]
    assert tried == ["unsure", "not_found", "unsure", "not_found", "unsure", "not_found", "refused"]


def test_an_incoming_leads_user_is_named_within_its_metadata() -> None:
    sent: dict[str, object] = {"request_id": "0", "metadata": {"call_responsible": 11}}
    answer = answer_of("unsorted", refusal("metadata.call_responsible"), sent, "unsorted", 0)
    assert isinstance(answer, FieldRefused) and answer.fields == ("call_responsible",)


# Blocks.


@pytest.mark.parametrize("status", [401, 402, 403, 404, 405])
@pytest.mark.parametrize("document", [None, {"message": "a gateway's own"}, {"title": "Kommo's"}])
def test_what_no_call_is_at_fault_for_pauses_whatever_the_body(status: int, document: object) -> None:
    problem = portal_problem(Reply(status, {}, document), 0)
    assert isinstance(problem, PortalBlocked) and problem.rarely is (status == 403)


@pytest.mark.parametrize("status", [500, 502, 503, 504])
def test_a_gateways_page_with_another_status_proves_nothing(status: int) -> None:
    assert isinstance(portal_problem(Reply(status, {}, None), 0), OutcomeUnknown)


async def test_a_block_pauses_sends_and_lookups_with_words(kommo: KommoPortal, client_of: MakeClient) -> None:
    kommo.change_settings(requests_per_second=1, flood=1, ban=1000.0)
    client = client_of()
    delivery = opened(client, call_result())
    while isinstance(answer := await client.send(delivery, soon()), RetryLater | NotYet) or answer.code == "needs":
        pass
    assert isinstance(answer, PortalBlocked) and answer.rarely
    assert "blocked for too many requests: write to the vendor's support" in answer.why
    assert kommo.log[-1]["status"] == 403 and b"nginx" in BLOCKED_PAGE
    found = await client.look_up(doubtful(delivery, client), soon())
    assert isinstance(found, PortalBlocked) and found.rarely


# A number that waits for a contact.


async def test_a_number_that_waits_for_a_contact_is_tried_slowly(kommo: KommoPortal, client_of: MakeClient) -> None:
    client = client_of(unknown_number="retry")
    delivery = opened(client, call_result())
    answer = await client.send(delivery, soon())
    assert isinstance(answer, NotYet) and "Entity not found" in answer.why
    policy = with_(POLICY, deadline_us=72 * 3600 * MICROS_PER_SECOND)
    now = delivery.queued_at
    waits = []
    for _ in range(6):
        outcome = advance(delivery, Answered(now, delivery.attempt, answer), client.plan, policy)
        waiting = outcome.delivery
        assert (waiting.state, waiting.failures, outcome.effects) == (State.WAITING, 0, ())
        waits.append(((waiting.wait_until or 0) - now) / MICROS_PER_SECOND / 60)
        now = waiting.wait_until or 0
        delivery = replace(delivery, attempt=delivery.attempt)
    assert waits == [10, 30, 60, 60, 60, 60]


# A later version, in the call's own note.


async def test_what_the_account_gives_as_null_is_not_sent_back(kommo: KommoPortal, client_of: MakeClient) -> None:
    kommo.change_settings(known_clients=True)
    client = client_of()
    first = await delivered(client, call_result(direction="outgoing"))
    assert (await revised(client, "update", first)).state is State.DELIVERED
    assert [entry.status for entry in kommo.entries()] == ["7"]


async def test_a_status_that_comes_back_as_a_string_is_no_persons_change(
    kommo: KommoPortal, client_of: MakeClient
) -> None:
    kommo.change_settings(known_clients=True)
    client = client_of()
    for number in (1, 2):  # one of them has a note whose call_status is a string
        first = await delivered(client, call_result(number, direction="outgoing"))
        known = await revised(client, "update", first, call_id=first.call_id, version=first.version + 1)
        assert known.state is State.DELIVERED, known.reason
    assert [entry.status for entry in kommo.entries()] == ["7", "7"]


async def test_a_text_that_goes_is_written_over_with_the_statuss_words(
    kommo: KommoPortal, client_of: MakeClient
) -> None:
    kommo.change_settings(known_clients=True)
    client = client_of()
    first = await delivered(client, call_result(direction="outgoing"))
    later = await revised(client, "update", first, result=0)
    assert later.state is State.DELIVERED, later.reason
    assert kommo.entries()[0].text == "did not get through"


# Where a call stands.


async def test_a_call_at_a_customer_is_found_again_and_noted(kommo: KommoPortal, client_of: MakeClient) -> None:
    kommo.change_settings(customers=True)
    kommo.account.add_client("customer", "Buyer", [CLIENT], kommo.now())
    kommo.faults.order({"mode": "lost_answer", "methods": ["calls"], "times": 1})
    client = client_of()
    delivery = await delivered(client, call_result(direction="outgoing"))
    assert delivery.state is State.DELIVERED and len(kommo.entries()) == 1
    assert delivery.crm_ids["entity_type"] == "customer"
    assert (await revised(client, "note", delivery)).state is State.DELIVERED
    assert [note["entity"] for note in kommo.account.texts] == ["customer"]


async def test_an_account_without_customers_is_looked_through_all_the_same(
    kommo: KommoPortal, client_of: MakeClient
) -> None:
    client = client_of()
    delivery = opened(client, call_result())
    assert await client.look_up(doubtful(delivery, client), soon()) == NotFound()


@pytest.mark.parametrize("moment", ["now", "created"])
async def test_a_call_of_long_ago_is_found_whatever_time_its_note_has(
    moment: str, kommo: KommoPortal, client_of: MakeClient
) -> None:
    kommo.change_settings(known_clients=True, note_updated_at=moment)
    client = client_of()
    delivery = opened(client, call_result())  # of 2025
    sent = await client.send(delivery, soon())
    assert isinstance(sent, Succeeded)
    assert await client.look_up(doubtful(delivery, client), soon()) == CallFound(dict(sent.ids))


async def test_the_plural_of_an_entitys_type_is_understood(kommo: KommoPortal, client_of: MakeClient) -> None:
    document = {"_embedded": {"calls": [{"id": 1, "entity_id": 2, "entity_type": "contacts", "request_id": "0"}]}}
    answer = answer_of("call", Reply(200, {}, document), {"request_id": "0"}, "create_contact", 0)
    assert isinstance(answer, Succeeded) and answer.ids["entity_type"] == "contact"
    kommo.change_settings(known_clients=True)
    client = client_of()
    first = await delivered(client, call_result(direction="outgoing"))
    older = replace(first, crm_ids={**first.crm_ids, "entity_type": "contacts"})
    assert (await revised(client, "update", older)).state is State.DELIVERED


async def test_a_missed_call_goes_to_who_is_responsible_for_the_company(
    kommo: KommoPortal, client_of: MakeClient
) -> None:
    kommo.account.add_client("company", "Works", ["8 (916) 123-45-67"], kommo.now(), 14)
    await delivered(client_of(missed_call_user="responsible"), call_result(**MISSED))
    assert [entry.user_id for entry in kommo.entries()] == [14]
    assert operations(kommo) == ["contacts", "companies", "calls"]


async def test_two_calls_of_a_client_in_one_second_are_both_shown(kommo: KommoPortal, client_of: MakeClient) -> None:
    kommo.change_settings(known_clients=True)
    client = client_of()
    first = opened(client, call_result(1))
    for delivery in (first, opened(client, call_result(2)), opened(client, call_result(1))):
        assert isinstance(await client.send(delivery, soon()), Succeeded)
    second = STARTED // MICROS_PER_SECOND
    assert [note["created_at"] for note in kommo.account.notes] == [second, second + 1, second]


# Incoming leads.


async def test_an_incoming_lead_names_who_called_and_whom(kommo: KommoPortal, client_of: MakeClient) -> None:
    client = client_of(unknown_number="unsorted", options={"pipeline_id": 5000001, "source": "Office"})
    delivery = await delivered(client, call_result(did="+74951112233", **MISSED))
    assert delivery.state is State.DELIVERED
    (lead,) = kommo.account.unsorted
    meta = lead["item"]["metadata"]
    assert (meta["phone"], meta["from"], meta["call_responsible"]) == (CLIENT, CLIENT, 12)
    assert (lead["item"]["source_name"], lead["item"]["pipeline_id"]) == ("Office", 5000001)
    assert [(entry.phone, entry.line, entry.user_id) for entry in kommo.entries()] == [(CLIENT, "Office", 12)]


async def test_an_incoming_lead_for_nobody_names_the_line(kommo: KommoPortal, client_of: MakeClient) -> None:
    client = client_of(unknown_number="unsorted", users={}, default_user=None)
    await delivered(client, call_result(did="+74951112233", **MISSED))
    assert kommo.entries()[0].user == "+74951112233"


async def test_a_pipeline_that_is_not_there_refuses_the_lead(kommo: KommoPortal, client_of: MakeClient) -> None:
    client = client_of(unknown_number="create_lead", options={"pipeline_id": 7})
    delivery = await delivered(client, call_result())
    assert delivery.state is State.REFUSED and "pipeline_id" in str(delivery.reason)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"pipeline": 1}, "unknown: pipeline; known: pipeline_id, source"),
        ({"pipeline_id": "Sales"}, "pipeline_id is not a pipeline's number"),
        ({"pipeline_id": True}, "pipeline_id is not a pipeline's number"),
        ({"pipeline_id": 0}, "pipeline_id is not a pipeline's number"),
        ({"source": ""}, "source is not a name of 1 to 255 characters"),
        ({"source": "a\x1b[2J"}, "source is not a name of 1 to 255 characters"),
    ],
)
def test_options_that_are_no_good_are_refused(options: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        PortalSettings(name="main", crm="kommo", options=options)
