"""The check of each CRM against its fake: what it finds, what to do, and that nothing is left behind."""

from base64 import urlsafe_b64encode
from collections.abc import AsyncIterator
from typing import Any

import orjson
import pytest
from pydantic import SecretStr

from deploy.fake_crms import Bitrix24Config, Bitrix24Portal, KommoConfig, KommoPortal, Portal, WebhookPortal
from deploy.fake_crms.webhook import FAKE_SECRET
from streams.clock import MICROS_PER_SECOND, boot_seconds
from streams.crm import registry
from streams.crm.kommo.check import expiry_of
from streams.crm.shared import check as shared
from streams.crm.shared.check import CheckRequest, Finding, Level, check_portal
from streams.crm.shared.client import unpaced
from streams.settings import PortalSettings


@pytest.fixture
async def kommo() -> AsyncIterator[KommoPortal]:
    async with KommoPortal(KommoConfig(requests_per_second=0)) as portal:
        yield portal


@pytest.fixture
async def bitrix24() -> AsyncIterator[Bitrix24Portal]:
    async with Bitrix24Portal(Bitrix24Config(bucket_size=0)) as portal:
        yield portal


@pytest.fixture
async def receiver() -> AsyncIterator[WebhookPortal]:
    async with WebhookPortal() as portal:
        yield portal


async def found_at(portal: Portal, **fields: Any) -> list[Finding]:
    """The findings of a check."""
    known: dict[str, Any] = {"url": portal.url, "default_user": "1", "users": {"1001": "11"}}
    match portal:
        case KommoPortal():
            known["token"] = SecretStr("fake-long-lived-token")
        case Bitrix24Portal():
            known["token"] = SecretStr("fake-access-token")
        case WebhookPortal():
            known = {"url": portal.webhook_url, "secret": SecretStr(FAKE_SECRET), "allow_private": True}
    settings = PortalSettings(name="main", crm=portal.name, **{**known, **fields})
    return await check_portal(CheckRequest(settings, None, unpaced, boot_seconds() + 10))


def made(crm: str) -> Portal:
    """A fake portal without limits, to be used in `async with`."""
    match crm:
        case "kommo":
            return KommoPortal(KommoConfig(requests_per_second=0))
        case "bitrix24":
            return Bitrix24Portal(Bitrix24Config(bucket_size=0))
    return WebhookPortal()


@pytest.fixture(params=["kommo", "bitrix24", "webhook"])
async def each(request: pytest.FixtureRequest) -> AsyncIterator[Portal]:
    async with made(request.param) as portal:
        yield portal


@pytest.fixture(params=["kommo", "bitrix24"])
async def asked(request: pytest.FixtureRequest) -> AsyncIterator[Portal]:
    """Portals that are asked more than one thing."""
    async with made(request.param) as portal:
        yield portal


def levels(found: list[Finding]) -> set[Level]:
    return {one.level for one in found}


def faults(found: list[Finding]) -> list[str]:
    return [f"{one.about}: {one.words}" for one in found if one.level is Level.FAULT]


async def test_a_good_portal_has_no_fault_and_nothing_is_left_there(each: Portal) -> None:
    found = await found_at(each)
    unproved = {"receiver"} if isinstance(each, WebhookPortal) else set()  # the fake one answers 404 to OPTIONS
    assert {one.about for one in found if one.level is not Level.GOOD} == unproved, found
    assert not faults(found)
    assert not each.entries() and not each.orphans() and not each.popups()
    if isinstance(each, KommoPortal):
        assert {line["method"] for line in each.log} == {"GET"} and not each.account.contacts
    if isinstance(each, Bitrix24Portal):
        assert each.calls.automations() == []


async def test_a_portal_that_is_away_is_no_fault(each: Portal) -> None:
    await each.go_away()
    found = await found_at(each)
    assert Level.AWAY in levels(found) and not faults(found)
    assert any("could not be asked: nobody answers" in one.words for one in found)


@pytest.mark.parametrize("mode", ["500", "503", "429", "html", "garbage200", "empty200", "reset", "half_answer"])
async def test_trouble_on_the_way_is_no_fault(mode: str, asked: Portal) -> None:
    asked.faults.order({"mode": mode})
    found = await found_at(asked)
    assert levels(found) == {Level.AWAY}, found


