"""Bitrix24: questions to a portal that leave no trace, and what their answers say about its settings and rights.

An empty register has no effect: the person is looked for first (seen in the product's source), and the answer tells
whether this kind of authorisation may register calls at all. `profile` needs no scope.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from streams.calls.result import CallResult
from streams.crm.bitrix24.client import Bitrix24Client
from streams.crm.bitrix24.errors import PAUSING, USER_NOT_SET, code_of, error_text, own_error
from streams.crm.bitrix24.kind import KIND
from streams.crm.bitrix24.limits import LIMIT_SECONDS, SLOW_FROM
from streams.crm.bitrix24.lookup import METHOD as STATISTICS
from streams.crm.bitrix24.lookup import NO_RIGHT
from streams.crm.bitrix24.steps import METHODS
from streams.crm.shared.check import CheckRequest, not_ids, users_of
from streams.crm.shared.findings import Finding
from streams.delivery.answers import PortalBlocked, RetryLater
from streams.http.request import Ending, NoReply, NothingSent, Reply
from streams.rules import CrmStatus
from streams.settings import PortalSettings

Ask = Callable[[str, dict[str, object]], Awaitable[Ending | PortalBlocked | RetryLater]]
"""One request: a method and its fields."""
Asked = Ending | PortalBlocked | RetryLater

MOST_PAGES = 20
"""Pages of 50 users that are read."""
NEWEST: dict[str, object] = {"SORT": "ID", "ORDER": "DESC"}


async def check(request: CheckRequest) -> list[Finding]:
    """The check of a portal (shared/check.py). Raises SettingsError: address or authorisation missing."""
    client = Bitrix24Client(request.portal, _no_status, request.tokens)

    async def ask(method: str, fields: dict[str, object]) -> Asked:
        await request.pace()
        return await client.ask(method, fields, request.until)

    try:
        return await check_portal(request.portal, ask)
    finally:
        await client.close()


def _no_status(_: CallResult) -> CrmStatus:
    raise AssertionError("a check sends no call")


async def check_portal(portal: PortalSettings, ask: Ask) -> list[Finding]:
    """Every finding, in the order in which an operator mends them. Nothing is asked in vain after the first refusal of
    the authorisation itself."""
    registering = await ask(METHODS["register"], {})
    findings = [telephony(registering)]
    if findings[0].level in ("bad", "unknown") and not _wrong_kind(registering):
        return findings
    findings.append(scopes(await ask("scope", {}), portal))
    owner = owner_of(await ask("profile", {}))
    newest = await ask(STATISTICS, NEWEST)
    findings.append(statistics(newest, owner))
    findings += await users(portal, ask)
    findings.append(work_left((registering, newest)))
    return [*findings, *rate(portal)]


async def rights(ask: Ask) -> list[Finding]:
    """Whether calls may be registered, and whether the statistics show those of all."""
    registering = telephony(await ask(METHODS["register"], {}))
    owner = owner_of(await ask("profile", {}))
    return [registering, statistics(await ask(STATISTICS, NEWEST), owner)]


def telephony(asked: Asked) -> Finding:
    """Whether calls may be registered, by the answer to a register without fields."""
    what = "telephony"
    if isinstance(asked, Reply) and own_error(asked):
        if USER_NOT_SET in error_text(asked).lower():
            return Finding(what, "good", "calls may be registered with this authorisation")
        if code_of(asked) == "WRONG_AUTH_TYPE":
            remedy = "Make a local application (README, Connect a CRM), set portals[].oauth, and authorise it."
            return Finding(what, "bad", f"{PAUSING['WRONG_AUTH_TYPE']} ({error_text(asked)})", remedy)
    return _refused(what, asked)


def scopes(asked: Asked, portal: PortalSettings) -> Finding:
    """Whether the scopes are there that the settings need."""
    granted = _result(asked)
    if not isinstance(granted, list):
        return _refused("scopes", asked)
    needed = {"telephony"} | ({"crm"} if portal.on_revision == "note" else set())
    if missing := sorted(needed - set(map(str, granted))):
        remedy = f"Add {', '.join(missing)} to the application or webhook in the portal, then authorise again."
        return Finding("scopes", "bad", f"the scopes lack {', '.join(missing)}", remedy)
    return Finding("scopes", "good", f"the scopes are {', '.join(sorted(map(str, granted)))}")


def owner_of(asked: Asked) -> str:
    """USER_ID of the person in whose name requests are made; empty where it is not told."""
    person = _result(asked)
    return str(person.get("ID") or "") if isinstance(person, dict) else ""


def statistics(asked: Asked, owner: str) -> Finding:
    """Whether the owner may see the calls of all, as far as the newest calls tell."""
    calls = _result(asked)
    if not isinstance(calls, list):
        if isinstance(asked, Reply) and own_error(asked) and code_of(asked) == "ACCESS_DENIED":
            return Finding("statistics", "bad", "the owner may not view call statistics at all", NO_RIGHT)
        return _refused("statistics", asked)
    people = {str(call.get("PORTAL_USER_ID")) for call in calls if isinstance(call, dict)}
    if not people:
        return Finding("statistics", "warning", "no calls are shown: there are none yet, or they are hidden", NO_RIGHT)
    if people <= {owner}:
        return Finding("statistics", "warning", "of the newest calls only the owner's own are shown", NO_RIGHT)
    return Finding("statistics", "good", f"the newest calls of {len(people)} people are shown")


async def users(portal: PortalSettings, ask: Ask) -> list[Finding]:
    """Whether the people of the settings are there and active, and whether anybody has an inner number."""
    active = await _active(ask)
    named = [(where, user) for where, user in users_of(portal) if user.isdigit()]
    if isinstance(active, Finding):
        return [*not_ids(portal), *([active] if named or portal.users_by == "inner_phone" else [])]
    findings = list(not_ids(portal))
    for where, user in named:
        if user not in active:
            meant = "the portal would be paused" if where == "default_user" else "the calls go to default_user"
            words = f"{where}: the portal has no active user {user}; {meant}"
            remedy = f"Set another id under portals[].{where.split(':')[0]}: it stands in the address of a user's page."
            findings.append(Finding("users", "bad", words, remedy))
    if named and not findings:
        findings.append(Finding("users", "good", f"all {len(named)} users that the settings name are active"))
    return [*findings, *_inner_numbers(portal, active)]


async def _active(ask: Ask) -> dict[str, Mapping[str, Any]] | Finding:
    """The portal's active users by their ids, page by page: whether `ID` takes a list is documented nowhere."""
    active: dict[str, Mapping[str, Any]] = {}
    start: object = 0
    for _ in range(MOST_PAGES):
        asked = await ask("user.get", {"FILTER": {"ACTIVE": True}, "start": start})
        people = _result(asked)
        if not isinstance(people, list):
            if isinstance(asked, Reply) and own_error(asked) and code_of(asked) == "INSUFFICIENT_SCOPE":
                remedy = "Add the scope user_brief to the application to have them checked; calls do not need it."
                return Finding("users", "warning", "people cannot be looked up without the scope user_brief", remedy)
            return _refused("users", asked)
        here = [one for one in people if isinstance(one, dict) and one.get("ACTIVE") in (True, "Y", "1")]
        active |= {str(one.get("ID")): one for one in here}
        start = asked.document.get("next") if isinstance(asked, Reply) else None
        if not isinstance(start, int):
            return active
    return Finding("users", "warning", f"more than {MOST_PAGES * 50} users: those of the settings were not looked up")


