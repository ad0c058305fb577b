"""The check of a Bitrix24 portal (shared/check.py): authorisation, scopes, owner's rights, users, limits.

Facts: scope, profile, user.get, voximplant.statistic.get, telephony.externalcall.register (apidocs.bitrix24.com). An
empty register has no effect: by the product's source the kind of authorisation is looked at first, then the user, and
the call is made only after all checks.
"""

from collections.abc import Iterator
from typing import Any

from streams.calls.result import CallResult
from streams.clock import utc_now_us
from streams.crm.bitrix24.client import Bitrix24Client
from streams.crm.bitrix24.errors import USER_NOT_SET, code_of, error_text, own_error, portal_problem
from streams.crm.bitrix24.kind import KIND
from streams.crm.bitrix24.lookup import METHOD as STATISTICS
from streams.crm.bitrix24.lookup import NO_RIGHT, records_of
from streams.crm.bitrix24.steps import METHODS
from streams.crm.bitrix24.tasks import LIST as ACTIVITIES
from streams.crm.bitrix24.tasks import NEEDS_RIGHTS, PROVIDER
from streams.crm.shared.check import CheckRequest, Finding, Level, blocked, not_ids, unreachable, users_found, users_of
from streams.delivery.answers import PortalBlocked
from streams.http.request import Reply
from streams.rules import CrmStatus

TELEPHONY, CRM = "telephony", "crm"
USER_SCOPES = ("user", "user_basic", "user_brief")
"""One of them lets the users be listed."""
MOST_PAGES = 20
"""Pages of 50 users."""
OPERATING_SECONDS = 480.0
"""Seconds of work of one method in ten minutes."""
NEARLY = 0.8

LOCAL_APPLICATION = (
    "Make a local application (Developer resources, Other, Local application; server, `Uses only API`, scope "
    "telephony), set portals[].oauth instead of the webhook, and run `cel2crm portal authorise`."
)
SCOPE_REMEDY = "Tick it in the application or webhook (Developer resources, Integrations), then authorise again."
RIGHTS_REMEDY = (
    "Let the owner read and edit all clients (CRM, Settings, Access permissions), or remove missed_call_task."
)
RIGHT_REMEDY = "Telephony, Configure telephony, Access permissions: give the owner's role `Call statistics: view: all`."

USERS_PAGE = "it stands in the address of a user's page"

Json = dict[str, Any]


async def check(request: CheckRequest) -> list[Finding]:
    """Everything that can be told without a trace. Raises SettingsError: address or authorisation missing."""
    client = Bitrix24Client(request.portal, _no_status, request.tokens)
    try:
        return await _Questions(client, request).findings()
    finally:
        await client.close()


def _why_not(user: str, active: dict[str, Json]) -> str:
    return "" if user in active else f"the portal has no active user {user}"


def _no_status(_: CallResult) -> CrmStatus:
    raise AssertionError("a check sends no call")


