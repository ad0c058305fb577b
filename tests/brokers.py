"""Brokers as clients take them, for tests that know only where these listen."""

from streams.settings import KafkaSettings


def brokers(servers: str) -> KafkaSettings:
    """An open listener at `host:port`."""
    return KafkaSettings(bootstrap_servers=servers)
