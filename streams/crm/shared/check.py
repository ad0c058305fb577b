"""The check of a portal before calls go there: what a person must mend, found without leaving a trace in the CRM.

A CRM offers its check as `CrmKind.check`; `cel2crm portal check` and the workers' start run it.
"""

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import cast

from streams.clock import BootSeconds
from streams.crm.registry import kind_of, load_of
from streams.crm.shared.client import Pace
from streams.crm.shared.tokens import TokenSource
from streams.delivery.answers import PortalBlocked, RetryLater
from streams.errors import UserError
from streams.http.request import NoReply, NothingSent, TooLate
from streams.settings import PortalSettings


class Level(StrEnum):
    """How much a finding matters."""

    GOOD = "good"
    NOTE = "note"
    """It works, or could not be looked at; somebody may want to know."""
    FAULT = "fault"
    """Calls will be refused, lost to statistics or given to nobody until a person acts."""
    AWAY = "away"
    """The portal could not be asked: nothing is known."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that a check looked at. Never a secret."""

    level: Level
    about: str
    """A word or two: token, scopes, rights, users, limits .."""
    words: str
    """One sentence: what was found."""
    remedy: str = ""
    """What to click or to set, where a person must act."""


@dataclass(frozen=True, slots=True)
class CheckRequest:
    """A portal to be checked."""

    portal: PortalSettings
    tokens: TokenSource | None
    """Where it uses OAuth."""
    pace: Pace
    """Awaited before each request: the portal's rate."""
    until: BootSeconds
    """Nothing goes out after this time."""


Check = Callable[[CheckRequest], Awaitable[list[Finding]]]
"""A CRM's check. It asks only what has no effect, and raises SettingsError for settings that cannot be used."""


def check_of(crm: str) -> Check | None:
    """A CRM's check; None: it offers none. Raises UserError: its package cannot be used."""
    reference = kind_of(crm).check
    if not reference:
        return None
    found = load_of(crm, reference, "be checked")
    if not callable(found):
        raise UserError(f"CRM {crm} cannot be checked: {reference} is not a function")
    return cast(Check, found)


async def check_portal(request: CheckRequest) -> list[Finding]:
    """Everything that was found, the most urgent first. A check that breaks is a finding: nothing is raised."""
    portal = request.portal
    try:
        check = check_of(portal.crm)
        if check is None:
            return [Finding(Level.NOTE, "check", f"the package of {portal.kind.title} offers no check")]
        found = await check(request)
    except UserError as error:
        return [Finding(Level.FAULT, "settings", error.problem, error.remedy or "")]
    except Exception as error:  # a foreign package's, or ours: a start must not fail of it
        return [Finding(Level.AWAY, "check", f"the check broke: {error!r}", "Please report it.")]
    return by_urgency(found)


_URGENCY = (Level.FAULT, Level.AWAY, Level.NOTE, Level.GOOD)


def by_urgency(found: Iterable[Finding]) -> list[Finding]:
    """The findings, the most urgent first."""
    return sorted(found, key=lambda one: _URGENCY.index(one.level))


def unreachable(ending: NothingSent | NoReply | TooLate | RetryLater) -> Finding:
    """The finding where no answer came, or one that says: not now."""
    why = "not asked in time" if isinstance(ending, TooLate) else ending.why
    return Finding(Level.AWAY, "portal", f"the portal could not be asked: {why}", "Try again when it answers.")


def blocked(about: str, answer: PortalBlocked) -> Finding:
    """The finding where the portal takes no requests until a person acts; its words say what to do."""
    return Finding(Level.FAULT, about, answer.why)


def not_ids(portal: PortalSettings) -> Iterable[Finding]:
    """A finding for each user of the settings that is no id at all."""
    for where, user in users_of(portal):
        if not user.isdigit():
            words = f"{where} is {user!r}, which is no id of a user"
            yield Finding(Level.FAULT, "users", words, "Set the number that stands in the address of the user's page.")


CONSEQUENCES = {
    "default_user": "the portal would be paused",
    "missed_call_task.user": "the tasks go to whom the calls are given to",
}
"""What an unknown user of a setting leads to, where it is not the usual."""


def users_found(portal: PortalSettings, why_not: Callable[[str], str], where_it_stands: str) -> Iterable[Finding]:
    """The findings about the users that a portal's settings name by id.

    `why_not`: why calls cannot be given to an id, in words; empty: they can. `where_it_stands`: where somebody finds an
    id in the CRM.
    """
    named = [(where, user, why_not(user)) for where, user in users_of(portal) if user.isdigit()]
    missing = [(where, why) for where, _, why in named if why]
    for where, why in missing:
        meant = CONSEQUENCES.get(where, "the calls go to default_user")
        remedy = f"Set another id under portals[].{where.split(':')[0]}: {where_it_stands}."
        yield Finding(Level.FAULT, "users", f"{where}: {why}; {meant}", remedy)
    if named and not missing:
        yield Finding(Level.GOOD, "users", f"all {len(named)} users that the settings name are active")


def users_of(portal: PortalSettings) -> list[tuple[str, str]]:
    """Every user that a portal's settings name: where, and the id."""
    named = [(f"users: {extension}", user) for extension, user in portal.users.items()]
    named += [(f"route: line {number}", line.user) for number, line in enumerate(portal.route, 1) if line.user]
    if portal.missed_call_task is not None and portal.missed_call_task.user:
        named.append(("missed_call_task.user", portal.missed_call_task.user))
    return [*named, *([("default_user", portal.default_user)] if portal.default_user else [])]
