"""Kafka Connect, one distributed worker, with Debezium's MariaDB source and its JDBC sink."""

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from deploy.local.parts.kafka import classpath
from deploy.local.parts.part import Part, answers, properties
from deploy.local.ports import HOST


class Connect(Part):
    name = "connect"
    ports = ("connect",)
    needs: ClassVar[tuple[str, ...]] = ("kafka",)

    @property
    def _configuration(self) -> Path:
        return self.configuration_file("worker.properties")

    def prepare(self) -> None:
        self._configuration.write_text(properties(self.configuration()), encoding="utf-8")

    def configuration(self) -> dict[str, str | int]:
        """The lines of its properties file."""
        port = self.site.ports["connect"]
        converter = "org.apache.kafka.connect.json.JsonConverter"
        return {
            "bootstrap.servers": self.site.bootstrap_servers,
            "group.id": "connect",
            "listeners": f"http://{HOST}:{port}",
            "rest.advertised.host.name": HOST,
            "rest.advertised.port": port,
            "key.converter": converter,
            "value.converter": converter,
            "config.storage.topic": "connect-configs",
            "config.storage.replication.factor": 1,
            "offset.storage.topic": "connect-offsets",
            "offset.storage.replication.factor": 1,
            "offset.storage.partitions": 1,
            # Each source stores its position every five seconds; a Connect that starts reads what was not compacted.
            "offset.storage.segment.bytes": 16 * 1024 * 1024,
            "status.storage.topic": "connect-status",
            "status.storage.replication.factor": 1,
            "status.storage.partitions": 1,
            "offset.flush.interval.ms": 1000,
            # A killed worker that comes back goes on in seconds: it neither waits for its own ghost's long
            # session nor (the default: five minutes) for a worker that might return.
            "session.timeout.ms": 6000,
            "heartbeat.interval.ms": 2000,
            "scheduled.rebalance.max.delay.ms": 0,
            "plugin.path": ",".join(map(str, (self.site.jars / "plugins", *self.site.plugins))),
            "plugin.discovery": "service_load",  # scanning the jars takes another 15 s
            # Whoever reaches the REST port could read files and override clients: only the secrets of this run.
            "config.providers": "file",
            "config.providers.file.class": "org.apache.kafka.common.config.provider.FileConfigProvider",
            "config.providers.file.param.allowed.paths": str(self.site.directory),
            "connector.client.config.override.policy": "None",
            "producer.compression.type": "zstd",
            "consumer.isolation.level": "read_committed",
            **self.tuning.configuration,
        }

    def command(self) -> Sequence[str | Path]:
        main = "org.apache.kafka.connect.cli.ConnectDistributed"
        options = self.tuning.java or ("-Xms64m", "-Xmx256m")
        return [*classpath(self.site, main, *options), self._configuration]

    def is_ready(self) -> bool:
        return answers(self.site.ports["connect"], "/health")
