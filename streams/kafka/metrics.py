"""Prometheus metrics of every worker, and how metrics are served, the process's health beside them (health.py)."""

import contextlib
from collections.abc import Callable

from prometheus_client import Gauge, make_wsgi_app, start_http_server

from streams.errors import UserError
from streams.kafka.partition_owner import HEALTH

HELD_PARTITIONS = Gauge("cel2crm_held_partitions", "Partitions that consumer groups gave to this process")
_held: dict[str, int] = {}
"""By group."""


def hold_partitions(group: str, count: int) -> None:
    """Say how many partitions a group gave to this process, which may be a member of several."""
    _held[group] = count
    HELD_PARTITIONS.set(sum(_held.values()))


def serve_metrics(port: int | None, host: str, setting: str) -> Callable[[], None]:
    """Serve this process's metrics where a port is set; returns what ends it. `setting`: the port's, for messages.

    Raises UserError: the port cannot be used.
    """
    if port is None:
        return lambda: None
    try:
        server, thread = start_http_server(port, addr=host)
    except OSError as error:
        raise UserError(
            f"metrics cannot be served on {host}:{port}: {error.strerror}",
            f"Set {setting} to a free port, or leave it out.",
        ) from None
    server.set_app(HEALTH.around(make_wsgi_app()))

    def end() -> None:
        server.shutdown()
        server.server_close()
        with contextlib.suppress(RuntimeError):
            thread.join(5)

    return end
