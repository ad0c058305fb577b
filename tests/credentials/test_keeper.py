"""Several workers, one portal: one of them refreshes, the others take its tokens; a cut-off refresh ends clearly."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from deploy.fake_crms import Bitrix24Config, Bitrix24Portal, KommoConfig, KommoPortal, Portal
from streams.clock import boot_seconds, utc_now_us
from streams.credentials.keeper import Keeper
from streams.credentials.record import Claim, Credential, granted
from streams.credentials.store import key_of
from streams.crm.bitrix24.client import Bitrix24Client
from streams.crm.kommo.client import KommoClient
from streams.crm.shared.adapter import token_vendor
from streams.crm.shared.client import CrmClient
from streams.crm.shared.tokens import Token
from streams.delivery.answers import PortalBlocked, RetryLater, Succeeded
from streams.http.request import session
from streams.rules import load_rules
from tests.credentials.shared import FIRST_REFRESH, SharedStore, oauth_portal, pair
from tests.crm.calls import call_result, opened

RULES = load_rules()
CLAIM_SECONDS = 0.4


class Workers:
    """Some workers at one fake portal, which share a store."""

    def __init__(self, portal: Portal) -> None:
        self.portal = portal
        self.settings = oauth_portal(portal)
        self.key = key_of(self.settings)
        self.store = SharedStore(Credential(self.key, 1, pair()))
        self.http = session()
        self.clients: list[CrmClient] = []
        self.keepers: list[Keeper] = []

    def new(self, **oauth: Any) -> CrmClient:
        """One more worker."""
        vendor = token_vendor(oauth_portal(self.portal, oauth=oauth))
        keeper = Keeper(
            self.settings, self.store, vendor, self.http, request_seconds=0.75 * CLAIM_SECONDS, retry_seconds=0.05
        )
        self.store.listeners.append(keeper.changed)
        self.keepers.append(keeper)
        client: CrmClient = (
            Bitrix24Client(self.settings, RULES.tables["bitrix24"].status, keeper)
            if isinstance(self.portal, Bitrix24Portal)
            else KommoClient(self.settings, RULES.tables["kommo"].status, keeper)
        )
        self.clients.append(client)
        return client

    async def stop(self) -> None:
        for keeper in self.keepers:
            await keeper.stop()
        for client in self.clients:
            await client.close()
        await self.http.close()

    @property
    def known(self) -> Credential:
        return self.store.stored[self.key]

    def token_requests(self) -> list[object]:
        """The status of each, as the portal logged it."""
        return [line["status"] for line in self.portal.log if line["operation"] == "token"]


@pytest.fixture(params=["bitrix24", "kommo"])
async def workers(request: pytest.FixtureRequest) -> AsyncIterator[Workers]:
    portal: Portal = (
        Bitrix24Portal(Bitrix24Config(bucket_size=0))
        if request.param == "bitrix24"
        else KommoPortal(KommoConfig(requests_per_second=0, known_clients=True))
    )
    async with portal:
        some = Workers(portal)
        yield some
        await some.stop()


async def deliver(client: CrmClient, number: int = 1, seconds: float = 5.0) -> Any:
    return await client.send(opened(client, call_result(number)), boot_seconds() + seconds)


async def until(reached: Any) -> None:
    async with asyncio.timeout(5):
        while not reached():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def test_a_good_token_is_used_and_not_refreshed(workers: Workers) -> None:
    assert isinstance(await deliver(workers.new()), Succeeded)
    assert workers.token_requests() == []


async def test_all_at_once_find_it_expired_and_one_refreshes(workers: Workers) -> None:
    clients = [workers.new() for _ in range(4)]
    workers.portal.tokens.expire_access()
    answers = await asyncio.gather(*(deliver(client, n) for n in range(5) for client in clients))
    assert {type(answer) for answer in answers} == {Succeeded}
    assert workers.token_requests() == [200]


async def test_the_claim_is_stored_before_the_request_and_the_pair_before_it_is_used(workers: Workers) -> None:
    workers.portal.tokens.expire_access()
    await deliver(workers.new())
    begun, stored = workers.store.history
    assert begun.claim is not None and begun.pair.refresh == FIRST_REFRESH
    assert stored.claim is None and stored.pair.refresh != FIRST_REFRESH
    assert begun.claim.mark == begun.pair.mark


async def test_shortly_before_its_end_a_token_is_renewed_while_it_is_still_used(workers: Workers) -> None:
    workers.store.stored[workers.key] = Credential(workers.key, 1, pair(left=60))
    workers.portal.faults.order({"mode": "slow", "seconds": 0.1, "effect": False, "methods": ["token"]})
    client = workers.new()
    assert isinstance(await deliver(client), Succeeded)
    assert workers.known.pair.refresh == FIRST_REFRESH
    await until(lambda: workers.known.pair.refresh != FIRST_REFRESH)
    assert isinstance(await deliver(client, 2), Succeeded)
    assert workers.token_requests() == [200]


async def test_an_idle_portal_is_refreshed_only_when_half_of_the_refresh_tokens_life_is_over(workers: Workers) -> None:
    spent = replace(pair(), received_at=utc_now_us() - 200 * 24 * 3600 * 10**6)
    workers.store.stored[workers.key] = Credential(workers.key, 1, spent)
    workers.new()
    workers.keepers[0].changed()
    await until(lambda: workers.known.pair.refresh != FIRST_REFRESH)
    assert workers.token_requests() == [200]


@pytest.mark.parametrize("mode", ["reset", "html", "500"])
async def test_an_unknown_end_without_effect_is_survived(mode: str, workers: Workers) -> None:
    workers.portal.tokens.expire_access()
    workers.portal.faults.order({"mode": mode, "methods": ["token"], "times": 1})
    assert isinstance(await deliver(workers.new()), Succeeded)
    assert workers.known.pair.refresh != FIRST_REFRESH


async def test_a_lost_answer_after_the_rotation_asks_for_a_person_and_loses_no_call(workers: Workers) -> None:
    workers.portal.tokens.expire_access()
    workers.portal.faults.order({"mode": "lost_answer", "methods": ["token"], "times": 1})
    client = workers.new()
    answer = await deliver(client)
    assert (
        isinstance(answer, PortalBlocked) and "cel2crm portal authorise main" in answer.why and "cut off" in answer.why
    )
    assert workers.portal.entries() == [] and len(workers.token_requests()) == 2
    assert isinstance(await deliver(client), PortalBlocked) and len(workers.token_requests()) == 2
    await authorise(workers)
    assert isinstance(await deliver(client), Succeeded)


async def authorise(workers: Workers) -> None:
    """As the command does."""
    answer = await token_vendor(workers.settings).redeem(workers.http, workers.portal.authorise(), boot_seconds() + 5)
    await workers.store.change(workers.key, lambda before: granted(before, workers.key, answer, utc_now_us()))  # type: ignore[arg-type]


@pytest.mark.slow
@pytest.mark.parametrize("rotated", [False, True])
async def test_a_claim_whose_owner_died_is_taken_over_after_its_time(rotated: bool, workers: Workers) -> None:
    dead = Claim("dead", pair().mark, utc_now_us(), CLAIM_SECONDS)
    workers.store.stored[workers.key] = Credential(workers.key, 1, pair(), dead)
    if rotated:
        await token_vendor(workers.settings).refresh(workers.http, FIRST_REFRESH, boot_seconds() + 5)
    workers.portal.tokens.expire_access()
    began = boot_seconds()
    answer = await deliver(workers.new())
    assert boot_seconds() - began >= CLAIM_SECONDS
    if rotated:
        assert isinstance(answer, PortalBlocked) and "cel2crm portal authorise main" in answer.why
    else:
        assert isinstance(answer, Succeeded)


@pytest.mark.slow
async def test_while_another_one_refreshes_a_call_waits_and_then_comes_back_later(workers: Workers) -> None:
    theirs = Claim("theirs", pair().mark, utc_now_us(), 60.0)
    workers.store.stored[workers.key] = Credential(workers.key, 1, pair(), theirs)
    workers.portal.tokens.expire_access()
    answer = await deliver(workers.new(), seconds=0.4)
    assert isinstance(answer, RetryLater) and answer.whole_portal
    assert workers.token_requests() == [] and workers.portal.entries() == []


@pytest.mark.slow
async def test_a_late_answer_counts_although_another_one_was_refused_meanwhile(workers: Workers) -> None:
    workers.portal.tokens.expire_access()
    workers.portal.faults.order({"mode": "slow", "seconds": 0.25, "methods": ["token"], "times": 1})
    answer = asyncio.create_task(deliver(workers.new()))
    await until(lambda: workers.token_requests() == [None])
    assert workers.known.claim is not None
    await workers.store.change(workers.key, lambda known: replace(known, claim=None, refused="used"))  # type: ignore[type-var]
    other = workers.new()
    assert isinstance(await answer, PortalBlocked | Succeeded)
    await until(lambda: workers.known.refused is None)
    assert isinstance(await deliver(other, 2), Succeeded)


async def test_a_store_that_is_away_loses_no_new_pair(workers: Workers) -> None:
    workers.portal.tokens.expire_access()
    workers.portal.faults.order({"mode": "slow", "seconds": 0.1, "methods": ["token"]})
    answer = asyncio.create_task(deliver(workers.new()))
    await until(lambda: workers.token_requests() == [None])
    workers.store.away_for = 2
    assert isinstance(await answer, Succeeded) and workers.store.away_for == 0
    assert workers.token_requests() == [200]


@pytest.mark.slow
async def test_no_request_goes_out_while_the_claim_cannot_be_stored(workers: Workers) -> None:
    workers.portal.tokens.expire_access()
    workers.store.away_for = 10**6
    assert isinstance(await deliver(workers.new(), seconds=0.3), RetryLater)
    assert workers.token_requests() == []


async def test_a_graceful_end_stores_what_is_under_way(workers: Workers) -> None:
    workers.portal.tokens.expire_access()
    workers.portal.faults.order({"mode": "slow", "seconds": 0.1, "methods": ["token"]})
    answer = asyncio.create_task(deliver(workers.new()))
    await until(lambda: workers.token_requests() == [None])
    await workers.keepers[0].stop()
    assert workers.known.pair.refresh != FIRST_REFRESH
    await answer


async def test_wrong_settings_pause_and_spoil_nothing(workers: Workers) -> None:
    workers.portal.tokens.expire_access()
    answer = await deliver(workers.new(client_secret="wrong"))
    assert isinstance(answer, PortalBlocked) and "portals[].oauth" in answer.why
    assert len(workers.token_requests()) == 1 and workers.known.claim is None
    assert isinstance(await deliver(workers.new()), Succeeded)


async def test_a_portal_that_takes_no_token_is_not_refreshed_for_ever(workers: Workers) -> None:
    workers.portal.faults.order({"mode": "401", "methods": ["calls", "telephony.externalcall.register"]})
    client = workers.new()
    for _ in range(3):
        assert isinstance(await deliver(client), PortalBlocked)
    assert workers.token_requests() == [200]


async def test_a_new_token_that_is_over_by_its_time_is_renewed_however_young(workers: Workers) -> None:
    client = workers.new()
    over = pair(left=0.01)
    await workers.store.change(workers.key, lambda known: granted(known, workers.key, over, utc_now_us()))
    workers.portal.tokens.expire_access()
    assert isinstance(await deliver(client), Succeeded)
    assert workers.token_requests() == [200]


async def test_without_an_authorisation_the_command_is_named(workers: Workers) -> None:
    workers.store.stored.clear()
    answer = await deliver(workers.new())
    assert isinstance(answer, PortalBlocked) and "cel2crm portal authorise main" in answer.why


async def test_a_token_found_replaced_is_not_refreshed_again(workers: Workers) -> None:
    keeper = (workers.new(), workers.keepers[0])[1]
    await workers.store.change(workers.key, lambda known: granted(known, workers.key, pair(7), utc_now_us()))
    other = await keeper.after(Token(pair().access), boot_seconds() + 1)
    assert isinstance(other, Token) and other.access == "access-7"
    assert workers.token_requests() == []


async def test_the_next_pair_is_asked_of_the_server_that_came_with_the_last() -> None:
    asked: list[str] = []

    class Vendor:
        async def refresh(self, http: object, refresh: str, until: float, server: str = "") -> PortalBlocked:
            asked.append(server)
            return PortalBlocked("closed")

    async with Bitrix24Portal(Bitrix24Config()) as portal:
        settings = oauth_portal(portal)
        over = replace(pair(left=-1), server="oauth.bitrix24.tech")
        async with session() as http:
            keeper = Keeper(
                settings, SharedStore(Credential(key_of(settings), 1, over)), Vendor(), http, retry_seconds=0.05
            )
            assert isinstance(await keeper.token(boot_seconds() + 5), PortalBlocked)
            await keeper.stop()
    assert asked == ["oauth.bitrix24.tech"]