async def test_a_token_that_is_not_taken_is_one_fault_with_its_remedy(asked: Portal) -> None:
    (only,) = await found_at(asked, token=SecretStr("s3cret-and-wrong"))
    assert only.level is Level.FAULT and "token" in only.words and "s3cret" not in f"{only}"


async def test_users_of_the_settings_that_are_not_there_are_named(asked: Portal) -> None:
    users = {"1001": "11", "1009": "19", "1010": "404", "1011": "Anna"}
    found = await found_at(asked, users=users, default_user="505")
    named = [one for one in found if one.about == "users"]
    assert [one.level for one in named] == [Level.FAULT] * 4
    words = "\n".join(one.words for one in named)
    for part in ("users: 1009", "users: 1010", "users: 1011 is 'Anna'", "default_user", "505", "would be paused"):
        assert part in words, words
    assert "users: 1001" not in words and all(one.remedy for one in named)


async def test_users_of_the_route_that_are_not_there_are_named_with_their_line(asked: Portal) -> None:
    route = [{"queue": "sales", "user": "11"}, {"did": "7495*", "user": 404}, {"trunk": "mts", "user": "Anna"}]
    told = faults(await found_at(asked, route=route))
    assert len(told) == 2
    assert any("route: line 2: " in one and "404" in one and "the calls go to default_user" in one for one in told)
    assert any("route: line 3 is 'Anna', which is no id of a user" in one for one in told)


async def test_settings_that_cannot_be_used_are_a_finding(kommo: KommoPortal, receiver: WebhookPortal) -> None:
    (only,) = await found_at(kommo, token=None)
    assert (only.level, only.about) == (Level.FAULT, "settings") and "portals.main.token" in only.words
    (only,) = await found_at(receiver, allow_private=False)
    assert "not https" in only.words and "allow_private" in only.remedy


# Kommo.


async def test_kommo_an_owner_who_is_no_administrator(kommo: KommoPortal) -> None:
    kommo.change_settings(owner_is_admin=False)
    (note,) = [one for one in await found_at(kommo) if one.level is Level.NOTE]
    assert "no administrator" in note.words and "Keys and scopes" in note.remedy


async def test_kommo_an_owner_who_sees_only_his_own(kommo: KommoPortal, monkeypatch: pytest.MonkeyPatch) -> None:
    from deploy.fake_crms.kommo import account

    real = account._user_json

    def own_only(user: Any, request: Any) -> dict[str, Any]:
        told = real(user, request)
        told["rights"] |= {"is_admin": False, "contacts": {"view": "M"}}
        return told

    monkeypatch.setattr(account, "_user_json", own_only)
    (fault,) = faults(await found_at(kommo))
    assert fault.startswith("rights: the token's owner does not see all contacts") and "may come twice" in fault


async def test_kommo_a_blocked_address(kommo: KommoPortal) -> None:
    kommo.change_settings(requests_per_second=1, flood=1, ban=1000.0)
    found = await found_at(kommo)
    assert any(one.level is Level.AWAY or "blocked for too many requests" in one.words for one in found)
    (only,) = await found_at(kommo)
    assert only.level is Level.FAULT and "write to the vendor's support" in only.words


async def test_kommo_a_pipeline_that_is_not_there_or_takes_no_incoming_leads(kommo: KommoPortal) -> None:
    assert faults(await found_at(kommo, options={"pipeline_id": 7})) == [
        "pipeline: options.pipeline_id: there is no pipeline 7"
    ]
    assert not faults(await found_at(kommo, options={"pipeline_id": 5000001}, unknown_number="unsorted"))
    assert not faults(await found_at(kommo, unknown_number="unsorted"))
    kommo.change_settings(unsorted_on=False)
    for options in ({}, {"pipeline_id": 5000001}):
        (fault,) = faults(await found_at(kommo, options=options, unknown_number="unsorted"))
        assert fault == "pipeline: the pipeline Pipeline takes no incoming leads"
    assert not faults(await found_at(kommo))


async def test_kommo_pipelines_of_the_route_are_looked_at(kommo: KommoPortal) -> None:
    route = [{"queue": "sales", "pipeline_id": 5000001}, {"queue": "support", "pipeline_id": 7}, {"user": "11"}]
    assert faults(await found_at(kommo, route=route)) == [
        "pipeline: route: line 2: pipeline_id: there is no pipeline 7"
    ]
    found = await found_at(kommo, route=route[:1])
    assert [one.level for one in found if one.about == "pipeline"] == [Level.GOOD]


