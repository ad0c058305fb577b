"""Kafka Connect's REST interface as far as our client calls it, for what a real one cannot be made to do on purpose."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web
from aiohttp.test_utils import TestServer

from connectors.client import ConnectClient

TRACE = (
    "org.apache.kafka.connect.errors.ConnectException: An exception occurred in the change event producer.\n"
    "\tat io.debezium.pipeline.ErrorHandler.setProducerThrowable(ErrorHandler.java:67)\n"
    "Caused by: java.sql.SQLException: Access denied for user 'cel2crm'@'10.0.0.5' (using password: YES)\n"
    "\t... 12 more\n"
)


PURGED = (
    "io.debezium.DebeziumException: The connector is trying to read binlog starting at GTID 0-1-8, "
    "but this is no longer available on the server. Reconfigure the connector to use a snapshot when needed.\n"
)


class FakeConnect:
    """One connector named `c`; `states` are given one a look, the last one stays."""

    def __init__(self, *states: str) -> None:
        self.states = list(states)
        self.config: dict[str, str] | None = None
        self.starting = False
        self.conflicts = 0
        self.expected_rebalances = 0
        self.restarts: list[str] = []
        self.puts = 0
        self.offset: dict[str, Any] | None = None
        self.stopped = False
        self.stopped_state = "STOPPED"
        self.calls: list[str] = []

    def app(self) -> web.Application:
        """The server."""
        app = web.Application()
        app.router.add_get("/connectors", self._names)
        app.router.add_get("/connectors/c/status", self._status)
        app.router.add_post("/connectors", self._create)
        app.router.add_get("/connectors/c/config", self._get_config)
        app.router.add_get("/connectors/c/offsets", self._get_offset)
        app.router.add_delete("/connectors/c/offsets", self._delete_offset)
        app.router.add_put("/connectors/c/stop", self._stop)
        app.router.add_put("/connectors/c/resume", self._resume)
        app.router.add_put("/connectors/c/config", self._put_config)
        app.router.add_post("/connectors/c/restart", self._restart)
        app.router.add_delete("/connectors/c", self._delete)
        app.router.add_put("/connector-plugins/{plugin}/config/validate", self._validate)
        return app

    async def _names(self, _: web.Request) -> web.Response:
        if self.starting:
            return web.json_response({"error_code": 500, "message": "Request timed out"}, status=500)
        return web.json_response([] if self.states[0] == "MISSING" else ["c"])

    async def _create(self, request: web.Request) -> web.Response:
        body = await request.json()
        self.stopped, self.config, self.offset = body["initial_state"] == "STOPPED", body["config"], {}
        return web.json_response(body, status=201)

    async def _get_offset(self, _: web.Request) -> web.Response:
        if self.offset is None:
            return web.json_response({"error_code": 404, "message": "not found"}, status=404)
        entries = [{"partition": {"server": "c"}, "offset": self.offset}] if self.offset else []
        return web.json_response({"offsets": entries})

    async def _delete_offset(self, _: web.Request) -> web.Response:
        self.offset = {}
        return web.json_response({"message": "reset"})

    async def _stop(self, _: web.Request) -> web.Response:
        self.stopped = True
        self.calls.append("stop")
        return web.Response(status=204)

    async def _resume(self, _: web.Request) -> web.Response:
        self.stopped = False
        self.calls.append("resume")
        return web.Response(status=202)

    async def _status(self, _: web.Request) -> web.Response:
        if self.stopped:
            connector = {"state": self.stopped_state, "worker_id": "w:1"}
            return web.json_response({"name": "c", "connector": connector, "tasks": []})
        state = self.states.pop(0) if len(self.states) > 1 else self.states[0]
        if state == "MISSING":
            return web.json_response({"error_code": 404, "message": "No status"}, status=404)
        task: dict[str, Any] = {"id": 0, "state": "FAILED" if state == "PURGED" else state, "worker_id": "w:1"}
        if state in ("FAILED", "PURGED"):
            task["trace"] = TRACE if state == "FAILED" else PURGED
        connector = {"state": "RUNNING", "worker_id": "w:1"}
        return web.json_response({"name": "c", "connector": connector, "tasks": [task]})

    async def _get_config(self, _: web.Request) -> web.Response:
        if self.expected_rebalances:
            self.expected_rebalances -= 1
            message = "Request cannot be completed because a rebalance is expected"
            return web.json_response({"error_code": 500, "message": message}, status=500)
        return web.json_response(self.config, status=200) if self.config else web.json_response({}, status=404)

    async def _put_config(self, request: web.Request) -> web.Response:
        if self.conflicts:
            self.conflicts -= 1
            return web.json_response({"error_code": 409, "message": "rebalance"}, status=409)
        self.puts += 1
        self.config = {**await request.json(), "name": "c"}
        return web.json_response({"name": "c", "config": self.config})

    async def _restart(self, request: web.Request) -> web.Response:
        if request.content_type != "application/json":
            return web.Response(status=415)
        self.restarts.append(request.query["onlyFailed"])
        return web.json_response({}, status=202)

    async def _delete(self, _: web.Request) -> web.Response:
        present, self.config = self.config, None
        return web.Response(status=204 if present else 404)

    async def _validate(self, request: web.Request) -> web.Response:
        entries = [
            {"value": {"name": "database.hostname", "errors": [TRACE.splitlines()[2]], "value": "db"}},
            {"value": {"name": "database.password", "errors": ["hunter2 is too short"], "value": "hunter2"}},
            {"value": {"name": "topic.prefix", "errors": [], "value": "p"}},
        ]
        return web.json_response({"configs": entries})


@asynccontextmanager
async def client_of(fake: FakeConnect) -> AsyncIterator[ConnectClient]:
    async with TestServer(fake.app()) as server, ConnectClient(str(server.make_url("")), secrets=["hunter2"]) as client:
        yield client
