"""TCP proxies on loopback, one for each connection between parts: they can be slow, cut, or silent."""

import asyncio
import contextlib
import threading
from collections.abc import Coroutine
from typing import Any

from deploy.fake_crms.wire import stop_accepting
from deploy.local.ports import HOST, choose

_CHUNK = 65536
_STOP_SECONDS = 10.0


class Link:
    """A way from a port of its own to a target's port. Its faults apply to open and to new connections."""

    def __init__(self, port: int, target_port: int) -> None:
        self.port = port
        self.target_port = target_port
        self.delay_seconds = 0.0
        """Added to each chunk of bytes, in each direction."""
        self.silent = False
        """Connections stay open, and nothing comes through (a firewall that drops packets)."""
        self.accepted = 0
        """Connections that came so far, refused ones included."""
        self._is_cut = False
        self._connections: set[asyncio.StreamWriter] = set()
        self._listener: asyncio.Server | None = None

    @property
    def address(self) -> str:
        """host:port, as clients are to be given it."""
        return f"{HOST}:{self.port}"

    async def listen(self) -> None:
        """Take connections from now on."""
        self._listener = await asyncio.start_server(self._serve, HOST, self.port)

    async def close(self) -> None:
        """End the connections, and listen no more."""
        if self._listener is not None:
            for listening in self._listener.sockets:
                await stop_accepting(listening)
            self._listener.close()
        self._abort()

    async def set_cut(self, cut: bool) -> None:
        """True: end what is open and end new connections at once. False: let them through again."""
        self._is_cut = cut
        if cut:
            self._abort()

    async def abort_connections(self) -> None:
        """End what is open now; new connections are let through."""
        self._abort()

    def _abort(self) -> None:
        for writer in list(self._connections):
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.accepted += 1
        both, ways = {writer}, []
        self._connections.add(writer)
        try:
            if self._is_cut:
                return
            try:
                target_reader, target_writer = await asyncio.open_connection(HOST, self.target_port)
            except OSError:
                return  # as if nobody listened there
            both.add(target_writer)
            self._connections |= both
            ways = [
                asyncio.create_task(self._pass(reader, target_writer)),
                asyncio.create_task(self._pass(target_reader, writer)),
            ]
            await asyncio.wait(ways, return_when=asyncio.FIRST_EXCEPTION)
        finally:
            for way in ways:
                way.cancel()
            self._connections -= both
            for each in both:
                each.transport.abort()

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while chunk := await reader.read(_CHUNK):
            if self.delay_seconds:
                await asyncio.sleep(self.delay_seconds)
            while self.silent:  # noqa: ASYNC110 - set from another thread
                await asyncio.sleep(0.1)
            writer.write(chunk)
            await writer.drain()
        with contextlib.suppress(OSError, RuntimeError):
            writer.write_eof()


class Links:
    """All links, served by a thread of their own. Use in `with`."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="links", daemon=True)
        self.by_name: dict[str, Link] = {}

    def __enter__(self) -> "Links":
        # Connections that end in the middle are what links are for: no traceback for each.
        self._loop.set_exception_handler(lambda _loop, _context: None)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        for link in self.by_name.values():
            self._run(link.close())
        self._run(self._end_tasks())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(_STOP_SECONDS)
        self._loop.close()

    def __getitem__(self, name: str) -> Link:
        return self.by_name[name]

    def open(self, name: str, target_port: int, port: int | None = None) -> Link:
        """A link to a port of this machine; `port`: where it listens (default: a free port). A portal has two addresses
        and one port: it is one link."""
        if (known := self.by_name.get(name)) is not None:
            if known.target_port != target_port:
                raise ValueError(f"the link {name} leads to port {known.target_port}")
            return known
        link = Link(port or choose([name], {})[name], target_port)
        self._run(link.listen())
        self.by_name[name] = link
        return link

    def cut(self, *names: str) -> None:
        """End the connections of these links, and refuse new ones until `restore`."""
        for name in names:
            self._run(self[name].set_cut(True))

    def break_connections(self, *names: str) -> None:
        """End the connections of these links once; they may be made again at once."""
        for name in names:
            self._run(self[name].abort_connections())

    def restore(self, *names: str) -> None:
        """These links (none named: all) work as if nothing had been."""
        for link in [self[name] for name in names or self.by_name]:
            link.delay_seconds, link.silent = 0.0, False
            self._run(link.set_cut(False))

    async def _end_tasks(self) -> None:
        """End what still carries bytes, so that the loop can be closed."""
        await asyncio.sleep(0)  # a task that is cancelled before its begin closes nothing
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        await asyncio.sleep(0)  # the transports close their sockets in the loop's next round

    def _run(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(_STOP_SECONDS)
