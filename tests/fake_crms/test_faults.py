"""Faults on order: what the sender sees, and whether the portal did what was asked."""

from __future__ import annotations

import asyncio
import gc
import json
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import (
    ClientConnectionError,
    ClientPayloadError,
    ClientResponseError,
    ClientTimeout,
    ServerDisconnectedError,
)

from deploy.fake_crms import BadFaultError, Fault, KommoConfig, KommoPortal
from deploy.fake_crms.faults import FaultPlan
from deploy.fake_crms.server import PortalServer
from tests.fake_crms.conftest import Bitrix24, Clock, Kommo

GONE = (ServerDisconnectedError, ClientConnectionError, ConnectionResetError)


def applied(plan: FaultPlan, requests: int, operation: str = "calls") -> list[bool]:
    """Which of so many requests a fault struck."""
    return [plan.pick(operation) is not None for _ in range(requests)]


def test_a_seed_gives_the_same_run_again() -> None:
    runs = []
    for seed in (1, 1, 2):
        plan = FaultPlan()
        plan.order({"mode": "500", "probability": 0.3, "seed": seed})
        runs.append(applied(plan, 200))
    assert runs[0] == runs[1] != runs[2]
    assert 35 < sum(runs[0]) < 85


def test_times_and_skip() -> None:
    plan = FaultPlan()
    plan.order({"mode": "500", "times": 2, "skip": 1})
    assert applied(plan, 5) == [False, True, True, False, False]


def test_methods_name_the_whole_operation_or_its_last_word() -> None:
    plan = FaultPlan()
    plan.order({"mode": "500", "methods": ["Register"]})
    assert applied(plan, 1, "telephony.externalcall.register") == [True]
    assert applied(plan, 1, "register") == [True]
    assert applied(plan, 1, "telephony.externalcall.finish") == [False]


def test_methods_may_name_the_verb() -> None:
    plan = FaultPlan()
    plan.order({"mode": "500", "methods": ["POST contacts"]})
    assert [plan.pick("contacts", verb) is not None for verb in ("GET", "POST")] == [False, True]


def test_the_first_fault_that_applies_decides_and_faults_end() -> None:
    plan = FaultPlan()
    first, second = plan.order({"mode": "500", "times": 1}), plan.order({"mode": "503"})
    picked = [plan.pick("calls"), plan.pick("calls")]
    assert [fault and fault.id for fault in picked] == [first.id, second.id]
    plan.clear(second.id)
    assert [fault["mode"] for fault in plan.as_json()] == ["500"]
    plan.clear()
    assert plan.as_json() == []


@pytest.mark.parametrize(
    ("wanted", "words"),
    [
        ({"mode": "tired"}, "unknown fault mode 'tired'"),
        ({}, "'mode' is missing"),
        ({"mode": "500", "chance": 1}, "unknown field 'chance'"),
        ({"mode": "500", "probability": "often"}, "'probability' cannot be 'often'"),
        ({"mode": "500", "probability": 2}, "not between 0 and 1"),
    ],
)
def test_a_fault_that_cannot_be_is_refused(wanted: dict[str, Any], words: str) -> None:
    with pytest.raises(BadFaultError, match=words):
        FaultPlan().order(wanted)


@pytest.mark.parametrize(("mode", "entries"), [("reset", 0), ("lost_answer", 1), ("hang", 0)])
async def test_the_connection_ends_without_an_answer(kommo: Kommo, mode: str, entries: int) -> None:
    kommo.portal.faults.order({"mode": mode, "seconds": 0.05, "methods": ["calls"]})
    with pytest.raises(GONE):
        await kommo.add_call()
    assert len(kommo.portal.entries()) == entries


async def test_a_reset_is_a_reset_and_no_orderly_end(kommo: Kommo) -> None:
    kommo.portal.faults.order({"mode": "reset"})
    reader, writer = await asyncio.open_connection("127.0.0.1", kommo.portal.port)
    writer.write(b"GET /api/v4/account HTTP/1.1\r\nHost: portal\r\n\r\n")
    with pytest.raises(ConnectionResetError):
        await reader.read()
    writer.close()


