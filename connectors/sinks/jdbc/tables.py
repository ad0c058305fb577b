"""The tables of a sink: which topics fill them, and which fields become columns. The .sql files have the columns."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from streams.calls.result_headers import ORIGIN, PROCESSED
from streams.crm.registry import registered
from streams.settings import Settings, SinkSettings
from streams.settings.sinks import SinkPart
from streams.topics import CALL_LEGS, CALL_RESULTS, COMPLETE_UNTIL, DEAD_LETTERS, Topic, deliveries

FOLDER = Path(__file__).parent

_TABLE = re.compile(r"^create table if not exists (\w+) \(\n(.*?)\n\)", re.MULTILINE | re.DOTALL)
_VIEW = re.compile(r"^create or replace view (\w+) as", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Table:
    """A table of ours as its .sql file has it."""

    name: str
    columns: Mapping[str, str]
    """Name and type of each, in the file's words, `not null` included."""
    key: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class PartOfSink:
    """What goes into one table."""

    table: str
    schema: str
    """Name of the Avro schema of its records."""
    headers: tuple[str, ...] = ()
    """Headers that become columns of their name."""
    renamed: Mapping[str, str] = field(default_factory=dict)
    """Column by field, where a field's name is a word of SQL."""
    place: tuple[str, str] | None = None
    """Columns for partition and offset of the record itself."""


_PLACE = ("record_partition", "record_offset")
"""By it a view tells whether the table has every record that a time in complete-until speaks of."""

PARTS: Mapping[SinkPart, PartOfSink] = {
    "results": PartOfSink("call_results", CALL_RESULTS.schema, headers=(ORIGIN, PROCESSED), place=_PLACE),
    "legs": PartOfSink("call_legs", CALL_LEGS.schema, headers=(ORIGIN, PROCESSED), place=_PLACE),
    "deliveries": PartOfSink("call_deliveries", deliveries("").schema),
    "dead-letters": PartOfSink(
        "dead_letters",
        DEAD_LETTERS.schema,
        renamed={
            "topic": "source_topic",
            "partition": "source_partition",
            "offset": "source_offset",
            "timestamp": "source_timestamp",
        },
        place=("letter_partition", "letter_offset"),
    ),
    "complete-until": PartOfSink(
        "partitions_complete_until", COMPLETE_UNTIL.schema, renamed={"partition": "rows_partition"}
    ),
}


def topics_of(settings: Settings, part: SinkPart) -> list[str]:
    """Full names of the topics that fill a part's table."""
    short: Mapping[SinkPart, list[Topic]] = {
        "results": [CALL_RESULTS],
        "legs": [CALL_LEGS],
        "deliveries": [deliveries(crm) for crm in registered().kinds],
        "dead-letters": [DEAD_LETTERS],
        "complete-until": [COMPLETE_UNTIL],
    }
    return [settings.kafka.topic(name) for name in short[part]]


def sql_file(sink: SinkSettings) -> Path:
    """The file that makes tables and views in such a database."""
    return FOLDER / f"{sink.engine}.sql"


def tables_in(text: str) -> dict[str, Table]:
    """The tables that a .sql file of ours makes, by name."""
    return {name: _table(name, body) for name, body in _TABLE.findall(text)}


def views_in(text: str) -> list[str]:
    """The views that it makes."""
    return _VIEW.findall(text)


def fields_of(part: PartOfSink, table: Table) -> list[str]:
    """The fields of the records that go into the table, by the schema's names: those that have a column."""
    added = {*part.headers, *(part.place or ())}
    field_of = {column: name for name, column in part.renamed.items()}
    return [field_of.get(column, column) for column in table.columns if column not in added]


def _table(name: str, body: str) -> Table:
    *lines, key = [line.strip().rstrip(",") for line in body.splitlines()]
    columns = dict(line.split(" ", 1) for line in lines)
    return Table(name, columns, tuple(key.removeprefix("primary key (").removesuffix(")").split(", ")))
