"""The fake Kommo against an independent client (aioamocrm): either understands what the other says."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from aioamocrm import (
    AmoCRMClient,
    AuthError,
    Contact,
    Embedded,
    ForbiddenError,
    Lead,
    LongLivedToken,
    MemoryTokenStorage,
    Note,
    NotFoundError,
    OAuth2,
    RateLimitError,
    RetryPolicy,
    TokenSet,
    ValidationError,
)

from tests.fake_crms.conftest import NOON, Kommo

ONCE = RetryPolicy(max_attempts=1)
PHONE = "+79161234567"


@pytest.fixture
async def amo(kommo: Kommo) -> AsyncIterator[AmoCRMClient]:
    """The client with the account's long-lived token."""
    kommo.portal.change_settings(requests_per_second=0)
    token = LongLivedToken(kommo.portal.config.long_lived_token)
    async with AmoCRMClient(base_url=kommo.portal.url, auth=token, retry=ONCE, rate_limit=None) as amo:
        yield amo


async def test_account_and_users(amo: AmoCRMClient) -> None:
    account = await amo.account.get()
    assert account.id and account.current_user_id
    assert "Anna Ivanova" in [user.name async for user in amo.users.iterate()]


async def test_a_contact_is_made_and_found_by_its_phone(amo: AmoCRMClient) -> None:
    contact = Contact(name="Client", responsible_user_id=12)
    contact.set_field("PHONE", PHONE, enum_code="WORK")
    [made] = await amo.contacts.create([contact])
    [found] = [one async for one in amo.contacts.iterate(query="9161234567")]
    assert (found.id, found.name, found.responsible_user_id) == (made.id, "Client", 12)
    assert found.field_value("PHONE") == PHONE
    assert [one async for one in amo.contacts.iterate(query="9990000000")] == []


async def test_a_lead_with_its_contact(kommo: Kommo, amo: AmoCRMClient) -> None:
    contact = Contact(name=PHONE)
    contact.set_field("PHONE", PHONE, enum_code="WORK")
    [made] = await amo.leads.create_complex([Lead(name=PHONE, embedded=Embedded(contacts=[contact]))])
    assert made.contact_id in kommo.portal.account.contacts and made.id and made.merged is False


async def test_a_call_leaves_a_note_that_can_be_read_and_edited(kommo: Kommo, amo: AmoCRMClient) -> None:
    call = {"direction": "inbound", "duration": 12, "source": "pbx", "phone": PHONE, "uniq": "u1", "call_status": 4}
    answer = await amo.request("POST", "calls", json=[call])
    [taken] = answer["_embedded"]["calls"]
    [listed] = [note async for note in amo.contacts.notes.iterate(filter={"note_type": ["call_in", "call_out"]})]
    assert (listed.id, listed.note_type) == (taken["id"], "call_in")
    assert listed.params is not None and (listed.params["uniq"], int(listed.params["call_status"])) == ("u1", 4)
    assert listed.params["link"] is None
    given = {name: value for name, value in listed.params.items() if value is not None}  # null is refused
    edit = {"id": taken["id"], "entity_id": taken["entity_id"], "params": {**given, "call_status": 6}}
    await amo.request("PATCH", "contacts/notes", json=[edit])
    note = await amo.contacts.notes.get(taken["id"], entity_id=taken["entity_id"])
    assert note.params is not None and int(note.params["call_status"]) == 6
    assert [entry.status for entry in kommo.portal.entries()] == ["6"]


async def test_a_text_note_stands_beside_the_call(kommo: Kommo, amo: AmoCRMClient) -> None:
    contact = kommo.portal.account.add_contact("Client", [PHONE], NOON)
    [made] = await amo.contacts.notes.create([Note.common(contact, "Corrected")])
    note = await amo.contacts.notes.get(made.id or 0, entity_id=contact)
    assert (note.text, note.note_type) == ("Corrected", "common")
    assert kommo.portal.entries() == []
    with pytest.raises(NotFoundError):
        await amo.contacts.notes.get(1, entity_id=contact)


async def test_lists_come_in_pages_that_the_client_can_walk(kommo: Kommo, amo: AmoCRMClient) -> None:
    for number in range(7):
        kommo.portal.account.add_contact(f"Client {number}", [f"+7916{number:07d}"], NOON)
    assert len([one async for one in amo.contacts.iterate(limit=3)]) == 7


async def test_an_incoming_lead_is_listed_by_its_source(amo: AmoCRMClient) -> None:
    meta = {"from": PHONE, "phone": "+74951234567", "called_at": int(NOON), "duration": 0}
    meta |= {"link": "", "service_code": "pbx", "uniq": "u1"}
    item = {"source_name": "pbx", "source_uid": "u1", "metadata": meta}
    made = await amo.request("POST", "leads/unsorted/sip", json=[item])
    listed = await amo.request("GET", "leads/unsorted", params={"filter[category][]": "sip"})
    [lead] = listed["_embedded"]["unsorted"]
    assert (lead["uid"], lead["source_uid"]) == (made["_embedded"]["unsorted"][0]["uid"], "u1")


async def test_errors_are_the_clients_own_kinds(kommo: Kommo, amo: AmoCRMClient) -> None:
    with pytest.raises(ValidationError) as refused:
        await amo.request("POST", "calls", json=[{"direction": "inbound"}])
    assert "duration" in str(refused.value.body)
    for mode, kind in (("429", RateLimitError), ("403", ForbiddenError), ("401", AuthError)):
        kommo.portal.faults.order({"mode": mode, "times": 1})
        with pytest.raises(kind):
            await amo.account.get()


async def test_an_expired_token_is_refreshed_by_the_client(kommo: Kommo) -> None:
    config = kommo.portal.config
    storage = MemoryTokenStorage(TokenSet(config.access_token, config.refresh_token, NOON + 10**9))
    auth = OAuth2(config.client_id, config.client_secret, "https://example.test/", storage)
    kommo.portal.tokens.expire_access()
    async with AmoCRMClient(base_url=kommo.portal.url, auth=auth, retry=ONCE) as amo:
        assert (await amo.account.get()).id
    stored = await storage.load()
    assert stored is not None and stored.refresh_token != config.refresh_token
    assert [line["operation"] for line in kommo.portal.log] == ["account", "token", "account"]
