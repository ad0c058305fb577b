"""Metrics served: by workers, and by `connectors watch`."""

import socket
import urllib.request

import pytest

from streams.errors import UserError
from streams.kafka.metrics import serve_metrics


def test_a_port_serves_the_metrics_until_its_end() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(UserError, match=r"connect\.metrics_port"):
            serve_metrics(port, "127.0.0.1", "connect.metrics_port")
    end = serve_metrics(port, "127.0.0.1", "connect.metrics_port")
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
            assert b"cel2crm_held_partitions" in answer.read()
    finally:
        end()
    socket.create_server(("127.0.0.1", port)).close()


def test_without_a_port_there_is_nothing_to_end() -> None:
    serve_metrics(None, "127.0.0.1", "connect.metrics_port")()
