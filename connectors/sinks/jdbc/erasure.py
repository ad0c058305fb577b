"""What an erasure does in a sink's database: older versions of its calls go, of which the sink would keep every one.

The sink itself brings the new versions, and writes each delivery anew. Rows are deleted only of calls whose new version
has come: the records of a call come in order, so that none of before can come after it.
"""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from connectors.sinks.jdbc.connection import Run, connected
from connectors.sinks.jdbc.tables import PARTS
from streams.errors import UserError
from streams.settings import SinkSettings


class NewVersion(NamedTuple):
    """The version of a call that is without what was erased."""

    version: int
    correction: int
    has_legs: bool


Place = tuple[int, int]
"""Partition and offset of a dead letter."""

ERASED = "[erased]"

_OLDER = "call_id = {id} and (version < {version} or (version = {version} and correction < {correction}))"
_LETTER = "letter_partition = {partition} and letter_offset = {offset}"


_LAKE = (
    "a lake is changed by an engine of your own; delete there, and in its table of raw rows, then expire its snapshots"
)


@dataclass(frozen=True, slots=True)
class SinkErasure:
    """What was done in one database, and what is left."""

    sink: str
    where: str
    deleted: int = 0
    """Rows with older versions."""
    waiting: int = 0
    """Calls whose new version has not come yet."""
    problem: str = ""
    """Why nothing was done; empty: it was."""
    statements: tuple[str, ...] = ()
    """What is left to be run by the owner of the database."""


async def erase_in(sink: SinkSettings, calls: Mapping[str, NewVersion], letters: Sequence[Place]) -> SinkErasure:
    """Delete there what is older than these versions, and blank what dead letters say; what cannot be done is told."""
    if sink.in_lake:
        left = tuple(statements(sink, calls, ()))
        return SinkErasure(sink.called, "a lake, Iceberg", problem=_LAKE if left else "", statements=left)
    return await asyncio.to_thread(_erase, sink, calls, letters)


def _erase(sink: SinkSettings, calls: Mapping[str, NewVersion], letters: Sequence[Place]) -> SinkErasure:
    where = f"{sink.engine} at {sink.address}, database {sink.database}"
    left = tuple(statements(sink, calls, letters))
    try:
        with connected(sink) as run:
            deleted, waiting = _run(sink, calls, letters, run)
    except UserError as error:
        return SinkErasure(sink.called, where, problem=error.problem, statements=left)
    return SinkErasure(sink.called, where, deleted, waiting, statements=left if waiting else ())


def _run(sink: SinkSettings, calls: Mapping[str, NewVersion], letters: Sequence[Place], run: Run) -> tuple[int, int]:
    """Rows deleted, and calls that wait. Raises UserError."""
    deleted = waiting = 0
    for call_id, new in calls.items():
        for table in _tables(sink, new):
            condition = "call_id = %s and version = %s and correction = %s"
            its = call_id, new.version, new.correction
            (come,) = run(f"select count(*) as n from {table} where {condition}", its)  # noqa: S608 - our own names
            if not come["n"]:
                waiting += 1
                break
            condition, values = _older("%s", "%s", "%s"), (call_id, new.version, new.version, new.correction)
            (old,) = run(f"select count(*) as n from {table} where {condition}", values)  # noqa: S608
            if old["n"]:
                run(f"delete from {table} where {condition}", values)  # noqa: S608
                deleted += old["n"]
    if "dead-letters" in sink.wanted_parts:
        for partition, offset in letters:
            condition = _LETTER.format(partition="%s", offset="%s")
            run(f"update dead_letters set explanation = %s where {condition}", (ERASED, partition, offset))  # noqa: S608
    return deleted, waiting


def statements(sink: SinkSettings, calls: Mapping[str, NewVersion], letters: Sequence[Place]) -> Iterator[str]:
    """The same as SQL for the owner of the database, once its sink has no record to take any more."""
    for call_id, new in calls.items():
        for table in _tables(sink, new):
            condition = _older(_quoted(call_id, sink.engine), str(new.version), str(new.correction))
            yield f"delete from {table} where {condition};"  # noqa: S608 - quoted above
    if "dead-letters" in sink.wanted_parts:
        for partition, offset in letters:
            condition = _LETTER.format(partition=partition, offset=offset)
            yield f"update dead_letters set explanation = '{ERASED}' where {condition};"  # noqa: S608 - numbers


def _tables(sink: SinkSettings, new: NewVersion) -> list[str]:
    """Its tables that keep every version of a call."""
    parts = ("results", "legs") if new.has_legs else ("results",)
    return [PARTS[part].table for part in sink.wanted_parts if part in parts]


def _older(call_id: str, version: str, correction: str) -> str:
    return _OLDER.format(id=call_id, version=version, correction=correction)


def _quoted(text: str, engine: str) -> str:
    """A text as SQL has it. Ids of calls come from the PBX's table: hostile ones stay a text."""
    if engine == "mariadb":
        text = text.replace("\\", "\\\\")
    return "'" + text.replace("'", "''") + "'"
