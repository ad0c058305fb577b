"""The last row that the topic holds of each PBX."""

import asyncio

from connectors.row_mark import RowMark, row_mark
from streams.calls.topic_rows import topic_decoder
from streams.errors import UnreadableRow
from streams.kafka.topic_client import TopicRecord, Topics
from streams.settings import Settings
from streams.topics import CEL

LAST_RECORDS = 200
"""Records read at the end of each partition."""


class CapturedRows:
    """The row of each PBX that its database committed last, as far as it was read. Backfilled rows do not count.

    The topic is read on from where it was read to, by whoever asks: shared by those who look at the PBXs of one
    installation, so that forty of them read it once and not forty times.
    """

    def __init__(self, settings: Settings, records: int = LAST_RECORDS) -> None:
        """`records`: at the end of each partition, with which it begins."""
        self._topic = settings.kafka.topic(CEL)
        self._decoder = topic_decoder(settings)
        self._records = records
        self._positions: dict[int, int] = {}
        self._last: dict[str, dict[int, tuple[int, RowMark]]] = {}
        """By PBX and partition: commit time and row. By place on the topic, so that a clock which was wrong for a while
        does not make one row the last for as long."""
        self._reading = asyncio.Lock()

    @classmethod
    def of_all(cls, settings: Settings) -> "CapturedRows":
        """To be shared: among so many records that those of busy PBXs do not hide a quiet one."""
        return cls(settings, LAST_RECORDS * len(settings.pbx_names))

    async def last(self, pbx: str, topics: Topics) -> RowMark | None:
        """The last row of a PBX; None: there was none among what was read.

        Raises UserError: no broker, no such topic.
        """
        async with self._reading:
            await self._read_on(topics)
        last = max(self._last.get(pbx, {}).values(), key=lambda each: (each[0], each[1].id), default=None)
        return None if last is None else last[1]

    async def _read_on(self, topics: Topics) -> None:
        ends = await topics.ends(self._topic)
        for partition, end in ends.items():
            if self._positions.get(partition, end + 1) > end:  # never read, or the topic was made anew
                self._positions[partition] = max(0, end - self._records)
        ahead = {partition: position for partition, position in self._positions.items() if position < ends[partition]}
        if not ahead:
            return
        async for record in topics.read(self._topic, ahead, start=ahead):
            self._take(record)
            self._positions[record.partition] = record.offset + 1
        for partition in ahead:  # the last offsets may hold no record
            self._positions[partition] = max(self._positions[partition], ends[partition])

    def _take(self, record: TopicRecord) -> None:
        try:
            row = self._decoder.decode(record.value)
        except UnreadableRow:
            return
        if row.op == "c":
            mark = row_mark(row.id, row.uniqueid, row.eventtime)
            self._last.setdefault(row.pbx, {})[record.partition] = row.commit_ms, mark
