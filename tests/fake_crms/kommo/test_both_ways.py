"""What no document settles, in both ways; and incoming leads, accepted and declined."""

from __future__ import annotations

from typing import Any

import pytest

from tests.fake_crms.conftest import Kommo

CLIENT, LINE = "+79161234567", "74951001001"
META = {"phone": CLIENT, "from": CLIENT, "call_responsible": LINE, "called_at": 1_795_400_000, "duration": 0}
CARD = {"name": "Client", "custom_fields_values": [{"field_code": "PHONE", "values": [{"value": CLIENT}]}]}
LEAD = {
    "source_name": "pbx",
    "source_uid": "u1",
    "metadata": {**META, "link": "", "service_code": "cel2crm", "uniq": "u1"},
    "_embedded": {"contacts": [CARD], "leads": [{"name": "Lead"}]},
}


async def incoming(kommo: Kommo) -> str:
    """An incoming lead; its uid."""
    _, body = await kommo("POST", "/api/v4/leads/unsorted/sip", [LEAD])
    return str(body["_embedded"]["unsorted"][0]["uid"])


@pytest.mark.parametrize(("card_shows", "phone"), [("client", CLIENT), ("line", LINE)])
async def test_an_accepted_incoming_lead_has_its_call_and_its_contact(
    kommo: Kommo, card_shows: str, phone: str
) -> None:
    kommo.portal.change_settings(card_shows=card_shows)
    uid = await incoming(kommo)
    status, body = await kommo("POST", f"/api/v4/leads/unsorted/{uid}/accept", {"user_id": 1})
    lead, contact = (body["_embedded"][name][0]["id"] for name in ("leads", "contacts"))
    assert (status, body["category"]) == (200, "sip")
    _, notes = await kommo("GET", f"/api/v4/leads/{lead}/notes")
    [note] = notes["_embedded"]["notes"]
    assert (note["params"]["phone"], note["params"]["call_responsible"]) == (phone, LINE)
    assert kommo.portal.account.contacts[contact]["phones"] == [CLIENT]


@pytest.mark.parametrize(("method", "how"), [("POST", "accept"), ("DELETE", "decline")])
async def test_an_incoming_lead_is_settled_once_and_no_longer_listed(kommo: Kommo, method: str, how: str) -> None:
    uid = await incoming(kommo)
    assert (await kommo(method, f"/api/v4/leads/unsorted/{uid}/{how}", {}))[0] == 200
    assert (await kommo("GET", "/api/v4/leads/unsorted"))[0] == 204
    assert (await kommo(method, f"/api/v4/leads/unsorted/{uid}/{how}", {}))[0] == 404
    assert len(kommo.portal.account.contacts) == (how == "accept")
    other = await incoming(kommo)
    assert [one["lead"] for one in kommo.portal.account.unsorted] == [800_001, 800_002] and other != uid


@pytest.mark.parametrize(
    ("ways", "admin", "status", "created_by"),
    [
        ("administrators", True, 200, 11),
        ("administrators", False, 400, None),
        ("everybody", False, 200, 11),
        ("nobody", True, 400, None),
        ("replaced", True, 200, 1),
    ],
)
async def test_who_may_name_another_as_the_one_who_made_a_call(
    kommo: Kommo, ways: str, admin: bool, status: int, created_by: int | None
) -> None:
    kommo.portal.change_settings(others_as_maker=ways, owner_is_admin=admin)
    answered, body = await kommo.add_call(created_by=11)
    assert answered == status
    if created_by is not None:
        assert await created(kommo) == created_by
    else:
        assert [error["path"] for error in body["validation-errors"][0]["errors"]] == ["created_by"]
    assert (await kommo.add_call(created_by=1, responsible_user_id=11))[0] == 200


async def created(kommo: Kommo) -> Any:
    _, body = await kommo("GET", "/api/v4/contacts/notes")
    return body["_embedded"]["notes"][0]["created_by"]
