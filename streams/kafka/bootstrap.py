"""The first metadata of a client of aiokafka, from whichever of its brokers answers first.

aiokafka asks kafka.bootstrap_servers one after the other, in an order of chance, and waits for each as long as for any
request: 30 to 90 seconds. Where the machine of one is gone, so that nothing comes back, most clients would not start in
their time: a worker opens one for each partition that it takes over. tests/kafka/test_faust_overrides.py holds the hash
of the method that is replaced.
"""

import logging
from functools import partial
from typing import Any

from aiokafka.client import AIOKafkaClient, ConnectionGroup
from aiokafka.conn import AIOKafkaConnection, create_conn
from aiokafka.errors import KafkaConnectionError, KafkaError
from aiokafka.protocol.metadata import MetadataRequest
from aiokafka.util import create_task

from streams.kafka.first_answer import first_answer

UPSTREAM = AIOKafkaClient.bootstrap

_log = logging.getLogger("aiokafka")

_Answer = tuple[AIOKafkaConnection, Any]


async def bootstrap(client: AIOKafkaClient) -> None:
    """In the place of AIOKafkaClient.bootstrap. Raises KafkaConnectionError: no broker answers."""
    hosts = client.hosts
    found = await first_answer([partial(_ask, client, host, port) for host, port, _ in hosts], _close)
    if found is None:
        raise KafkaConnectionError(f"Unable to bootstrap from {hosts}")
    connection, metadata = found
    client.cluster.update_metadata(metadata)
    if client.cluster.brokers():
        connection.close()
    else:  # of a cluster that names no broker yet: asked again here until it does
        client._conns["bootstrap", ConnectionGroup.DEFAULT] = connection
    if client._sync_task is None:
        client._sync_task = create_task(client._md_synchronizer())


def use_first_answer() -> None:
    """Have aiokafka's clients in this process start by `bootstrap`."""
    AIOKafkaClient.bootstrap = bootstrap


def own_login(client: AIOKafkaClient) -> dict[str, Any]:
    """How this client connects: as it was given by login.py."""
    return {
        "client_id": client._client_id,
        "request_timeout_ms": client._request_timeout_ms,
        "ssl_context": client._ssl_context,
        "security_protocol": client._security_protocol,
        "max_idle_ms": client._connections_max_idle_ms,
        "sasl_mechanism": client._sasl_mechanism,
        "sasl_plain_username": client._sasl_plain_username,
        "sasl_plain_password": client._sasl_plain_password,
        "sasl_kerberos_service_name": client._sasl_kerberos_service_name,
        "sasl_kerberos_domain_name": client._sasl_kerberos_domain_name,
        "sasl_oauth_token_provider": client._sasl_oauth_token_provider,
    }


async def _ask(client: AIOKafkaClient, host: str, port: int) -> _Answer | None:
    """None: it cannot be reached, or does not answer."""
    connection: AIOKafkaConnection | None = None
    try:
        connection = await create_conn(host, port, **own_login(client))
        return connection, await connection.send(MetadataRequest([]))
    except (OSError, KafkaError, TimeoutError) as error:
        _log.error('Unable connect to "%s:%s": %s', host, port, error)
    except BaseException:
        if connection is not None:
            connection.close()
        raise
    if connection is not None:
        connection.close()
    return None


def _close(answer: _Answer) -> None:
    answer[0].close()
