"""Kafka: one node that is broker and controller."""

import base64
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from deploy.local.parts.part import JVM_OPTIONS, Part, Site, properties
from deploy.local.ports import HOST

LOG4J = Path(__file__).parents[1] / "log4j2.properties"
MAX_MESSAGE = 8 * 1024 * 1024  # bytes
ANSWER_TIMEOUT = 1.0  # seconds


def classpath(site: Site, main: str, *options: str) -> list[str | Path]:
    """The start of a command that runs a main class of Kafka's jars."""
    log4j = f"-Dlog4j2.configurationFile={LOG4J}"
    return [site.java, *JVM_OPTIONS, *options, log4j, "-cp", f"{site.jars / 'kafka'}/*", main]


def new_cluster_id() -> str:
    """Any identifier for a new cluster."""
    return base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")


class Kafka(Part):
    name = "kafka"
    ports: ClassVar[tuple[str, ...]] = ("kafka", "kafka-controller")

    @property
    def _configuration(self) -> Path:
        return self.configuration_file("server.properties")

    def prepare(self) -> None:
        self._configuration.write_text(properties(self.configuration()), encoding="utf-8")

    def configuration(self) -> dict[str, str | int]:
        """The lines of its properties file."""
        broker, controller = (self.site.ports[name] for name in self.ports[:2])
        return {
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
            **self.tuning.configuration,
        }

    def preparation(self) -> Sequence[str | Path]:
        return self.format_storage(new_cluster_id())

    def format_storage(self, cluster: str) -> Sequence[str | Path]:
        """The command that makes its data directory, and does nothing where that is there."""
        tool = classpath(self.site, "kafka.tools.StorageTool", "-Xmx64m")
        # "=": an identifier may begin with a dash
        options: list[str | Path] = [
            f"--cluster-id={cluster}",
            "-c",
            self._configuration,
            "--standalone",
            "--ignore-formatted",
        ]
        return [*tool, "format", *options]

    def command(self) -> Sequence[str | Path]:
        options = self.tuning.java or ("-Xms64m", "-Xmx256m")
        return [*classpath(self.site, "kafka.Kafka", *options), self._configuration]

    def is_ready(self) -> bool:
        from confluent_kafka import KafkaException  # not on a server, which asks in another way
        from confluent_kafka.admin import AdminClient

        client = AdminClient({"bootstrap.servers": self.site.bootstrap_servers, "log_level": 0})
        try:
            return bool(client.list_topics(timeout=ANSWER_TIMEOUT).brokers)
        except KafkaException:
            return False
