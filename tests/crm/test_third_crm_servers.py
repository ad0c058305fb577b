"""The third CRM end to end on real servers: streams, connectors and schemas know nothing of it."""

import asyncio
import json
import uuid
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import pytest
import yaml
from aiohttp import web

from streams.settings import Settings
from tests.crm.plugins import THIRD_CRM, SitePackages
from tests.worker_installation import Installation
from tests.workers.deliver.crm_installation import CrmInstallation, some_results

if TYPE_CHECKING:
    from deploy.local import LocalStack

pytestmark = pytest.mark.servers

TOKEN = "fake-callbook-token"


@dataclass
class Callbook:
    """A Callbook: stores calls, and never compares them with those that it has."""

    calls: list[dict[str, Any]] = field(default_factory=list)
    lookups: Counter[str] = field(default_factory=Counter)
    lose_answers_of: set[str] = field(default_factory=set)
    """External ids of calls that are stored without an answer, once each."""
    url: str = ""

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.router.add_post("/calls", self._post)
        app.router.add_get("/calls", self._get)
        self._runner = web.AppRunner(app)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        host, port = self._runner.addresses[0][:2]
        self.url = f"http://{host}:{port}"
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._runner.cleanup()

    async def _post(self, request: web.Request) -> web.Response:
        if request.headers.get("Authorization") != f"Bearer {TOKEN}":
            return web.json_response({}, status=401)
        call = {**await request.json(), "id": len(self.calls) + 1}
        self.calls.append(call)
        if call["external_id"] in self.lose_answers_of:
            self.lose_answers_of.remove(call["external_id"])
            assert request.transport is not None
            request.transport.close()
        return web.json_response({"id": call["id"]}, status=201)

    async def _get(self, request: web.Request) -> web.Response:
        wanted = request.query["external_id"]
        self.lookups[wanted] += 1
        return web.json_response([call for call in self.calls if call["external_id"] == wanted])


@dataclass
class CallbookInstallation(CrmInstallation):
    """This process does not have the package: what it knows of the third CRM, child processes say."""

    crm: str = "callbook"
    packages: SitePackages = field(default_factory=lambda: SitePackages(Path()))

    @property
    def tree(self) -> dict[str, Any]:
        """See CrmInstallation: the settings file of the child processes."""
        return {**Installation.tree.__get__(self), "portals": [self.portal_fields]}

    @property
    def settings(self) -> Settings:
        """The settings of this process."""
        return Settings(**Installation.tree.__get__(self))

    @property
    def file(self) -> str:
        """The settings file."""
        file = self.directory / "cel2crm.yaml"
        file.write_text(yaml.safe_dump(self.tree), encoding="utf-8")
        return str(file)

    async def __aenter__(self) -> Self:
        done = await self.command("topics", "apply")
        assert f"created {self.prefix}.deliveries-callbook (4 partitions, compact)" in done
        return self

    async def __aexit__(self, *exc: object) -> None:
        await Installation.__aexit__(self, *exc)

    async def command(self, *arguments: str) -> str:
        """What a command prints; it must succeed."""
        done = await asyncio.to_thread(self.packages.run, *arguments, "--settings", self.file)
        assert done.returncode == 0, done.stderr
        return done.stdout

    async def lines(self, *arguments: str) -> list[dict[str, Any]]:
        """The same of a command that prints JSON."""
        return [json.loads(line) for line in (await self.command(*arguments, "--json")).splitlines()]


@pytest.fixture
async def callbook() -> AsyncIterator[Callbook]:
    async with Callbook() as running:
        yield running


@pytest.fixture
def installation(
    stack: "LocalStack", tmp_path: Path, monkeypatch: pytest.MonkeyPatch, callbook: Callbook
) -> CallbookInstallation:
    packages = SitePackages(tmp_path / "site")
    packages.install(THIRD_CRM)
    monkeypatch.setenv("PYTHONPATH", packages.python_path)  # of the workers
    (token := tmp_path / "token").write_text(TOKEN, encoding="utf-8")
    portal = {"name": "office", "crm": "callbook", "url": callbook.url, "token_file": str(token)}
    fields = {**portal, "options": {"board": "sales"}, "deliver_from": "2020-01-01T00:00:00Z", "settle_seconds": 0.5}
    limits = {"rate_limit": {"burst": 1000, "per_second": 1000}, "request_timeout_seconds": 2}
    made = CallbookInstallation(
        stack.endpoints.bootstrap_servers, stack.endpoints.registry_url, tmp_path, f"t{uuid.uuid4().hex[:8]}"
    )
    made.portal_fields, made.packages = {**fields, **limits}, packages
    return made


async def test_the_third_crm_gets_each_call_once(installation: CallbookInstallation, callbook: Callbook) -> None:
    results = some_results(40)
    callbook.lose_answers_of = {results[3].call_id, results[17].call_id}
    async with installation:
        worker = installation.start_worker("callbook")
        await installation.produce_results([*results, *results[:10]])
        await installation.until_over({result.call_id for result in results})

        assert sorted(call["external_id"] for call in callbook.calls) == sorted(result.call_id for result in results)
        asked_at_start = {"cel2crm-check"}  # the worker's check of its portal
        assert callbook.lookups.keys() == {results[3].call_id, results[17].call_id} | asked_at_start
        by_id = {call["external_id"]: call for call in callbook.calls}
        for result in results:
            call = by_id[result.call_id]
            assert (call["phone"], call["board"]) == (result.client, "sales")
            assert call["direction"] == ("out" if result.direction == "outgoing" else "in")
            assert (call["status"] == "talked") == result.answered == (call["seconds"] > 0)

        (overview,) = await installation.lines("deliveries")
        assert (overview["crm"], overview["portal"]) == ("callbook", "office")
        assert overview["deliveries"]["delivered"] == len(results)
        (delivery,) = await installation.lines("deliveries", results[3].call_id, "--crm", "callbook")
        assert delivery["state"] == "delivered" and delivery["status"] in ("talked", "missed", "busy", "failed")
        assert delivery["crm_ids"] == {"call": str(by_id[results[3].call_id]["id"])}
        (portal,) = await installation.lines("portal", "status")
        assert (portal["portal"], portal["crm"], portal["authorisation"]) == ("office", "callbook", "token")
        assert (portal["waiting"], portal["paused"]) == (0, None)
        assert await installation.lines("dead-letters", "list") == []
        worker.terminate()
        assert await asyncio.to_thread(worker.wait, 30) == 0
