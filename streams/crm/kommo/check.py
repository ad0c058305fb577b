"""The check of a Kommo account (shared/check.py): token, owner's rights, users, pipeline, limits, clock.

Facts: account, users, pipelines, limitations, long-lived token (developers.kommo.com). All requests only ask.
"""

import binascii
from base64 import urlsafe_b64decode
from collections.abc import Iterator
from typing import Any

import orjson

from streams.clock import MICROS_PER_SECOND, format_time, utc_now_us
from streams.crm.kommo.account import KommoAccount
from streams.crm.kommo.answers import error_text, portal_problem
from streams.crm.kommo.kind import KIND
from streams.crm.kommo.options import KommoOptions
from streams.crm.kommo.tasks import NEEDS_RIGHTS
from streams.crm.shared.check import CheckRequest, Finding, Level, blocked, not_ids, unreachable, users_found
from streams.crm.shared.tokens import Token
from streams.delivery.answers import PortalBlocked, RetryLater
from streams.http.request import Reply
from streams.settings import PortalSettings

MOST_PER_SECOND = 7.0
"""Requests, per integration (limitations)."""
ENTITIES = ("leads", "contacts", "companies")
ALL = "A"
"""A right to the entities of all, not only to one's own (M) or those of one's group (G)."""
SOON_DAYS = 30
CLOCK_SECONDS = 60

ADMINISTRATOR = (
    "Let an administrator of the account make the token (Settings, Integrations, your integration, Keys and scopes), "
    "or give the owner the right to view all leads, contacts and companies (Settings, Users)."
)

USERS_PAGE = "Settings, Users shows it in the user's address"

Json = dict[str, Any]


async def check(request: CheckRequest) -> list[Finding]:
    """Everything that can be told without a trace. Raises SettingsError: address or token missing."""
    account = KommoAccount(request.portal, request.tokens)
    account.pace = request.pace
    try:
        return await _Questions(account, request).findings()
    finally:
        await account.close()


class _Questions:
    """The questions to one account."""

    def __init__(self, account: KommoAccount, request: CheckRequest) -> None:
        self._account = account
        self._request = request
        self._portal = request.portal

    async def findings(self) -> list[Finding]:
        shown = await self._ask("account")
        if isinstance(shown, Finding):
            return [shown]
        if shown.status != 200 or not isinstance(shown.document, dict):
            return [Finding(Level.AWAY, "portal", f"the account answers strangely: {error_text(shown)}")]
        owner = str(shown.document.get("current_user_id") or "")
        name = shown.document.get("name") or self._account.base.host
        found = [Finding(Level.GOOD, "token", f"the account {name} takes it, as user {owner or 'of no id'}")]
        found += [*await self._expiry(), *not_ids(self._portal), *await self._people(owner)]
        return [
            *found,
            *await self._pipelines(),
            *await self._tasks(),
            *_limits(self._portal),
            *_clock(self._account.ahead),
        ]

    async def _ask(self, *path: str) -> Reply | Finding:
        """A reply that is about what was asked, or what is wrong with the account as a whole."""
        await self._account.pace()
        ending = await self._account.ask("GET", self._account.base.joinpath(*path), self._request.until)
        if isinstance(ending, PortalBlocked):
            return blocked("token", ending)
        if not isinstance(ending, Reply):
            return unreachable(ending)
        if path != ("account",) and isinstance(ending.document, dict) and ending.status in (403, 404):
            return ending  # about this user's rights, or the thing that was asked for
        problem = portal_problem(ending, utc_now_us()) if ending.status not in (200, 204) else None
        if isinstance(problem, PortalBlocked):
            return blocked("token", problem)
        if problem is not None:
            return Finding(Level.AWAY, "portal", f"the account could not be asked: {problem.why}")
        return ending

    async def _tasks(self) -> list[Finding]:
        """Whether the token's owner may see tasks, where missed calls are to get some."""
        if self._portal.missed_call_task is None:
            return []
        listed = await self._ask("tasks")
        if isinstance(listed, Finding):
            return [listed]
        if listed.status in (200, 204):
            return [Finding(Level.GOOD, "tasks", "tasks for missed calls can be looked for")]
        return [Finding(Level.FAULT, "tasks", f"{NEEDS_RIGHTS} ({error_text(listed)})", ADMINISTRATOR)]

    async def _expiry(self) -> list[Finding]:
        """How long a long-lived token is good: it says so itself. OAuth's tokens renew themselves."""
        token = None if self._portal.oauth else await self._account.token(self._request.until)
        end = expiry_of(token.access) if isinstance(token, Token) else None
        if end is None:
            return []
        left = (end - utc_now_us()) // MICROS_PER_SECOND // 86400
        words = f"the token is good until {format_time(end)}"
        if left >= SOON_DAYS:
            return [Finding(Level.GOOD, "token", words)]
        remedy = "Make a new one in time (Settings, Integrations, Keys and scopes), and put it into token_file."
        return [Finding(Level.NOTE if left > 0 else Level.FAULT, "token", f"{words}: {max(0, left)} days", remedy)]

    async def _people(self, owner: str) -> list[Finding]:
        users = await self._users()
        if isinstance(users, Finding):
            return [users]
        known = {str(user.get("id")): user for user in users}
        named = users_found(self._portal, lambda user: _why_not(user, known), USERS_PAGE)
        return [*_rights(known.get(owner)), *named]

    async def _users(self) -> list[Json] | Finding:
        """All users. Kommo lists them for administrators only."""
        first = await self._ask("users")
        if isinstance(first, Finding):
            return first
        if first.status == 403:
            words = (
                "the token's owner is no administrator: whether he sees the calls of all, and whether the users of the "
                "settings are there, cannot be told, and he may not be allowed to say who made a call"
            )
            return Finding(Level.NOTE, "rights", words, ADMINISTRATOR)
        users: list[Json] = []

        def take(user: Json) -> bool:
            users.append(user)
            return False

        ended = await self._account.search(self._account.base / "users", [], take, self._request.until)
        if isinstance(ended, PortalBlocked):
            return blocked("users", ended)
        return unreachable(ended) if isinstance(ended, RetryLater) else users

    async def _pipelines(self) -> list[Finding]:
        """Whether leads can be made where the settings say, and incoming leads at all."""
        unsorted = self._portal.for_unknown_number == "unsorted"
        named = [(where, wanted) for where, wanted in _pipelines_named(self._portal) if wanted is not None or unsorted]
        found = [fault for where, wanted in named for fault in await self._pipeline(where, wanted, unsorted=unsorted)]
        if named and not found:
            return [Finding(Level.GOOD, "pipeline", "leads can be made where the settings say")]
        return found

    async def _pipeline(self, where: str, wanted: int | None, *, unsorted: bool) -> list[Finding]:
        """What is wrong with one pipeline; None: the account's main one."""
        reply = await self._ask("leads", "pipelines", *([str(wanted)] if wanted is not None else []))
        if isinstance(reply, Finding):
            return [reply]
        if wanted is not None and reply.status != 200:
            remedy = "Set the number that stands in the pipeline's address in Kommo, or leave it out for the main one."
            return [Finding(Level.FAULT, "pipeline", f"{where}: there is no pipeline {wanted}", remedy)]
        pipeline = _pipeline_of(reply.document, wanted)
        if unsorted and pipeline is not None and pipeline.get("is_unsorted_on") is False:
            remedy = (
                "Switch Incoming leads on in the pipeline's settings (Leads, Automate), or set another pipeline_id."
            )
            name = pipeline.get("name") or "main"
            return [Finding(Level.FAULT, "pipeline", f"the pipeline {name} takes no incoming leads", remedy)]
        return []


