"""Both portals with a clock in the test's hand, and plain HTTP clients that know nothing of the product's own."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import pytest

from deploy.fake_crms import Bitrix24Config, Bitrix24Portal, KommoConfig, KommoPortal

NOON = 1_795_435_200.0  # 2026-11-23T12:00:00Z


@dataclass
class Clock:
    """Unix seconds that pass only when told."""

    now: float = NOON

    def __call__(self) -> float:
        return self.now


@dataclass
class Bitrix24:
    """The portal, its clock and a client with an access token, or by incoming webhook."""

    portal: Bitrix24Portal
    session: aiohttp.ClientSession
    clock: Clock
    token: str = "token-of-the-tests"

    async def __call__(self, method: str, **params: Any) -> tuple[int, dict[str, Any]]:
        return await self.post(f"{self.portal.url}/rest/{method}.json", {**params, "auth": self.token})

    async def by_webhook(self, method: str, **params: Any) -> tuple[int, dict[str, Any]]:
        """Call a method by the incoming webhook."""
        return await self.post(f"{self.portal.webhook_url}{method}.json", params)

    async def post(self, url: str, params: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        """POST JSON; status and body of the answer."""
        async with self.session.post(url, json=params) as response:
            body: dict[str, Any] = await response.json()
            return response.status, body

    async def register(self, **params: Any) -> tuple[int, dict[str, Any]]:
        """Register an incoming call to extension 1001, not shown; `params` say otherwise, None leaves a field out."""
        usual = {"PHONE_NUMBER": "+79161234567", "TYPE": 2, "USER_PHONE_INNER": "1001", "SHOW": 0}
        wanted = {name: value for name, value in {**usual, **params}.items() if value is not None}
        return await self("telephony.externalcall.register", **wanted)

    async def call_id(self, **params: Any) -> str:
        """Register and give the CALL_ID."""
        status, body = await self.register(**params)
        assert status == 200, body
        call_id: str = body["result"]["CALL_ID"]
        return call_id

    async def finish(self, call_id: str, **params: Any) -> tuple[int, dict[str, Any]]:
        """Finish a call on behalf of user 11."""
        return await self("telephony.externalcall.finish", **{"CALL_ID": call_id, "USER_ID": 11, **params})


@dataclass
class Kommo:
    """The portal, its clock and a client with the long-lived token."""

    portal: KommoPortal
    session: aiohttp.ClientSession
    clock: Clock
    token: str = "fake-long-lived-token"
    headers: dict[str, str] = field(default_factory=dict)

    async def __call__(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        headers = {"Authorization": f"Bearer {self.token}"} if self.token else {}
        async with self.session.request(method, self.portal.url + path, json=body, headers=headers) as response:
            self.headers = dict(response.headers)
            return response.status, await response.json(content_type=None) if await response.read() else None

    async def add_call(self, **item: Any) -> tuple[int, Any]:
        """Add one incoming call; `item` says otherwise."""
        usual = {"direction": "inbound", "duration": 12, "source": "pbx", "phone": "+79161234567", "uniq": "u1"}
        return await self("POST", "/api/v4/calls", [{**usual, **item}])


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def bitrix24(session: aiohttp.ClientSession, clock: Clock) -> AsyncIterator[Bitrix24]:
    async with Bitrix24Portal(Bitrix24Config(clock=clock)) as portal:
        fake = Bitrix24(portal, session, clock)
        for_ever = clock.now + 1e9
        portal.tokens.grant(fake.token, "refresh-token-of-the-tests", for_ever, for_ever)
        yield fake


@pytest.fixture
async def kommo(session: aiohttp.ClientSession, clock: Clock) -> AsyncIterator[Kommo]:
    async with KommoPortal(KommoConfig(clock=clock, known_clients=True)) as portal:
        yield Kommo(portal, session, clock)
