"""The last row that the topic holds of a PBX."""

from connectors.row_mark import RowMark, row_mark
from streams.errors import UnreadableRow
from streams.kafka.topic_client import Topics
from streams.rows.row import RowDecoder
from streams.settings import Settings
from streams.topics import CEL

LAST_RECORDS = 200
"""Records read at the end of each partition: several PBXs may share the topic."""


async def last_captured_row(settings: Settings, topics: Topics) -> RowMark | None:
    """The row that the database committed last; None: there is none among the last records.

    Backfilled rows do not count. Raises UserError: no broker, no such topic.
    """
    topic = settings.kafka.topic(CEL)
    decoder = RowDecoder(settings.database.column_name_aliases, settings.pbx.name)
    start = {partition: max(0, end - LAST_RECORDS) for partition, end in (await topics.ends(topic)).items()}
    last, found = (0, 0), None
    async for record in topics.read(topic, start=start):
        try:
            row = decoder.decode(record.value)
        except UnreadableRow:
            continue
        if row.pbx == settings.pbx.name and row.op == "c" and (row.commit_ms, row.id) > last:
            last, found = (row.commit_ms, row.id), row_mark(row.id, row.uniqueid, row.eventtime)
    return found
