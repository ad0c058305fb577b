"""The route of a portal's calls: pure, and against the fake CRMs through machine and client."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest
from msgspec.structs import replace
from pydantic import SecretStr

from deploy.fake_crms import Bitrix24Config, Bitrix24Portal, KommoConfig, KommoPortal
from streams.crm.bitrix24.client import Bitrix24Client
from streams.crm.kommo.client import KommoClient
from streams.crm.shared.call_fields import route_words
from streams.crm.shared.route import options_of, route_of
from streams.delivery.record import Delivery, State
from streams.rules import load_rules
from streams.settings import PortalSettings, ScheduleSettings
from tests.crm.calls import call_result, delivered, fresh

RULES = load_rules()
NOBODY: dict[str, Any] = {
    "answered": False,
    "answered_by": None,
    "result": 408,
    "talk_seconds": None,
    "rang_last": None,
    "extension": None,
}
"""A missed call that rang nobody."""
SCHEDULES = {
    "office": ScheduleSettings(hours={"mon-fri": ("09:00-18:00",)}),
    "abroad": ScheduleSettings(timezone="America/New_York", hours={"mon-fri": ("09:00-18:00",)}),
}


def us(moment: str) -> int:
    """UTC as microseconds. 2026-11-27 is a Friday."""
    return (datetime.fromisoformat(f"{moment}+00:00") - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)


def portal(*route: dict[str, Any], crm: str = "kommo", **fields: Any) -> PortalSettings:
    usual = {"schedule": "office", "default_user": "1", "users": {"1001": "11", "1002": "12"}}
    given: dict[str, Any] = {"name": "main", "crm": crm, "route": route, **usual, **fields}
    return PortalSettings(**given).with_schedules(SCHEDULES)


def line_of(settings: PortalSettings, **call: Any) -> int:
    """The number of the line that decides; 0: none does."""
    route = route_of(call_result(**call), settings)
    return route.number if route else 0


def test_the_first_line_that_fits_decides() -> None:
    lines = (
        {"did": "74951234567", "queue": "sales", "user": "40"},
        {"queue": "sales*", "user": "41"},
        {"trunk": ["mts", "beeline*"], "user": "42"},
        {"did": "7495*", "user": "43"},
    )
    settings = portal(*lines)
    calls = (
        {"did": "+74951234567", "queue": "sales"},
        {"did": "+74951234567", "queue": "sales-night", "trunk": "mts"},
        {"did": "+74951234567", "trunk": "beeline-2"},
        {"did": "74957654321"},
        {"did": "78121234567"},
        {"direction": "outgoing", "trunk": "mts"},
    )
    assert [line_of(settings, **call) for call in calls] == [1, 2, 3, 4, 0, 3]


@pytest.mark.parametrize(
    ("began", "line", "in_new_york"),
    [
        ("2026-11-27 05:59", 2, 2),  # 08:59 in Moscow
        ("2026-11-27 06:00", 1, 2),
        ("2026-11-27 14:00", 1, 1),
        ("2026-11-27 15:00", 2, 1),
        ("2026-11-28 10:00", 2, 2),
    ],
)
@pytest.mark.parametrize("zone", ["Europe/Moscow", None])
def test_hours_are_those_of_the_calls_beginning(began: str, line: int, in_new_york: int, zone: str | None) -> None:
    """The PBX's zone, or where none is set the offset of its rows; a schedule's own zone goes before both."""
    call = {"started_at": us(began), "ended_at": us("2026-11-28 23:00"), "utc_offset_seconds": 10800, "timezone": zone}
    there = {"schedule": "abroad"}
    assert line_of(portal({"hours": "open", "user": "40"}, {"user": "41"}), **call) == line
    assert line_of(portal({"hours": "closed", "user": "40"}, {"user": "41"}), **call) == 3 - line
    assert line_of(portal({"hours": "open", "user": "40", **there}, {"user": "41"}), **call) == in_new_york


def test_a_zone_that_this_machine_does_not_know_is_no_harm() -> None:
    call = {"started_at": us("2026-11-27 06:00"), "timezone": "Mars/Olympus", "utc_offset_seconds": 10800}
    assert line_of(portal({"hours": "open", "user": "40"}), **call) == 1


def test_a_line_gives_options_another_value() -> None:
    settings = portal({"queue": "sales", "pipeline_id": 5}, options={"pipeline_id": 3, "source": "PBX"})
    assert options_of(call_result(queue="sales"), settings) == {"pipeline_id": 5, "source": "PBX"}
    assert options_of(call_result(), settings) == {"pipeline_id": 3, "source": "PBX"}


@pytest.mark.parametrize(
    ("call", "settings", "told"),
    [
        (NOBODY, {}, "route line 1 (queue sales) gives user 40, pipeline_id 5"),
        (
            {},
            {},
            "route line 1 (queue sales) gives user 40, pipeline_id 5, but user 11 is nearer to the call",
        ),
        (
            NOBODY,
            {"missed_call_user": "responsible"},
            "route line 1 (queue sales) gives user 40, pipeline_id 5, unless the client has a responsible",
        ),
    ],
)
def test_the_line_in_words(call: dict[str, Any], settings: dict[str, Any], told: str) -> None:
    result, main = call_result(**{"queue": "sales", **call}), portal(LINE, **settings)
    route = route_of(result, main)
    assert route is not None and route_words(result, main, route) == told


LINE: dict[str, Any] = {"queue": "sales", "user": "40", "pipeline_id": 5}


# Against the fakes.


@pytest.fixture
async def bitrix24() -> AsyncIterator[Bitrix24Portal]:
    async with Bitrix24Portal(Bitrix24Config(bucket_size=0)) as fake:
        yield fake


@pytest.fixture
async def kommo() -> AsyncIterator[KommoPortal]:
    async with KommoPortal(KommoConfig(requests_per_second=0)) as fake:
        yield fake


async def to_bitrix24(fake: Bitrix24Portal, *route: dict[str, Any], call: dict[str, Any], **fields: Any) -> Delivery:
    main = portal(*route, crm="bitrix24", url=fake.url, token=SecretStr("fake-access-token"), **fields)
    client = Bitrix24Client(main, RULES.tables["bitrix24"].status)
    try:
        return await delivered(client, call_result(**call))
    finally:
        await client.close()


async def to_kommo(fake: KommoPortal, *route: dict[str, Any], call: dict[str, Any], **fields: Any) -> Delivery:
    main = portal(*route, url=fake.url, token=SecretStr("fake-long-lived-token"), **fields)
    client = KommoClient(main, RULES.tables["kommo"].status)
    try:
        return await delivered(client, call_result(**call))
    finally:
        await client.close()


async def test_bitrix24_a_missed_call_that_rang_nobody(bitrix24: Bitrix24Portal) -> None:
    night = {"started_at": us("2026-11-27 20:00"), "ended_at": us("2026-11-27 20:01")}
    day = {"started_at": us("2026-11-27 10:00"), "ended_at": us("2026-11-27 10:01")}
    route = ({"did": "7495*", "hours": "closed", "user": 18}, {"queue": "sales", "user": "14"})
    calls: tuple[dict[str, Any], ...] = (night, {**day, "queue": "sales"}, day)
    for number, call in enumerate(calls, 1):
        await to_bitrix24(bitrix24, *route, call={"number": number, "did": "74951234567", **NOBODY, **call})
    assert [entry.user_id for entry in bitrix24.entries()] == [18, 14, 1]


async def test_bitrix24_a_user_whom_the_portal_does_not_know_is_passed_over(bitrix24: Bitrix24Portal) -> None:
    delivery = await to_bitrix24(bitrix24, {"queue": "sales", "user": "404"}, call={"queue": "sales", **NOBODY})
    assert [entry.user_id for entry in bitrix24.entries()] == [1]
    assert (delivery.state, delivery.unmatched) == (State.DELIVERED, ("user:404",))


async def test_bitrix24_the_source_of_a_lead_by_the_number_called(bitrix24: Bitrix24Portal) -> None:
    create: dict[str, Any] = {"unknown_number": "create_lead", "options": {"crm_source": "CALL"}}
    line = {"did": "74951234567", "crm_source": "ADVERTISING"}
    for number, did in ((1, "74951234567"), (2, "74957654321")):
        call = {"number": number, "did": did, "client": f"+7916000000{number}"}
        delivery = await to_bitrix24(bitrix24, line, call=call, **create)
        sent = [orjson.loads(attempt.sent) for attempt in delivery.history if attempt.step == "register"]
        assert [fields["CRM_SOURCE"] for fields in sent] == ["ADVERTISING" if number == 1 else "CALL"]


async def test_kommo_who_is_responsible_and_where_the_lead_is_made(kommo: KommoPortal) -> None:
    line = {"queue": "sales", "user": "14", "pipeline_id": 5000001, "source": "Sales line"}
    delivery = await to_kommo(kommo, line, call={"queue": "sales", **NOBODY}, unknown_number="create_lead")
    assert delivery.state is State.DELIVERED, delivery.reason
    sent = {attempt.step: orjson.loads(attempt.sent) for attempt in delivery.history if attempt.sent}
    assert sent["lead"]["pipeline_id"] == 5000001 and sent["lead"]["responsible_user_id"] == 14
    assert sent["call"]["source"] == "Sales line" and sent["call"]["created_by"] == 14


async def test_kommo_a_user_who_left_is_passed_over(kommo: KommoPortal) -> None:
    delivery = await to_kommo(kommo, {"queue": "sales", "user": "19"}, call={"queue": "sales", **NOBODY})
    assert delivery.state is State.DELIVERED and "user:19" in delivery.unmatched
    assert orjson.loads(delivery.sent or "")["responsible_user_id"] == 1


def test_every_attempt_gives_the_same_answer() -> None:
    """Whatever was tried before, and whenever: the call's hours count, not the attempt's."""
    main = portal({"hours": "closed", "user": "14"}, url="https://x.kommo.com", token=SecretStr("x"))
    result = call_result(started_at=us("2026-11-27 20:00"), **NOBODY)
    assert route_of(result, main) == route_of(replace(result, ended_at=us("2026-11-30 10:00")), main)


async def test_a_request_that_is_made_again_is_the_same(kommo: KommoPortal) -> None:
    main = portal({"queue": "sales", "user": "14"}, url=kommo.url, token=SecretStr("fake-long-lived-token"))
    client, result = KommoClient(main, RULES.tables["kommo"].status), call_result(queue="sales", **NOBODY)
    try:
        first = client.request(fresh(client, result), result).sent
        assert client.request(replace(fresh(client, result), attempt=7, failures=7), result).sent == first
    finally:
        await client.close()
