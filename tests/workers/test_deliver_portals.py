"""Which portal gets which call, and what is refused at start."""

from typing import Any

import pytest

from streams.crm.record import SECOND
from streams.errors import UserError
from streams.settings import PortalSettings, Settings
from streams.workers.deliver_portals import portal_of, served_portals, skip_reason_for
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
        ((NORTH, {**SOUTH, "name": "north"}), "kommo", "named north"),
        (({**NORTH, "crm": "bitrix24"},), "bitrix24", "portals.north.default_user"),
    ],
)
def test_what_is_refused_at_start(portals: tuple[dict[str, Any], ...], crm: str, named: str) -> None:
    with pytest.raises(UserError) as error:
        served_portals(settings(*portals), crm)
    assert named in error.value.problem and error.value.remedy


@pytest.mark.parametrize(
    ("fields", "options", "since", "reason"),
    [
        ({}, {}, 0, None),
        ({}, {}, STARTED + 70 * SECOND, None),
        ({}, {}, STARTED + 71 * SECOND, "deliver_from"),
        ({"direction": "internal", "client": None}, {}, 0, "deliver_internal"),
        ({"direction": "internal", "client": None}, {"deliver_internal": True}, 0, None),
        ({"direction": "unknown"}, {}, 0, "deliver_unknown"),
        ({"direction": "unknown"}, {"deliver_unknown": True}, 0, None),
        ({"client": None}, {}, 0, "no outside number"),
        ({"abandoned": True}, {}, 0, "a piece of another call"),
    ],
)
def test_which_calls_get_no_entry(fields: Any, options: Any, since: int, reason: str | None) -> None:
    portal = PortalSettings(name="main", crm="kommo", **options)
    found = skip_reason_for(call_result(**fields), portal, since)
    assert found is None if reason is None else reason in str(found)
