"""This side of the supervisor: start it, tell it what to run, and let everything end with this process."""

import contextlib
import ctypes
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deploy.local.errors import StackError

_PR_SET_PDEATHSIG = 1
_SUPERVISOR = Path(__file__).with_name("supervisor.py")


@dataclass(frozen=True, slots=True)
class ProcessId:
    """A process beyond doubt: its number, and when it started (clock ticks since boot), since numbers come back."""

    pid: int
    started: int

    @classmethod
    def of(cls, pid: int) -> "ProcessId | None":
        """The process that has this number now; None if there is none, or only a dead one nobody has waited for."""
        try:
            stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
        except (FileNotFoundError, ProcessLookupError):
            return None
        state, *fields = stat.rpartition(")")[2].split()
        return None if state in "ZX" else cls(pid, int(fields[18]))

    def is_alive(self) -> bool:
        return ProcessId.of(self.pid) == self


class Supervision:
    """A running supervisor and the processes in it. Safe to use from several threads."""

    def __init__(self, directory: Path) -> None:
        """Start a supervisor that makes `directory` (its parent must exist) and removes it when it ends."""
        self.directory = directory
        self._lock = threading.Lock()
        self._channel, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-I", _SUPERVISOR, str(theirs.fileno()), str(os.getpid()), directory],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
        self._answers = self._channel.makefile("rb")
        try:
            self._read_answer()
        except BaseException:
            self.shut_down()
            raise
        identity = ProcessId.of(self._process.pid)
        assert identity is not None  # it has just answered
        self.identity = identity

    def spawn(self, name: str, argv: Sequence[str | Path], *, env: Mapping[str, str], cwd: Path, log: Path) -> int:
        """Run a command under a name; its output is appended to `log`. Returns its process id."""
        words = [str(word) for word in argv]
        answer = self._ask("spawn", name=name, argv=words, env=dict(env), cwd=str(cwd), log=str(log))
        return int(answer["pid"])

    def send_signal(self, name: str, number: signal.Signals) -> None:
        """Signal a process and all of its group, and return at once."""
        self._ask("signal", name=name, number=int(number))

    def end(self, name: str, number: signal.Signals = signal.SIGKILL) -> int:
        """Signal a process and its group, wait until it is gone; its exit status (negative: the signal)."""
        return int(self._ask("end", name=name, number=int(number))["status"])

    def exit_status(self, name: str) -> int | None:
        """None while it runs."""
        status: int | None = self._ask("status")["status"].get(name)
        return status

    def detach(self) -> None:
        """Let everything outlive this process, until somebody sends the supervisor SIGTERM."""
        self._ask("detach")
        self._close()
        self._process.returncode = 0  # given up: nobody is to wait for it, nor to warn that nobody did

    def shut_down(self) -> None:
        """End every process, remove the directory, and wait until that is done. May be called twice."""
        self._close()
        self._process.wait()

    def _close(self) -> None:
        with contextlib.suppress(OSError):
            self._channel.shutdown(socket.SHUT_RDWR)  # wakes a thread that waits for an answer
        self._answers.close()
        self._channel.close()

    def _ask(self, request: str, **details: Any) -> dict[str, Any]:
        with self._lock:
            try:
                self._channel.sendall(json.dumps({"do": request, **details}).encode() + b"\n")
                return self._read_answer()
            except (OSError, ValueError) as error:  # ValueError: read from a closed file
                raise StackError("The local stack has been stopped.", "Start it again.") from error

    def _read_answer(self) -> dict[str, Any]:
        line = self._answers.readline()
        if not line:
            raise StackError("The supervisor of the local stack has ended.", "Start the stack again.")
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise StackError(f"The local stack in {self.directory}: {answer['error']}.")
        return answer


def end_with_parent() -> None:
    """Have the kernel end this process (SIGKILL) when its parent dies, as when somebody kills `make`.

    For a main program that is nobody's server: processes that change their user lose this, servers belong to a
    supervisor. Call it from the main thread.
    """
    parent = os.getppid()
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:  # it died before the line above
        os.kill(os.getpid(), signal.SIGKILL)
