"""Recordings at the CRMs: the request, what its answers prove, and the end of it in the fake portals."""

import json
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from pydantic import SecretStr

from deploy.fake_crms import (
    Bitrix24Config,
    Bitrix24Portal,
    KommoConfig,
    KommoPortal,
    Portal,
    WebhookConfig,
    WebhookPortal,
)
from deploy.fake_crms.webhook import FAKE_SECRET
from streams.clock import BootSeconds, boot_seconds, utc_now_us
from streams.crm.bitrix24 import recording as bitrix24_recording
from streams.crm.shared.adapter import make_client
from streams.crm.shared.client import CrmClient
from streams.crm.shared.recording import FILE, MOST_TRIES, NAME, RECORDING, URL
from streams.delivery.answers import Answer, OutcomeUnknown, PortalBlocked, Refused, RetryLater, SkipCall, Succeeded
from streams.delivery.events import Due, Prepared
from streams.delivery.follow_ups import follow_up_view
from streams.delivery.machine import advance
from streams.delivery.record import Delivery, FollowUp
from streams.rules import load_rules
from streams.settings import PortalSettings
from tests.crm.calls import POLICY, call_result, delivered, fresh

RULES = load_rules()
ADDRESS = "https://pbx.example.com/r/1/s/in-1001.wav"
FOUND = {URL: ADDRESS, NAME: "in-1001.wav"}
CALL = call_result()


def soon() -> BootSeconds:
    return boot_seconds() + 5


@pytest.fixture(params=["bitrix24", "kommo", "webhook"])
async def portal(request: pytest.FixtureRequest) -> AsyncIterator[Portal]:
    made: dict[str, Any] = {
        "bitrix24": lambda: Bitrix24Portal(Bitrix24Config(bucket_size=0)),
        "kommo": lambda: KommoPortal(KommoConfig(requests_per_second=0)),
        "webhook": lambda: WebhookPortal(WebhookConfig()),
    }
    async with made[request.param]() as portal:
        yield portal


@pytest.fixture
async def client(portal: Portal) -> AsyncIterator[CrmClient]:
    fields: dict[str, Any] = {"url": portal.url, "token": SecretStr("fake-access-token"), "default_user": "1"}
    if isinstance(portal, KommoPortal):
        fields["token"] = SecretStr("fake-long-lived-token")
    if isinstance(portal, WebhookPortal):
        fields = {"url": portal.webhook_url, "allow_private": True, "secret": SecretStr(FAKE_SECRET)}
    client = make_client(PortalSettings(name="main", crm=portal.name, users={"1001": "11"}, **fields), RULES)
    yield client
    await client.close()


ONLY_BITRIX24 = pytest.mark.parametrize("portal", ["bitrix24"], indirect=True)
ONLY_KOMMO = pytest.mark.parametrize("portal", ["kommo"], indirect=True)


async def in_crm(client: CrmClient, **ids: str) -> Delivery:
    """A delivered call whose recording was found: these ids."""
    call = fresh(client, CALL, utc_now_us())
    call = replace(call, follow_ups=(FollowUp(kind=RECORDING),))
    done = await delivered(client, CALL, delivery=call)
    return advance(done, Prepared(utc_now_us(), RECORDING, Succeeded(ids)), client.plan, POLICY).delivery


async def attach(client: CrmClient, delivery: Delivery) -> Answer:
    view = follow_up_view(delivery, RECORDING, client.plan)
    request = client.request(view, CALL)
    due = Due(utc_now_us(), request.sent, request.status, request.text, request.step, "", RECORDING)
    opened = advance(delivery, due, client.plan, POLICY).delivery
    return await client.send(follow_up_view(opened, RECORDING, client.plan), soon())


async def test_a_recording_stands_at_its_call(portal: Portal, client: CrmClient) -> None:
    call = await in_crm(client, **FOUND)
    assert isinstance(await attach(client, call), Succeeded)
    (entry,) = portal.entries()
    assert entry.recording == ADDRESS and entry.external_id == CALL.call_id