def _inner_numbers(portal: PortalSettings, active: Mapping[str, Mapping[str, Any]]) -> list[Finding]:
    if portal.users_by != "inner_phone":
        return []
    numbers = sum(bool(one.get("UF_PHONE_INNER")) for one in active.values())
    if numbers:
        return [Finding("inner numbers", "good", f"{numbers} of {len(active)} active users have one")]
    remedy = "Set them (Telephony, Telephony users; digits, at most 4), or name the extensions under users."
    return [Finding("inner numbers", "bad", "users_by: inner_phone, and no active user shows one", remedy)]


def rate(portal: PortalSettings) -> list[Finding]:
    """Whether the settings let more requests out than most portals take."""
    ours, usual = portal.rate, KIND.rate
    if ours.per_second <= usual.per_second and ours.burst <= usual.burst:
        return []
    words = (
        f"rate_limit allows {ours.burst} requests at once and {ours.per_second:g} a second; portals that are not "
        f"Enterprise take {usual.burst} and {usual.per_second:g}"
    )
    return [Finding("limits", "warning", words, "Leave rate_limit out unless the portal's plan is Enterprise.")]


def work_left(asked: tuple[Asked, ...]) -> Finding:
    """How much of the seconds of work is left, by the method that has used up most of them."""
    used = [operating for each in asked if (operating := _operating(each)) is not None]
    if not used:
        return Finding("limits", "unknown", "no answer told the seconds of work")
    words = f"{max(used):.0f} of {LIMIT_SECONDS:.0f} seconds of work in ten minutes are used"
    if max(used) < SLOW_FROM * LIMIT_SECONDS:
        return Finding("limits", "good", words)
    return Finding("limits", "warning", words, "Wait, or see what else works as this application or webhook.")


def _wrong_kind(asked: Asked) -> bool:
    return isinstance(asked, Reply) and own_error(asked) and code_of(asked) == "WRONG_AUTH_TYPE"


def _refused(what: str, asked: Asked) -> Finding:
    """The finding for an answer that is not the expected one: bad where a person must act, else unknown."""
    if isinstance(asked, PortalBlocked):
        return Finding(what, "bad", asked.why, "Mend it in the portal or the settings.")
    if isinstance(asked, Reply):
        code = code_of(asked) if own_error(asked) else ""
        if code in PAUSING:
            return Finding(what, "bad", f"{PAUSING[code]} ({error_text(asked)})", "Mend it, then check again.")
        return Finding(what, "unknown", f"the portal answers HTTP {asked.status}: {error_text(asked)}")
    why = asked.why if isinstance(asked, NoReply | NothingSent | RetryLater) else "not asked in time"
    return Finding(what, "unknown", f"the portal could not be asked: {why}", "Check again later.")


def _result(asked: Asked) -> Any:
    document = asked.document if isinstance(asked, Reply) and asked.status == 200 else None
    return document.get("result") if isinstance(document, dict) else None


def _operating(asked: Asked) -> float | None:
    times = asked.document.get("time") if isinstance(asked, Reply) and isinstance(asked.document, dict) else None
    operating = times.get("operating") if isinstance(times, Mapping) else None
    return float(operating) if isinstance(operating, int | float) else None
