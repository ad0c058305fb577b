"""Bitrix24: questions to a portal that leave no trace, and what their answers say about its settings and rights.

An empty register has no effect: the person is looked for first (seen in the product's source), and the answer tells
whether this kind of authorisation may register calls at all. `profile` needs no scope.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from streams.crm.bitrix24.errors import PAUSING, USER_NOT_SET, code_of, error_text, own_error
from streams.crm.bitrix24.limits import LIMIT_SECONDS, SLOW_FROM
from streams.crm.bitrix24.lookup import METHOD as STATISTICS
from streams.crm.bitrix24.lookup import NO_RIGHT
from streams.crm.bitrix24.steps import METHODS
from streams.crm.shared.findings import Finding
from streams.delivery.answers import PortalBlocked, RetryLater
from streams.http.request import Ending, NoReply, NothingSent, Reply
from streams.settings import PortalSettings

Ask = Callable[[str, dict[str, object]], Awaitable[Ending | PortalBlocked | RetryLater]]
"""One request: a method and its fields."""
Asked = Ending | PortalBlocked | RetryLater

USERS_A_PAGE = 50
NEWEST: dict[str, object] = {"SORT": "ID", "ORDER": "DESC"}


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
    if wanted := sorted({*portal.users.values(), *([portal.default_user] if portal.default_user else [])}):
        findings.append(users(await ask("user.get", {"ID": wanted[:USERS_A_PAGE]}), wanted[:USERS_A_PAGE]))
    findings.append(work_left((registering, newest)))
    return findings


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


def users(asked: Asked, wanted: list[str]) -> Finding:
    """Whether the people of the settings are there and active."""
    people = _result(asked)
    if not isinstance(people, list):
        if isinstance(asked, Reply) and own_error(asked) and code_of(asked) == "INSUFFICIENT_SCOPE":
            remedy = "Add the scope user to the application to have them checked; calls do not need it."
            return Finding("users", "unknown", "people cannot be looked up without the scope user", remedy)
        return _refused("users", asked)
    active = {str(one.get("ID")) for one in people if isinstance(one, dict) and one.get("ACTIVE") in (True, "Y", "1")}
    if missing := [user for user in wanted if user not in active]:
        words = f"not there or not active: {', '.join(missing)}"
        return Finding("users", "bad", words, "Correct portals[].users and default_user: their calls go elsewhere.")
    return Finding("users", "good", f"all {len(wanted)} people of the settings are there and active")


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