async def test_the_same_again_changes_nothing(portal: Portal, client: CrmClient) -> None:
    call = await in_crm(client, **FOUND)
    before = (await attach(client, call), [replace_time(entry.as_json()) for entry in portal.entries()])
    after = (await attach(client, call), [replace_time(entry.as_json()) for entry in portal.entries()])
    assert isinstance(after[0], Succeeded) and after[1] == before[1]
    if isinstance(portal, WebhookPortal):
        assert len(portal.messages) == 2


def replace_time(entry: dict[str, object]) -> dict[str, object]:
    return {**entry, "received_at": ""}


@pytest.mark.parametrize("portal", ["kommo", "webhook"], indirect=True)
async def test_who_takes_addresses_only_says_so(portal: Portal, client: CrmClient) -> None:
    call = await in_crm(client, **{FILE: "/srv/in-1001.wav", NAME: "in-1001.wav"})
    asked = len(portal.log)
    answer = await attach(client, call)
    assert isinstance(answer, Refused) and "recordings[].link" in answer.why and len(portal.log) == asked


async def test_the_portals_troubles_are_the_portals(portal: Portal, client: CrmClient) -> None:
    call = await in_crm(client, **FOUND)
    operation = {"bitrix24": "attachrecord", "kommo": "edit_notes", "webhook": "post"}[portal.name]
    expected: dict[str, Any] = {
        "429": RetryLater,
        "402": PortalBlocked,
        "reset": OutcomeUnknown,
        "html": OutcomeUnknown,
    }
    for mode, kind in expected.items():
        portal.faults.order({"mode": mode, "times": 1, "methods": [operation]})
        assert isinstance(await attach(client, call), kind), mode
    assert isinstance(await attach(client, call), Succeeded)


# Bitrix24.


@ONLY_BITRIX24
async def test_a_file_goes_as_its_content_which_the_log_does_not_keep(
    portal: Bitrix24Portal, client: CrmClient, tmp_path: Path
) -> None:
    file = tmp_path / "in-1001.wav"
    file.write_bytes(os.urandom(5000))
    call = await in_crm(client, **{FILE: str(file), URL: ADDRESS, NAME: file.name})
    request = client.request(follow_up_view(call, RECORDING, client.plan), CALL)
    assert set(json.loads(request.sent)) == {"CALL_ID", "FILENAME", "file"}
    assert isinstance(await attach(client, call), Succeeded)
    (attached,) = portal.calls.recordings
    assert (attached["name"], attached["size"], attached["address"]) == ("in-1001.wav", 5000, None)


@ONLY_BITRIX24
async def test_a_file_that_is_too_large_or_gone_is_not_sent(
    portal: Bitrix24Portal, client: CrmClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bitrix24_recording, "LARGEST_FILE", 1024 * 1024)
    file = tmp_path / "in-1001.wav"
    file.write_bytes(bytes(1024 * 1024 + 1))
    call = await in_crm(client, **{FILE: str(file), NAME: file.name})
    assert await attach(client, call) == Refused(
        "the recording has more than 1 MB, which go as a file: give CRMs its address instead"
    )
    file.unlink()
    gone = await attach(client, call)
    assert isinstance(gone, Refused) and "cannot be read any more" in gone.why
    assert portal.calls.recordings == []


@ONLY_BITRIX24
async def test_only_wav_and_mp3_are_sent(portal: Bitrix24Portal, client: CrmClient) -> None:
    call = await in_crm(client, **{URL: "https://pbx.example.com/1.ogg", NAME: "1.ogg"})
    asked = len(portal.log)
    assert await attach(client, call) == Refused("the portal takes recordings that end in .wav or .mp3 only")
    assert len(portal.log) == asked


