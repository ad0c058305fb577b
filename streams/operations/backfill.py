"""Whole calls from the PBX's table again: Debezium's incremental snapshot, signalled through Kafka.

The signal's filter is SQL that Debezium runs as it stands. What goes into it here is a list of linkedids of letters,
digits, dots, hyphens and underscores, and a column's name of the same kind; anything else is refused.
"""

import asyncio
import re
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from connectors.source import captured_table, topics_of
from schemas import MalformedRecord
from streams.calls.call import call_id
from streams.errors import UnreadableRow, UserError
from streams.kafka.topic_client import Outgoing, TopicRecord
from streams.operations.cel_table import TableCall
from streams.operations.connection import Connection
from streams.operations.results import newest_results
from streams.rows.row import RowDecoder
from streams.settings import DatabaseSettings, Settings
from streams.topics import CALL_RESULTS, CEL

CALLS_A_SIGNAL = 500
"""Linkedids in one filter: about 10 kB."""

POLL_SECONDS = 0.5

_LINKEDID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,149}")
_COLUMN = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")


def is_plain(linkedid: str) -> bool:
    """Whether a linkedid may stand in SQL."""
    return _LINKEDID.fullmatch(linkedid) is not None


def checked_linkedid(text: str) -> str:
    """A linkedid that may stand in SQL. Raises UserError for any other."""
    if not is_plain(text):
        raise UserError(
            f"{text!r} is not a linkedid that can be backfilled",
            "It goes into SQL that Debezium runs: only letters, digits, dots, hyphens and underscores are let in.",
        )
    return text


def filter_of(database: DatabaseSettings, linkedids: Sequence[str]) -> str:
    """The condition for these calls' rows. Raises UserError for names that cannot stand in SQL."""
    column = database.column_name_aliases.get("cel_linkedid", "linkedid")
    if not _COLUMN.fullmatch(column):
        raise UserError(
            f"database.column_name_aliases.cel_linkedid {column!r} cannot stand in a backfill's filter",
            "Rename the column in a view, or backfill with Debezium's own means.",
        )
    values = ", ".join(f"'{checked_linkedid(each)}'" for each in linkedids)
    return f"{column} in ({values})"


def signals_of(settings: Settings, linkedids: Sequence[str]) -> list[Outgoing]:
    """The signals that make the connector of this PBX read these calls again. Raises UserError."""
    database = settings.database
    table = captured_table(settings)
    signals = []
    for start in range(0, len(linkedids), CALLS_A_SIGNAL):
        condition = filter_of(database, linkedids[start : start + CALLS_A_SIGNAL])
        signal = {
            "type": "execute-snapshot",
            "data": {
                "type": "INCREMENTAL",
                "data-collections": [table],
                "additional-conditions": [{"data-collection": table, "filter": condition}],
            },
        }
        # The key is the connector's topic.prefix: others leave it alone.
        topic = topics_of(settings)["topics.signals"]
        signals.append(Outgoing(topic, settings.pbx.name.encode(), orjson.dumps(signal), 0))
    return signals


@dataclass(slots=True)
class Waiting:
    """A backfill under way: the calls, and the rows and results that have come."""

    calls: Mapping[str, TableCall]
    """By call id."""
    seen: dict[str, set[int]] = field(default_factory=dict)
    """Ids of the rows that came, by call id."""
    classified: dict[str, tuple[int, int]] = field(default_factory=dict)
    """The newest version of each call's result."""

    @property
    def rows(self) -> int:
        """The number of rows that are on the topic by now."""
        return sum(map(len, self.seen.values()))

    @property
    def done(self) -> list[str]:
        """Calls whose result holds every row."""
        return [name for name, call in self.calls.items() if self.classified.get(name, (0, 0)) >= call.version]

    @property
    def open(self) -> list[str]:
        """Calls whose rows are all there, but do not say that they are over: their result comes by time."""
        done = set(self.done)
        return [name for name, call in self.calls.items() if name not in done and not call.ended and self._whole(name)]

    @property
    def missing(self) -> list[str]:
        """Calls that are still waited for."""
        settled = {*self.done, *self.open}
        return [name for name in self.calls if name not in settled]

    def _whole(self, name: str) -> bool:
        return len(self.seen.get(name, ())) >= self.calls[name].rows


