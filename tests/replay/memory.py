"""A cel topic in memory, with the results that the aggregate worker's own state makes of it."""

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import NamedTuple

import orjson

from streams.calls.call import Call
from streams.calls.classify import classify
from streams.calls.pbx_profile import PbxProfile
from streams.calls.result import CallResult
from streams.kafka.topic_client import Outgoing, TopicRecord
from streams.operations.connection import Connection
from streams.replay.source import CelSource, OnGone
from streams.rules import load_rules
from streams.topics import CEL
from streams.workers.aggregate.partition_state import PartitionState
from streams.workers.aggregate.record_decoder import RecordDecoder
from streams.workers.aggregate.steps import CallEnded, CallWithheld, Ended, Limits, RowRefused
from tests.operations.memory import PARTITIONS, Operator
from tests.worker_installation import Row

FAR_AHEAD_MS = 1 << 42
"""A time at which every call has ended, as the worker's timer sees it."""


class Record(NamedTuple):
    """A record as aiokafka gives it."""

    offset: int
    key: bytes | None
    value: bytes | None
    timestamp: int


@dataclass
class MemorySource:
    """See streams.replay.source.CelSource: the topic of an Operator's installation."""

    operator: Operator
    batch: int = 7
    gone_while_read: dict[int, int] = field(default_factory=dict)
    """By partition: retention removes everything before this offset as soon as it was read for the second time."""
    readings: list[tuple[int, int, int]] = field(default_factory=list)
    """Partition, start and end of each."""

    @property
    def name(self) -> str:
        return self.operator.settings.kafka.topic(CEL)

    async def begins(self) -> Mapping[int, int]:
        return {each: self.operator.topics.begins.get((self.name, each), 0) for each in range(PARTITIONS)}

    async def ends(self) -> Mapping[int, int]:
        return await self.operator.topics.ends(self.name)

    async def since(self, moment_ms: int) -> Mapping[int, int]:
        found: dict[int, int] = {}
        for partition in range(PARTITIONS):
            for record in self._log(partition):
                if record.timestamp_ms >= moment_ms and partition not in found:
                    found[partition] = record.offset
        return found

    async def read(self, partition: int, start: int, end: int, on_gone: OnGone) -> AsyncIterator[Sequence[Record]]:
        self.readings.append((partition, start, end))
        if sum(each[0] == partition for each in self.readings) > 1 and partition in self.gone_while_read:
            gone = self.gone_while_read[partition]
            on_gone(start, gone)
            start = max(start, gone)
        kept = [each for each in self._log(partition) if start <= each.offset < end]
        for first in range(0, len(kept), self.batch):
            yield [Record(each.offset, each.key, each.value, each.timestamp_ms) for each in kept[first:][: self.batch]]

    def _log(self, partition: int) -> list[TopicRecord]:
        begin = self.operator.topics.begins.get((self.name, partition), 0)
        return [each for each in self.operator.topics.logs[self.name, partition] if each.offset >= begin]


def capture(operator: Operator, rows: Iterable[Row]) -> None:
    """Rows onto the topic, each record written when its row was committed."""
    topic = operator.settings.kafka.topic(CEL)
    for row in rows:
        placed = operator.topics.put(Outgoing(topic, row["linkedid"].encode(), orjson.dumps(row)))
        log = operator.topics.logs[topic, placed.partition]
        log[-1] = placed._replace(timestamp_ms=row["__source_ts_ms"])


class Live:
    """The aggregate worker's own state over every partition: results and refusals as it makes them."""

    def __init__(self, operator: Operator) -> None:
        self.operator = operator
        settings = operator.settings
        self._rules, self._profile = load_rules(settings.rules), PbxProfile.of(settings)
        self._states = {each: PartitionState(Limits.of(settings.aggregate)) for each in range(PARTITIONS)}
        self._decoder = RecordDecoder(settings)
        self.refused: set[str] = set()
        """Calls with a row that was refused as late."""
        self.withheld: set[str] = set()
        self.highest: dict[str, CallResult] = {}
        self.calls: dict[str, tuple[Call, bool]] = {}
        """Those of `highest`, and whether each was cut short."""

    def take_all(self) -> "Live":
        """Take the rows that stand there, and let every call end."""
        topic = self.operator.settings.kafka.topic(CEL)
        for partition, state in self._states.items():
            log = self.operator.topics.logs[topic, partition]
            for record in log[state.position :]:
                effect = state.row(record.offset, self._decoder.decode(record.value, record.timestamp_ms))
                if isinstance(effect, RowRefused):
                    self.refused.add(effect.call_id)
                elif effect is not None:
                    self._send(effect)
            for now in (FAR_AHEAD_MS, FAR_AHEAD_MS + 60_000):  # a call settles between two looks
                for ended in state.tick(now, len(log)):
                    self._send(ended)
        return self

    def _send(self, ended: Ended) -> None:
        if isinstance(ended, CallWithheld):
            self.withheld.add(ended.call.call_id)
            return
        assert isinstance(ended, CallEnded)
        result = classify(ended.call, self._rules, self._profile, cut_short=ended.cut_short).result
        self.operator.result(result)
        known = self.highest.get(result.call_id)
        if known is None or result.version > known.version:
            self.highest[result.call_id] = result
            self.calls[result.call_id] = ended.call, ended.cut_short


@asynccontextmanager
async def opened(operator: Operator, source: MemorySource) -> AsyncIterator[tuple[Connection, CelSource]]:
    """In the place of streams.replay.opening.open_replay."""
    yield await operator.connection(), source
