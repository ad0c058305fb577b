"""Corrections into the live topics: the calls whose outcome differs, judged by the rules of the live workers.

The differing calls are kept on disk until a person has agreed; then each is written with the correction of the control
record. Killed in the middle, the same command publishes the rest: what was published does not differ any more.
"""

import struct
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import IO

import msgspec

from streams.calls.pbx_profile import PbxProfile
from streams.calls.result import Classification
from streams.calls.result_headers import ORIGIN, PROCESSED, REPLAY
from streams.calls.rules_in_force import RulesInForce
from streams.clock import utc_now_us
from streams.errors import UserError
from streams.kafka.topic_client import Outgoing
from streams.operations.connection import Connection
from streams.privacy.hashed import ResultHasher
from streams.replay.comparison import Difference, Kind, Replay
from streams.replay.judge import NotJudged
from streams.replay.member import corrected, patiently
from streams.replay.spool import kept_on_disk, temporary_file
from streams.topics import CALL_LEGS, CALL_RESULTS, CALL_RESULTS_HASHED, RULES_IN_FORCE
from streams.workers.aggregate.other_workers import rules_told

_SEND_RECORDS = 4_000
_LENGTH = struct.Struct(">I")


@dataclass(slots=True)
class Corrections:
    """The calls that are to be published, on disk."""

    file: IO[bytes]
    kinds: Counter[Kind] = field(default_factory=Counter)
    not_taken: int = 0
    """Calls that differ, of which the live worker has still to take rows: their results are still to come."""
    not_judged: list[NotJudged] = field(default_factory=list)

    def __len__(self) -> int:
        return sum(self.kinds.values())

    def put(self, difference: Difference) -> None:
        """Raises UserError: the disk is full."""
        encoded = msgspec.msgpack.encode(difference.after)
        with kept_on_disk():
            self.file.write(_LENGTH.pack(len(encoded)) + encoded)
        self.kinds[difference.kind] += 1

    def outcomes(self) -> Iterator[Classification]:
        """All of them, in order."""
        decode = msgspec.msgpack.Decoder(Classification).decode
        self.file.seek(0)
        while head := self.file.read(_LENGTH.size):
            yield decode(self.file.read(_LENGTH.unpack(head)[0]))


@asynccontextmanager
async def corrections_of(replay: Replay, taken: Mapping[int, int]) -> AsyncIterator[Corrections]:
    """The calls whose outcome differs, and of which the live worker has taken all rows for good.

    `taken`: by partition, the offset before which it has (gaps/taken.py). A result that is still to come from it would
    be lower than a correction, and no CRM would get it. Raises UserError: no broker, no disk.
    """
    with temporary_file() as file:
        found = Corrections(file)
        async for each in replay.differences():
            if isinstance(each, NotJudged):
                found.not_judged.append(each)
            elif each.kind is Kind.STATUS:
                continue
            elif each.row[1] >= taken.get(each.row[0], 0):
                found.not_taken += 1
            else:
                found.put(each)
        with kept_on_disk():
            file.flush()  # here: nothing is begun yet
        yield found


async def publish(connection: Connection, corrections: Corrections, correction: int) -> None:
    """Write them. Raises UserError: no broker, no registry."""
    pending: list[Outgoing] = []

    async def send() -> None:
        await connection.topics.send(pending)

    hasher = ResultHasher.of(connection.settings, PbxProfile.of(connection.settings))
    for outcome in corrections.outcomes():
        pending += await records_of(connection, outcome, correction, hasher)
        if len(pending) >= _SEND_RECORDS:
            await patiently(send)
            pending.clear()
    if pending:
        await patiently(send)


async def records_of(
    connection: Connection, outcome: Classification, correction: int, hasher: ResultHasher | None, origin: str = REPLAY
) -> list[Outgoing]:
    """A call's result and legs as corrections. Raises UserError: no registry."""
    result = corrected(outcome.result, correction)
    key = result.call_id.encode()
    found = [await connection.outgoing(CALL_RESULTS, key, result.record())]
    for leg in outcome.legs:
        found.append(await connection.outgoing(CALL_LEGS, key, corrected(leg, correction).record()))
    if hasher is not None:
        found.append(await connection.outgoing(CALL_RESULTS_HASHED, key, hasher.record(result)))
    headers = ((ORIGIN, origin.encode()), (PROCESSED, str(utc_now_us()).encode()))
    return [each._replace(headers=(*each.headers, *headers)) for each in found]


async def rules_in_force(connection: Connection) -> dict[int, RulesInForce]:
    """By partition of the cel topic, what its last owner said. Raises UserError: no broker, no such topic."""
    return await rules_told(connection.topics, connection.topic(RULES_IN_FORCE))


def refuse_other_rules(rules_hash: str, told: Mapping[int, RulesInForce], partitions: int) -> None:
    """Raises UserError where live workers judge by other rules, or do not say by which: a late row would undo it."""
    for partition in range(partitions):
        said = told.get(partition)
        if said is None:
            raise UserError(
                f"nobody knows by which rules the worker of partition {partition} judges",
                "Start the aggregate workers again: they say it when they take a partition over.",
            )
        if said.rules_hash != rules_hash:
            raise UserError(
                f"worker {said.worker} judges by rules {said.rules_hash}, and these settings are rules {rules_hash}: "
                "a late row would undo what is published",
                "Give the workers the same settings and start them again; or run this with theirs.",
            )
