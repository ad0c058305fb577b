"""Kommo's calls, notes, contacts, users and incoming leads, as documented and as integrators met them."""

from __future__ import annotations

from typing import Any

import pytest

from deploy.fake_crms.kommo.requests import ERRORS
from tests.fake_crms.conftest import NOON, Kommo

NOTES = "/api/v4/contacts/notes?filter[note_type][]=call_in&filter[note_type][]=call_out"


async def test_an_added_call_is_an_entry(kommo: Kommo) -> None:
    status, body = await kommo.add_call(
        call_status=4, call_result="Success call", created_by=12, created_at=int(NOON) - 60, request_id="r1"
    )
    assert (status, body["_total_items"], body["errors"]) == (200, 1, [])
    [call] = body["_embedded"]["calls"]
    assert (call["request_id"], call["entity_type"]) == ("r1", "contact")
    [entry] = kommo.portal.entries()
    assert (entry.external_id, entry.crm_id, entry.user) == ("u1", str(call["id"]), "Boris Petrov")
    assert (entry.direction, entry.duration, entry.phone) == ("incoming", 12, "+79161234567")
    assert (entry.status, entry.words, entry.text, entry.tone) == (
        "4",
        "Conversation took place",
        "Success call",
        "good",
    )
    assert entry.started_at == "2026-11-23T11:59:00.000+00:00"


async def test_status_and_text_are_optional(kommo: Kommo) -> None:
    assert (await kommo.add_call())[0] == 200
    assert [(entry.status, entry.words, entry.text) for entry in kommo.portal.entries()] == [("", "No status", None)]


@pytest.mark.parametrize(
    ("wrong", "code", "path"),
    [
        ({"call_result": None}, "InvalidType", "call_result"),
        ({"call_status": None}, "InvalidType", "call_status"),
        ({"duration": "12"}, "InvalidType", "duration"),
        ({"phone": 79161234567}, "InvalidType", "phone"),
        ({"duration": True}, "InvalidType", "duration"),
        ({"direction": "internal"}, "NotSupportedChoice", "direction"),
        ({"call_status": 8}, "NotSupportedChoice", "call_status"),
        ({"responsible_user_id": 999}, "NotSupportedChoice", "responsible_user_id"),
        ({"phone": "anonymous"}, "IsBlank", "phone"),
        ({"colour": "red"}, "NotExpectedField", "colour"),
    ],
)
async def test_a_wrong_field_refuses_the_whole_request(
    kommo: Kommo, wrong: dict[str, Any], code: str, path: str
) -> None:
    good = {"direction": "inbound", "duration": 1, "source": "pbx", "phone": "+79161234567"}
    status, body = await kommo("POST", "/api/v4/calls", [good, {**good, **wrong}])
    assert status == 400
    assert kommo.headers["Content-Type"] == "application/problem+json"
    [refused] = body["validation-errors"]
    assert refused["request_id"] == "1"
    assert [(error["code"], error["path"]) for error in refused["errors"]] == [(code, path)]
    assert kommo.portal.entries() == []


@pytest.mark.parametrize("missing", ["direction", "duration", "source", "phone"])
async def test_required_fields(kommo: Kommo, missing: str) -> None:
    item = {"direction": "inbound", "duration": 1, "source": "pbx", "phone": "+79161234567"}
    del item[missing]
    status, body = await kommo("POST", "/api/v4/calls", [{**item, "request_id": "mine"}])
    assert status == 400
    assert body["validation-errors"] == [
        {
            "request_id": "mine",
            "errors": [{"code": "FieldMissing", "path": missing, "detail": "This field is missing."}],
        }
    ]


@pytest.mark.parametrize("body", [{}, [], "calls", None])
async def test_calls_come_as_an_array(kommo: Kommo, body: Any) -> None:
    assert (await kommo("POST", "/api/v4/calls", body))[0] == 400


async def test_an_unknown_phone_is_error_263(kommo: Kommo) -> None:
    kommo.portal.change_settings(known_clients=False)
    status, body = await kommo.add_call(request_id="r9")
    assert status == 400
    assert (body["_total_items"], body["_embedded"]["calls"]) == (0, [])
    [error] = body["errors"]
    assert (error["status"], error["title"], error["request_id"]) == (263, "Entity not found", "r9")
    assert kommo.portal.entries() == []


