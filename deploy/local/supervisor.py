"""The process that owns every server of a local stack. Standard library only: it is run as a file.

    python -I supervisor.py CHANNEL_FD PARENT_PID DIRECTORY

It makes DIRECTORY, starts processes when told to over the channel (one JSON object a line, one answer each) and
ends them all, with the directory, as soon as one of these happens: the other end of the channel closes or the
parent is gone (it died, be it by SIGKILL), `shutdown` is asked for, or SIGTERM comes. After `detach` only SIGTERM
ends it.

Every process gets a session of its own, so that signals of the terminal do not reach it and its whole group can
be killed. This process is also the subreaper of whatever they start, and they die with it (parent-death signal):
nothing gets away, whoever is killed first.
"""

import contextlib
import ctypes
import json
import os
import selectors
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36
END_TIMEOUT = 20.0  # seconds until a killed process counts as unkillable

_libc = ctypes.CDLL(None, use_errno=True)


def _die_with_supervisor() -> None:
    _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


class Supervisor:
    """Processes by name. One thread; each request is answered before the next is read."""

    def __init__(self, channel: socket.socket, directory: Path) -> None:
        self._channel = channel
        self._directory = directory
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._detached = False

    def serve(self, parent: int) -> None:
        """Answer requests until it is time to end; then end everything."""
        received, signalled = socket.socketpair()
        signalled.setblocking(False)
        for number in (signal.SIGTERM, signal.SIGCHLD):
            signal.signal(number, lambda *_: None)
        signal.set_wakeup_fd(signalled.fileno())
        with selectors.DefaultSelector() as selector:
            selector.register(received, selectors.EVENT_READ)
            selector.register(self._channel, selectors.EVENT_READ)
            with contextlib.suppress(ProcessLookupError):
                selector.register(os.pidfd_open(parent), selectors.EVENT_READ, data="parent")
            self._loop(selector, received)
        self._end_everything()

    def _loop(self, selector: selectors.BaseSelector, received: socket.socket) -> None:
        pending = b""
        while True:
            for key, _ in selector.select():
                if key.fileobj is received:
                    if signal.SIGTERM in received.recv(4096):
                        return
                    for process in self._processes.values():
                        process.poll()
                elif key.data == "parent":
                    if not self._detached:
                        return
                    selector.unregister(key.fileobj)
                else:
                    chunk = self._received()
                    if not chunk and not self._detached:
                        return
                    if not chunk:
                        selector.unregister(self._channel)
                    *lines, pending = (pending + chunk).split(b"\n")
                    for line in lines:
                        request = json.loads(line)
                        if request["do"] == "shutdown":
                            return
                        self._answer(request)

    def _received(self) -> bytes:
        """Bytes from the channel; none when its other end is closed, or was killed before it had read an answer."""
        try:
            return self._channel.recv(65536)
        except ConnectionResetError:
            return b""

    def _answer(self, request: dict[str, Any]) -> None:
        try:
            answer = getattr(self, "do_" + request.pop("do"))(**request)
        except (OSError, KeyError, subprocess.SubprocessError) as error:
            answer = {"error": f"{type(error).__name__}: {error}"}
        with contextlib.suppress(BrokenPipeError):
            self._channel.sendall(json.dumps(answer).encode() + b"\n")

    def do_spawn(self, name: str, argv: list[str], env: dict[str, str], cwd: str, log: str) -> dict[str, Any]:
        earlier = self._processes.get(name)
        if earlier is not None and earlier.poll() is None:
            return {"error": f"{name} is running already (process {earlier.pid})"}
        with Path(log).open("ab") as output:
            process = subprocess.Popen(
                argv,
                env=env,
                cwd=cwd,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=_die_with_supervisor,  # noqa: PLW1509 - this process has one thread
            )
        self._processes[name] = process
        return {"pid": process.pid}

    def do_signal(self, name: str, number: int) -> dict[str, Any]:
        process = self._processes[name]
        if process.poll() is None:
            os.killpg(process.pid, number)
        return {}

    def do_end(self, name: str, number: int) -> dict[str, Any]:
        """Signal the whole group and wait until its first process is gone."""
        self.do_signal(name, number)
        return {"status": self._processes[name].wait(END_TIMEOUT)}

    def do_status(self) -> dict[str, Any]:
        return {"status": {name: process.poll() for name, process in self._processes.items()}}

    def do_detach(self) -> dict[str, Any]:
        self._detached = True
        return {}

    def _end_everything(self) -> None:
        for process in self._processes.values():
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
        while True:
            for orphan in _children():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(orphan, signal.SIGKILL)
            try:
                os.waitpid(-1, 0)
            except ChildProcessError:
                break
        shutil.rmtree(self._directory, ignore_errors=True)


def _children() -> list[int]:
    """Direct children of this process, those that were left to it included."""
    listing = Path(f"/proc/self/task/{os.getpid()}/children")
    return [int(pid) for pid in listing.read_text(encoding="ascii").split()] if listing.exists() else []


def main() -> None:
    channel_fd, parent, directory = int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3])
    channel = socket.socket(fileno=channel_fd)
    channel.set_inheritable(False)
    _libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    try:
        directory.mkdir(mode=0o700)
        (directory / "logs").mkdir()
        log = os.open(directory / "logs" / "supervisor.log", os.O_WRONLY | os.O_CREAT, 0o600)
        os.dup2(log, 1)
        os.dup2(log, 2)
        channel.sendall(b"{}\n")
    except OSError as error:
        channel.sendall(json.dumps({"error": str(error)}).encode() + b"\n")
        return
    Supervisor(channel, directory).serve(parent)


if __name__ == "__main__":
    main()
