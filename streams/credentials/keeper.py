"""Keeps a portal's tokens fresh: of all workers, the one whose claim stands refreshes; the others take what it stored.

When: vendors ask not to refresh by the clock (docs/crms.md), so a token is renewed when a request needs it: shortly
before its end, or when the portal does not take it. Only a refresh token that has spent half of its life is renewed
without need.

Order: the claim is durable, then the refresh token goes out, then the new pair is durable, then it is used. Whoever
dies in between leaves the claim standing; after its time another one tries the same token once more, and the vendor's
answer decides: a new pair, or a person must authorise again.
"""

import asyncio
import contextlib
import random
import uuid
from collections.abc import Callable
from typing import Protocol

import aiohttp
import structlog
from aiokafka.errors import KafkaError

from streams.clock import MICROS_PER_SECOND, BootSeconds, boot_seconds, utc_now_us
from streams.credentials import record
from streams.credentials.record import Claim, Credential, worth_renewing
from streams.credentials.sealing import Unreadable
from streams.credentials.store import CredentialStore, key_of
from streams.crm.shared.tokens import GrantRefused, Pair, Token, TokenAnswer, outcome_label
from streams.delivery.answers import OutcomeUnknown, PortalBlocked, RetryLater
from streams.settings import PortalSettings

YOUNG_SECONDS = 30.0
"""A pair that is rejected so soon after it came is not renewed: another one would be rejected too."""
TROUBLE_SECONDS = 3.0
"""After a refusal that the settings are at fault for, the next request so much later tries again, in the background."""
LOOK_SECONDS = 3600.0
STOP_SECONDS = 20.0

_log = structlog.get_logger("tokens")


class Refresher(Protocol):
    """TokenVendor, as far as it is needed here."""

    async def refresh(
        self, http: aiohttp.ClientSession, refresh: str, until: BootSeconds, server: str = ""
    ) -> TokenAnswer:
        """The next pair, from the authorisation server that was named with the last one."""
        ...


