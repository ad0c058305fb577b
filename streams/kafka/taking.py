"""A batch is taken by a worker, partition by partition, as long as it is current."""

import asyncio
from collections.abc import Sequence
from typing import Protocol

from aiokafka import ConsumerRecord
from faust.types import TP

from streams.errors import UserError
from streams.kafka.batches import Batch
from streams.kafka.faust_overrides import App, Owner
from streams.kafka.hard_exit import hard_exit


class Taker(Owner, Protocol):
    """An owner of partitions that takes their records."""

    async def take(self, tp: TP, records: Sequence[ConsumerRecord]) -> None:
        """Take records of one partition: raw bytes in `key` and `value`; `offset`, `headers`, `timestamp` (ms).

        In the order of the partition, from the offset that `assigned` said; ignore those of partitions that are not
        assigned. After every await the partition may be another owner's: what is left then is to be dropped. A
        UserError ends the process as a signal does, before the record at hand, and is told to the user; any other
        exception ends it hard. Returning means nothing for commits: only `group.commit_marked` commits."""
        ...


class Ending:
    """Why a worker ends gracefully: a signal, or a fault outside the program that a person mends."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()
        self.error: UserError | None = None

    def ask(self, error: UserError) -> None:
        """Ask for the end because of `error`."""
        self.error = error
        self.asked.set()

    async def stop_for(self, error: UserError) -> None:
        """Ask for the end because of `error`, and take no further record until it comes."""
        self.ask(error)
        await asyncio.Event().wait()


async def take_batch(app: App, worker: Taker, batch: Batch, ending: Ending | None = None) -> None:
    """Have a worker take a batch as long as it is current; whatever goes wrong ends the process.

    `ending`: asked for where the worker refuses to go on; without it that ends the process hard.
    """
    tp = batch.tp
    try:
        for tp, records in batch.polled.items():
            if app.group.is_current(batch):
                await worker.take(tp, records)
        app.group.taken(batch)
    except asyncio.CancelledError:
        raise
    except BaseException as error:
        if ending is not None and isinstance(error, UserError):
            await ending.stop_for(error)
        at = worker.positions().get(tp, batch.polled[tp][0].offset)
        hard_exit(f"{tp.topic}/{tp.partition}/{at} could not be processed", error)
