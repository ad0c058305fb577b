"""What an installation of an earlier version left behind, as files: Kafka's bytes, the portals' journals, the settings.

settings.yaml       as written for that version; addresses and paths of secrets are examples
records.jsonl.gz    every record of every topic: topic (without prefix), partition, offset, bytes in base64
later.jsonl.gz      rows that the PBX writes afterwards, in the same form; their offset is 0
kafka.json          where each partition ends, what each group committed, the schemas with their ids
portals/NAME.jsonl  the journal of each fake portal
expected.json       what must hold afterwards: calls, dead letters, portals
"""

import base64
import gzip
import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

DIRECTORY = Path(__file__).parent / "v0_1_0"

Tree = dict[str, Any]


@dataclass(frozen=True, slots=True)
class StoredRecord:
    """A record as it stood on its topic (`topic`: without the prefix)."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes | None], ...]
    timestamp_ms: int


@dataclass(slots=True)
class Stored:
    """One stored installation."""

    settings_text: str
    records: list[StoredRecord] = field(default_factory=list)
    later: list[StoredRecord] = field(default_factory=list)
    ends: dict[str, list[int]] = field(default_factory=dict)
    """By topic the end offset of each partition."""
    groups: dict[str, list[Tree]] = field(default_factory=dict)
    """By worker: topic, partition, offset, metadata."""
    schemas: list[Tree] = field(default_factory=list)
    """subject, id, schema (a text)."""
    portals: dict[str, bytes] = field(default_factory=dict)
    expected: Tree = field(default_factory=dict)

    @property
    def settings(self) -> Tree:
        """The settings file's content."""
        tree: Tree = yaml.safe_load(self.settings_text)
        return tree

    def save(self, directory: Path) -> None:
        """Write the files; those of an earlier recording are replaced."""
        (directory / "portals").mkdir(parents=True, exist_ok=True)
        (directory / "settings.yaml").write_text(self.settings_text, encoding="utf-8")
        _save_records(directory / "records.jsonl.gz", self.records)
        _save_records(directory / "later.jsonl.gz", self.later)
        _save_json(directory / "kafka.json", {"ends": self.ends, "groups": self.groups, "schemas": self.schemas})
        _save_json(directory / "expected.json", self.expected)
        for name, journal in self.portals.items():
            (directory / "portals" / f"{name}.jsonl").write_bytes(journal)

    @classmethod
    def load(cls, directory: Path) -> "Stored":
        """Read the files. Raises OSError or ValueError."""
        kafka = json.loads((directory / "kafka.json").read_text(encoding="utf-8"))
        return cls(
            settings_text=(directory / "settings.yaml").read_text(encoding="utf-8"),
            records=_load_records(directory / "records.jsonl.gz"),
            later=_load_records(directory / "later.jsonl.gz"),
            ends=kafka["ends"],
            groups=kafka["groups"],
            schemas=kafka["schemas"],
            portals={file.stem: file.read_bytes() for file in sorted((directory / "portals").glob("*.jsonl"))},
            expected=json.loads((directory / "expected.json").read_text(encoding="utf-8")),
        )


def _save_json(file: Path, tree: Tree) -> None:
    file.write_text(json.dumps(tree, indent=1) + "\n", encoding="utf-8")


def _save_records(file: Path, records: Iterable[StoredRecord]) -> None:
    lines = []
    for record in records:
        line = {
            "topic": record.topic,
            "partition": record.partition,
            "offset": record.offset,
            "timestamp_ms": record.timestamp_ms,
            "key": _text(record.key),
            "value": _text(record.value),
            "headers": [[name, _text(value)] for name, value in record.headers],
        }
        lines.append(json.dumps(line) + "\n")
    file.write_bytes(gzip.compress("".join(lines).encode(), mtime=0))


def _load_records(file: Path) -> list[StoredRecord]:
    found = []
    for text in gzip.decompress(file.read_bytes()).decode().splitlines():
        line = json.loads(text)
        headers = tuple((name, _bytes(value)) for name, value in line["headers"])
        key, value = _bytes(line["key"]), _bytes(line["value"])
        place = line["topic"], line["partition"], line["offset"]
        found.append(StoredRecord(*place, key, value, headers, line["timestamp_ms"]))
    return found


def _text(value: bytes | None) -> str | None:
    return None if value is None else base64.b64encode(value).decode()


def _bytes(text: str | None) -> bytes | None:
    return None if text is None else base64.b64decode(text)