async def test_kommo_a_rate_above_the_limit_and_a_clock_that_is_wrong(kommo: KommoPortal) -> None:
    (fault,) = faults(await found_at(kommo, rate_limit={"burst": 1, "per_second": 20}))
    assert fault.startswith("limits: rate_limit allows 20 requests a second")
    kommo.advance_clock(3600)
    (note,) = [one for one in await found_at(kommo) if one.level is Level.NOTE]
    assert note.about == "clock" and "ahead of this machine's" in note.words


def token_until(end: object) -> str:
    payload = urlsafe_b64encode(orjson.dumps({"exp": end})).decode().rstrip("=")
    return f"e30.{payload}.c2ln"


@pytest.mark.parametrize(
    "token", ["", "abc", "a.b", "a.b.c", "a.%%%.c", "e30.e30.c", token_until(True), token_until("x")]
)
def test_a_token_that_does_not_say_until_when_it_is_good(token: str) -> None:
    assert expiry_of(token) is None


@pytest.mark.parametrize(("days", "level"), [(400, Level.GOOD), (20, Level.NOTE), (-1, Level.FAULT)])
async def test_kommo_a_long_lived_token_that_ends_soon(days: int, level: Level) -> None:
    async with KommoPortal(KommoConfig(requests_per_second=0)) as first:
        token = token_until(int(first.now()) + days * 86400)
    async with KommoPortal(KommoConfig(requests_per_second=0, long_lived_token=token)) as portal:
        found = await found_at(portal, token=SecretStr(token))
    (told,) = [one for one in found if "good until" in one.words]
    assert told.level is level and (level is Level.GOOD or "Keys and scopes" in told.remedy)
    assert expiry_of(token) == (int(first.now()) + days * 86400) * MICROS_PER_SECOND or days


# Bitrix24.


async def test_bitrix24_a_webhook_that_telephony_does_not_take(bitrix24: Bitrix24Portal) -> None:
    webhook = {"token": None, "webhook_url": SecretStr(bitrix24.webhook_url)}
    (fault,) = [one for one in await found_at(bitrix24, **webhook) if one.level is Level.FAULT]
    assert fault.about == "telephony" and "OAuth" in fault.words and "local application" in fault.remedy
    bitrix24.change_settings(webhook_allowed=True)
    assert not faults(await found_at(bitrix24, **webhook))
    assert bitrix24.orphans() == []


async def test_bitrix24_scopes_that_are_missing(bitrix24: Bitrix24Portal) -> None:
    bitrix24.change_settings(scopes=("user",))
    assert faults(await found_at(bitrix24, on_revision="note")) == [
        "scopes: the scope telephony is missing",
        "scopes: the scope crm is missing",
    ]
    bitrix24.change_settings(scopes=("telephony",))
    found = await found_at(bitrix24)
    assert not faults(found)
    (note,) = [one for one in found if one.level is Level.NOTE]
    assert note.about == "users" and "scope user_brief" in note.words


async def test_bitrix24_rights_of_the_owner(bitrix24: Bitrix24Portal) -> None:
    bitrix24.change_settings(owner_is_admin=False, statistics_of="own")
    (note,) = [one for one in await found_at(bitrix24) if one.about == "rights"]
    assert note.level is Level.NOTE and "cannot be told" in note.words and "view: all" in note.remedy
    bitrix24.change_settings(statistics_of="none")
    (fault,) = faults(await found_at(bitrix24))
    assert fault.startswith("rights: the owner of the webhook or application may not view the calls of all")


async def test_bitrix24_calls_of_others_show_that_they_are_seen(bitrix24: Bitrix24Portal) -> None:
    bitrix24.change_settings(owner_is_admin=False)
    call = {"PHONE_NUMBER": "+79161234567", "TYPE": 2, "USER_ID": 11, "SHOW": 0}
    registered = bitrix24.calls.register(call, bitrix24.now(), bitrix24.config)
    finished = {"CALL_ID": registered["CALL_ID"], "USER_ID": 11, "DURATION": 5}
    bitrix24.calls.finish(finished, bitrix24.now(), bitrix24.config)
    (rights,) = [one for one in await found_at(bitrix24) if one.about == "rights"]
    assert rights.level is Level.GOOD and "calls of others" in rights.words


