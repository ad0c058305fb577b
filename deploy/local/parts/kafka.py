"""Kafka: one node that is broker and controller."""

import base64
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from deploy.local.parts.part import JVM_OPTIONS, Part, Site, properties
from deploy.local.ports import HOST

LOG4J = Path(__file__).parents[1] / "log4j2.properties"
MAX_MESSAGE = 8 * 1024 * 1024  # bytes
ANSWER_TIMEOUT = 1.0  # seconds


def classpath(site: Site, main: str, *options: str) -> list[str | Path]:
    """The start of a command that runs a main class of Kafka's jars."""
    log4j = f"-Dlog4j2.configurationFile={LOG4J}"
    return [site.java, *JVM_OPTIONS, *options, log4j, "-cp", f"{site.jars / 'kafka'}/*", main]


class Kafka(Part):
    name = "kafka"
    ports: ClassVar[tuple[str, ...]] = ("kafka", "kafka-controller")

    @property
    def _configuration(self) -> Path:
        return self.home / "server.properties"

    def prepare(self) -> None:
        broker, controller = (self.site.ports[name] for name in self.ports[:2])
        values: dict[str, str | int] = {
            "process.roles": "broker,controller",
            "node.id": 1,
            "controller.quorum.bootstrap.servers": f"{HOST}:{controller}",
            "listeners": f"BROKER://{HOST}:{broker},CONTROLLER://{HOST}:{controller}",
            "advertised.listeners": f"BROKER://{HOST}:{broker},CONTROLLER://{HOST}:{controller}",
            "listener.security.protocol.map": "BROKER:PLAINTEXT,CONTROLLER:PLAINTEXT",
            "inter.broker.listener.name": "BROKER",
            "controller.listener.names": "CONTROLLER",
            "log.dirs": str(self.home / "logs"),
            "auto.create.topics.enable": "false",
            "default.replication.factor": 1,
            "offsets.topic.replication.factor": 1,
            "offsets.topic.num.partitions": 4,
            "transaction.state.log.replication.factor": 1,
            "transaction.state.log.min.isr": 1,
            "transaction.state.log.num.partitions": 4,
            "share.coordinator.state.topic.replication.factor": 1,
            "share.coordinator.state.topic.min.isr": 1,
            "group.initial.rebalance.delay.ms": 0,
            "message.max.bytes": MAX_MESSAGE,
            "replica.fetch.max.bytes": MAX_MESSAGE,
            # One machine, hundreds of small partitions: no 10 MB of index reserved for each, few threads.
            "log.index.size.max.bytes": 1024 * 1024,
            "log.cleaner.dedupe.buffer.size": 16 * 1024 * 1024,
            "num.network.threads": 2,
            "num.io.threads": 4,
            "background.threads": 2,
        }
        self._configuration.write_text(properties(values), encoding="utf-8")

    def preparation(self) -> Sequence[str | Path]:
        cluster = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        tool = classpath(self.site, "kafka.tools.StorageTool", "-Xmx64m")
        # "=": an identifier may begin with a dash
        return [*tool, "format", f"--cluster-id={cluster}", "-c", self._configuration, "--standalone"]

    def command(self) -> Sequence[str | Path]:
        return [*classpath(self.site, "kafka.Kafka", "-Xms64m", "-Xmx256m"), self._configuration]

    def is_ready(self) -> bool:
        client = AdminClient({"bootstrap.servers": self.site.bootstrap_servers, "log_level": 0})
        try:
            return bool(client.list_topics(timeout=ANSWER_TIMEOUT).brokers)
        except KafkaException:
            return False
