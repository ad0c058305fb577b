"""Steps that not every call takes, against every fault that the matrix knows: told once, whatever happens."""

from typing import Any

import pytest
from pydantic import SecretStr

from deploy.fake_crms import Bitrix24Config, Bitrix24Portal, KommoConfig, KommoPortal
from streams.crm.bitrix24.client import Bitrix24Client
from streams.crm.kommo.client import KommoClient
from streams.delivery.record import State
from streams.rules import load_rules
from streams.settings import PortalSettings
from tests.crm.calls import call_result, delivered
from tests.crm.test_correction_note import revised
from tests.faults.portal_faults import FAULTS, SENT_TWICE

pytestmark = pytest.mark.slow

RULES = load_rules()
QUICK = {name: order for name, order in FAULTS.items() if "seconds" not in order}
"""Those that need the clock are the matrix's."""
NO_LIMIT = [name for name in QUICK if name != "503_done"]
"""Bitrix24's 503 QUERY_LIMIT_EXCEEDED is said before anything is done: it is believed."""


async def _bitrix24(fault: dict[str, Any], step: str) -> tuple[Any, Bitrix24Portal]:
    async with Bitrix24Portal(Bitrix24Config(bucket_size=0)) as portal:
        portal.crm.add_client("+79161234567", responsible=14)
        token = SecretStr("fake-access-token")
        settings = PortalSettings(name="main", crm="bitrix24", url=portal.url, token=token, default_user="1")
        client = Bitrix24Client(settings, RULES.tables["bitrix24"].status)
        try:
            if step == "batch":
                portal.faults.order({**fault, "methods": ["batch"]})
                return await delivered(client, call_result(), hurried=True, patient=True), portal
            before = await delivered(client, call_result(direction="outgoing"))
            portal.faults.order({**fault, "methods": ["comment.add"]})
            return await revised(client, "note", before, patient=True), portal
        finally:
            await client.close()


async def _kommo(fault: dict[str, Any], on_revision: str) -> tuple[Any, KommoPortal]:
    async with KommoPortal(KommoConfig(requests_per_second=0, known_clients=True)) as portal:
        token = SecretStr("fake-long-lived-token")
        settings = PortalSettings(name="main", crm="kommo", url=portal.url, token=token)
        client = KommoClient(settings, RULES.tables["kommo"].status)
        try:
            before = await delivered(client, call_result(direction="outgoing"))
            portal.faults.order({**fault, "methods": ["add_notes", "edit_notes"]})
            return await revised(client, on_revision, before, patient=True), portal
        finally:
            await client.close()


@pytest.mark.parametrize("name", NO_LIMIT)
async def test_register_and_finish_in_one_request(name: str) -> None:
    delivery, portal = await _bitrix24(dict(QUICK[name]), "batch")
    assert delivery.state is State.DELIVERED, delivery.history
    # A proxy that sends a POST twice: no client can know (docs/crms.md, bitrix24_batch).
    assert len(portal.entries()) == 1 + (name in SENT_TWICE)


@pytest.mark.parametrize("name", NO_LIMIT)
async def test_a_comment_in_the_clients_timeline(name: str) -> None:
    delivery, portal = await _bitrix24(dict(QUICK[name]), "comment")
    if name in ("insufficient_scope", "access_denied", "403"):
        assert delivery.state is State.REFUSED and not portal.crm.comments
        return
    assert delivery.state is State.DELIVERED, delivery.history
    assert len(portal.crm.comments) == 1 + (name in SENT_TWICE) and len(portal.entries()) == 1


@pytest.mark.parametrize("name", QUICK)
async def test_a_text_note_beside_the_call(name: str) -> None:
    delivery, portal = await _kommo(dict(QUICK[name]), "note")
    assert delivery.state is State.DELIVERED, delivery.history
    assert len(portal.account.texts) == 1 + (name in SENT_TWICE) and len(portal.entries()) == 1


@pytest.mark.parametrize("name", QUICK)
async def test_the_calls_own_note_changed(name: str) -> None:
    delivery, portal = await _kommo(dict(QUICK[name]), "update")
    if name in ("404", "portal_deleted"):
        assert delivery.state is State.SUPERSEDED  # as if the note were no longer there
        return
    assert delivery.state is State.DELIVERED, delivery.history
    assert [entry.status for entry in portal.entries()] == ["7"]
