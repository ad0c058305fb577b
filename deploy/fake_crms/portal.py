"""A fake portal without its HTTP server: what each CRM defines, and the state that all of them keep."""

from __future__ import annotations

import asyncio
import dataclasses
import time
from abc import ABC, abstractmethod
from collections import Counter, deque
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar, Self

from deploy.fake_crms.entry import STAFF, Entry, PortalUser
from deploy.fake_crms.exchange import Answer, Inbound
from deploy.fake_crms.faults import Fault, FaultPlan
from deploy.fake_crms.journal import Event, Journal
from deploy.fake_crms.tokens import TokenStore

LOG_LENGTH = 20_000


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class PortalConfig:
    """What all portals have in common. `state_dir` None keeps everything in memory. `lookup_lag`: seconds until a
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
    """A fake CRM portal: an account of one customer. `server.PortalServer` puts it on the network:

    async with Bitrix24Portal(Bitrix24Config()) as portal:
        ... portal.url
    """

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
        """Called with `arrived` before a request is served and with `answered` when its answer is on its way."""
        self.tokens = TokenStore(self.record)
        self._journal = Journal(config.state_dir / f"{self.name}.jsonl" if config.state_dir else None)
        self._skew = 0.0
        self._port = config.port
        self._closing = asyncio.Event()
        self._repeats: set[asyncio.Task[None]] = set()

    # What each CRM defines.

    @abstractmethod
    def operation(self, method: str, path: str) -> str | None:
        """The vendor's name, in lower case, of what a request asks for; None if the path is not the vendor's at all."""

    @abstractmethod
    def answer(self, inbound: Inbound) -> Answer:
        """Carry out a request and give its answer."""

    @abstractmethod
    def vendor_error(self, mode: str, inbound: Inbound, fault: Fault) -> Answer:
        """The vendor's error answer for a mode of `faults.VENDOR_MODES`."""

    @abstractmethod
    def entries(self) -> list[Entry]:
        """The calls that a user of the CRM sees, in the order in which they came."""

    @abstractmethod
    def orphans(self) -> list[dict[str, Any]]:
        """Calls that were begun and never finished: no user of the CRM sees them."""

    @abstractmethod
    def popups(self) -> list[dict[str, Any]]:
        """Call cards that opened on somebody's screen."""

    def tasks(self) -> list[dict[str, Any]]:
        """The tasks that a user of the CRM sees: `id`, `text`, `entity`, `user_id`, `due_at`, `is_open` each."""
        return []

    @abstractmethod
    def apply(self, kind: str, event: Event) -> None:
        """Apply one recorded change of state."""

    @abstractmethod
    def forget(self) -> None:
        """Forget calls and what came with them, keep the people and the tokens."""

    @abstractmethod
    def grant_configured_tokens(self) -> None:
        """Grant the tokens that the configuration names."""

    # What the server defines (server.py).

    @abstractmethod
    async def start(self) -> None:
        """Read what former runs left and listen. Raises OSError if the port is taken."""

    @abstractmethod
    async def stop(self) -> None:
        """Close the portal: requests under way are cut off."""

    @abstractmethod
    async def go_away(self, seconds: float | None = None, keep: asyncio.BaseTransport | None = None) -> None:
        """Stop listening for `seconds`, or until `come_back`: connections are refused, those open are reset, except
        `keep`."""

    @abstractmethod
    async def come_back(self) -> None:
        """Listen again, on the same port."""

    @abstractmethod
    async def restart(self, seconds: float, keep: asyncio.BaseTransport | None = None) -> None:
        """Go away as if killed, and start again after `seconds`: with a state folder, only what it holds is
        remembered."""

    # State.

    def now(self) -> float:
        """The portal's clock, unix seconds."""
        return self._config.clock() + self._skew

    def advance_clock(self, seconds: float) -> None:
        """Set the portal's clock ahead (or back, if negative): tokens expire, idempotency windows close."""
        self._skew += seconds

    def record(self, kind: str, event: Event) -> None:
        """Write a change of state to the journal, then apply it."""
        self._journal.append({"kind": kind, **event})
        self._apply_event(kind, event)

    def _apply_event(self, kind: str, event: Event) -> None:
        if not self.tokens.apply(kind, event):
            self.apply(kind, event)

    def _replay_journal(self) -> None:
        for event in self._journal.replay():
            self._apply_event(event.pop("kind"), event)

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

    # Address and life.

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

    async def pause(self, seconds: float | None) -> None:
        """Let seconds pass (None: no limit); ends early when the portal closes."""
        try:
            await asyncio.wait_for(self._closing.wait(), seconds)
        except TimeoutError:
            return

    def answer_again(self, inbound: Inbound, seconds: float) -> None:
        """Serve the same request once more after `seconds`; nobody receives that answer."""

        async def again() -> None:
            await self.pause(seconds)
            if not self._closing.is_set():
                self.answer(inbound)

        task = asyncio.create_task(again())
        self._repeats.add(task)
        task.add_done_callback(self._repeats.discard)