def unread_signals(waiting: Waiting, settings: Settings) -> str | None:
    """What may be wrong where not one row has come; None: some have, or none is missing.

    Debezium's reader of signals ends at the first refusal of the brokers, and the connector runs on without a word
    (seen with 3.5: without Read on the topic, and without Read on the group).
    """
    if not waiting.missing or waiting.seen:
        return None
    topic = topics_of(settings)["topics.signals"]
    group = f"{settings.kafka.topic_prefix}.signals.{settings.pbx.name}"
    return (
        f"not one row came: the connector does not read its signals. Kafka Connect needs Read on topic {topic} and on "
        f"group {group} (cel2crm topics acls connect --apply); once refused, it reads them only after: "
        f"cel2crm connectors apply --restart{_of_pbx(settings)}; the calls come then, without another backfill"
    )


def _of_pbx(settings: Settings) -> str:
    return f" --pbx {settings.pbx.name}" if settings.other_pbxs else ""


async def already_classified(connection: Connection, calls: Collection[TableCall]) -> Waiting:
    """The calls with the versions that stand on the results topic already. Raises UserError."""
    pbx = connection.settings.pbx.name
    waiting = Waiting({call_id(pbx, call.linkedid): call for call in calls})
    for name, record in (await newest_results(connection, waiting.calls)).items():
        fields = await connection.read(record, CALL_RESULTS.schema)
        waiting.classified[name] = (fields["version_row_id"], fields["version_rows"])
    return waiting


async def backfill(
    connection: Connection,
    waiting: Waiting,
    progress: Callable[[Waiting], None],
    *,
    patience_seconds: float,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> None:
    """Signal the calls that are missing, and wait until `waiting` has none, or nothing has come for a while.

    Raises UserError.
    """
    cel, results = connection.topic(CEL), connection.topic(CALL_RESULTS)
    positions = {topic: await connection.topics.ends(topic) for topic in (cel, results)}
    linkedids = [waiting.calls[name].linkedid for name in waiting.missing]
    await connection.topics.send(signals_of(connection.settings, linkedids))
    decoder = RowDecoder(connection.settings.database.column_name_aliases, connection.settings.pbx.name)
    silent = 0.0
    while waiting.missing and silent < patience_seconds:
        news = False
        for topic, start in positions.items():
            async for record in connection.topics.read(topic, start=start):
                start[record.partition] = record.offset + 1
                if topic == cel:
                    news |= _row_came(waiting, decoder, record)
                else:
                    news |= await _result_came(waiting, connection, record)
        progress(waiting)
        silent = 0.0 if news else silent + POLL_SECONDS
        if waiting.missing:
            await sleep(POLL_SECONDS)


def _row_came(waiting: Waiting, decoder: RowDecoder, record: TopicRecord) -> bool:
    try:
        row = decoder.decode(record.value)
    except UnreadableRow:
        return False
    name = call_id(row.pbx, row.linkedid)
    if row.op != "r" or name not in waiting.calls:
        return False
    waiting.seen.setdefault(name, set()).add(row.id)
    return True


async def _result_came(waiting: Waiting, connection: Connection, record: TopicRecord) -> bool:
    name = (record.key or b"").decode("utf-8", "replace")
    if name not in waiting.calls:
        return False
    try:
        fields: dict[str, Any] = await connection.read(record, CALL_RESULTS.schema)
    except MalformedRecord:
        return False
    version = fields["version_row_id"], fields["version_rows"]
    waiting.classified[name] = max(version, waiting.classified.get(name, (0, 0)))
    return True