async def test_known_and_unknown_phones_in_one_request_are_told_apart(kommo: Kommo) -> None:
    kommo.portal.change_settings(known_clients=False)
    phone = {"field_code": "PHONE", "values": [{"value": "8 (916) 123-45-67", "enum_code": "WORK"}]}
    status, body = await kommo("POST", "/api/v4/contacts", [{"name": "Client", "custom_fields_values": [phone]}])
    assert status == 200
    contact = body["_embedded"]["contacts"][0]["id"]
    call = {"direction": "outbound", "duration": 1, "source": "pbx"}
    calls = [{**call, "phone": "+79161234567"}, {**call, "phone": "+79990000000"}]
    status, body = await kommo("POST", "/api/v4/calls", calls)
    assert status == 200
    assert [(one["request_id"], one["entity_id"]) for one in body["_embedded"]["calls"]] == [("0", contact)]
    assert [one["request_id"] for one in body["errors"]] == ["1"]


async def test_the_same_uniq_twice_makes_two_notes(kommo: Kommo) -> None:
    await kommo.add_call()
    await kommo.add_call()
    assert [entry.external_id for entry in kommo.portal.entries()] == ["u1", "u1"]


async def test_notes_are_found_by_type_and_time(kommo: Kommo) -> None:
    kommo.portal.change_settings(requests_per_second=0)
    await kommo.add_call(uniq="early")
    kommo.clock.now += 100
    await kommo.add_call(uniq="late", direction="outbound", call_status=6)
    status, body = await kommo("GET", NOTES)
    notes = body["_embedded"]["notes"]
    assert (status, [note["params"]["uniq"] for note in notes]) == (200, ["early", "late"])
    assert [note["note_type"] for note in notes] == ["call_in", "call_out"]
    assert notes[1]["params"]["call_status"] == "6"  # a string now and then
    assert notes[0]["params"]["call_status"] is notes[0]["params"]["link"] is None
    for query, found in [
        ("filter[note_type]=call_out", ["late"]),
        (f"filter[updated_at][from]={int(NOON) + 1}", ["late"]),
        (f"filter[updated_at][to]={int(NOON) + 1}", ["early"]),
        ("order[id]=desc", ["late", "early"]),
    ]:
        _, body = await kommo("GET", f"/api/v4/contacts/notes?{query}")
        assert [note["params"]["uniq"] for note in body["_embedded"]["notes"]] == found, query
    entity = notes[0]["entity_id"]
    assert (await kommo("GET", f"/api/v4/contacts/{entity}/notes"))[0] == 200
    assert (await kommo("GET", f"/api/v4/contacts/{entity + 1}/notes"))[0] == 204


async def test_no_notes_are_204(kommo: Kommo) -> None:
    assert await kommo("GET", NOTES) == (204, None)
    assert await kommo("GET", "/api/v4/leads/notes") == (204, None)


async def test_notes_come_in_pages(kommo: Kommo) -> None:
    kommo.portal.change_settings(requests_per_second=0)
    for number in range(5):
        await kommo.add_call(uniq=str(number))
    seen: list[str] = []
    path = f"{NOTES}&limit=2"
    while path:
        status, body = await kommo("GET", path)
        assert status == 200
        seen += [note["params"]["uniq"] for note in body["_embedded"]["notes"]]
        path = body["_links"].get("next", {}).get("href", "").removeprefix(kommo.portal.url)
    assert seen == ["0", "1", "2", "3", "4"]
    assert (await kommo("GET", f"{NOTES}&limit=2&page=4"))[0] == 204


async def test_notes_may_lag(kommo: Kommo) -> None:
    kommo.portal.change_settings(lookup_lag=5)
    await kommo.add_call()
    assert (await kommo("GET", NOTES))[0] == 204
    kommo.clock.now += 5
    assert (await kommo("GET", NOTES))[0] == 200


