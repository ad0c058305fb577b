"""Silence of libraries whose log lines would surround our one message."""

import logging


def quiet_kafka_client() -> None:
    """An unreachable broker is told in our one message; aiokafka's own log lines would surround it."""
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
