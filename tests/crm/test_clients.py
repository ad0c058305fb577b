"""The thin clients against the fake portals: each fault, and what it is taken for."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from pydantic import SecretStr

from deploy.fake_crms import Bitrix24Config, Bitrix24Portal, KommoConfig, KommoPortal, Portal
from streams.clock import boot_seconds
from streams.crm.bitrix24.client import Bitrix24Client
from streams.crm.kommo.client import KommoClient
from streams.crm.shared.client import CrmClient
from streams.delivery.answers import (
    CallFound,
    NotFound,
    NotSent,
    OutcomeUnknown,
    PortalBlocked,
    PrerequisiteLost,
    Refused,
    RetryLater,
    Succeeded,
)
from streams.errors import SettingsError
from streams.http import request as http
from streams.rules import load_rules
from streams.settings import PortalSettings
from tests.crm.calls import call_result, doubtful, opened

RULES = load_rules()
FAULTS: dict[str, tuple[type, type]] = {
    # mode: what it means for Bitrix24, for Kommo
    "500": (RetryLater, OutcomeUnknown),
    "503": (RetryLater, OutcomeUnknown),
    "429": (RetryLater, RetryLater),
    "402": (PortalBlocked, PortalBlocked),
    "403": (PortalBlocked, PortalBlocked),
    "401": (PortalBlocked, PortalBlocked),
    "404": (PortalBlocked, PortalBlocked),
    "expired_token": (PortalBlocked, PortalBlocked),
    "overload": (PortalBlocked, OutcomeUnknown),
    "payment_required": (PortalBlocked, PortalBlocked),
    "portal_deleted": (PortalBlocked, PortalBlocked),
    "invalid_credentials": (PortalBlocked, PortalBlocked),
    "insufficient_scope": (PortalBlocked, PortalBlocked),
    "wrong_auth_type": (PortalBlocked, PortalBlocked),
    "access_denied": (PortalBlocked, PortalBlocked),
    "no_auth": (PortalBlocked, PortalBlocked),
    "user_access_error": (PortalBlocked, PortalBlocked),
    "authorization_error": (PortalBlocked, PortalBlocked),
    "reset": (OutcomeUnknown, OutcomeUnknown),
    "lost_answer": (OutcomeUnknown, OutcomeUnknown),
    "half_answer": (OutcomeUnknown, OutcomeUnknown),
    "html": (OutcomeUnknown, OutcomeUnknown),
    "garbage200": (OutcomeUnknown, OutcomeUnknown),
    "empty200": (OutcomeUnknown, OutcomeUnknown),
}


@pytest.fixture
async def bitrix24() -> AsyncIterator[Bitrix24Portal]:
    async with Bitrix24Portal(Bitrix24Config(bucket_size=0)) as portal:
        yield portal


@pytest.fixture
async def kommo() -> AsyncIterator[KommoPortal]:
    async with KommoPortal(KommoConfig(requests_per_second=0, known_clients=True)) as portal:
        yield portal


def settings(portal: Portal, **fields: Any) -> PortalSettings:
    users = {"1001": "11", "1002": "12"}
    if isinstance(portal, Bitrix24Portal):
        fields = {"url": portal.url, "token": SecretStr("fake-access-token"), **fields}
        return PortalSettings(name="main", crm="bitrix24", default_user="1", users=users, **fields)
    fields.setdefault("token", SecretStr("fake-long-lived-token"))
    return PortalSettings(name="main", crm="kommo", url=portal.url, default_user="1", users=users, **fields)


@pytest.fixture
async def b24(bitrix24: Bitrix24Portal) -> AsyncIterator[Bitrix24Client]:
    client = Bitrix24Client(settings(bitrix24), RULES.tables["bitrix24"].status)
    yield client
    await client.close()


@pytest.fixture
async def amo(kommo: KommoPortal) -> AsyncIterator[KommoClient]:
    client = KommoClient(settings(kommo), RULES.tables["kommo"].status)
    yield client
    await client.close()


def soon(seconds: float = 5.0) -> float:
    return boot_seconds() + seconds


async def test_bitrix24_registers_and_finishes_a_call(bitrix24: Bitrix24Portal, b24: Bitrix24Client) -> None:
    result = call_result()
    registered = await b24.send(opened(b24, result), soon())
    assert isinstance(registered, Succeeded)
    finished = await b24.send(opened(b24, result, "finish", crm_ids=dict(registered.ids)), soon())
    assert isinstance(finished, Succeeded) and finished.ids["CRM_ACTIVITY_ID"]
    (entry,) = bitrix24.entries()
    assert (entry.external_id, entry.phone, entry.user_id) == (result.call_id, "+79161234567", 11)
    assert (entry.status, entry.duration, entry.direction, entry.popup) == ("200", 61, "incoming", False)
    assert entry.started_at == "2025-11-24T16:00:00.000+00:00"


async def test_kommo_takes_a_call(kommo: KommoPortal, amo: KommoClient) -> None:
    result = call_result(direction="outgoing", answered=False, result=486, talk_seconds=None)
    answer = await amo.send(opened(amo, result), soon())
    assert isinstance(answer, Succeeded) and answer.ids["note"]
    (entry,) = kommo.entries()
    assert (entry.external_id, entry.phone, entry.user_id) == (result.call_id, "+79161234567", 11)
    assert (entry.status, entry.text, entry.duration, entry.direction) == ("7", "Number busy", 0, "outgoing")
    assert entry.started_at == "2025-11-24T16:00:00.000+00:00"


@pytest.mark.parametrize("mode", FAULTS)
async def test_what_a_fault_means_to_bitrix24(mode: str, bitrix24: Bitrix24Portal, b24: Bitrix24Client) -> None:
    bitrix24.faults.order({"mode": mode, "times": 1})
    assert type(await b24.send(opened(b24, call_result()), soon())) is FAULTS[mode][0]


@pytest.mark.parametrize("mode", FAULTS)
async def test_what_a_fault_means_to_kommo(mode: str, kommo: KommoPortal, amo: KommoClient) -> None:
    kommo.faults.order({"mode": mode, "times": 1})
    assert type(await amo.send(opened(amo, call_result()), soon())) is FAULTS[mode][1]


@pytest.mark.parametrize("mode", FAULTS)
async def test_a_failed_lookup_proves_nothing(
    mode: str, bitrix24: Bitrix24Portal, b24: Bitrix24Client, kommo: KommoPortal, amo: KommoClient
) -> None:
    portals: list[tuple[Portal, CrmClient]] = [(bitrix24, b24), (kommo, amo)]
    for portal, client in portals:
        assert isinstance(
            await client.send(opened(client, call_result(2)), soon()), Succeeded
        )  # something to be listed
        portal.faults.order({"mode": mode})
        doubt = doubtful(opened(client, call_result()), client)
        assert isinstance(await client.look_up(doubt, soon()), RetryLater | PortalBlocked)


@pytest.mark.parametrize(
    "mode",
    [
        "401",
        "402",
        "403",
        "wrong_auth_type",
        "insufficient_scope",
        "expired_token",
        "user_access_error",
        "authorization_error",
    ],
)
async def test_bitrix24_is_understood_with_an_empty_error_field(mode: str) -> None:
    async with Bitrix24Portal(Bitrix24Config(bucket_size=0, blank_errors=True)) as portal:
        client = Bitrix24Client(settings(portal), RULES.tables["bitrix24"].status)
        portal.faults.order({"mode": mode})
        assert isinstance(await client.send(opened(client, call_result()), soon()), PortalBlocked)
        await client.close()


async def test_nobody_there_is_safe_to_repeat(kommo: KommoPortal, amo: KommoClient) -> None:
    await kommo.go_away()
    answer = await amo.send(opened(amo, call_result()), soon())
    assert isinstance(answer, RetryLater) and answer.whole_portal


async def test_a_hanging_request_ends_in_time(bitrix24: Bitrix24Portal, b24: Bitrix24Client) -> None:
    bitrix24.faults.order({"mode": "hang", "seconds": 30})
    began = boot_seconds()
    assert isinstance(await b24.send(opened(b24, call_result()), soon(0.3)), OutcomeUnknown)
    assert boot_seconds() - began < 5


async def test_nothing_goes_out_after_its_time(kommo: KommoPortal, amo: KommoClient) -> None:
    assert isinstance(await amo.send(opened(amo, call_result()), boot_seconds()), NotSent)
    assert not kommo.log


@pytest.mark.parametrize("checks", [1, 2], ids=["while it connected", "before the bytes went out"])
async def test_a_process_that_was_stopped_before_it_sent_sends_nothing(
    checks: int, kommo: KommoPortal, amo: KommoClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    until = soon(10)
    clock = iter([*[boot_seconds()] * checks, until + 1])
    monkeypatch.setattr(http, "boot_seconds", lambda: next(clock))
    assert isinstance(await amo.send(opened(amo, call_result()), until), NotSent)
    assert not kommo.log


async def test_retry_after_and_operating_reset_are_read(
    bitrix24: Bitrix24Portal, b24: Bitrix24Client, kommo: KommoPortal, amo: KommoClient
) -> None:
    portals: list[tuple[Portal, CrmClient]] = [(bitrix24, b24), (kommo, amo)]
    for portal, client in portals:
        portal.faults.order({"mode": "429", "retry_after": 30})
        before = portal.now() * 1e6
        answer = await client.send(opened(client, call_result()), soon())
        assert isinstance(answer, RetryLater) and answer.not_before is not None
        assert before + 28e6 < answer.not_before < before + 35e6


async def test_a_moved_portal_gets_the_same_post_at_its_new_address(
    bitrix24: Bitrix24Portal, b24: Bitrix24Client
) -> None:
    bitrix24.faults.order({"mode": "moved"})
    assert isinstance(await b24.send(opened(b24, call_result()), soon()), Succeeded)
    assert [line["method"] for line in bitrix24.log] == ["POST", "POST"]


async def test_the_secret_never_follows_to_a_strange_house(bitrix24: Bitrix24Portal, b24: Bitrix24Client) -> None:
    bitrix24.faults.order({"mode": "moved", "location": "https://evil.example"})
    answer = await b24.send(opened(b24, call_result()), soon())
    assert isinstance(answer, PortalBlocked) and "evil.example" in answer.why
    assert bitrix24.config.webhook_secret not in answer.why


@pytest.mark.parametrize("mode", ["html", "reset", "hang", "401", "refuse", "moved"])
async def test_no_secret_in_what_is_said_of_a_failure(
    mode: str, bitrix24: Bitrix24Portal, b24: Bitrix24Client, kommo: KommoPortal, amo: KommoClient
) -> None:
    portals: list[tuple[Portal, CrmClient]] = [(bitrix24, b24), (kommo, amo)]
    for portal, client in portals:
        portal.faults.order({"mode": mode, "seconds": 1})
        delivery = opened(client, call_result())
        said = f"{await client.send(delivery, soon(0.5))} {delivery.record()}"
        assert bitrix24.config.webhook_secret not in said and "fake-long-lived-token" not in said


async def test_a_second_finish_finds_no_call_and_the_statistics_do(
    bitrix24: Bitrix24Portal, b24: Bitrix24Client
) -> None:
    result = call_result()
    registered = await b24.send(opened(b24, result), soon())
    assert isinstance(registered, Succeeded)
    finish = opened(b24, result, "finish", crm_ids=dict(registered.ids))
    assert await b24.look_up(doubtful(finish, b24), soon()) == NotFound()
    assert isinstance(await b24.send(finish, soon()), Succeeded)
    assert isinstance(await b24.send(finish, soon()), PrerequisiteLost)
    assert isinstance(await b24.look_up(doubtful(finish, b24), soon()), CallFound)


async def test_the_same_register_again_gives_the_same_call(bitrix24: Bitrix24Portal, b24: Bitrix24Client) -> None:
    fresh = call_result(started_at=int(bitrix24.now()) * 1_000_000)
    answers = [await b24.send(opened(b24, fresh), soon()) for _ in range(2)]
    assert answers[0] == answers[1]


async def test_kommo_finds_the_note_by_uniq_among_many(kommo: KommoPortal, amo: KommoClient) -> None:
    for number in range(2, 270):
        assert isinstance(await amo.send(opened(amo, call_result(number)), soon()), Succeeded)
    mine = opened(amo, call_result())
    assert await amo.look_up(doubtful(mine, amo), soon()) == NotFound()
    sent = await amo.send(mine, soon())
    assert isinstance(sent, Succeeded)
    assert await amo.look_up(doubtful(mine, amo), soon()) == CallFound(dict(sent.ids))


async def test_a_call_that_the_crm_finds_fault_with_is_refused(
    bitrix24: Bitrix24Portal, b24: Bitrix24Client, amo: KommoClient
) -> None:
    nonsense = call_result(client="no number", caller="no number")
    answer = await b24.send(opened(b24, nonsense), soon())
    assert isinstance(answer, Refused) and "phone number" in answer.why
    delivery = opened(amo, call_result())
    assert delivery.intent is not None
    fields = {**json.loads(delivery.intent.sent), "call_status": 9}
    wrong = replace(delivery, intent=replace(delivery.intent, sent=json.dumps(fields)))
    answer = await amo.send(wrong, soon())
    assert isinstance(answer, Refused) and "call_status" in answer.why


async def test_access_token_instead_of_a_webhook(bitrix24: Bitrix24Portal) -> None:
    portal = PortalSettings(
        name="main", crm="bitrix24", url=bitrix24.url, token=SecretStr("fake-access-token"), default_user="1"
    )
    client = Bitrix24Client(portal, RULES.tables["bitrix24"].status)
    delivery = opened(client, call_result())
    assert isinstance(await client.send(delivery, soon()), Succeeded)
    assert "fake-access-token" not in str(delivery.record())
    bitrix24.tokens.expire_access()
    answer = await client.send(delivery, soon())
    assert isinstance(answer, PortalBlocked) and "expired" in answer.why
    await client.close()


async def test_a_token_that_is_not_taken_is_read_again_from_its_file(kommo: KommoPortal, tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("withdrawn", encoding="utf-8")
    client = KommoClient(settings(kommo, token=None, token_file=file), RULES.tables["kommo"].status)
    delivery = opened(client, call_result())
    assert isinstance(await client.send(delivery, soon()), PortalBlocked)
    file.write_text("fake-long-lived-token\n", encoding="utf-8")
    assert isinstance(await client.send(delivery, soon()), Succeeded)
    await client.close()


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"crm": "bitrix24"}, "portals.main.webhook_url"),
        ({"crm": "bitrix24", "webhook_url": SecretStr("s3cret nonsense")}, "portals.main.webhook_url"),
        ({"crm": "bitrix24", "token": SecretStr("t")}, "portals.main.url"),
        ({"crm": "kommo", "token": SecretStr("t")}, "portals.main.url"),
        ({"crm": "kommo", "url": "https://x.kommo.com"}, "portals.main.token"),
    ],
)
async def test_a_missing_address_or_token_is_named(fields: dict[str, Any], named: str) -> None:
    portal = PortalSettings(name="main", **fields)
    with pytest.raises(SettingsError) as error:
        if portal.crm == "bitrix24":
            Bitrix24Client(portal, RULES.tables["bitrix24"].status)
        else:
            KommoClient(portal, RULES.tables["kommo"].status)
    assert named in str(error.value) and "s3cret" not in str(error.value)