async def test_an_incoming_lead_of_type_sip_is_an_entry_of_its_own_kind(kommo: Kommo) -> None:
    meta = {"from": "+79161234567", "phone": "+79161234567", "called_at": int(NOON), "duration": 0}
    lead = {
        "source_name": "pbx",
        "source_uid": "u1",
        "metadata": {**meta, "link": "", "service_code": "cel2crm", "uniq": "u1"},
    }
    status, body = await kommo("POST", "/api/v4/leads/unsorted/sip", [lead])
    assert (status, body["_total_items"]) == (200, 1)
    assert [(entry.external_id, entry.via, entry.status) for entry in kommo.portal.entries()] == [
        ("u1", "unsorted", "6")
    ]
    assert (await kommo("GET", "/api/v4/leads/notes"))[1]["_embedded"]["notes"][0]["params"]["uniq"] == "u1"
    status, body = await kommo("POST", "/api/v4/leads/unsorted/sip", [{"source_name": "pbx"}])
    paths = [error["path"] for error in body["validation-errors"][0]["errors"]]
    assert (status, "source_uid" in paths, "metadata.phone" in paths) == (400, True, True)


async def test_users_and_contacts_are_listed(kommo: Kommo) -> None:
    _, body = await kommo("GET", "/api/v4/users")
    assert (11, "Anna Ivanova") in [(user["id"], user["name"]) for user in body["_embedded"]["users"]]
    await kommo.add_call(phone="+79161234567")
    assert (await kommo("GET", "/api/v4/contacts?query=89161234567"))[0] == 200
    assert (await kommo("GET", "/api/v4/contacts?query=89990000000"))[0] == 204


@pytest.mark.parametrize("token", ["", "never-issued"])
async def test_no_or_an_unknown_token_is_refused(kommo: Kommo, token: str) -> None:
    kommo.token = token
    status, body = await kommo.add_call()
    assert (status, body["title"]) == (401, "Unauthorized")
    assert kommo.portal.entries() == []


async def test_access_lives_a_day_and_a_refresh_token_is_good_once(kommo: Kommo) -> None:
    config = kommo.portal.config
    ask = {"client_id": config.client_id, "client_secret": config.client_secret, "grant_type": "refresh_token"}
    kommo.token = config.access_token
    assert (await kommo.add_call())[0] == 200
    kommo.clock.now += 86400
    assert (await kommo.add_call())[0] == 401
    status, issued = await kommo("POST", "/oauth2/access_token", {**ask, "refresh_token": config.refresh_token})
    assert (status, issued["token_type"], issued["expires_in"]) == (200, "Bearer", 86400)
    status, body = await kommo("POST", "/oauth2/access_token", {**ask, "refresh_token": config.refresh_token})
    assert (status, body["hint"]) == (401, "Token has been revoked")
    kommo.token = issued["access_token"]
    assert (await kommo.add_call())[0] == 200
    code = {**ask, "grant_type": "authorization_code", "code": kommo.portal.authorise()}
    assert (await kommo("POST", "/oauth2/access_token", code))[0] == 200
    late = {**code, "code": kommo.portal.authorise()}
    kommo.clock.now += 1200
    assert (await kommo("POST", "/oauth2/access_token", late))[1]["hint"] == "Authorization code has been revoked"
    status, body = await kommo("POST", "/oauth2/access_token", {**ask, "client_secret": "wrong"})
    assert status == 401 and "hint" not in body


async def test_seven_requests_a_second_and_403_for_those_who_go_on(kommo: Kommo) -> None:
    kommo.portal.change_settings(flood=3)
    assert [(await kommo("GET", "/api/v4/account"))[0] for _ in range(9)] == [200] * 7 + [429] * 2
    kommo.clock.now += 1
    assert [(await kommo("GET", "/api/v4/account"))[0] for _ in range(7)] == [200] * 7
    await blocked(kommo, "GET", "/api/v4/account")
    kommo.clock.now += 59
    await blocked(kommo, "GET", "/api/v4/account")
    await blocked(kommo, "POST", "/oauth2/access_token")
    kommo.clock.now += 1
    assert (await kommo("GET", "/api/v4/account"))[0] == 200


async def blocked(kommo: Kommo, method: str, path: str) -> None:
    """A block is a page of nginx's."""
    headers = {"Authorization": f"Bearer {kommo.token}"}
    async with kommo.session.request(method, kommo.portal.url + path, headers=headers) as response:
        assert (response.status, response.content_type) == (403, "text/html")
        assert b"<center>nginx</center>" in await response.read()


