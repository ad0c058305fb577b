"""Recorded calls straight onto the topic `cel`, as Debezium would write them, and the ledger of them."""

import threading
from typing import Any

import orjson
from confluent_kafka import Producer

from deploy.local import Endpoints
from streams.kafka.topic_client import partition_of
from tests.chaos.call_flow import CallFlow, Connection, Row
from tests.worker_installation import captured

_QUEUE_SECONDS = 60.0


class TopicFlow(CallFlow):
    """Writes calls row by row, whatever becomes of the brokers meanwhile: a row is sent until it is taken, in order.

    The ledger's `at` is when a call's last row was handed over, not when the brokers had it.
    """

    def __init__(
        self, endpoints: Endpoints, servers: str, topic: str, partitions: int, seed: str, calls_per_second: float
    ) -> None:
        super().__init__(endpoints, seed, calls_per_second=calls_per_second, lanes=12, row_pause=0.1)
        self._topic = topic
        self._partitions = partitions
        self._next_id = 0
        self._ordered = threading.Lock()
        self.errors: list[str] = []
        self._producer = Producer(
            {
                "bootstrap.servers": servers,
                "enable.idempotence": True,
                "acks": "all",
                "message.timeout.ms": 0,  # never given up
                "linger.ms": 5,
                "log_level": 0,
            }
        )

    def pause(self, seconds: float = 60.0) -> None:
        """See CallFlow; also until the brokers have every row."""
        super().pause(seconds)
        if left := self._producer.flush(_QUEUE_SECONDS):
            raise TimeoutError(f"{left} rows are not taken by the brokers")
        if self.errors:
            raise AssertionError(f"rows of the test itself were refused: {self.errors[:3]}")

    def _insert(self, connection: Connection | None, row: Row) -> tuple[Connection | None, Row]:
        with self._ordered:  # ids rise as they are written
            self._next_id += 1
            written: dict[str, Any] = {"id": self._next_id, **row}
            key = row["linkedid"].encode()
            self._producer.produce(
                self._topic,
                orjson.dumps(captured(written)),
                key,
                partition_of(key, self._partitions),
                on_delivery=self._heard,
            )
        self._producer.poll(0)
        return None, written

    def _heard(self, error: Any, _message: Any) -> None:
        if error is not None:
            self.errors.append(str(error))


def rows_of(flow: TopicFlow, first_call: int) -> list[dict[str, Any]]:
    """The rows of the calls from that one on, as they stand on the topic."""
    return [captured(row) for call in flow.calls[first_call:] for row in call.rows]