async def test_effect_can_be_turned_round(kommo: Kommo) -> None:
    kommo.portal.faults.order({"mode": "reset", "effect": True, "times": 1})
    with pytest.raises(GONE):
        await kommo.add_call(uniq="done")
    kommo.portal.faults.order({"mode": "500", "effect": True, "times": 1})
    assert (await kommo.add_call(uniq="done too"))[0] == 500
    assert [entry.external_id for entry in kommo.portal.entries()] == ["done", "done too"]


async def test_half_an_answer(bitrix24: Bitrix24) -> None:
    bitrix24.portal.faults.order({"mode": "half_answer", "times": 1})
    with pytest.raises(ClientPayloadError):
        await bitrix24.register()
    assert len(bitrix24.portal.orphans()) == 1


async def test_a_hanging_portal_is_left_by_the_senders_own_limit(bitrix24: Bitrix24) -> None:
    bitrix24.portal.faults.order({"mode": "hang", "times": 1})
    with pytest.raises(TimeoutError):
        await bitrix24.session.post(bitrix24.portal.webhook_url + "scope", timeout=ClientTimeout(total=0.1), json={})
    assert bitrix24.portal.log[0]["fault"] == "hang"


@pytest.mark.parametrize(
    ("mode", "status", "done"), [("html", 502, False), ("garbage200", 200, True), ("empty200", 200, True)]
)
async def test_answers_that_are_no_json(bitrix24: Bitrix24, mode: str, status: int, done: bool) -> None:
    bitrix24.portal.faults.order({"mode": mode, "times": 1})
    request = {"PHONE_NUMBER": "123", "TYPE": 2, "USER_ID": 11, "auth": bitrix24.token}
    url = bitrix24.portal.url + "/rest/telephony.externalcall.register"
    async with bitrix24.session.post(url, json=request) as response:
        text = await response.text()
    assert response.status == status
    with pytest.raises(json.JSONDecodeError):
        json.loads(text)
    assert len(bitrix24.portal.orphans()) == int(done)


@pytest.mark.parametrize("mode", ["half_head", "bad_chunks"])
async def test_answers_that_are_no_http(kommo: Kommo, mode: str) -> None:
    kommo.portal.faults.order({"mode": mode, "times": 1})
    with pytest.raises((*GONE, ClientPayloadError, ClientResponseError)):
        await kommo.add_call()
    assert len(kommo.portal.entries()) == 1


@pytest.mark.parametrize(("mode", "status", "done"), [("gateway_json", 504, 0), ("other_status", 203, 1)])
async def test_what_a_gateway_makes_of_an_answer(kommo: Kommo, mode: str, status: int, done: int) -> None:
    kommo.portal.faults.order({"mode": mode, "times": 1})
    assert (await kommo.add_call())[0] == status
    assert len(kommo.portal.entries()) == done


async def test_late_takes_effect_though_the_sender_has_gone(kommo: Kommo) -> None:
    kommo.portal.faults.order({"mode": "late", "seconds": 0.15, "times": 1})
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await kommo.add_call()
    assert not kommo.portal.entries()
    async with asyncio.timeout(5):
        while not kommo.portal.entries():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def test_a_proxy_may_repeat_a_request_later(kommo: Kommo) -> None:
    kommo.portal.faults.order({"mode": "duplicate_later", "seconds": 0.01, "times": 1})
    assert (await kommo.add_call())[0] == 200
    async with asyncio.timeout(5):
        while len(kommo.portal.entries()) < 2:  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def test_a_restarted_portal_remembers_what_its_folder_holds(
    session: aiohttp.ClientSession, clock: Clock, tmp_path: Path
) -> None:
    async with KommoPortal(KommoConfig(state_dir=tmp_path, clock=clock, known_clients=True)) as portal:
        kommo = Kommo(portal, session, clock)
        portal.faults.order({"mode": "restart", "seconds": 0.02, "times": 1, "skip": 1})
        await kommo.add_call(uniq="before")
        with pytest.raises(GONE):
            await kommo.add_call(uniq="done")
        assert portal.return_task is not None
        await portal.return_task
        await kommo.add_call(uniq="after")
        assert [entry.external_id for entry in portal.entries()] == ["before", "done", "after"]


async def test_slow_is_late_but_right(kommo: Kommo) -> None:
    kommo.portal.faults.order({"mode": "slow", "seconds": 0.05, "times": 1})
    assert (await kommo.add_call())[0] == 200
    assert len(kommo.portal.entries()) == 1
    took = kommo.portal.log[0]["ms"]
    assert isinstance(took, float) and took >= 50


