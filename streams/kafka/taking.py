"""A batch is taken by a worker, partition by partition, as long as it is current."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Protocol

from aiokafka import ConsumerRecord
from faust.types import TP

from streams.errors import UserError
from streams.kafka.batches import Batch
from streams.kafka.faust_overrides import App
from streams.kafka.hard_exit import hard_exit


class Taker(Protocol):
    """As much of a worker as takes records."""

    def positions(self) -> Mapping[TP, int]:
        """See faust_overrides.Owner."""
        ...

    async def take(self, tp: TP, records: Sequence[ConsumerRecord]) -> None:
        """See worker_runtime.Worker."""
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
