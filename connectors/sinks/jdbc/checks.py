"""Checks of a sink's database before its connectors are applied: it answers, tables are ours, the user may write."""

import asyncio
import re
from collections.abc import Mapping
from dataclasses import dataclass

from connectors.sinks.jdbc.connection import Run, connected
from connectors.sinks.jdbc.tables import PARTS, Table, sql_file, tables_in, views_in
from streams.errors import UserError
from streams.settings import SinkSettings

_FITTING: Mapping[str, tuple[str, ...]] = {
    "text": ("text", "character varying", "varchar", "mediumtext", "longtext"),
    "varchar": ("varchar", "text"),
    "text[]": ("ARRAY",),
    "bigint": ("bigint", "numeric"),
    "integer": ("integer", "bigint"),
    "int": ("int", "bigint"),
    "boolean": ("boolean", "tinyint"),
    "double": ("double precision", "double"),
    "timestamptz": ("timestamp with time zone",),
    "datetime": ("datetime",),
}
"""What a column of our types may be instead, as information_schema names it."""

_COLUMNS = """
select c.table_name as t, c.column_name as c, c.data_type as type, c.is_nullable as nullable, c.column_default as preset
from information_schema.columns as c where c.table_schema = {schema} and c.table_name in ({marks})
"""
_KEYS = """
select k.table_name as t, k.column_name as c from information_schema.table_constraints as p
join information_schema.key_column_usage as k on k.constraint_name = p.constraint_name
  and k.table_schema = p.table_schema and k.table_name = p.table_name
where p.constraint_type = 'PRIMARY KEY' and p.table_schema = {schema} and p.table_name in ({marks})
"""
_VIEWS = "select table_name as t from information_schema.tables where table_schema = {schema} and table_type = 'VIEW'"

_SCHEMA = {"postgresql": "current_schema()", "mariadb": "database()"}


@dataclass(frozen=True, slots=True)
class Column:
    """A column as it is in the database."""

    type: str
    """The word of information_schema, without a length."""
    needs_value: bool
    """It is not null and has no default."""


@dataclass(frozen=True, slots=True)
class Present:
    """What is in the database of what we need."""

    columns: Mapping[str, Mapping[str, Column]]
    """By table; a table that is not there, or that the user may not see, is left out."""
    keys: Mapping[str, frozenset[str]]
    views: frozenset[str]
    refused: Mapping[str, str]
    """Why the user may not write a table, by its name."""


async def refusals_now(sink: SinkSettings) -> list[str]:
    """What is missing or has been changed by hand, a line each. Raises UserError: no answer, no login."""
    return refusals_of(sink, await asyncio.to_thread(_look, sink))


def tables_remedy(sink: SinkSettings) -> str:
    """What brings tables, views and rights back."""
    return (
        f"cel2crm connectors tables {sink.called} prints tables and views: compare, and run it there as the owner of "
        f"the database; grant {sink.user} what docs/analytics.md names."
    )


def refusals_of(sink: SinkSettings, present: Present) -> list[str]:
    """What is missing or has been changed by hand, a line each; empty: all is there. Pure."""
    text = sql_file(sink).read_text(encoding="utf-8")
    tables = tables_in(text)
    lines = []
    for part in sink.wanted_parts:
        table = tables[PARTS[part].table]
        lines += _table_refusals(sink, table, present)
    if missing := [name for name in views_in(text) if name not in present.views]:
        lines.append(f"there is no view {', '.join(missing)}, or user {sink.user} may not read it")
    return lines


def _table_refusals(sink: SinkSettings, table: Table, present: Present) -> list[str]:
    columns = present.columns.get(table.name)
    if columns is None:
        return [f"there is no table {table.name}, or user {sink.user} may not see it"]
    lines = [
        f"table {table.name} has no column {name} ({wanted})"
        for name, wanted in table.columns.items()
        if name not in columns
    ]
    lines += [
        f"column {name} of table {table.name} is {columns[name].type}, not {wanted.removesuffix(' not null')}"
        for name, wanted in table.columns.items()
        if name in columns and columns[name].type not in _fitting(wanted)
    ]
    lines += [
        f"column {name} of table {table.name} is none of ours and must have a value: give it a default"
        for name, column in columns.items()
        if name not in table.columns and column.needs_value
    ]
    if (why := present.refused.get(table.name)) and not lines:
        return [f"user {sink.user} may not insert, update and select in table {table.name}: {why}"]
    # Who may not write a table is not told its key.
    if not why and present.keys.get(table.name) != frozenset(table.key):
        lines.append(f"the primary key of table {table.name} is not ({', '.join(table.key)}): rows would come twice")
    return lines


def _fitting(wanted: str) -> tuple[str, ...]:
    """The types that do for a column that the .sql file declares so."""
    return _FITTING[re.split(r"[ (]", wanted, maxsplit=1)[0]]


def _look(sink: SinkSettings) -> Present:
    names = [PARTS[part].table for part in sink.wanted_parts]
    tables = tables_in(sql_file(sink).read_text(encoding="utf-8"))
    form = {"schema": _SCHEMA[sink.engine], "marks": ", ".join(["%s"] * len(names))}
    with connected(sink) as run:
        columns: dict[str, dict[str, Column]] = {}
        for row in run(_COLUMNS.format(**form), names):
            needs_value = row["nullable"] == "NO" and row["preset"] is None
            columns.setdefault(row["t"], {})[row["c"]] = Column(row["type"], needs_value)
        keys: dict[str, set[str]] = {}
        for row in run(_KEYS.format(**form), names):
            keys.setdefault(row["t"], set()).add(row["c"])
        views = frozenset(row["t"] for row in run(_VIEWS.format(**form)))
        refused = {}
        for name in names:
            if name in columns and (why := _refused(run, tables[name])):
                refused[name] = why
    return Present(columns, {name: frozenset(key) for name, key in keys.items()}, views, refused)


def _refused(run: Run, table: Table) -> str:
    """Why the user may not write the table, by trying what the sink does with no row at all; empty: it may."""
    name, column = table.name, table.key[0]
    try:
        run(f"insert into {name} select * from {name} where 1 = 0")  # noqa: S608 - our own names
        run(f"update {name} set {column} = {column} where 1 = 0")  # noqa: S608
    except UserError as error:
        return error.problem
    return ""
