"""Free ports on loopback."""

import atexit
import errno
import random
import socket
from collections.abc import Iterable
from pathlib import Path

import psutil

from deploy.local.errors import PortInUse

HOST = "127.0.0.1"
_EPHEMERAL = Path("/proc/sys/net/ipv4/ip_local_port_range")
_LOWEST = 15000
_TRIES = 200
_reservations: dict[int, socket.socket] = {}
"""Ports that this process chose, until it ends: their servers may be down now, and about to come back."""


def is_free(port: int) -> bool:
    """Whether a server could listen on the port of 127.0.0.1 now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
        return True


def is_held_by(port: int, pid: int) -> bool:
    """Whether it is this process that listens on the port."""
    try:
        held = psutil.Process(pid).net_connections("tcp")
    except psutil.NoSuchProcess:
        return False
    return any(each.status == psutil.CONN_LISTEN and each.laddr.port == port for each in held)


def choose(names: Iterable[str], fixed: dict[str, int]) -> dict[str, int]:
    """A port for each name: the fixed one where given, else a free one.

    Free ones come from below the range that the kernel hands to outgoing connections: none of those can take
    the port before its server listens on it, nor while the server is down and about to come back.
    Raises PortInUse for a fixed port that another program holds.
    """
    for name, port in fixed.items():
        if not is_free(port):
            raise PortInUse(
                f"{name}: port {port} on {HOST} is in use by another program.",
                "End that program, choose another port, or name none: then a free one is taken.",
            )
    above = _first_ephemeral()
    chosen = dict(fixed)
    for name in names:
        if name not in chosen:
            chosen[name] = _free_port(above, set(chosen.values()))
    return chosen


def free_port() -> int:
    """One such port, for a server that is no part of a stack. Raises PortInUse: there is none."""
    return _free_port(_first_ephemeral(), set())


def _first_ephemeral() -> int:
    try:
        first = int(_EPHEMERAL.read_text(encoding="ascii").split()[0])
    except (OSError, ValueError, IndexError):
        return 32768
    return first if first > _LOWEST + 1000 else 65535


def _free_port(above: int, taken: set[int]) -> int:
    for _ in range(_TRIES):
        port = random.randrange(_LOWEST, above)
        if port not in taken and is_free(port) and _reserve(port):
            return port
    raise PortInUse(f"no free port between {_LOWEST} and {above} on {HOST}.", "End some of the programs that listen.")


def _reserve(port: int) -> bool:
    """Whether no other stack on this machine has chosen the port; then none does while this process lives.

    Between choice and listening lie seconds, in which another stack may choose. The claim is the name of a Unix socket
    without a file (Linux): the kernel gives it to one process, and takes it back however that one ends.
    """
    claim = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    try:
        claim.bind(f"\0cel2crm-port-{port}")
    except OSError as error:
        claim.close()
        return error.errno != errno.EADDRINUSE
    _reservations[port] = claim
    return True


@atexit.register
def _release() -> None:
    while _reservations:
        _reservations.popitem()[1].close()