class Keeper:
    """The tokens of one portal (a TokenSource). Make it inside a running event loop; `stop` it."""

    def __init__(
        self,
        portal: PortalSettings,
        store: CredentialStore,
        vendor: Refresher,
        http: aiohttp.ClientSession,
        *,
        request_seconds: float = 30.0,
        retry_seconds: float = 1.0,
        told: Callable[[str], None] = lambda outcome: None,
    ) -> None:
        """`request_seconds`: what a token request may take. `told` hears each outcome, for metrics."""
        self._key = key_of(portal)
        self._portal = portal.name
        self._store = store
        self._vendor = vendor
        self._http = http
        self._request_seconds = request_seconds
        self._claim_seconds = request_seconds * 4 / 3
        self._retry_seconds = retry_seconds
        self._told = told
        self._changed = asyncio.Event()
        self._wanted: str | None = None
        self._woken = asyncio.Event()
        self._trouble: tuple[PortalBlocked, float] | None = None
        self._seen: tuple[str, float] = ("", float("-inf"))
        self._claim_seen: tuple[str, float] = ("", 0.0)
        self._busy = False
        self._failures = 0
        with contextlib.suppress(Unreadable):
            if (known := store.get(self._key)) is not None:
                self._seen = (known.pair.access, float("-inf"))
        self._loop = asyncio.create_task(self._run())

    async def token(self, until: BootSeconds) -> Token | RetryLater | PortalBlocked:
        """See TokenSource."""
        return await self._token(None, until) or RetryLater("no access token yet", whole_portal=True)

    async def after(self, rejected: Token, until: BootSeconds) -> Token | RetryLater | PortalBlocked | None:
        """See TokenSource."""
        return await self._token(rejected.access, until)

    def changed(self) -> bool:
        """The store holds something new for this portal. True: another access token."""
        new = False
        with contextlib.suppress(Unreadable):
            known = self._store.get(self._key)
            if known is not None and known.pair.access != self._seen[0]:
                self._seen = (known.pair.access, boot_seconds())
                self._trouble = None
                new = True
            claim = known.claim.id if known is not None and known.claim is not None else ""
            if claim != self._claim_seen[0]:
                self._claim_seen = (claim, boot_seconds())
        self._changed.set()
        self._woken.set()
        return new

    async def stop(self) -> None:
        """Begin nothing more; what a refresh that is under way brings is stored first."""
        if self._busy:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(STOP_SECONDS):
                    while self._busy:
                        self._changed.clear()
                        await self._changed.wait()
        self._loop.cancel()
        await asyncio.wait([self._loop])

    async def _token(self, rejected: str | None, until: BootSeconds) -> Token | RetryLater | PortalBlocked | None:
        while True:
            try:
                known = self._store.get(self._key)
            except Unreadable:
                return PortalBlocked(unreadable(self._portal))
            if known is None:
                return PortalBlocked(f"it is not authorised yet: run `{command(self._portal)}`")
            pair, now = known.pair, utc_now_us()
            over = worth_renewing(pair, now)
            if pair.access != rejected and (now < pair.access_until):
                if over and known.refused is None:
                    self._want(pair)
                return Token(pair.access, pair.endpoint)
            if known.refused is not None:
                return PortalBlocked(f"it must be authorised again: run `{command(self._portal)}` ({known.refused})")
            young = not over and boot_seconds() < self._seen[1] + YOUNG_SECONDS
            if rejected is not None and young and known.claim is None:
                return None
            if self._trouble is not None:
                if boot_seconds() > self._trouble[1] + TROUBLE_SECONDS:
                    self._want(pair)
                return self._trouble[0]
            self._want(pair)
            if not await self._change(until):
                return RetryLater("its access token is being renewed", whole_portal=True)

    async def _change(self, until: BootSeconds) -> bool:
        """Wait for a change, and leave some time for the request itself."""
        left = until - boot_seconds()
        self._changed.clear()
        try:
            async with asyncio.timeout(max(0.0, left - min(5.0, left / 4))):
                await self._changed.wait()
        except TimeoutError:
            return False
        return True

    def _want(self, pair: Pair) -> None:
        if self._wanted != pair.mark:
            self._wanted = pair.mark
            self._woken.set()

    # Refreshing.

    async def _run(self) -> None:
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LOOK_SECONDS):
                    await self._woken.wait()
            self._woken.clear()
            with contextlib.suppress(Unreadable):
                known = self._store.get(self._key)
                if known is not None and utc_now_us() >= known.pair.half_spent_at:
                    self._want(known.pair)
            self._failures = 0
            # Workers find a token expired at the same moment: who comes a little later sees the claim of the first.
            await asyncio.sleep(random.random() * self._retry_seconds / 4)
            while (known := self._due()) is not None:
                wait = await self._try(known)
                self._changed.set()
                if wait is None:
                    break
                await self._wait(wait)
            self._wanted = None

    def _due(self) -> Credential | None:
        """The authorisation to renew; None: it needs no renewal any more."""
        try:
            known = self._store.get(self._key)
        except Unreadable:
            return None
        due = known is not None and known.pair.mark == self._wanted and known.refused is None
        return known if due else None

    async def _wait(self, seconds: float) -> None:
        """Wait, but not beyond a change of what is stored."""
        self._woken.clear()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._woken.wait()

    def _backoff(self) -> float:
        self._failures += 1
        return min(60.0, self._retry_seconds * 2.0 ** (self._failures - 1)) * (0.5 + random.random() / 2)

    async def _try(self, known: Credential) -> float | None:
        """One try. Seconds to wait before the next; None: it is decided."""
        standing = known.claim
        abandoned = None
        if standing is not None:
            left = self._stands_for(standing)
            if left > 0:
                return left + random.random() * self._retry_seconds / 2
            abandoned = standing.id
        claim = Claim(uuid.uuid4().hex, known.pair.mark, utc_now_us(), self._claim_seconds)
        until = boot_seconds() + self._request_seconds
        try:
            stored = await self._store.change(
                self._key, lambda before: record.claimed(before, claim, utc_now_us(), abandoned)
            )
        except (KafkaError, TimeoutError) as error:
            _log.warning("tokens cannot be stored now, so none is renewed", portal=self._portal, error=repr(error))
            self._claim_seen = (claim.id, float("-inf"))  # whether it is stored or not, nothing was sent
            return self._backoff()
        if stored is None or stored.claim is None or stored.claim.id != claim.id:
            return self._backoff() / 10  # another one was first
        self._busy = True
        try:
            answer = await self._vendor.refresh(self._http, known.pair.refresh, until, known.pair.server)
            return await self._answered(claim, answer)
        finally:
            self._busy = False

    def _stands_for(self, claim: Claim) -> float:
        """Seconds until somebody's claim is abandoned. From when it was seen here: machines' clocks differ."""
        if self._claim_seen[0] != claim.id:
            self._claim_seen = (claim.id, boot_seconds())
        return self._claim_seen[1] + claim.seconds - boot_seconds()

    async def _answered(self, claim: Claim, answer: TokenAnswer) -> float | None:
        self._told(outcome_label(answer))
        match answer:
            case Pair():
                await self._keep(lambda before: record.rotated(before, claim.mark, answer, utc_now_us()))
                self._trouble = None
                _log.info("access token renewed", portal=self._portal, seconds=_seconds(answer))
                return None
            case GrantRefused():
                _log.warning("the refresh token is refused", portal=self._portal, why=answer.why)
                await self._keep(lambda before: record.refused(before, claim.id, answer.why, utc_now_us()))
                return None
            case OutcomeUnknown():
                _log.warning("a token request ended nobody knows how", portal=self._portal, why=answer.why)
                # Ours, and over. At once again: vendors may give the same pair again for a while.
                self._claim_seen = (claim.id, float("-inf"))
                return self._backoff()
        await self._keep(lambda before: record.released(before, claim.id, utc_now_us()))
        self._claim_seen = (claim.id, float("-inf"))
        if isinstance(answer, PortalBlocked):
            self._trouble = (answer, boot_seconds())
            return None
        asked = 0.0 if answer.not_before is None else (answer.not_before - utc_now_us()) / MICROS_PER_SECOND
        return max(self._backoff(), asked)

    async def _keep(self, decide: Callable[[Credential | None], Credential | None]) -> None:
        """Store what the vendor answered, however long it takes: it cannot be had again."""
        failures = 0
        while True:
            try:
                await self._store.change(self._key, decide)
                return
            except (KafkaError, TimeoutError) as error:
                _log.error("new tokens cannot be stored; trying on", portal=self._portal, error=repr(error))
            failures += 1
            await asyncio.sleep(min(5.0, self._retry_seconds / 4 * 2**failures))


def command(portal: str) -> str:
    """The command that authorises a portal."""
    return f"cel2crm portal authorise {portal}"


def unreadable(portal: str) -> str:
    """The message about tokens that cannot be decrypted."""
    return (
        "its stored tokens were encrypted with another key than credentials.key: put that key back (below the new "
        f"one), or run `{command(portal)}`"
    )


def _seconds(pair: Pair) -> int:
    return (pair.access_until - pair.received_at) // MICROS_PER_SECOND
