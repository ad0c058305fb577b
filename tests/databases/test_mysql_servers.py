"""MySQL 8: Debian has no server, so what Kafka Connect and Debezium say of the configuration is all that is tried."""

import pytest
from aiohttp.test_utils import unused_port

from connectors.apply import connect_client
from connectors.source import source_config
from deploy.local import LocalStack
from streams.settings import Settings

pytestmark = pytest.mark.servers


async def test_debezium_accepts_the_configuration_and_misses_only_the_server(stack: LocalStack) -> None:
    at, port = stack.endpoints, unused_port()
    settings = Settings.model_validate(
        {
            "database": {"engine": "mysql", "host": "127.0.0.1", "port": port, "password": "p"},
            "kafka": {"bootstrap_servers": at.bootstrap_servers, "topic_prefix": "mysqlpbx"},
            "connect": {"url": at.connect_url, "password_reference": f"${{file:{at.secrets_file}:cel.password}}"},
        }
    )
    config = source_config(settings)
    async with connect_client(settings) as connect:
        (fault,) = await connect.validate(config)
        assert "database.hostname" in fault, fault
        wrong = await connect.validate({**config, "snapshot.mode": "sometimes", "table.include.list": "("})
    assert len(wrong) > 1, wrong
