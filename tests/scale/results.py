"""The results as they come onto `call-results`, each with the time when a consumer had it."""

import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from confluent_kafka import Consumer, TopicPartition

from schemas import SchemaRegistry, Serializer, written_as

_POLL_SECONDS = 0.2


@dataclass(slots=True)
class SeenResult:
    """The highest version of a call. `at`: Unix time when it was first read."""

    version: int
    value: bytes
    at: float
    schema_header: bytes | None


@dataclass
class ResultsSeen:
    """Follows the topic in a thread. Use in `with`."""

    servers: str
    topic: str
    partitions: int
    registry_url: str
    _last: dict[str, SeenResult] = field(default_factory=dict)
    _two_forms: list[str] = field(default_factory=list)
    _values: dict[tuple[str, int], bytes] = field(default_factory=dict)
    _over: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None
    _fault: BaseException | None = None

    def __enter__(self) -> "ResultsSeen":
        self._thread = threading.Thread(target=self._follow, name="results", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        if self._thread is not None:
            self._thread.join(10)

    def last(self, call_id: str) -> SeenResult | None:
        """The highest version that was read. Raises what the reader failed with."""
        if self._fault is not None:
            raise AssertionError("the results can be read no more") from self._fault
        return self._last.get(call_id)

    def calls(self) -> set[str]:
        """Every call of which there is a result."""
        return set(self._last)

    def two_forms(self) -> list[str]:
        """Calls of which one version stands there with different bytes."""
        return list(self._two_forms)

    def decoded(self, seen: SeenResult) -> Mapping[str, Any]:
        """The record's fields."""
        return self._serializer().decode_own(seen.value, "call_result", seen.schema_header)

    def _serializer(self) -> Serializer:
        return SchemaRegistry(self.registry_url).reader(["call_result"])

    def _follow(self) -> None:
        settings = {"bootstrap.servers": self.servers, "group.id": "scale-results", "enable.auto.commit": False}
        consumer = Consumer({**settings, "auto.offset.reset": "earliest", "log_level": 0, "fetch.wait.max.ms": 20})
        consumer.assign([TopicPartition(self.topic, number, 0) for number in range(self.partitions)])
        serializer = self._serializer()
        try:
            while not self._over.is_set():
                message = consumer.poll(_POLL_SECONDS)
                if message is None or message.error():
                    continue  # it tries again by itself
                self._take(serializer, message)
        except BaseException as error:  # told to whoever asks
            self._fault = error
        finally:
            consumer.close()

    def _take(self, serializer: Serializer, message: Any) -> None:
        at, value, header = time.time(), message.value(), written_as(message.headers() or [])
        record = serializer.decode_own(value, "call_result", header)
        call_id, version = record["call_id"], record["version"]
        if self._values.setdefault((call_id, version), value) != value:
            self._two_forms.append(call_id)
        known = self._last.get(call_id)
        if known is None or version > known.version:
            self._last[call_id] = SeenResult(version, value, at, header)