async def test_a_request_that_a_proxy_sends_twice(bitrix24: Bitrix24, kommo: Kommo) -> None:
    for portal in (bitrix24.portal, kommo.portal):
        portal.faults.order({"mode": "duplicate", "methods": ["finish", "calls"], "times": 1})
    status, body = await bitrix24.finish(await bitrix24.call_id(), DURATION=1)
    assert (status, body["error_description"][:17]) == (400, "Call is not found")
    assert len(bitrix24.portal.entries()) == 1
    await kommo.add_call()
    assert len(kommo.portal.entries()) == 2


async def test_a_moved_portal_names_its_new_address_and_answers_there(bitrix24: Bitrix24) -> None:
    bitrix24.portal.faults.order({"mode": "moved"})
    request = {"PHONE_NUMBER": "123", "TYPE": 2, "USER_ID": 11, "auth": bitrix24.token}
    url = bitrix24.portal.url + "/rest/telephony.externalcall.register.json"
    async with bitrix24.session.post(url, json=request, allow_redirects=False) as response:
        assert response.status == 302
        new = response.headers["Location"]
    assert new == url.replace("127.0.0.1", "localhost")
    assert bitrix24.portal.orphans() == []
    async with bitrix24.session.post(new, json=request) as response:
        assert response.status == 200
    assert len(bitrix24.portal.orphans()) == 1


async def test_moved_to_a_named_place(kommo: Kommo) -> None:
    kommo.portal.faults.order({"mode": "moved", "location": "https://elsewhere.example/", "times": 1})
    async with kommo.session.post(kommo.portal.url + "/api/v4/calls", json=[], allow_redirects=False) as response:
        assert response.headers["Location"] == "https://elsewhere.example/api/v4/calls"


async def test_a_refusing_portal_listens_again_on_the_same_port(kommo: Kommo) -> None:
    kommo.portal.faults.order({"mode": "refuse", "seconds": 3600, "times": 1})
    with pytest.raises(GONE):
        await kommo.add_call()
    with pytest.raises(aiohttp.ClientConnectorError):
        await kommo.add_call()
    await kommo.portal.come_back()
    assert (await kommo.add_call())[0] == 200
    assert len(kommo.portal.entries()) == 1


async def test_away_resets_open_connections_and_refuses_new_ones(bitrix24: Bitrix24) -> None:
    assert (await bitrix24("scope"))[0] == 200
    url = bitrix24.portal.url
    await bitrix24.portal.go_away()
    with pytest.raises(GONE):
        await bitrix24("scope")
    await bitrix24.portal.come_back()
    assert bitrix24.portal.url == url
    assert (await bitrix24("scope"))[0] == 200


@pytest.mark.parametrize("ending", [PortalServer.go_away, PortalServer.stop], ids=["away", "stopped"])
async def test_a_connection_that_is_accepted_while_the_portal_leaves_is_closed(
    ending: Callable[[PortalServer], Awaitable[None]],
) -> None:
    for rounds in range(5):  # of the loop between its arrival and the end: before it is accepted, and after
        async with KommoPortal(KommoConfig()) as portal:
            with socket.create_connection(("127.0.0.1", portal.port)):
                for _ in range(rounds):
                    await asyncio.sleep(0)
                await ending(portal)
    gc.collect()  # an unclosed socket is a warning, and a warning is an error


async def test_status_and_retry_after_can_be_given(kommo: Kommo) -> None:
    kommo.portal.faults.order({"mode": "429", "status": 503, "retry_after": 2.5})
    assert (await kommo.add_call())[0] == 503
    assert kommo.headers["Retry-After"] == "2.5"


async def test_faults_leave_page_and_control_alone(kommo: Kommo) -> None:
    kommo.portal.faults.order({"mode": "500"})
    assert (await kommo("GET", "/_fake/summary"))[0] == 200
    async with kommo.session.get(kommo.portal.url + "/") as response:
        assert response.status == 200


def test_faults_know_whether_the_request_takes_effect() -> None:
    assert [Fault(mode).takes_effect for mode in ("500", "reset", "lost_answer", "half_answer")] == [
        False,
        False,
        True,
        True,
    ]
