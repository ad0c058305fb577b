"""A process that cannot outlive the one that started it.

`python -m deploy.demo.tether COMMAND..` runs the command and ends it when its own standard input closes, which
happens even when the parent is killed with SIGKILL.
"""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO

GRACE_SECONDS = 10.0


class Tethered:
    """A command under a tether, its output in a log file."""

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        log: Path,
        environment: Mapping[str, str] | None = None,
        stdout: int | None = None,
    ) -> None:
        self.name = name
        self.log = log
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "deploy.demo.tether", *command],
                stdin=subprocess.PIPE,
                stdout=stdout if stdout is not None else output,
                stderr=output,
                env={**os.environ, **(environment or {})},
                start_new_session=True,
            )

    @property
    def stdout(self) -> IO[bytes] | None:
        """What it prints, where it was asked for."""
        return self._process.stdout

    @property
    def ended(self) -> int | None:
        """Exit status; None while it runs."""
        return self._process.poll()

    def log_tail(self, lines: int = 12) -> str:
        """The last lines of its log."""
        return "\n".join(self.log.read_text(encoding="utf-8", errors="replace").splitlines()[-lines:])

    def stop(self) -> None:
        """End it and wait: asked first, then killed."""
        if self._process.stdin is not None:
            self._process.stdin.close()
        try:
            self._process.wait(2 * GRACE_SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()


def _main(command: list[str]) -> int:
    # The command's own standard input is empty: what comes on ours is only the end of the parent.
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL)

    def parent_ended() -> None:
        while os.read(0, 4096):  # not sys.stdin: its lock would be held when this process ends
            pass
        process.terminate()
        try:
            process.wait(GRACE_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()

    signal.signal(signal.SIGTERM, lambda *_: process.terminate())
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=parent_ended, daemon=True).start()
    return process.wait()


if __name__ == "__main__":
    sys.exit(_main(sys.argv[1:]))