@pytest.mark.parametrize(
    ("named", "shown"),
    [
        ({}, (0, "Robot")),
        ({"responsible_user_id": 12}, (0, "Robot")),
        ({"responsible_user_id": 12, "created_by": 13}, (13, "Vera Smirnova")),
        ({"created_by": 13, "call_responsible": 14}, (14, "Gleb Orlov")),
        ({"created_by": 13, "call_responsible": "1042"}, (0, "1042")),
    ],
)
async def test_who_is_shown_is_who_made_the_call(kommo: Kommo, named: dict[str, Any], shown: tuple[int, str]) -> None:
    assert (await kommo.add_call(**named))[0] == 200
    assert [(entry.user_id, entry.user) for entry in kommo.portal.entries()] == [shown]


@pytest.mark.parametrize("name", ["responsible_user_id", "created_by", "call_responsible"])
async def test_who_left_is_nowhere_a_choice(kommo: Kommo, name: str) -> None:
    status, body = await kommo.add_call(**{name: 19})
    assert status == 400
    assert [(error["code"], error["path"]) for error in body["validation-errors"][0]["errors"]] == [
        ("NotSupportedChoice", name)
    ]


async def test_who_is_no_administrator_names_himself_only(kommo: Kommo) -> None:
    kommo.portal.change_settings(owner_is_admin=False)
    assert (await kommo.add_call(responsible_user_id=12, created_by=1))[0] == 200
    assert (await kommo.add_call(responsible_user_id=12, created_by=12))[0] == 400
    assert (await kommo("GET", "/api/v4/users"))[0] == 403


@pytest.mark.parametrize(
    ("params", "code"),
    [({"link": None}, "NotNullable"), ({"call_result": ""}, "IsBlank"), ({"call_status": "4"}, "InvalidType")],
)
async def test_a_note_is_not_changed_to_null(kommo: Kommo, params: dict[str, Any], code: str) -> None:
    _, body = await kommo.add_call(call_status=4)
    note = body["_embedded"]["calls"][0]["id"]
    wanted = {"uniq": "u1", "duration": 1, "source": "pbx", "phone": "+79161234567", **params}
    status, refused = await kommo("PATCH", "/api/v4/contacts/notes", [{"id": note, "params": wanted}])
    assert (status, refused["validation-errors"][0]["errors"][0]["code"]) == (400, code)


async def test_a_customer_has_its_calls_where_customers_are_switched_on(kommo: Kommo) -> None:
    kommo.portal.account.add_client("customer", "Buyer", ["+79161234567"], NOON)
    assert (await kommo.add_call())[1]["_embedded"]["calls"][0]["entity_type"] == "contact"
    assert (await kommo("GET", "/api/v4/customers/notes"))[0] == 404
    kommo.portal.change_settings(customers=True)
    assert (await kommo.add_call())[1]["_embedded"]["calls"][0]["entity_type"] == "customer"
    assert len((await kommo("GET", "/api/v4/customers/notes"))[1]["_embedded"]["notes"]) == 1


async def test_pipelines_tell_whether_they_take_incoming_leads(kommo: Kommo) -> None:
    _, body = await kommo("GET", "/api/v4/leads/pipelines")
    [pipeline] = body["_embedded"]["pipelines"]
    assert pipeline["is_main"] and pipeline["is_unsorted_on"]
    assert (await kommo("GET", f"/api/v4/leads/pipelines/{pipeline['id']}"))[1] == pipeline
    assert (await kommo("GET", "/api/v4/leads/pipelines/1"))[0] == 404


async def test_an_unknown_path_is_not_found(kommo: Kommo) -> None:
    assert (await kommo("GET", "/api/v4/nothing"))[0] == 404
    assert (await kommo("DELETE", "/api/v4/calls"))[0] == 404


@pytest.mark.parametrize("mode", sorted(ERRORS))
async def test_each_error_on_order(kommo: Kommo, mode: str) -> None:
    kommo.portal.faults.order({"mode": mode, "times": 1})
    status, body = await kommo.add_call()
    assert (status, body["status"], body["detail"]) == (ERRORS[mode][0], *ERRORS[mode])
    assert kommo.portal.entries() == []
    assert (await kommo.add_call())[0] == 200


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", "/api/v4/contacts/notes?page=two", None),
        ("GET", "/api/v4/contacts/notes?filter[updated_at]=soon", None),
        ("POST", "/api/v4/contacts", [{"name": "x", "custom_fields_values": "PHONE"}]),
    ],
)
async def test_nonsense_is_a_bad_request(kommo: Kommo, method: str, path: str, body: Any) -> None:
    await kommo.add_call()
    status, answer = await kommo(method, path, body)
    assert (status, answer["title"]) == (400, "Bad Request")
