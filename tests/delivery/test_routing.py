"""Which portal gets which call, and what is refused at start."""

from typing import Any

import pytest

from streams.calls.result_headers import origin_of
from streams.clock import MICROS_PER_SECOND
from streams.delivery.routing import history_reason, portal_of, served_portals, skip_reason_for
from streams.errors import UserError
from streams.settings import PortalSettings, Settings
from tests.crm.calls import STARTED, call_result

NORTH = {"name": "north", "crm": "kommo", "pbxs": ("pbx1",)}
SOUTH = {"name": "south", "crm": "kommo", "pbxs": ("pbx2", "pbx3")}


def settings(*portals: dict[str, Any]) -> Settings:
    return Settings(portals=tuple(PortalSettings(**portal) for portal in portals))


def test_a_call_goes_to_the_portal_of_its_pbx() -> None:
    portals = served_portals(settings(NORTH, SOUTH), "kommo")
    assert [getattr(portal_of(portals, pbx), "name", None) for pbx in ("pbx1", "pbx3", "pbx9")] == [
        "north",
        "south",
        None,
    ]


def test_a_portal_without_pbxs_gets_all() -> None:
    (portal,) = served_portals(settings({"name": "all", "crm": "kommo"}), "kommo")
    assert portal_of([portal], "anything") is portal


@pytest.mark.parametrize(
    ("portals", "crm", "named"),
    [
        ((), "kommo", "no kommo portal"),
        ((NORTH,), "bitrix24", "no bitrix24 portal"),
        ((NORTH, {**SOUTH, "pbxs": ("pbx3", "pbx1")}), "kommo", "portals.north and portals.south"),
        ((NORTH, {**SOUTH, "pbxs": ()}), "kommo", "portals.north and portals.south"),
        (({**NORTH, "crm": "bitrix24"},), "bitrix24", "portals.north.default_user"),
    ],
)
def test_what_is_refused_at_start(portals: tuple[dict[str, Any], ...], crm: str, named: str) -> None:
    with pytest.raises(UserError) as error:
        served_portals(settings(*portals), crm)
    assert named in error.value.problem and error.value.remedy


@pytest.mark.parametrize(
    ("fields", "options", "reason"),
    [
        ({}, {}, None),
        ({"direction": "internal", "client": None}, {}, "deliver_internal"),
        ({"direction": "internal", "client": None}, {"deliver_internal": True}, None),
        ({"direction": "unknown"}, {}, "deliver_unknown"),
        ({"direction": "unknown"}, {"deliver_unknown": True}, None),
        ({"client": None}, {}, "no outside number"),
        ({"abandoned": True}, {}, "a piece of another call"),
    ],
)
def test_which_calls_get_no_entry(fields: Any, options: Any, reason: str | None) -> None:
    portal = PortalSettings(name="main", crm="kommo", **options)
    found = skip_reason_for(call_result(**fields), portal)
    assert found is None if reason is None else reason in str(found)


@pytest.mark.parametrize(
    ("options", "since", "origin", "reason"),
    [
        ({}, STARTED + 70 * MICROS_PER_SECOND, "live", None),
        ({}, STARTED + 71 * MICROS_PER_SECOND, "live", "deliver_from"),
        ({}, 0, "backfill", "deliver_backfill"),
        ({"deliver_backfill": True}, 0, "backfill", None),
        ({"deliver_backfill": True}, STARTED + 71 * MICROS_PER_SECOND, "backfill", "deliver_from"),
    ],
)
def test_history_rings_in_no_crm(options: Any, since: int, origin: str, reason: str | None) -> None:
    portal = PortalSettings(name="main", crm="kommo", **options)
    found = history_reason(call_result(), portal, since, origin)
    assert found is None if reason is None else reason in str(found)


@pytest.mark.parametrize(
    ("headers", "origin"),
    [([], "live"), ([("origin", b"backfill")], "backfill"), ([("x", b"1"), ("origin", None)], "live")],
)
def test_the_origin_stands_in_a_header(headers: list[tuple[str, bytes | None]], origin: str) -> None:
    assert origin_of(headers) == origin


@pytest.mark.parametrize(
    ("fields", "options", "reason"),
    [
        ({"direction": "internal", "client": None}, {}, None),
        ({"direction": "unknown", "client": None}, {}, None),
        ({"client": None}, {}, None),
        ({"direction": "internal"}, {"deliver_internal": False}, "deliver_internal"),
        ({"direction": "unknown"}, {"deliver_unknown": False}, "deliver_unknown"),
        ({"abandoned": True}, {}, "a piece of another call"),
    ],
)
def test_a_webhook_gets_every_call_unless_told_otherwise(fields: Any, options: Any, reason: str | None) -> None:
    portal = PortalSettings(name="main", crm="webhook", **options)
    found = skip_reason_for(call_result(**fields), portal)
    assert found is None if reason is None else reason in str(found)


def test_a_webhook_answers_within_the_time_that_the_standard_asks_for() -> None:
    assert PortalSettings(name="main", crm="webhook").request_timeout_seconds == 15
    assert PortalSettings(name="main", crm="kommo").request_timeout_seconds == 60
