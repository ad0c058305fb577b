"""The route of a portal's calls: what the settings may say, and which line fits."""

from datetime import date
from pathlib import Path
from typing import Any

import pytest

from streams.errors import SettingsError
from streams.settings import PortalSettings, RouteSettings, Settings, load_settings

HOURS = "working_hours: {office: {hours: {mon-fri: '09:00-18:00'}}, night: {hours: {mon-sun: '22:00-06:00'}}}\n"


def read(tmp_path: Path, text: str) -> Settings:
    file = tmp_path / "settings.yaml"
    file.write_text(text, encoding="utf-8")
    return load_settings(file)


def kommo(route: str, more: str = "") -> str:
    return f"portals: [{{name: main, crm: kommo{more}, route: [{route}]}}]\n"


@pytest.mark.parametrize(
    ("line", "call", "fits"),
    [
        ({}, {}, True),
        ({"did": "74951234567"}, {"did": "74951234567"}, True),
        ({"did": "74951234567"}, {"did": "+74951234567"}, True),
        ({"did": "+74951234567"}, {"did": "74951234567"}, True),
        ({"did": "74951234567"}, {"did": "7495123456"}, False),
        ({"did": "74951234567"}, {}, False),
        ({"did": "7495*"}, {"did": "74951234567"}, True),
        ({"did": "7495*"}, {"did": "78121234567"}, False),
        ({"did": ["7812*", "74951234567"]}, {"did": "74951234567"}, True),
        ({"queue": "sales"}, {"queue": "sales"}, True),
        ({"queue": "sales"}, {"queue": "Sales"}, False),
        ({"queue": "sales*"}, {"queue": "sales"}, True),
        ({"queue": "sales*"}, {}, False),
        ({"trunk": "mts", "queue": "sales"}, {"trunk": "mts"}, False),
        ({"trunk": "mts", "queue": "sales"}, {"trunk": "mts", "queue": "sales"}, True),
    ],
)
def test_which_calls_a_line_fits(line: dict[str, Any], call: dict[str, str], fits: bool) -> None:
    assert RouteSettings(**line, user="1").fits(**{"did": None, "queue": None, "trunk": None, **call}) is fits


def test_a_route_as_it_is_written(tmp_path: Path) -> None:
    route = (
        '{did: "74951234567", queue: sales, trunk: [a, b*], hours: closed, schedule: night, user: 17, pipeline_id: 5}'
    )
    (portal,) = read(tmp_path, HOURS + kommo(route)).portals
    (line,) = portal.route
    assert (line.user, dict(line.options)) == ("17", {"pipeline_id": 5})
    assert dict(line.conditions) == {"did": "74951234567", "queue": "sales", "trunk": "a, b*", "hours": "closed"}
    assert portal.schedule_named(line.schedule).week[0] == ((22 * 60, 30 * 60),)


def test_schedules_as_they_are_written(tmp_path: Path) -> None:
    """As docs/settings.md shows them; YAML makes dates of what stands there without quotes."""
    text = """
    working_hours:
      office:
        timezone: Europe/Moscow
        hours: {mon-thu: "09:00-18:00", fri: "09:00-13:00, 14:00-17:00", sat: 22:00-06:00}
        holidays: [2027-01-01..2027-01-08, 2027-02-23]
        other_hours: {2026-12-31: "09:00-13:00", "2027-01-05": closed}
    """
    office = read(tmp_path, text).working_hours["office"]
    assert office.week[4:] == (((540, 780), (840, 1020)), ((1320, 1800),), ())
    assert office.closed == ((date(2027, 1, 1), date(2027, 1, 8)), (date(2027, 2, 23), date(2027, 2, 23)))
    assert office.dates == {date(2026, 12, 31): ((540, 780),), date(2027, 1, 5): ()}


def test_the_only_schedule_need_not_be_named(tmp_path: Path) -> None:
    text = "working_hours: {office: {hours: {mon-fri: '09:00-18:00'}}}\n"
    (portal,) = read(tmp_path, text + kommo("{hours: closed, user: 17}")).portals
    assert portal.schedule_named(None).hours == {"mon-fri": ("09:00-18:00",)}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (kommo("{did: 74951234567, user: 1}"), "portals[main].route[0].did: write 74951234567 in quotes"),
        (kommo("{did: '*', user: 1}"), "'*' fits nothing; allowed: a value, one that ends in *, or a list"),
        (kommo("{queue: 's*es', user: 1}"), "portals[main].route[0].queue: 's*es' fits nothing"),
        (kommo("{queue: '', user: 1}"), "'' fits nothing"),
        (kommo("{queue: [], user: 1}"), "the list is empty"),
        (kommo("{hours: open, user: 1}"), "route: line 1: it does not say which schedule: set schedule; those of wor"),
        (kommo("{hours: shut, user: 1}"), "portals[main].route[0].hours: Input should be 'open' or 'closed'"),
        (kommo("{queue: a, user: 1}, {did: '1', que: b, user: 1}"), "line 2: unknown: que; known: did, queue, trunk"),
        (kommo("{queue: sales}"), "portal main: route: line 1 gives nothing: set user or pipeline_id or source"),
        (kommo("{queue: sales, user: ''}"), "line 1 gives nothing"),
        (kommo("{user: 1}, {queue: sales, user: 2}"), "line 2 is never reached, for line 1 fits every call"),
        (kommo("{schedule: office, user: 1}"), "schedule is without effect where hours is not set"),
        (kommo("{queue: a, pipeline_id: main}"), "portal main: route: line 1: pipeline_id is not a pipeline's number"),
        (kommo("{queue: a, crm_source: CALL}"), "line 1: unknown: crm_source; known:"),
        (
            HOURS + kommo("{hours: open, user: 1}"),
            "which schedule: set schedule; those of working_hours: office, night",
        ),
        (
            HOURS + kommo("{hours: open, schedule: ofice, user: 1}"),
            "portal main: route: line 1: there is no schedule 'ofice'; those of working_hours: office, night",
        ),
        (HOURS + kommo("{user: 1}", ", schedule: day"), "portal main: schedule: there is no schedule 'day'"),
        (
            "working_hours: {office: {hours: {mon: nine}}}\n",
            "working_hours.office: hours.mon: 'nine' is no",
        ),
        (
            "portals: [{name: a, crm: kommo, missed_call_user: route, route: [{queue: a, pipeline_id: 5}]}]\n",
            "portal a: missed_call_user: route needs a line of route that gives a user",
        ),
        ("portals: [{name: a, crm: webhook, route: [{user: 1}]}]\n", "at webhook calls belong to nobody: take it out"),
        ("portals: [{name: a, crm: bitrix24, route: [{user: 1, pipeline_id: 5}]}]\n", "unknown: pipeline_id; known:"),
    ],
)
def test_a_route_that_cannot_be_followed_is_refused_at_start(tmp_path: Path, text: str, told: str) -> None:
    with pytest.raises(SettingsError) as refused:
        read(tmp_path, text)
    assert told in str(refused.value)


def test_a_plain_portal_has_no_route() -> None:
    assert PortalSettings(name="main", crm="bitrix24").route == ()
