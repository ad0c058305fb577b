"""Which person of the CRM a call belongs to, and the numbers and names that CRMs want in the same way."""

import re
from dataclasses import dataclass, replace
from hashlib import sha256

from streams.calls.result import CallResult
from streams.crm.shared.route import Route, route_of
from streams.delivery.record import Delivery, State
from streams.settings import PortalSettings

RESPONSIBLE = "responsible"
"""Among a delivery's ids: the CRM user who is responsible for the client."""
NO_LEAD = "LEAD_CREATION_ERROR"
"""Among a delivery's ids: why the CRM made no lead of a call that it took."""


def external_id(call_id: str, longest: int) -> str:
    """The id by which the CRM knows our call: the call id, or a hash of it where that is too long.

    `longest`: characters that the CRM keeps (CrmKind.longest_external_id).
    """
    if len(call_id) <= longest:
        return call_id
    return f"cel2crm-{sha256(call_id.encode()).hexdigest()[:48]}"


@dataclass(frozen=True, slots=True)
class Person:
    """The person whom a call belongs to: a CRM user, by id or by inner phone number, or nobody in particular."""

    user: str | None = None
    inner: str | None = None
    no_user: str = ""
    """The extension that nobody was found for, so that another user stands for it."""


def asks_responsible(result: CallResult, portal: PortalSettings) -> bool:
    """Whether the CRM is to be asked who is responsible for the client."""
    return portal.missed_call_user == "responsible" and _missed(result)


def person_of(result: CallResult, portal: PortalSettings, delivery: Delivery) -> Person:
    """Who is nearest to the call, else the user of the route's line, else the default user (docs/crms.md).

    Who turned out to be unknown to the CRM (`unmatched`) is passed over. What was asked of the CRM stands in the
    delivery's ids, so that the same person comes out again after a crash.
    """
    missed, way = _missed(result), portal.missed_call_user
    routed = _routed(result, portal, delivery)
    if missed and way == "default":
        return routed or Person(portal.default_user)
    if missed and way == "route" and routed is not None:
        return routed
    if missed and way == "responsible":
        user = delivery.crm_ids.get(RESPONSIBLE)
        if user and user_ref(user) not in delivery.unmatched:
            return Person(user)
    candidates = [result.rang_last, result.extension] if missed else [result.extension, result.answered_by]
    extensions = [extension for extension in candidates if extension]
    for extension in extensions:
        user = portal.users.get(extension)
        if user and user_ref(user) not in delivery.unmatched:
            return Person(user)
        if portal.users_by == "inner_phone" and not user and extension not in delivery.unmatched:
            return Person(inner=extension)
    return replace(routed or Person(portal.default_user), no_user=extensions[0] if extensions else "")


def _routed(result: CallResult, portal: PortalSettings, delivery: Delivery) -> Person | None:
    """The user of the route's line, if the CRM has not said that there is none."""
    route = route_of(result, portal)
    user = route.line.user if route is not None else None
    return Person(user) if user and user_ref(user) not in delivery.unmatched else None


def route_words(result: CallResult, portal: PortalSettings, route: Route) -> str:
    """A call's line of the route for people, with whose the call is by the settings alone where the line has a user."""
    gives = ", ".join(f"{name} {value}" for name, value in route.gives.items())
    words = f"{route.words} gives {gives}"
    if not route.line.user:
        return words
    blank = Delivery(call_id=result.call_id, crm=portal.crm, portal=portal.name, state=State.NEW)
    person = person_of(result, portal, blank)
    if person.user != route.line.user:
        nearer = f"user {person.user}" if person.user else f"the user with the inner number {person.inner}"
        words = f"{words}, but {nearer} is nearer to the call"
    return f"{words}, unless the client has a responsible" if asks_responsible(result, portal) else words


def user_ref(user: str) -> str:
    """The entry in `Delivery.unmatched` of a person whom the CRM does not know by this id."""
    return f"user:{user}"


def _missed(result: CallResult) -> bool:
    return not result.answered and result.direction != "outgoing"


def phone(result: CallResult) -> str:
    """The other party's number; of an internal call, the called one's."""
    return result.client or result.called or ""


def last_digits(number: str) -> str:
    """The part of a phone number that CRMs compare: its last 10 digits."""
    return re.sub(r"\D", "", number)[-10:]


def talk_seconds(result: CallResult) -> int:
    """Whole seconds; 0 of an unanswered call, at least 1 of an answered one: CRMs tell success by it."""
    return max(1, round(result.talk_seconds or 0)) if result.answered else 0


def outgoing(result: CallResult) -> bool:
    """From the inside to the outside; a call of unknown direction by who began it."""
    if result.direction in ("incoming", "outgoing"):
        return result.direction == "outgoing"
    return result.caller is not None and result.caller == result.extension
