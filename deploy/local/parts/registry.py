"""Apicurio Registry, its schemas in a file of its directory, with the Confluent-compatible API."""

from collections.abc import Sequence
from pathlib import Path

from deploy.local.parts.part import JVM_OPTIONS, Part, answers
from deploy.local.ports import HOST

API = "/apis/ccompat/v7"
SCHEMAS = "schemas"
"""The file of the database, without its endings, in the part's directory."""


class Registry(Part):
    name = "registry"
    ports = ("registry", "registry-management")

    def command(self) -> Sequence[str | Path]:
        port, management = (self.site.ports[name] for name in self.ports)
        return [
            self.site.java,
            *JVM_OPTIONS,
            *(self.tuning.java or ("-Xms64m", "-Xmx160m")),
            f"-Djava.io.tmpdir={self.home}",
            # By default it keeps them in memory: readers go by the ids, which must outlive the process.
            f"-Dapicurio.datasource.url=jdbc:h2:file:{self.home / SCHEMAS}",
            f"-Dquarkus.http.host={HOST}",
            f"-Dquarkus.http.port={port}",
            # By default this one listens on every address.
            f"-Dquarkus.management.host={HOST}",
            f"-Dquarkus.management.port={management}",
            *(f"-D{name}={value}" for name, value in self.tuning.configuration.items()),
            "-jar",
            self.site.jars / "registry" / "quarkus-run.jar",
        ]

    def is_ready(self) -> bool:
        return answers(self.site.ports["registry"], f"{API}/subjects")
