"""What faults do to topics and groups, with a client of their own that reaches the brokers without a link."""

from collections.abc import Iterable
from typing import Any

from confluent_kafka import Consumer, ConsumerGroupTopicPartitions, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._listoffsets import OffsetSpec
from confluent_kafka.cimpl import NewPartitions

from tests.chaos.installation import PARTITIONS, Installation
from tests.chaos.services import wait_until

_SECONDS = 30.0
_BY_KEY = -1
MAX_MESSAGE = 8 * 1024 * 1024

Record = tuple[int, bytes | None, bytes | None]
"""Partition, key, value."""


class Brokers:
    """The brokers of an installation. Topics by their short names. Raises KafkaException."""

    def __init__(self, made: Installation) -> None:
        self._made = made
        servers = made.endpoints.bootstrap_servers
        if made.stack.kind == "three-brokers":
            servers = ",".join(f"127.0.0.1:{made.stack.port(name)}" for name in made.stack.brokers)
        self._servers = servers
        self._admin = AdminClient({"bootstrap.servers": servers, "log_level": 0})

    def ends(self, topic: str, partitions: int = PARTITIONS) -> list[int]:
        """The offset after the last record of each partition."""
        name = self._made.topic(topic)
        latest = OffsetSpec.latest()  # type: ignore[no-untyped-call]
        asked = {TopicPartition(name, number): latest for number in range(partitions)}
        found = self._admin.list_offsets(asked, request_timeout=_SECONDS)
        return [found[each].result().offset for each in sorted(found, key=lambda each: each.partition)]

    def total(self, topic: str, partitions: int = PARTITIONS) -> int:
        """The sum of the ends."""
        return sum(self.ends(topic, partitions))

    def expire(self, topic: str, partitions: int = PARTITIONS) -> list[int]:
        """Delete every record up to now, as retention does; how far, by partition."""
        ends = self.ends(topic, partitions)
        name = self._made.topic(topic)
        wanted = [TopicPartition(name, number, end) for number, end in enumerate(ends)]
        for each in self._admin.delete_records(wanted).values():
            each.result(_SECONDS)
        return ends

    def give_partitions(self, topic: str, count: int) -> None:
        """As `kafka-topics.sh --alter --partitions` does."""
        for each in self._admin.create_partitions([NewPartitions(self._made.topic(topic), count)]).values():
            each.result(_SECONDS)

    def delete_topic(self, topic: str) -> None:
        """Delete a topic, and wait until it is gone."""
        name = self._made.topic(topic)
        for each in self._admin.delete_topics([name]).values():
            each.result(_SECONDS)
        wait_until(lambda: name not in self._admin.list_topics(timeout=10).topics, _SECONDS, f"{name} is deleted")

    def delete_group(self, name: str) -> None:
        """Delete a consumer group's offsets; it has no members."""
        for each in self._admin.delete_consumer_groups([self._made.topic(name)]).values():
            each.result(_SECONDS)

    def until_group_empty(self, name: str) -> None:
        """Until a group's last member is gone."""

        def empty() -> bool:
            group = self._made.topic(name)
            return not self._admin.describe_consumer_groups([group])[group].result(_SECONDS).members

        wait_until(empty, 60, f"group {name} has no members")

    def lag(self, group: str, topic: str) -> int:
        """How many records a group has not committed yet."""
        name = self._made.topic(group)
        asked = [ConsumerGroupTopicPartitions(name)]
        found = self._admin.list_consumer_group_offsets(asked)[name].result(_SECONDS).topic_partitions
        full = self._made.topic(topic)
        done = {each.partition: each.offset for each in found if each.topic == full}
        return sum(max(0, end - max(0, done.get(number, 0))) for number, end in enumerate(self.ends(topic)))

    def set_forward(self, group: str, topic: str) -> list[int]:
        """Set a group's offsets to the end by hand."""
        ends, name = self.ends(topic), self._made.topic(topic)
        places = [TopicPartition(name, number, end) for number, end in enumerate(ends)]
        wanted = ConsumerGroupTopicPartitions(self._made.topic(group), places)
        for each in self._admin.alter_consumer_group_offsets([wanted]).values():
            each.result(_SECONDS)
        return ends

    def produce(self, topic: str, values: Iterable[tuple[bytes | None, bytes | None, int | None]]) -> list[str]:
        """Write key, value and partition (None: where the key belongs); the errors of those that were refused."""
        producer = Producer({"bootstrap.servers": self._servers, "message.max.bytes": MAX_MESSAGE, "log_level": 0})
        errors: list[str] = []

        def heard(error: Any, _message: Any) -> None:
            if error is not None:
                errors.append(str(error))

        name = self._made.topic(topic)
        for key, value, partition in values:
            place = _BY_KEY if partition is None else partition
            producer.produce(name, value, key=key, partition=place, on_delivery=heard)
            producer.poll(0)
        if producer.flush(_SECONDS):
            raise KafkaException("not everything could be written")
        return errors

    def read(self, topic: str, partitions: int = PARTITIONS) -> list[Record]:
        """Every record that stands there now."""
        settings = {
            "bootstrap.servers": self._servers,
            "group.id": "chaos",
            "enable.auto.commit": False,
            "log_level": 0,
        }
        consumer = Consumer({**settings, "enable.partition.eof": True, "auto.offset.reset": "earliest"})
        name, found, ended = self._made.topic(topic), [], 0
        try:
            consumer.assign([TopicPartition(name, number, 0) for number in range(partitions)])
            while ended < partitions:
                message = consumer.poll(_SECONDS)
                if message is None:
                    raise KafkaException(f"{name} cannot be read")
                if message.error() is not None:
                    ended += 1
                    continue
                found.append((message.partition() or 0, message.key(), message.value()))
        finally:
            consumer.close()
        return found
