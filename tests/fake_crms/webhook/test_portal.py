"""The fake receiver of webhooks, asked with signatures made by hand: it must not believe what we believe."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from deploy.fake_crms import WebhookConfig, WebhookPortal
from deploy.fake_crms.webhook import FAKE_SECRET

CALL = {
    "call_id": "pbx1/1.1",
    "direction": "internal",
    "answered": True,
    "extension": "1001",
    "client": None,
    "called": "1002",
    "talk_seconds": 3.4,
    "started_at": "2026-11-23T12:00:00.000Z",
    "result": 200,
    "result_name": "Success",
    "did": None,
}


async def post(
    portal: WebhookPortal, session: aiohttp.ClientSession, message: str = "msg_1", age: int = 0, **headers: str
) -> int:
    """Post a call; `headers` say what is to be other than right."""
    body = json.dumps({"type": "call.finished", "schema_version": 1, "data": CALL})
    moment = str(int(time.time()) - age)
    key = base64.b64decode(FAKE_SECRET.removeprefix("whsec_"))
    signature = base64.b64encode(hmac.digest(key, f"{message}.{moment}.{body}".encode(), hashlib.sha256)).decode()
    right = {"webhook-id": message, "webhook-timestamp": moment, "webhook-signature": f"v1,{signature}"}
    wanted = {**right, **{name.replace("_", "-"): value for name, value in headers.items()}}
    async with session.post(portal.webhook_url, data=body, headers=wanted) as response:
        return response.status


async def test_each_id_is_taken_once(session: aiohttp.ClientSession) -> None:
    async with WebhookPortal() as portal:
        assert [await post(portal, session, each) for each in ("msg_1", "msg_2", "msg_1")] == [200] * 3
        assert [(entry.crm_id, entry.phone, entry.user) for entry in portal.entries()] == [
            ("msg_1", "1002", "Anna Ivanova"),
            ("msg_2", "1002", "Anna Ivanova"),
        ]
        assert len(portal.log) == 3


@pytest.mark.parametrize(
    "wrong",
    [
        {"webhook_signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="},
        {"webhook_id": "msg_other"},
        {"webhook_timestamp": "1614265330"},
        {"age": 600},
    ],
)
async def test_what_is_not_signed_or_old_is_not_taken(session: aiohttp.ClientSession, wrong: Any) -> None:
    async with WebhookPortal() as portal:
        assert await post(portal, session, **wrong) == 401
        assert not portal.entries()


async def test_what_was_taken_survives_a_restart_and_stands_on_the_page(
    session: aiohttp.ClientSession, tmp_path: Path
) -> None:
    async with WebhookPortal(WebhookConfig(state_dir=tmp_path)) as portal:
        await post(portal, session)
    async with WebhookPortal(WebhookConfig(state_dir=tmp_path)) as portal:
        await post(portal, session)
        assert len(portal.entries()) == 1
        async with session.get(portal.url) as page:
            text = await page.text()
        assert "⇄ internal" in text and "pbx1/1.1" in text and "Success (200)" in text
        async with session.post(f"{portal.url}/elsewhere") as response:
            assert response.status == 404
