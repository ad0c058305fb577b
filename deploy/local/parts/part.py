"""The common part of every server of the stack."""

import http.client
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

from deploy.local.ports import HOST

# Small and quick to start rather than fast for hours: no optimising compiler, one collector thread, a short stack.
JVM_OPTIONS = (
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",
    "-Xss512k",
    "-XX:+ExitOnOutOfMemoryError",
    "-Djava.net.preferIPv4Stack=true",
    "--enable-native-access=ALL-UNNAMED",
)
HTTP_TIMEOUT = 2.0  # seconds


@dataclass(frozen=True, slots=True)
class Tuning:
    """What one part has otherwise than in the local stack."""

    java: Sequence[str] = ()
    """Options of its JVM, the heap's size among them, after those that all have; empty: the local stack's."""
    configuration: Mapping[str, str | int] = field(default_factory=dict)
    """Lines of its configuration that replace, or join, the local stack's; of the registry: system properties."""


@dataclass(frozen=True, slots=True)
class Site:
    """Where a stack lives: its run directory, the downloaded jars, the JRE, and the ports by name."""

    directory: Path
    jars: Path
    java: Path
    ports: Mapping[str, int]
    secrets_file: Path
    mariadb_root_password: str
    configuration: Path | None = None
    """Where the parts' configuration files are; None: each in the part's own directory."""
    tuning: Mapping[str, Tuning] = field(default_factory=dict)
    """By part."""
    plugins: tuple[Path, ...] = ()
    """Further folders of Connect's plugin.path."""

    @property
    def bootstrap_servers(self) -> str:
        return f"{HOST}:{self.ports['kafka']}"


class Part(ABC):
    """One server: how it is prepared and started, and when it is ready."""

    name: ClassVar[str]
    ports: ClassVar[tuple[str, ...]]  # names; the first is the one that others connect to
    needs: ClassVar[tuple[str, ...]] = ()  # parts without which it does not become ready
    java: ClassVar[bool] = True

    def __init__(self, site: Site) -> None:
        self.site = site
        self.home = site.directory / self.name
        self.tuning = site.tuning.get(self.name, Tuning())

    def configuration_file(self, name: str) -> Path:
        """Where a configuration file of the part is; `name`: in its own directory."""
        folder = self.site.configuration
        return self.home / name if folder is None else folder / f"{self.name}.properties"

    def prepare(self) -> None:  # noqa: B027 - most parts need none
        """Write its configuration into its home, which exists. Done once, not at a restart."""

    def preparation(self) -> Sequence[str | Path]:
        """A command to run once before the first start; empty for none."""
        return ()

    @abstractmethod
    def command(self) -> Sequence[str | Path]:
        """The command that runs the server in the foreground."""

    @abstractmethod
    def is_ready(self) -> bool:
        """Whether it serves requests now. Answers within about two seconds; raises OSError if it does not listen."""

    def working_directory(self) -> Path:
        return self.home


def answers(port: int, path: str) -> bool:
    """Whether GET on loopback answers 200. Raises OSError when nothing listens. Never goes through a proxy."""
    connection = http.client.HTTPConnection(HOST, port, timeout=HTTP_TIMEOUT)
    try:
        connection.request("GET", path)
        return connection.getresponse().status == http.client.OK
    except http.client.HTTPException:
        return False
    finally:
        connection.close()


def properties(values: Mapping[str, str | int]) -> str:
    """A java properties file."""
    return "".join(f"{key}={value}\n" for key, value in values.items())
