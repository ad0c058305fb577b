"""Where the parts of a running stack listen, and what belongs to them."""

import dataclasses
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deploy.local.supervision import ProcessId

FILE = "endpoints.json"


@dataclass(frozen=True, slots=True)
class Endpoints:
    """Addresses of one local stack. Those of parts that were not asked for are empty (a port: 0)."""

    bootstrap_servers: str
    connect_url: str
    registry_url: str  # base of the Confluent-compatible API
    mariadb_host: str
    mariadb_port: int
    mariadb_socket: Path  # in a very deep checkout longer than the 107 bytes that clients can connect to: use the port
    mariadb_root_password: str = dataclasses.field(repr=False)
    secrets_file: Path  # java properties, mode 0600: what Connect reads as ${file:<path>:<key>}
    directory: Path  # everything of this run; removed when the stack ends
    supervisor: ProcessId
    logs: dict[str, Path]
    pids: dict[str, int]

    def secret(self, key: str) -> str:
        """A value of the secrets file, such as `cel.password`. Raises KeyError for an unknown key."""
        lines = self.secrets_file.read_text(encoding="utf-8").splitlines()
        return dict(line.split("=", 1) for line in lines)[key]

    def write(self) -> None:
        """Write endpoints.json (mode 0600) into the run directory, at once or not at all."""
        path = self.directory / FILE
        partial = path.with_suffix(".partial")
        with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
            json.dump(dataclasses.asdict(self), file, indent=2, default=str)
        partial.rename(path)

    @classmethod
    def read(cls, directory: Path) -> "Endpoints":
        """The endpoints of a stack that another process started in `directory`. Raises OSError if there is none."""
        values: dict[str, Any] = json.loads((directory / FILE).read_text(encoding="utf-8"))
        for name in ("mariadb_socket", "secrets_file", "directory"):
            values[name] = Path(values[name])
        values["logs"] = {part: Path(log) for part, log in values["logs"].items()}
        values["supervisor"] = ProcessId(**values["supervisor"])
        return cls(**values)