class _Questions:
    """The questions to one portal."""

    def __init__(self, client: Bitrix24Client, request: CheckRequest) -> None:
        self._client = client
        self._request = request
        self._portal = request.portal
        self._operating: dict[str, float] = {}

    async def findings(self) -> list[Finding]:
        asked = await self._ask("scope", {})
        if isinstance(asked, Finding):
            return [asked]
        granted = asked.document.get("result") if isinstance(asked.document, dict) else None
        if asked.status != 200 or not isinstance(granted, list):
            return [Finding(Level.AWAY, "portal", f"the portal answers strangely: {error_text(asked)}")]
        scopes = [str(scope) for scope in granted]
        found = [Finding(Level.GOOD, "authorisation", "the portal takes it"), *self._scopes(scopes)]
        if TELEPHONY in scopes:
            found += [await self._register(), *await self._rights()]
        found += await self._tasks(scopes)
        return [*found, *not_ids(self._portal), *await self._users(scopes), *self._limits()]

    async def _ask(self, method: str, fields: dict[str, object]) -> Reply | Finding:
        """A reply that is about what was asked, or what is wrong with the portal as a whole."""
        await self._request.pace()
        ending = await self._client.ask(method, fields, self._request.until)
        if isinstance(ending, PortalBlocked):
            return blocked("authorisation", ending)
        if not isinstance(ending, Reply):
            return unreachable(ending)
        times = ending.document.get("time") if isinstance(ending.document, dict) else None
        if isinstance(times, dict) and isinstance(times.get("operating"), int | float):
            self._operating[method] = float(times["operating"])
        if ending.status == 200 and not own_error(ending):
            return ending
        problem = portal_problem(ending, utc_now_us())
        if isinstance(problem, PortalBlocked):
            return blocked("authorisation", problem)
        return (
            ending if problem is None else Finding(Level.AWAY, "portal", f"the portal does not answer: {problem.why}")
        )

    def _scopes(self, scopes: list[str]) -> Iterator[Finding]:
        crm = self._portal.on_revision == "note" or self._portal.missed_call_task is not None
        needed = [TELEPHONY, *([CRM] if crm else [])]
        lacking = [scope for scope in needed if scope not in scopes]
        for scope in lacking:
            yield Finding(Level.FAULT, "scopes", f"the scope {scope} is missing", SCOPE_REMEDY)
        if not lacking:
            yield Finding(Level.GOOD, "scopes", f"it has {', '.join(needed)}")

    async def _tasks(self, scopes: list[str]) -> list[Finding]:
        """Whether tasks for missed calls can be found, and made for whoever calls."""
        if self._portal.missed_call_task is None or CRM not in scopes:
            return []
        listed = await self._ask(ACTIVITIES, {"filter": {"PROVIDER_ID": PROVIDER}, "select": ["ID"]})
        if isinstance(listed, Finding):
            return [Finding(listed.level, "tasks", f"{NEEDS_RIGHTS}: {listed.words}", RIGHTS_REMEDY)]
        if self._portal.for_unknown_number == "nothing":
            words = "missed calls of numbers that no client has get no task (unknown_number: nothing)"
            return [Finding(Level.NOTE, "tasks", words, "Set unknown_number: create_lead, if they are to get one.")]
        return [Finding(Level.GOOD, "tasks", "tasks for missed calls can be looked for")]

    async def _register(self) -> Finding:
        """Whether the methods of telephony take this kind of authorisation: by an empty register."""
        reply = await self._ask(METHODS["register"], {})
        if isinstance(reply, Finding):
            refused = reply.level is Level.FAULT and "WRONG_AUTH_TYPE" in reply.words.upper()
            return Finding(Level.FAULT, "telephony", reply.words, LOCAL_APPLICATION) if refused else reply
        if USER_NOT_SET in error_text(reply).lower():
            return Finding(Level.GOOD, "telephony", "the portal takes calls by this kind of authorisation")
        words = f"the portal answers an empty call strangely: {error_text(reply)} ({code_of(reply) or reply.status})"
        return Finding(Level.NOTE, "telephony", words)

    async def _rights(self) -> list[Finding]:
        """Whether the owner sees the calls of all: the portal leaves out silently what he may not see."""
        listed = await self._ask(STATISTICS, {"SORT": "ID", "ORDER": "DESC"})
        if isinstance(listed, Finding):
            denied = listed.level is Level.FAULT and "ACCESS_DENIED" in listed.words.upper()
            return [Finding(Level.FAULT, "rights", NO_RIGHT, RIGHT_REMEDY) if denied else listed]
        profile = await self._ask("profile", {})
        person = profile.document.get("result") if isinstance(profile, Reply) else None
        owner: Json = person if isinstance(person, dict) else {}
        me, records = str(owner.get("ID") or ""), records_of(listed) or []
        others = {str(one.get("PORTAL_USER_ID")) for one in records} - {me, "", "None"}
        if owner.get("ADMIN") is True:
            return [Finding(Level.GOOD, "rights", "the owner is an administrator, who sees the calls of all")]
        if me and others:
            return [Finding(Level.GOOD, "rights", f"the owner sees calls of others (of {len(others)} lately)")]
        words = (
            "whether the owner sees the calls of all cannot be told, for the statistics show none of another person: "
            "if he does not, a call whose answer was lost may come twice"
        )
        return [Finding(Level.NOTE, "rights", words, RIGHT_REMEDY)]

    async def _users(self, scopes: list[str]) -> list[Finding]:
        if not any(scope in scopes for scope in USER_SCOPES):
            if not any(user.isdigit() for _, user in users_of(self._portal)):
                return []
            words = "whether the users that the settings name are there cannot be told without the scope user_brief"
            return [Finding(Level.NOTE, "users", words, SCOPE_REMEDY)]
        active = await self._active()
        if isinstance(active, Finding):
            return [active]
        found = users_found(self._portal, lambda user: _why_not(user, active), USERS_PAGE)
        return [*found, *self._inner(active)]

    async def _active(self) -> dict[str, Json] | Finding:
        """The portal's active users by their ids."""
        active: dict[str, Json] = {}
        start: object = 0
        for _ in range(MOST_PAGES):
            reply = await self._ask("user.get", {"FILTER": {"ACTIVE": True}, "start": start})
            if isinstance(reply, Finding):
                return reply
            document: Json = reply.document if isinstance(reply.document, dict) else {}
            people = [one for one in document.get("result") or () if isinstance(one, dict)]
            active |= {str(one.get("ID")): one for one in people if one.get("ACTIVE") in (True, "Y", "1")}
            start = document.get("next")
            if not isinstance(start, int):
                return active
        words = f"the portal has more than {MOST_PAGES * 50} users: those of the settings were not looked up"
        return Finding(Level.NOTE, "users", words)

    def _inner(self, active: dict[str, Json]) -> Iterator[Finding]:
        """Whether users have inner numbers at all, where calls are to be given by them."""
        if self._portal.users_by != "inner_phone":
            return
        numbers = sum(bool(one.get("UF_PHONE_INNER")) for one in active.values())
        if numbers:
            yield Finding(Level.GOOD, "inner numbers", f"{numbers} of {len(active)} active users have one")
            return
        remedy = "Set them (Telephony, Telephony users; digits, at most 4), or name the extensions under users."
        yield Finding(Level.FAULT, "inner numbers", "users_by: inner_phone, and no active user shows one", remedy)

    def _limits(self) -> Iterator[Finding]:
        used = max(self._operating.values(), default=0.0)
        words = f"{used:.0f} of the {OPERATING_SECONDS:.0f} s of work that a method may take in ten minutes are used"
        if used >= NEARLY * OPERATING_SECONDS:
            yield Finding(Level.NOTE, "limits", words, "Other programs of this application or webhook use them up.")
        else:
            yield Finding(Level.GOOD, "limits", words)
        rate, usual = self._portal.rate, KIND.rate
        if rate.per_second > usual.per_second or rate.burst > usual.burst:
            words = (
                f"rate_limit allows {rate.burst} requests at once and {rate.per_second:g} a second; portals that are "
                f"not Enterprise take {usual.burst} and {usual.per_second:g}"
            )
            yield Finding(Level.NOTE, "limits", words, "Leave rate_limit out unless the portal's plan is Enterprise.")
