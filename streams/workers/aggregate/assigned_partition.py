"""A partition of the CEL topic while it is assigned to this process: sends what its rows gave, and checkpoints it."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence

import structlog
from faust.types import TP

from streams.calls.snapshot import UnreadableSnapshot
from streams.kafka.faust_overrides import Consumer
from streams.kafka.fenced_log import Fenced, FencedLog, Headers, Record
from streams.kafka.hard_exit import hard_exit
from streams.kafka.producer import IdempotentProducer, Message
from streams.kafka.set_aside import SetAsideRecords
from streams.kafka.turn import Turn, give_back
from streams.workers.aggregate import metrics
from streams.workers.aggregate.partition_state import PartitionState
from streams.workers.aggregate.steps import AwaitSent, Commit, GiveWay, WriteSnapshots
from streams.workers.aggregate.take_over import drop_unreadable

_log = structlog.get_logger("aggregate")


class AssignedPartition:
    """The partition's state, its fenced checkpoint log, and the loop that checkpoints it."""

    def __init__(
        self, tp: TP, partition: PartitionState, log: FencedLog, group: Consumer, producer: IdempotentProducer
    ) -> None:
        self.tp = tp
        self.partition = partition
        self._log = log
        self._group = group
        self._producer = producer
        self.in_transactions = False
        """Offsets without a row were seen that the end of a transaction has: one alone is no loss."""
        self.looked_at_ms = 0
        """The clock at the last look at calls that are due."""
        self._gathered: list[Message] = []
        self._unsent = 0
        self._all_sent = asyncio.Event()
        self._all_sent.set()
        self._sending = asyncio.Lock()
        self._ending = asyncio.Event()
        self._loop: asyncio.Task[None] | None = None

    def start(
        self,
        commit_seconds: float,
        flush_seconds: float,
        then: "Callable[[AssignedPartition], Awaitable[None]] | None" = None,
        *,
        first_flush_seconds: float | None = None,
    ) -> None:
        """Checkpoint from now on: commit every `commit_seconds`, and with it flush the calls every `flush_seconds`.

        `then`: called after each checkpoint, before the next one begins. `first_flush_seconds`: until the first flush,
        if not as long, so that the partitions of a process flush one after the other.
        """
        self._loop = asyncio.create_task(
            self._checkpoint_loop(commit_seconds, flush_seconds, first_flush_seconds or flush_seconds, then)
        )

    def gather(self, messages: Sequence[Message]) -> None:
        """Keep what the protocol gave for the row just taken, for the next `send_gathered`."""
        self._gathered += messages

    async def send_gathered(self) -> None:
        """Send what was gathered."""
        if self._gathered:
            messages, self._gathered = self._gathered, []
            await self.send(messages)

    async def send(self, messages: Sequence[Message]) -> None:
        """Send what the protocol gave, in the order of the calls: called without an await in between.

        Until everything is handed to the producer no checkpoint takes its next step: it would commit past the row
        without waiting for what the row gave.
        """
        self._unsent += 1
        self._all_sent.clear()
        try:
            async with self._sending:
                await self._producer.send_all(messages)
        finally:
            self._unsent -= 1
            if not self._unsent:
                self._all_sent.set()

    async def drop_unreadable(self, unreadable: UnreadableSnapshot, set_aside: SetAsideRecords) -> None:
        """See take_over.drop_unreadable."""
        await drop_unreadable(self.partition, self._log, unreadable, set_aside)

    async def release(self, limit_seconds: float) -> None:
        """Checkpoint for the last time, as far as the time allows, and close."""
        self._ending.set()
        try:
            async with asyncio.timeout(limit_seconds):
                if self._loop is not None:
                    await self._loop
                await self.checkpoint(flush=True)
        except TimeoutError:
            _log.warning("released without a last checkpoint; its next owner replays the rows", partition=self.tp)
        await self._log.close()

    async def all_acknowledged(self) -> None:
        """Wait for the broker's answer on everything that the rows taken so far gave."""
        await self._all_handed_over()
        await self._producer.drain()

    async def write_to(self, topic: str, partition: int, records: Sequence[Record], headers: Headers) -> bool:
        """Write records of another topic under this partition's fence: whether they are there.

        A process that was replaced ends hard.
        """
        try:
            return await self._log.write(records, to=(topic, partition), headers=headers) is not None
        except Fenced as error:
            hard_exit(f"another process owns {self.tp} now", error)

    async def _all_handed_over(self) -> None:
        await self.send_gathered()
        while self._unsent:
            await self._all_sent.wait()

    async def _checkpoint_loop(
        self,
        commit_seconds: float,
        flush_seconds: float,
        first_flush_seconds: float,
        then: "Callable[[AssignedPartition], Awaitable[None]] | None",
    ) -> None:
        flush_at = time.monotonic() + first_flush_seconds
        while not self._ending.is_set():
            try:
                async with asyncio.timeout(commit_seconds):
                    await self._ending.wait()
            except TimeoutError:
                flush = time.monotonic() >= flush_at
                if flush:
                    flush_at = time.monotonic() + flush_seconds
                try:
                    await self.checkpoint(flush=flush)
                    if then is not None and not self._ending.is_set():
                        await then(self)
                except Exception as error:  # whatever it is: without checkpoints the state only grows
                    hard_exit(f"{self.tp} cannot be checkpointed", error)

    async def checkpoint(self, *, flush: bool) -> None:
        """See PartitionState.checkpoint. One at a time."""
        steps = self.partition.checkpoint(flush=flush)
        answer: bool | None = None
        turn = Turn()
        while True:
            await self._all_handed_over()
            try:
                step = steps.send(answer)  # type: ignore[arg-type]  # None starts a generator
            except StopIteration:
                return
            answer = True
            if not isinstance(step, GiveWay):
                answer = await self._carry_out(step)
                turn = Turn()
            elif turn.is_over:
                await turn.give_way()

    async def _carry_out(self, step: AwaitSent | WriteSnapshots | Commit) -> bool:
        match step:
            case AwaitSent():
                await self._producer.drain()
                return True
            case WriteSnapshots(records):
                encoded, turn = list[Record](), Turn()
                for key, value in records:
                    encoded.append((key.encode(), value))
                    if turn.is_over:
                        await turn.give_way()
                try:
                    written = await self._log.write(encoded)
                except Fenced as error:
                    hard_exit(f"another process owns {self.tp} now", error)
                await give_back(encoded)
                await give_back(records)
                return written is not None
            case Commit(offset, marker):
                confirmed = await self._group.commit_marked(self.tp, offset, marker.encode())
                if confirmed:
                    metrics.LAST_CHECKPOINT.labels(self.tp.partition).set_to_current_time()
                return confirmed
