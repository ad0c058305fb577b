"""Whom a call belongs to, as the settings and the CRM have it."""

from typing import Any

import pytest

from streams.crm.shared.call_fields import Person, asks_responsible, person_of
from streams.delivery.record import Delivery, State
from streams.settings import PortalSettings
from tests.crm.calls import call_result

MISSED = {"answered": False, "answered_by": None, "rang_last": "1002", "extension": "1001"}
FOUND = {"crm_ids": {"responsible": "77"}}
ROUTE = {"route": [{"queue": "sales", "user": "40"}]}
SALES: dict[str, Any] = {"queue": "sales"}


def portal(**fields: Any) -> PortalSettings:
    usual = {"users": {"1001": "11", "1002": "12"}, "default_user": "1", **fields}
    return PortalSettings(name="main", crm="bitrix24", **usual)


@pytest.mark.parametrize(
    ("call", "settings", "known", "person"),
    [
        ({}, {}, {}, Person("11")),
        ({"extension": "1009"}, {}, {}, Person("11")),  # the queue's number has nobody, who talked has
        ({"extension": "1009", "answered_by": None}, {}, {}, Person("1", no_user="1009")),
        ({"extension": None, "answered_by": None}, {}, {}, Person("1")),
        (MISSED, {}, {}, Person("12")),
        (MISSED, {"missed_call_user": "default"}, {}, Person("1")),
        (MISSED, {"missed_call_user": "responsible"}, FOUND, Person("77")),
        (MISSED, {"missed_call_user": "responsible"}, {}, Person("12")),
        (MISSED, {"missed_call_user": "responsible", "users": {}}, {}, Person("1", no_user="1002")),
        (MISSED, {"missed_call_user": "responsible"}, {**FOUND, "unmatched": ("user:77",)}, Person("12")),
        ({}, {"missed_call_user": "responsible"}, FOUND, Person("11")),
        ({**MISSED, "direction": "outgoing"}, {"missed_call_user": "responsible"}, FOUND, Person("11")),
        ({}, {}, {"unmatched": ("user:11",)}, Person("1", no_user="1001")),
        ({"extension": "1005"}, {"users_by": "inner_phone"}, {}, Person(inner="1005")),
        ({"extension": "1001"}, {"users_by": "inner_phone"}, {}, Person("11")),
        (
            {"extension": "1005", "answered_by": None},
            {"users_by": "inner_phone"},
            {"unmatched": ("1005",)},
            Person("1", no_user="1005"),
        ),
        # The route's user stands before the default one, and behind whoever is nearer to the call.
        (SALES, ROUTE, {}, Person("11")),
        ({**SALES, "extension": "1009", "answered_by": None}, ROUTE, {}, Person("40", no_user="1009")),
        ({**SALES, "extension": None, "answered_by": None}, ROUTE, {}, Person("40")),
        ({"queue": "support", "extension": None, "answered_by": None}, ROUTE, {}, Person("1")),
        ({**SALES, "extension": None, "answered_by": None}, ROUTE, {"unmatched": ("user:40",)}, Person("1")),
        ({**SALES, "extension": "1005"}, {**ROUTE, "users_by": "inner_phone"}, {}, Person(inner="1005")),
        (
            {**SALES, "extension": "1005", "answered_by": None},
            {**ROUTE, "users_by": "inner_phone"},
            {"unmatched": ("1005",)},
            Person("40", no_user="1005"),
        ),
        ({**MISSED, **SALES}, ROUTE, {}, Person("12")),
        ({**MISSED, **SALES, "rang_last": None, "extension": None}, ROUTE, {}, Person("40")),
        ({**MISSED, **SALES}, {**ROUTE, "missed_call_user": "route"}, {}, Person("40")),
        ({**MISSED, **SALES}, {**ROUTE, "missed_call_user": "route"}, {"unmatched": ("user:40",)}, Person("12")),
        (MISSED, {**ROUTE, "missed_call_user": "route"}, {}, Person("12")),
        (MISSED, {**ROUTE, "missed_call_user": "route", "users": {}}, {}, Person("1", no_user="1002")),
        ({**MISSED, **SALES, "direction": "outgoing"}, {**ROUTE, "missed_call_user": "route"}, {}, Person("11")),
        ({**MISSED, **SALES}, {**ROUTE, "missed_call_user": "default"}, {}, Person("40")),
        (MISSED, {**ROUTE, "missed_call_user": "default"}, {}, Person("1")),
        ({**MISSED, **SALES}, {**ROUTE, "missed_call_user": "responsible"}, FOUND, Person("77")),
        ({**MISSED, **SALES}, {**ROUTE, "missed_call_user": "responsible"}, {}, Person("12")),
        (
            {**MISSED, **SALES},
            {**ROUTE, "missed_call_user": "responsible", "users": {}},
            {},
            Person("40", no_user="1002"),
        ),
    ],
)
def test_whom_a_call_belongs_to(
    call: dict[str, Any], settings: dict[str, Any], known: dict[str, Any], person: Person
) -> None:
    delivery = Delivery(call_id="pbx1/1.1", crm="bitrix24", portal="main", state=State.NEW, **known)
    assert person_of(call_result(**call), portal(**settings), delivery) == person


@pytest.mark.parametrize(("call", "asked"), [(MISSED, True), ({}, False), ({**MISSED, "direction": "outgoing"}, False)])
def test_the_crm_is_asked_for_missed_calls_only(call: dict[str, Any], asked: bool) -> None:
    assert asks_responsible(call_result(**call), portal(missed_call_user="responsible")) is asked
    assert not asks_responsible(call_result(**call), portal(missed_call_user="last_rung"))


@pytest.mark.parametrize(
    ("fields", "allowed"),
    [
        ({"crm": "kommo", "unknown_number": "nothing"}, "create_contact, create_lead, unsorted, retry, skip"),
        ({"crm": "bitrix24", "unknown_number": "unsorted"}, "nothing, create_lead, skip"),
        ({"crm": "webhook", "unknown_number": "skip"}, "nothing to set"),
        ({"crm": "kommo", "users_by": "inner_phone"}, "allowed: id"),
    ],
)
def test_what_a_crm_cannot_do_is_refused_at_start(fields: dict[str, Any], allowed: str) -> None:
    with pytest.raises(ValueError, match=allowed):
        PortalSettings(name="main", **fields)
