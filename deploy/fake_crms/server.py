"""The HTTP server of a portal: listening and absence, faults, the request log.

What a vendor does is in bitrix24/, kommo/ and webhook/; the state that all portals keep is in portal.py.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
from datetime import UTC, datetime
from email.utils import format_datetime

from aiohttp import web

from deploy.fake_crms import control, page, wire
from deploy.fake_crms.entry import iso_utc
from deploy.fake_crms.exchange import Inbound
from deploy.fake_crms.masking import masked_body, masked_path
from deploy.fake_crms.portal import Portal, PortalConfig


class PortalServer(Portal):
    """A portal that listens on a port of its own. See `Portal` for what start, stop, go_away, come_back and restart
    do."""

    def __init__(self, config: PortalConfig) -> None:
        super().__init__(config)
        self.return_task: asyncio.Task[None] | None = None
        """The task that ends a timed absence; None if there was none yet."""
        self._requests = 0
        self._runner: web.AppRunner | None = None
        self._site: web.SockSite | None = None
        self._reserved: socket.socket | None = None
        """The bound socket while nobody listens on it: connections are refused, and nobody else gets the port."""
        self._listening: socket.socket | None = None
        """The bound socket while the site listens on it."""

    # Life.

    async def start(self) -> None:
        self._replay_journal()
        if not self.tokens.access:
            self.grant_configured_tokens()
        app = web.Application(client_max_size=16 * 1024 * 1024)
        app.add_routes([web.get("/", self._page)])
        control.add_routes(app, self)
        app.add_routes([web.route("*", "/{path:.*}", self._serve)])
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        self._reserved = self._bind()
        self._port = self._reserved.getsockname()[1]
        await self._listen()

    async def stop(self) -> None:
        self._closing.set()
        for repeat in self._repeats:
            repeat.cancel()
        if self.return_task is not None:
            self.return_task.cancel()
        await self._stop_accepting()
        self._cut_connections()
        if self._runner is not None:
            await self._runner.cleanup()
        if self._reserved is not None:
            self._reserved.close()
        self._journal.close()

    def _bind(self) -> socket.socket:
        bound = socket.socket()
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            bound.bind((self._config.host, self._port))
        except OSError:
            bound.close()
            raise
        return bound

    async def _listen(self) -> None:
        assert self._runner is not None and self._reserved is not None
        self._site = web.SockSite(self._runner, self._reserved)
        await self._site.start()
        self._listening, self._reserved = self._reserved, None

    async def _stop_accepting(self) -> None:
        listening, self._listening = self._listening, None
        if listening is not None:
            await wire.stop_accepting(listening)

    async def go_away(self, seconds: float | None = None, keep: asyncio.BaseTransport | None = None) -> None:
        await self._stop_accepting()
        if self._site is None:
            return
        site, self._site = self._site, None
        await site.stop()
        self._reserved = self._bind()
        self._cut_connections(keep)
        if seconds is not None:
            self.return_task = asyncio.create_task(self._come_back_after(seconds))

    async def restart(self, seconds: float, keep: asyncio.BaseTransport | None = None) -> None:
        await self.go_away(keep=keep)
        if self._config.state_dir is not None:
            self.forget()
            self._replay_journal()
        self.return_task = asyncio.create_task(self._come_back_after(seconds))

    async def come_back(self) -> None:
        if self._site is None and not self._closing.is_set():
            await self._listen()

    async def _come_back_after(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
        await self.come_back()

    def _cut_connections(self, keep: asyncio.BaseTransport | None = None) -> None:
        server = self._runner.server if self._runner is not None else None
        for connection in list(server.connections) if server is not None else []:
            if connection.transport is not None and connection.transport is not keep:
                wire.reset(connection.transport)

    # Requests.

    async def _page(self, request: web.Request) -> web.Response:
        return web.Response(
            text=page.render(self, request.query), content_type="text/html", charset="utf-8", headers=page.HEADERS
        )

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        started = time.monotonic()
        inbound = await self._inbound(request)
        line = self._logged(inbound)
        self._notify("arrived", inbound)
        fault = self.faults.pick(inbound.operation, inbound.method) if inbound.operation else None
        if fault is not None and not wire.redirect_followed(self, request, fault):
            line["fault"] = fault.mode
            response = await wire.answer_with_fault(self, request, inbound, fault)
        else:
            fault = None
            response = wire.response(self.answer(inbound))
        self.requests[inbound.operation, fault.mode if fault else ""] += 1
        line["status"] = None if response is None else response.status
        line["ms"] = round((time.monotonic() - started) * 1000, 1)
        if response is None:  # the connection is gone: aiohttp finds nobody to send this to
            return web.Response(status=500)
        if "Date" not in response.headers:
            response.headers["Date"] = format_datetime(datetime.fromtimestamp(int(self.now()), UTC), usegmt=True)
        if self.on_request is not None and inbound.operation:
            with contextlib.suppress(ConnectionResetError):  # the sender has gone
                await response.prepare(request)
                await response.write_eof()
            self._notify("answered", inbound)
        return response

    async def _inbound(self, request: web.Request) -> Inbound:
        path = request.rel_url.raw_path
        return Inbound(
            method=request.method,
            path=path,
            query=request.rel_url.raw_query_string,
            headers={name.lower(): value for name, value in request.headers.items()},
            body=await request.read(),
            remote=request.remote or "",
            operation=self.operation(request.method, path) or "",
        )

    def _logged(self, inbound: Inbound) -> dict[str, object]:
        """The request's line in the log, to which fault, status and time are added when it is answered."""
        self._requests += 1
        line: dict[str, object] = {
            "number": self._requests,
            "at": iso_utc(self.now()),
            "method": inbound.method,
            "path": masked_path(inbound.path),
            "operation": inbound.operation,
            "request": masked_body(inbound),
            "fault": None,
            "status": None,
        }
        self.log.append(line)
        return line

    def _notify(self, moment: str, inbound: Inbound) -> None:
        if self.on_request is not None and inbound.operation:
            self.on_request(moment, inbound)
