"""The tables of a lake: which topic fills each, and by which of its times it is partitioned. The sink makes them."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from schemas import load
from streams.calls.result_headers import ORIGIN, PROCESSED
from streams.settings.sinks import SinkPart
from streams.topics import CALL_LEGS, CALL_RESULTS, CEL, Topic

FOLDER = Path(__file__).parent

KEY, VALUE, PARTITION, OFFSET, TIMESTAMP = "key", "value", "partition", "offset", "timestamp"
"""The columns of raw rows: the record as it stands on the topic, and its place."""


@dataclass(frozen=True, slots=True)
class LakeTable:
    """What goes into one table."""

    name: str
    topic: Topic
    day: str
    """The column by whose day, UTC, the table is partitioned."""
    times: tuple[str, ...] = ()
    """Its columns of microseconds, which become timestamps."""
    headers: tuple[str, ...] = ()
    """Headers that become columns of their name."""

    @property
    def raw(self) -> bool:
        """Whether records go in as they stand on the topic, bytes for bytes."""
        return not self.topic.schema


def _of_records(name: str, topic: Topic) -> LakeTable:
    times = [field["name"] for field in load(topic.schema)["fields"] if "timestamp-micros" in str(field["type"])]
    return LakeTable(name, topic, "started_at", (*times, PROCESSED), (ORIGIN, PROCESSED))


TABLES: Mapping[SinkPart, LakeTable] = {
    "results": _of_records("call_results", CALL_RESULTS),
    "legs": _of_records("call_legs", CALL_LEGS),
    "rows": LakeTable("cel", CEL, TIMESTAMP),
}
