"""The control interface, and a portal as a process: started, killed, started again."""

from __future__ import annotations

import asyncio
import json
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from deploy.fake_crms import Bitrix24Config, Bitrix24Portal, KommoConfig, KommoPortal
from tests.fake_crms.conftest import Bitrix24, Kommo

ROOT = Path(__file__).parents[2]


async def ask(kommo: Kommo | Bitrix24, method: str, name: str, body: Any = None) -> tuple[int, Any]:
    """One request to the control interface."""
    async with kommo.session.request(method, f"{kommo.portal.url}/_fake/{name}", json=body) as response:
        return response.status, await response.json()


async def test_entries_over_http_are_the_entries(kommo: Kommo) -> None:
    await kommo.add_call(call_status=6, call_result="Missed call")
    status, entries = await ask(kommo, "GET", "entries")
    assert (status, entries) == (200, [entry.as_json() for entry in kommo.portal.entries()])
    assert {"number", "crm_id", "external_id", "phone", "direction", "user", "duration", "started_at"} <= entries[
        0
    ].keys()
    assert {"received_at", "status", "words", "tone", "successful", "missed", "text", "line", "via"} <= entries[
        0
    ].keys()


async def test_orphans_popups_and_summary(bitrix24: Bitrix24) -> None:
    await bitrix24.finish(await bitrix24.call_id(EXTERNAL_CALL_ID="1", SHOW=1))
    await bitrix24.call_id(EXTERNAL_CALL_ID="2")
    _, summary = await ask(bitrix24, "GET", "summary")
    assert {name: summary[name] for name in ("portal", "entries", "orphans", "popups", "requests")} == {
        "portal": "bitrix24",
        "entries": 1,
        "orphans": 1,
        "popups": 1,
        "requests": 3,
    }
    assert [orphan["external_id"] for orphan in (await ask(bitrix24, "GET", "orphans"))[1]] == ["2"]
    assert [popup["user"] for popup in (await ask(bitrix24, "GET", "popups"))[1]] == ["Anna Ivanova"]


async def test_the_log_names_operation_fault_and_status_but_no_secret(bitrix24: Bitrix24, kommo: Kommo) -> None:
    bitrix24.portal.faults.order({"mode": "503", "times": 1})
    await bitrix24.by_webhook("scope")
    async with bitrix24.session.post(bitrix24.portal.url + "/rest/scope", json={"auth": "fake-access-token"}):
        pass
    config = bitrix24.portal.config
    secrets = {
        "client_id": config.client_id,
        "client_secret": config.client_secret,
        "refresh_token": config.refresh_token,
    }
    async with bitrix24.session.get(bitrix24.portal.url + "/oauth/token/", params=secrets):
        pass
    await kommo.add_call()
    _, log = await ask(bitrix24, "GET", "log")
    assert [(line["operation"], line["fault"], line["status"]) for line in log] == [
        ("scope", "503", 503),
        ("scope", None, 200),
        ("token", None, 400),
    ]
    assert log[0]["path"] == "/rest/1/***/scope.json"
    shown = json.dumps(log) + json.dumps((await ask(kommo, "GET", "log"))[1])
    for secret in (config.webhook_secret, config.access_token, config.client_secret, config.refresh_token, kommo.token):
        assert secret not in shown


async def test_faults_are_ordered_listed_and_ended(kommo: Kommo) -> None:
    status, fault = await ask(kommo, "POST", "faults", {"mode": "500", "times": 5, "methods": ["calls"]})
    assert (status, fault["mode"], fault["fired"]) == (200, "500", 0)
    assert (await kommo.add_call())[0] == 500
    assert [one["fired"] for one in (await ask(kommo, "GET", "faults"))[1]] == [1]
    assert (await ask(kommo, "DELETE", f"faults/{fault['id']}"))[1] == []
    assert (await kommo.add_call())[0] == 200


@pytest.mark.parametrize(
    ("name", "body", "words"),
    [
        ("faults", {"mode": "tired"}, "unknown fault mode"),
        ("settings", {"colour": "red"}, "unknown setting 'colour'"),
        ("settings", {"known_clients": "yes"}, "is a bool"),
        ("away", {}, "give 'seconds'"),
        ("restart", {"seconds": 0}, "give 'seconds'"),
        ("clock", {}, "give 'advance'"),
        ("reset", [1], "JSON object"),
    ],
)
async def test_a_wrong_command_is_told_what_is_wrong(kommo: Kommo, name: str, body: Any, words: str) -> None:
    status, answer = await ask(kommo, "POST", name, body)
    assert status == 400
    assert words in answer["error"]


async def test_settings_change_while_the_portal_runs(kommo: Kommo) -> None:
    status, settings = await ask(kommo, "POST", "settings", {"known_clients": False, "lookup_lag": 2})
    assert (status, settings["known_clients"], settings["lookup_lag"]) == (200, False, 2)
    assert (await kommo.add_call())[0] == 400


async def test_clock_and_tokens_can_be_moved_on(bitrix24: Bitrix24) -> None:
    first = await bitrix24.call_id(EXTERNAL_CALL_ID="1")
    await ask(bitrix24, "POST", "clock", {"advance": 1801})
    assert await bitrix24.call_id(EXTERNAL_CALL_ID="1") != first
    await ask(bitrix24, "POST", "expire-tokens")
    async with bitrix24.session.post(
        bitrix24.portal.url + "/rest/scope", json={"auth": "fake-access-token"}
    ) as response:
        assert (await response.json())["error"] == "expired_token"
    assert (await ask(bitrix24, "POST", "authorise"))[1]["code"]


