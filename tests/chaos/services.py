"""The product's processes, started again when they fail, as systemd does with `Restart=on-failure`, `RestartSec=1`."""

import signal
import sys
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from deploy.local import LocalStack, StackError

RESTART_SECONDS = 1.0
_POLL_SECONDS = 0.3
_END_SECONDS = 45.0


@dataclass(frozen=True, slots=True)
class Ended:
    """A process that ended without being asked to. `at`: Unix time."""

    at: float
    name: str
    status: int


@dataclass
class Services:
    """Processes by name. A process that ends with status 0 is not started again: it said that it was done."""

    stack: LocalStack
    ended: list[Ended] = field(default_factory=list)
    pids: dict[str, int] = field(default_factory=dict)
    _commands: dict[str, tuple[list[str | Path], Mapping[str, str] | None]] = field(default_factory=dict)
    _stopped: set[str] = field(default_factory=set)
    """Nobody wants them to run now."""
    _over: threading.Event = field(default_factory=threading.Event)
    _lock: threading.RLock = field(default_factory=threading.RLock)
    _keeper: threading.Thread | None = None

    def __enter__(self) -> "Services":
        self._keeper = threading.Thread(target=self._keep, name="services", daemon=True)
        self._keeper.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        if self._keeper is not None:
            self._keeper.join(_END_SECONDS)
        for name in self.names():
            if self.stack.exit_status(name) is None:
                self.stack.kill(name)

    def names(self) -> list[str]:
        """Everything that was started."""
        return list(self._commands)

    def running(self) -> list[str]:
        """What runs now."""
        return [name for name in self.names() if self.stack.exit_status(name) is None]

    def log(self, name: str) -> Path:
        """Its log, over all its starts."""
        return self.stack.log(name)

    def add(self, name: str, command: Sequence[str | Path], env: Mapping[str, str] | None = None) -> None:
        """Start a process, and keep it running."""
        with self._lock:
            self._commands[name] = list(command), env
            self._stopped.discard(name)
            self._run(name)

    def remove(self, name: str, number: signal.Signals = signal.SIGTERM) -> None:
        """End a process for good."""
        self.stop(name, number)
        self.forget(name)

    def forget(self, name: str) -> None:
        """Leave out a process that was stopped."""
        with self._lock:
            del self._commands[name]
            self._stopped.discard(name)
            self.pids.pop(name, None)

    def stop(self, name: str, number: signal.Signals = signal.SIGTERM) -> None:
        """End a process and leave it so; SIGKILL where it does not end by itself. Raises StackError."""
        with self._lock:
            self._stopped.add(name)
            self.stack.send_signal(name, number)
        deadline = time.monotonic() + _END_SECONDS
        while self.stack.exit_status(name) is None:
            if time.monotonic() > deadline:
                self.stack.kill(name)
                raise StackError(f"{name} did not end within {_END_SECONDS:.0f} s of {number.name}.")
            time.sleep(0.05)

    def start(self, name: str, env: Mapping[str, str] | None = None) -> None:
        """Start a process again that was stopped; `env`: another environment than before."""
        with self._lock:
            if env is not None:
                self._commands[name] = self._commands[name][0], env
            self._stopped.discard(name)
            self._run(name)

    def restart(self, names: Iterable[str]) -> None:
        """Stop them all, then start them in this order."""
        names = list(names)
        for name in names:
            self.stop(name)
        for name in names:
            self.start(name)

    def kill(self, name: str) -> None:
        """SIGKILL; it is started again."""
        self.stack.send_signal(name, signal.SIGKILL)

    def signal(self, name: str, number: signal.Signals) -> None:
        """Send a signal after which it lives on."""
        self.stack.send_signal(name, number)

    def _run(self, name: str) -> None:
        command, env = self._commands[name]
        self.pids[name] = self.stack.run(name, command, env=env)

    def _keep(self) -> None:
        failed_at: dict[str, float] = {}
        while not self._over.wait(_POLL_SECONDS):
            for name in self.names():
                with self._lock:
                    if name in self._stopped or name not in self._commands:
                        continue
                    status = self.stack.exit_status(name)
                    if status is None:
                        continue
                    if name not in failed_at:
                        failed_at[name] = time.monotonic()
                        self.ended.append(Ended(time.time(), name, status))
                        if status == 0:
                            self._stopped.add(name)
                            del failed_at[name]
                    elif time.monotonic() - failed_at[name] >= RESTART_SECONDS:
                        del failed_at[name]
                        self._run(name)


def command_line(*words: str | Path, settings: Path) -> list[str | Path]:
    """`cel2crm ..` with this Python."""
    return [sys.executable, "-m", "streams.cli.main", *words, "--settings", settings]


def wait_until(reached: Callable[[], bool], seconds: float, what: str) -> None:
    """Wait for a condition. Raises NotReached naming `what`."""
    deadline = time.monotonic() + seconds
    while not reached():
        if time.monotonic() > deadline:
            raise NotReached(f"not within {seconds:.0f} s: {what}")
        time.sleep(0.1)


class NotReached(Exception):
    """A condition did not come in its time."""