@ONLY_BITRIX24
async def test_an_address_that_does_not_answer_the_portal_is_tried_again(
    portal: Bitrix24Portal, client: CrmClient
) -> None:
    portal.change_settings(recording_status=404)
    call = await in_crm(client, **FOUND)
    answer = await attach(client, call)
    assert isinstance(answer, RetryLater) and "HTTP error code 404" in answer.why and not answer.whole_portal
    (follow_up,) = call.follow_ups
    last = replace(call, follow_ups=(replace(follow_up, failures=MOST_TRIES - 1),))
    given_up = await attach(client, last)
    assert isinstance(given_up, Refused) and "6 tries" in given_up.why


@ONLY_BITRIX24
async def test_an_address_that_is_not_public_is_refused_with_what_to_do(
    portal: Bitrix24Portal, client: CrmClient
) -> None:
    portal.change_settings(private_recordings=False)
    call = await in_crm(client, **{URL: "http://10.0.0.5/in-1001.wav", NAME: "in-1001.wav"})
    answer = await attach(client, call)
    assert isinstance(answer, Refused) and "send: file" in answer.why


@ONLY_BITRIX24
async def test_a_call_that_the_statistics_do_not_show_yet_is_tried_again(
    portal: Bitrix24Portal, client: CrmClient
) -> None:
    call = await in_crm(client, **FOUND)
    portal.forget()
    answer = await attach(client, call)
    assert isinstance(answer, RetryLater) and "not finished yet" in answer.why


# Kommo.


@ONLY_KOMMO
async def test_an_address_that_is_known_goes_with_the_call(portal: KommoPortal, client: CrmClient) -> None:
    call = fresh(client, CALL, utc_now_us())
    call = replace(call, follow_ups=(FollowUp(kind=RECORDING, ids=dict(FOUND)),))
    done = await delivered(client, CALL, delivery=call)
    (entry,) = portal.entries()
    assert entry.recording == ADDRESS
    asked = len(portal.log)
    found = advance(done, Prepared(utc_now_us(), RECORDING, Succeeded()), client.plan, POLICY).delivery
    assert await attach(client, found) == Succeeded(note="it went with the call")
    assert len(portal.log) == asked, "nothing is asked"


@ONLY_KOMMO
async def test_an_incoming_lead_takes_the_address_with_the_call(portal: KommoPortal) -> None:
    settings = PortalSettings(
        name="main", crm="kommo", url=portal.url, token=SecretStr("fake-long-lived-token"), unknown_number="unsorted"
    )
    client = make_client(settings, RULES)
    try:
        call = replace(fresh(client, CALL, utc_now_us()), follow_ups=(FollowUp(kind=RECORDING, ids=dict(FOUND)),))
        done = await delivered(client, CALL, delivery=call)
        (lead,) = portal.account.unsorted
        assert lead["item"]["metadata"]["link"] == ADDRESS
        found = advance(done, Prepared(utc_now_us(), RECORDING, Succeeded()), client.plan, POLICY).delivery
        assert isinstance(await attach(client, found), Succeeded)
        other = replace(found, follow_ups=(replace(found.follow_ups[0], ids={URL: "https://pbx/2.wav"}),))
        late = await attach(client, other)
        assert isinstance(late, SkipCall) and "incoming lead" in late.why
    finally:
        await client.close()


@ONLY_KOMMO
async def test_what_the_note_shows_otherwise_stays(portal: KommoPortal, client: CrmClient) -> None:
    call = await in_crm(client, **FOUND)
    (before,) = portal.entries()
    assert isinstance(await attach(client, call), Succeeded)
    (after,) = portal.entries()
    for name in ("phone", "duration", "status", "text", "external_id", "user_id", "direction"):
        assert getattr(after, name) == getattr(before, name), name


@ONLY_KOMMO
async def test_another_recording_in_the_note_stays(portal: KommoPortal, client: CrmClient) -> None:
    call = await in_crm(client, **FOUND)
    assert isinstance(await attach(client, call), Succeeded)
    (follow_up,) = call.follow_ups
    other = replace(call, follow_ups=(replace(follow_up, ids={**FOUND, URL: "https://pbx/2.wav"}),))
    answer = await attach(client, other)
    assert isinstance(answer, SkipCall) and "another recording" in answer.why
    assert portal.entries()[0].recording == ADDRESS
