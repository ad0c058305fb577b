"""A database server of the tests' own, as a process that ends with its parent."""

import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

PASSWORD = "of the test's own"
HOST = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class OwnServer:
    """Where it listens; PASSWORD is its administrator's."""

    host: str
    port: int
    stop: Callable[[], None] = field(default=lambda: None, compare=False)
    start: Callable[[], None] = field(default=lambda: None, compare=False)
    """The same server, its data and its port, for tests that take it away for a while."""


@contextmanager
def serving(
    home: Path,
    command: Callable[[int], Sequence[str | Path]],
    answers: Callable[[int], bool],
    end: signal.Signals,
    *,
    port: int,
    later_port: int | None = None,
    **options: Any,
) -> Iterator[tuple[Callable[[], None], Callable[[], None]]]:
    """The server of `command(port)`, once it `answers(port)`; how to stop it, and to start it again at `later_port`.

    `end`: the signal that ends it, also when its parent dies; `options`: of subprocess.Popen.
    """
    servers: list[subprocess.Popen[bytes]] = []
    log = home / "log"

    def start(at: int = later_port or port) -> None:
        with log.open("ab") as file:
            words = ["setpriv", "--pdeathsig", end.name.removeprefix("SIG"), *command(at)]
            server = subprocess.Popen(words, stdout=file, stderr=file, cwd=home, **options)
        servers.append(server)
        while not answers(at):
            assert server.poll() is None, log.read_text()
            time.sleep(0.05)

    def stop() -> None:
        while servers:
            server = servers.pop()
            server.send_signal(end)
            server.wait(60)

    try:
        start(port)
        yield stop, start
    finally:
        stop()
