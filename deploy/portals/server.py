"""The HTTP server around a portal: life and absence, faults, the request log. What a vendor does is in bitrix24.py,
kommo.py."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import socket
import time
from abc import ABC, abstractmethod
from collections import Counter, deque
from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import format_datetime
from pathlib import Path
from typing import Any, ClassVar, Self

from aiohttp import web

from deploy.portals import control, page, wire
from deploy.portals.entry import STAFF, Entry, PortalUser, iso_utc
from deploy.portals.exchange import Answer, Inbound
from deploy.portals.faults import Fault, FaultPlan
from deploy.portals.journal import Event, Journal
from deploy.portals.masking import masked_body, masked_path
from deploy.portals.tokens import TokenBook

LOG_LENGTH = 20_000


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class PortalConfig:
    """What both portals have in common. `state_dir` None keeps everything in memory. `lookup_lag`: seconds until a
    call is found by a look-up; `code_lifetime`: seconds for which an administrator's code can be redeemed. `users` are
    the people of the CRM. `clock` gives unix seconds."""

    host: str = "127.0.0.1"
    port: int = 0
    state_dir: Path | None = None
    lookup_lag: float = 0.0
    code_lifetime: float = 30.0
    users: tuple[PortalUser, ...] = STAFF
    clock: Callable[[], float] = time.time


class Portal(ABC):
    """A fake CRM portal. `async with Bitrix24Portal(Bitrix24Config()) as portal: portal.url ...`"""

    name: ClassVar[str]
    title: ClassVar[str]
    live_settings: ClassVar[frozenset[str]]
    registers: ClassVar[bool] = False  # whether a call is begun and finished in two steps

    def __init__(self, config: PortalConfig) -> None:
        self._config = config
        self.faults: FaultPlan = FaultPlan()
        self.log: deque[dict[str, object]] = deque(maxlen=LOG_LENGTH)
        self.requests: Counter[tuple[str, str]] = Counter()
        """How often each operation was asked for, and with which fault (empty: none)."""
        self.on_request: Callable[[str, Inbound], None] | None = None
        """Told `arrived` before a request is served and `answered` when its answer is on its way."""
        self.tokens = TokenBook(self.record)
        self._journal = Journal(config.state_dir / f"{self.name}.jsonl" if config.state_dir else None)
        self._skew = 0.0
        self._requests = 0
        self._port = config.port
        self._runner: web.AppRunner | None = None
        self._site: web.SockSite | None = None
        self._held: socket.socket | None = None
        self.returning: asyncio.Task[None] | None = None
        self._again: set[asyncio.Task[None]] = set()
        self._closing = asyncio.Event()

    # What a vendor's portal defines.

    @abstractmethod
    def operation(self, method: str, path: str) -> str | None:
        """The vendor's name, in lower case, of what a request asks for; None if the path is not the vendor's at all."""

    @abstractmethod
    def answer(self, inbound: Inbound) -> Answer:
        """Do what is asked."""

    @abstractmethod
    def vendor_error(self, mode: str, inbound: Inbound, fault: Fault) -> Answer:
        """The vendor's error answer for a mode of `faults.VENDOR_MODES`."""

    @abstractmethod
    def entries(self) -> list[Entry]:
        """The calls that a user of the CRM sees, in the order in which they came."""

    @abstractmethod
    def orphans(self) -> list[dict[str, Any]]:
        """Calls that were begun and never finished: seen by nobody."""

    @abstractmethod
    def popups(self) -> list[dict[str, Any]]:
        """Call cards that opened on somebody's screen."""

    @abstractmethod
    def apply(self, kind: str, event: Event) -> None:
        """Take over one recorded change of state."""

    @abstractmethod
    def forget(self) -> None:
        """Forget calls and what came with them, keep the people and the tokens."""

    @abstractmethod
    def first_tokens(self) -> None:
        """Grant the tokens that the configuration names."""

    # State.

    def now(self) -> float:
        """The portal's clock, unix seconds."""
        return self._config.clock() + self._skew

    def advance_clock(self, seconds: float) -> None:
        """Set the portal's clock ahead (or back, if negative): tokens expire, idempotency windows close."""
        self._skew += seconds

    def record(self, kind: str, event: Event) -> None:
        """Keep a change of state, then let it count."""
        self._journal.append({"kind": kind, **event})
        self._take(kind, event)

    def _take(self, kind: str, event: Event) -> None:
        if not self.tokens.apply(kind, event):
            self.apply(kind, event)

    def reset(self) -> None:
        """Empty the portal: no calls, no faults, no log, true clock. Tokens stay, since the sender has stored them."""
        self._journal.clear()
        self.forget()
        self.faults.clear()
        self.log.clear()
        self.requests.clear()
        self._skew = 0.0
        self._journal.append({"kind": "tokens_kept", **self.tokens.snapshot()})

    def settings(self) -> dict[str, Any]:
        """The settings that can be changed while the portal runs."""
        return {name: getattr(self._config, name) for name in sorted(self.live_settings)}

    def change_settings(self, **changes: Any) -> None:
        """Change settings while the portal runs. Raises ValueError for an unknown one or one of another type."""
        for name, value in changes.items():
            if name not in self.live_settings:
                raise ValueError(f"unknown setting {name!r}; known: {', '.join(sorted(self.live_settings))}")
            old = getattr(self._config, name)
            fits = isinstance(value, type(old)) or (isinstance(old, float) and isinstance(value, int))
            if not fits or (isinstance(value, bool) != isinstance(old, bool)):
                raise ValueError(f"setting {name!r} is a {type(old).__name__}, not {value!r}")
        self._config = dataclasses.replace(self._config, **changes)

    def authorise(self) -> str:
        """A code for an administrator who lets an integration in."""
        return self.tokens.authorise(self.now(), self._config.code_lifetime)

    # Life.

    @property
    def url(self) -> str:
        """Address without a slash at the end, as http://127.0.0.1:40123."""
        return f"http://{self._config.host}:{self._port}"

    @property
    def port(self) -> int:
        """The port, also while the portal is away."""
        return self._port

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.stop()

    async def start(self) -> None:
        """Read what former runs left and listen. Raises OSError if the port is taken."""
        self._remember()
        if not self.tokens.access:
            self.first_tokens()
        app = web.Application(client_max_size=16 * 1024 * 1024)
        app.add_routes([web.get("/", self._page)])
        control.add_routes(app, self)
        app.add_routes([web.route("*", "/{path:.*}", self._serve)])
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        self._held = self._bind()
        self._port = self._held.getsockname()[1]
        await self._listen()

    def _remember(self) -> None:
        for event in self._journal.replay():
            self._take(event.pop("kind"), event)

    async def stop(self) -> None:
        """Close the portal: requests under way are cut off."""
        self._closing.set()
        for again in self._again:
            again.cancel()
        if self.returning is not None:
            self.returning.cancel()
        self._cut_connections()
        if self._runner is not None:
            await self._runner.cleanup()
        if self._held is not None:
            self._held.close()
        self._journal.close()

    def _bind(self) -> socket.socket:
        held = socket.socket()
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            held.bind((self._config.host, self._port))
        except OSError:
            held.close()
            raise
        return held

    async def _listen(self) -> None:
        assert self._runner is not None and self._held is not None
        self._site = web.SockSite(self._runner, self._held)
        await self._site.start()
        self._held = None

    async def go_away(self, seconds: float | None = None, sparing: asyncio.BaseTransport | None = None) -> None:
        """Stop listening for `seconds`, or until `come_back`: connections are refused, those open are reset, except
        one."""
        if self._site is None:
            return
        site, self._site = self._site, None
        await site.stop()
        self._held = self._bind()  # bound but not listening: refuses, and nobody else gets the port
        self._cut_connections(sparing)
        if seconds is not None:
            self.returning = asyncio.create_task(self._come_back_after(seconds))

    async def restart(self, seconds: float, sparing: asyncio.BaseTransport | None = None) -> None:
        """As if killed and started again after `seconds`: with a state folder, only what stands there is remembered."""
        await self.go_away(sparing=sparing)
        if self._config.state_dir is not None:
            self.forget()
            self._remember()
        self.returning = asyncio.create_task(self._come_back_after(seconds))

    def answer_again(self, inbound: Inbound, seconds: float) -> None:
        """Serve the same request once more after `seconds`, with nobody to hear the answer."""

        async def again() -> None:
            await self.pause(seconds)
            if not self._closing.is_set():
                self.answer(inbound)

        task = asyncio.create_task(again())
        self._again.add(task)
        task.add_done_callback(self._again.discard)

    async def come_back(self) -> None:
        """Listen again, on the same port."""
        if self._site is None and not self._closing.is_set():
            await self._listen()

    async def _come_back_after(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
        await self.come_back()

    def _cut_connections(self, sparing: asyncio.BaseTransport | None = None) -> None:
        server = self._runner.server if self._runner is not None else None
        for connection in list(server.connections) if server is not None else []:
            if connection.transport is not None and connection.transport is not sparing:
                wire.reset(connection.transport)

    # Requests.

    async def _page(self, request: web.Request) -> web.Response:
        return web.Response(
            text=page.render(self, request.query), content_type="text/html", charset="utf-8", headers=page.HEADERS
        )

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        started = time.monotonic()
        path = request.rel_url.raw_path
        inbound = Inbound(
            method=request.method,
            path=path,
            query=request.rel_url.raw_query_string,
            headers={name.lower(): value for name, value in request.headers.items()},
            body=await request.read(),
            remote=request.remote or "",
            operation=self.operation(request.method, path) or "",
        )
        line: dict[str, object] = {
            "number": (number := self._requests + 1),
            "at": iso_utc(self.now()),
            "method": inbound.method,
            "path": masked_path(path),
            "operation": inbound.operation,
            "request": masked_body(inbound),
            "fault": None,
            "status": None,
        }
        self._requests = number
        self.log.append(line)
        if self.on_request is not None and inbound.operation:
            self.on_request("arrived", inbound)
        fault = self.faults.pick(inbound.operation, inbound.method) if inbound.operation else None
        if fault is not None and not wire.arrived(self, request, fault):
            line["fault"] = fault.mode
            response = await wire.suffer(self, request, inbound, fault)
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
            self.on_request("answered", inbound)
        return response

    async def pause(self, seconds: float | None) -> None:
        """Let seconds pass; ends early when the portal closes."""
        try:
            await asyncio.wait_for(self._closing.wait(), seconds)
        except TimeoutError:
            return