async def test_bitrix24_inner_numbers_that_nobody_has() -> None:
    from deploy.fake_crms.entry import PortalUser

    nobody = (PortalUser(1, "Olga Duty"), PortalUser(11, "Anna Ivanova"))
    async with Bitrix24Portal(Bitrix24Config(bucket_size=0, users=nobody)) as portal:
        assert faults(await found_at(portal, users_by="inner_phone")) == [
            "inner numbers: users_by: inner_phone, and no active user shows one"
        ]
        assert not faults(await found_at(portal))


async def test_bitrix24_limits_that_are_nearly_used_up(bitrix24: Bitrix24Portal) -> None:
    bitrix24.change_settings(operating_cost=200.0)
    await found_at(bitrix24)
    found = await found_at(bitrix24, rate_limit={"burst": 250, "per_second": 5})
    words = [one.words for one in found if one.about == "limits" and one.level is Level.NOTE]
    assert words[0].startswith("400 of the 480 s") and "not Enterprise" in words[1]


# Receivers.


async def test_a_receiver_gets_no_event(receiver: WebhookPortal) -> None:
    await found_at(receiver)
    assert receiver.entries() == [] and [line["method"] for line in receiver.log] == ["OPTIONS"]


@pytest.mark.parametrize(
    ("status", "level"),
    [(200, Level.GOOD), (405, Level.GOOD), (401, Level.GOOD), (404, Level.NOTE), (410, Level.FAULT), (301, Level.FAULT),
     (503, Level.AWAY)],
)  # fmt: skip
def test_what_a_receivers_status_tells(status: int, level: Level) -> None:
    from streams.crm.webhook.check import _answered

    assert _answered(status).level is level


# Plugins.


@pytest.mark.parametrize(
    ("reference", "level", "words"),
    [
        ("", Level.NOTE, "offers no check"),
        ("nowhere.at:all", Level.FAULT, "cannot be imported"),
        ("streams.crm.shared.check:_URGENCY", Level.FAULT, "is not a function"),
        ("tests.crm.test_check:broken", Level.AWAY, "the check broke"),
    ],
)
async def test_what_a_package_offers_for_a_check(
    reference: str, level: Level, words: str, kommo: KommoPortal, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dataclasses import replace

    kind = replace(registry.kind_of("kommo"), check=reference)
    monkeypatch.setattr(shared, "kind_of", lambda crm: kind)
    (only,) = await found_at(kommo)
    assert only.level is level and words in only.words


async def broken(request: CheckRequest) -> list[Finding]:
    """A check of a package that has a fault."""
    raise KeyError(request.portal.name)


# Tasks for missed calls.


async def test_tasks_ask_for_what_they_need(asked: Portal) -> None:
    task = {"user": "4711"}
    found = await found_at(asked, missed_call_task=task)
    (unknown,) = [one for one in found if one.about == "users"]
    assert unknown.level is Level.FAULT and unknown.words.startswith("missed_call_task.user: ")
    assert "the tasks go to whom the calls are given to" in unknown.words
    assert "portals[].missed_call_task.user" in unknown.remedy
    assert asked.tasks() == [] and asked.entries() == []
    lacking: dict[str, Any] = {"scopes": ("telephony", "user")} if asked.name == "bitrix24" else {"task_rights": False}
    asked.change_settings(**lacking)
    without = await found_at(asked, missed_call_task=task)
    (fault,) = [one for one in without if one.about in ("scopes", "tasks") and one.level is Level.FAULT]
    assert ("scope crm" in fault.words or "missed_call_task needs" in fault.words) and fault.remedy
    assert not [one for one in await found_at(asked) if one.about in ("scopes", "tasks") and one.level is Level.FAULT]


async def test_bitrix24_tells_that_strangers_get_no_task(bitrix24: Bitrix24Portal) -> None:
    (note,) = [one for one in await found_at(bitrix24, missed_call_task={}) if one.about == "tasks"]
    assert note.level is Level.NOTE and "create_lead" in note.remedy
    found = await found_at(bitrix24, missed_call_task={}, unknown_number="create_lead")
    assert [one.level for one in found if one.about == "tasks"] == [Level.GOOD]
