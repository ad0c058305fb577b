"""The links of the chaos suite close what they opened."""

import gc
import socket

import pytest

from deploy.local.ports import HOST
from tests.chaos.links import Links


def test_two_addresses_of_one_server_are_one_link() -> None:
    with socket.create_server((HOST, 0)) as server, Links() as links:
        port = server.getsockname()[1]
        link = links.open("kommo", port)
        assert links.open("kommo", port) is link
        with pytest.raises(ValueError, match="leads to port"):
            links.open("kommo", port + 1)


@pytest.mark.filterwarnings("error")
def test_no_socket_outlives_the_links() -> None:
    with socket.create_server((HOST, 0)) as server:
        clients = []
        with Links() as links:
            link = links.open("kafka", server.getsockname()[1])
            for _ in range(20):  # some are accepted, some are not yet, when the links end
                clients.append(socket.create_connection((HOST, link.port)))
        for client in clients:
            client.close()
        del links, link
        gc.collect()  # an unclosed socket is a warning, and a warning is an error