def _pipelines_named(portal: PortalSettings) -> list[tuple[str, int | None]]:
    """Where the settings name a pipeline, and which: the portal's options, then the route's lines."""
    named = [("options.pipeline_id", KommoOptions.of(portal.options).pipeline_id)]
    for number, line in enumerate(portal.route, 1):
        if "pipeline_id" in line.options:
            named.append((f"route: line {number}: pipeline_id", KommoOptions.of(line.options).pipeline_id))
    return named


def expiry_of(token: str) -> int | None:
    """When a long-lived token ends, UTC microseconds: `exp` of its payload (JWT). None: it does not say."""
    parts = token.split(".")
    try:
        payload = orjson.loads(urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4))) if len(parts) == 3 else None
    except (binascii.Error, ValueError):
        return None
    end = payload.get("exp") if isinstance(payload, dict) else None
    if isinstance(end, bool) or not isinstance(end, int | float) or not 0 < end < 10**11:
        return None
    return int(end) * MICROS_PER_SECOND


def _pipeline_of(document: object, wanted: int | None) -> Json | None:
    if not isinstance(document, dict):
        return None
    if wanted is not None:
        return document
    listed = (document.get("_embedded") or {}).get("pipelines") or []
    return next((one for one in listed if isinstance(one, dict) and one.get("is_main")), None)


def _rights(owner: Json | None) -> Iterator[Finding]:
    """Who sees only what is his own does not find the notes of others: a lost answer would double a call."""
    rights = owner.get("rights") if owner is not None else None
    if not isinstance(rights, dict):
        yield Finding(Level.NOTE, "rights", "the account does not tell the rights of the token's owner", ADMINISTRATOR)
        return
    if rights.get("is_admin"):
        yield Finding(Level.GOOD, "rights", "the token's owner is an administrator, who sees the calls of all")
        return
    hidden = [name for name in ENTITIES if (rights.get(name) or {}).get("view") != ALL]
    if hidden:
        words = (
            f"the token's owner does not see all {', '.join(hidden)}: a call whose answer was lost is not found again "
            "there, and may come twice"
        )
        yield Finding(Level.FAULT, "rights", words, ADMINISTRATOR)
    else:
        words = "the token's owner sees the calls of all, but is no administrator: who made a call may be refused"
        yield Finding(Level.NOTE, "rights", words, ADMINISTRATOR)


def _why_not(user: str, known: dict[str, Json]) -> str:
    """Why no call can be given to a user; empty: it can."""
    if user not in known:
        return f"the account has no user {user}"
    rights = known[user].get("rights")
    if isinstance(rights, dict) and rights.get("is_active") is False:
        return f"user {user} ({known[user].get('name')}) is not active any more"
    return ""


def _limits(portal: PortalSettings) -> Iterator[Finding]:
    ours = portal.rate.per_second
    if ours > MOST_PER_SECOND or portal.rate.burst > MOST_PER_SECOND:
        words = f"rate_limit allows {ours:g} requests a second, {portal.rate.burst} at once; Kommo takes 7, then blocks"
        remedy = f"Leave rate_limit out: then it is {KIND.rate.per_second:g}."
        yield Finding(Level.FAULT, "limits", words, remedy)
    else:
        words = f"up to {ours:g} requests a second of the 7 that Kommo takes; it does not tell how many are left"
        yield Finding(Level.GOOD, "limits", words)


def _clock(ahead: int) -> Iterator[Finding]:
    seconds = round(ahead / MICROS_PER_SECOND)
    if abs(seconds) > CLOCK_SECONDS:
        words = f"the account's clock is {abs(seconds)} s {'ahead of' if seconds > 0 else 'behind'} this machine's"
        yield Finding(Level.NOTE, "clock", words, "Set this machine's clock by NTP.")
