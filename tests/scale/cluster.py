"""Three brokers, each a controller as well, and a schema registry."""

from collections.abc import Callable, Sequence
from pathlib import Path

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from deploy.local import parts
from deploy.local.ports import HOST
from tests.chaos.servers import BROKERS, VariantStack, cluster_configuration, of_cluster
from tests.chaos.services import wait_until

TRANSACTIONS = "__transaction_state"
_SECONDS = 10.0


class Broker(parts.Kafka):
    """One of three."""

    number = 1

    def configuration(self) -> dict[str, str | int]:
        return super().configuration() | cluster_configuration(self.number, self.site.ports)

    def preparation(self) -> Sequence[str | Path]:
        return of_cluster(super().preparation())

    def is_ready(self) -> bool:
        """Whether this one serves, and not another."""
        try:
            return bool(_admin(f"{HOST}:{self.site.ports[self.name]}").list_topics(timeout=1.0).brokers)
        except KafkaException:
            return False


class SecondBroker(Broker):
    name = "kafka-2"
    ports = ("kafka-2", "kafka-2-controller")
    number = 2


class ThirdBroker(Broker):
    name = "kafka-3"
    ports = ("kafka-3", "kafka-3-controller")
    number = 3


class Cluster(VariantStack):
    """The servers, and what an administrator sees of them."""

    def __init__(self) -> None:
        brokers = {broker.name: broker for broker in (Broker, SecondBroker, ThirdBroker)}
        super().__init__(brokers, (*BROKERS, "registry"))

    @property
    def bootstrap_servers(self) -> str:
        """All three."""
        return ",".join(f"{HOST}:{self.port(name)}" for name in BROKERS)

    def until_whole(self, seconds: float = 120.0) -> None:
        """Until all brokers are there and every replica of every partition is in sync."""
        wait_until(self.is_whole, seconds, "three brokers, every replica in sync")

    def is_whole(self) -> bool:
        """Whether nothing lacks."""
        try:
            seen = _admin(self.bootstrap_servers).list_topics(timeout=_SECONDS)
        except KafkaException:
            return False
        partitions = [each for topic in seen.topics.values() for each in topic.partitions.values()]
        return len(seen.brokers) == len(BROKERS) and all(len(each.isrs) == len(each.replicas) for each in partitions)

    def leader(self, topic: str, partition: int = 0) -> str:
        """The broker that leads a partition."""

        def look(admin: AdminClient) -> int:
            return int(admin.list_topics(topic, timeout=_SECONDS).topics[topic].partitions[partition].leader)

        return self._broker(look)

    def coordinator_of_group(self, group: str) -> str:
        """The broker that coordinates a consumer group."""

        def look(admin: AdminClient) -> int:
            asked = admin.describe_consumer_groups([group], request_timeout=_SECONDS)
            return int(asked[group].result(_SECONDS).coordinator.id)

        return self._broker(look)

    def coordinator_of_transactions(self, transactional_id: str) -> str:
        """The broker that coordinates a transactional id: the leader of its partition of Kafka's own topic."""

        def look(admin: AdminClient) -> int:
            partitions = admin.list_topics(TRANSACTIONS, timeout=_SECONDS).topics[TRANSACTIONS].partitions
            return int(partitions[_java_hash(transactional_id) % len(partitions)].leader)

        return self._broker(look)

    def _broker(self, look: Callable[[AdminClient], int]) -> str:
        """The name of the broker that is found; brokers that have just begun may not answer at once."""
        found: list[int] = []

        def known() -> bool:
            try:
                found.append(look(_admin(self.bootstrap_servers)))
            except (KafkaException, TimeoutError, KeyError):
                return False
            return found[-1] > 0

        wait_until(known, 60.0, "the brokers say who leads it")
        return BROKERS[found[-1] - 1]


def _admin(servers: str) -> AdminClient:
    return AdminClient({"bootstrap.servers": servers, "log_level": 0})


def _java_hash(text: str) -> int:
    """`String.hashCode` without its sign, as Kafka's Utils.abs has it."""
    value = 0
    for letter in text:
        value = (31 * value + ord(letter)) & 0xFFFFFFFF
    return value if value < 1 << 31 else (1 << 32) - value