async def test_away_on_command_comes_back_by_itself(kommo: Kommo) -> None:
    assert (await ask(kommo, "POST", "away", {"seconds": 0.2})) == (200, {"away_for": 0.2})
    with pytest.raises(aiohttp.ClientConnectorError):
        await kommo.add_call()
    assert kommo.portal.return_task is not None
    await kommo.portal.return_task
    assert (await kommo.add_call())[0] == 200


async def test_reset_empties_the_portal_and_keeps_tokens(bitrix24: Bitrix24) -> None:
    await bitrix24.finish(await bitrix24.call_id(SHOW=1))
    await bitrix24.call_id(EXTERNAL_CALL_ID="2")
    bitrix24.portal.faults.order({"mode": "500"})
    await ask(bitrix24, "POST", "reset")
    _, summary = await ask(bitrix24, "GET", "summary")
    assert (summary["entries"], summary["orphans"], summary["popups"], summary["requests"]) == (0, 0, 0, 0)
    assert (await bitrix24("scope"))[0] == 200
    async with bitrix24.session.post(
        bitrix24.portal.url + "/rest/scope", json={"auth": "fake-access-token"}
    ) as response:
        assert response.status == 200


async def test_state_survives_a_restart(tmp_path: Path, session: aiohttp.ClientSession) -> None:
    config = Bitrix24Config(state_dir=tmp_path)
    async with Bitrix24Portal(config) as portal:
        before = Bitrix24(portal, session, clock=None, token="fake-access-token")  # type: ignore[arg-type]
        await before.finish(await before.call_id(EXTERNAL_CALL_ID="1"), DURATION=5)
        running = await before.call_id(EXTERNAL_CALL_ID="2", SHOW=1)
        pair = portal.tokens.rotate("fake-refresh-token", portal.now(), 3600, 7200)
        entries = portal.entries()
    assert pair is not None
    with (tmp_path / "bitrix24.jsonl").open("ab") as journal:
        journal.write(b'{"kind": "finished", "call_')  # killed while writing
    async with Bitrix24Portal(config) as portal:
        after = Bitrix24(portal, session, clock=None, token=pair.access)  # type: ignore[arg-type]
        assert portal.entries() == entries
        assert [popup["call_id"] for popup in portal.popups()] == [running]
        assert portal.tokens.access_status(pair.access, portal.now()) == "valid"
        assert portal.tokens.rotate("fake-refresh-token", portal.now(), 3600, 7200) is None
        assert await after.call_id(EXTERNAL_CALL_ID="2") == running
        assert (await after.finish(running))[0] == 200
        portal.reset()
    async with Bitrix24Portal(config) as portal:
        assert (portal.entries(), portal.orphans()) == ([], [])
        assert portal.tokens.access_status(pair.access, portal.now()) == "valid"


@asynccontextmanager
async def process(*arguments: str) -> AsyncIterator[tuple[Process, dict[str, Any]]]:
    """A portal as a process, with the address that it prints; ended by closing its standard input."""
    portal = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "deploy.fake_crms",
        *arguments,
        "--watch-stdin",
        stdin=PIPE,
        stdout=PIPE,
        stderr=PIPE,
        cwd=ROOT,
    )
    assert portal.stdout is not None and portal.stdin is not None
    try:
        yield portal, json.loads(await portal.stdout.readline() or b"{}")
    finally:
        portal.stdin.close()
        await portal.communicate()


async def test_a_killed_portal_comes_back_with_its_entries(tmp_path: Path, session: aiohttp.ClientSession) -> None:
    call = {"direction": "inbound", "duration": 1, "source": "pbx", "phone": "+79161234567", "uniq": "u1"}
    headers = {"Authorization": f"Bearer {KommoConfig().long_lived_token}"}
    async with process("kommo", "--known-clients", "--state-dir", str(tmp_path)) as (portal, address):
        async with session.post(address["url"] + "/api/v4/calls", json=[call], headers=headers) as response:
            assert response.status == 200
        portal.kill()
    port = address["url"].rpartition(":")[2]
    async with process("kommo", "--known-clients", "--state-dir", str(tmp_path), "--port", port) as (portal, again):
        assert again["url"] == address["url"]
        async with session.get(again["url"] + "/_fake/entries") as response:
            assert [entry["external_id"] for entry in await response.json()] == ["u1"]
    assert portal.returncode == 0


async def test_a_port_in_use_is_one_clear_message() -> None:
    async with KommoPortal() as taken, process("bitrix24", "--port", str(taken.port)) as (portal, _):
        assert portal.stderr is not None
        errors = (await portal.stderr.read()).decode()
        assert await portal.wait() == 2
    assert f"cannot listen on 127.0.0.1:{taken.port}" in errors
    assert "Traceback" not in errors


async def test_a_damaged_journal_is_one_clear_message(tmp_path: Path) -> None:
    (tmp_path / "kommo.jsonl").write_text("{}\nnot mine\n")
    async with process("kommo", "--known-clients", "--state-dir", str(tmp_path)) as (portal, _):
        assert portal.stderr is not None
        errors = (await portal.stderr.read()).decode()
        assert await portal.wait() == 2
    assert "line" in errors and "delete the file" in errors
    assert "Traceback" not in errors


async def test_the_process_prints_the_webhooks_address_and_ends_on_sigterm(session: aiohttp.ClientSession) -> None:
    async with process("bitrix24", "--no-limits") as (portal, address):
        async with session.post(address["webhook_url"] + "scope.json") as response:
            assert response.status == 200
        portal.terminate()
        assert await portal.wait() == 0
