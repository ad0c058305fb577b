"""Logging of the commands: libraries are silent where their log lines would surround our one message."""

import logging


def quiet_kafka_client() -> None:
    """Silence aiokafka: an unreachable broker is reported in our one message."""
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
