"""Many cells at once in one event loop, each with its own portal."""

import asyncio
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import NoReturn
from unittest import mock

import structlog

from streams.clock import MICROS_PER_SECOND
from streams.delivery.plan import Policy
from streams.kafka import hard_exit
from streams.workers.deliver import portal_queue, throttle
from tests.faults.cells import Cell
from tests.faults.run_cell import CellRun
from tests.faults.worker_owner import end_process, task_factory

AT_ONCE = 100


async def run_cells(
    cells: Iterable[Cell], at_once: int = AT_ONCE, on_result: Callable[[Cell, list[str]], None] | None = None
) -> dict[str, list[str]]:
    """Run cells; what was wrong, by the id of the cell."""
    room = asyncio.Semaphore(at_once)
    wrong: dict[str, list[str]] = {}
    loop = asyncio.get_running_loop()
    with tempfile.TemporaryDirectory() as directory, scaled_times():
        loop.set_task_factory(task_factory)
        try:

            async def one(cell: Cell) -> None:
                async with room:
                    found = await CellRun(cell, Path(directory)).run()
                if found:
                    wrong[cell.id] = found
                if on_result is not None:
                    on_result(cell, found)

            async with asyncio.TaskGroup() as group:
                for cell in cells:
                    group.create_task(one(cell))
        finally:
            loop.set_task_factory(None)
    return wrong


@contextmanager
def scaled_times() -> Iterator[None]:
    """The product with times to the scale of the cells; its hard exit ends one owner only, and its log is silent."""
    with (
        mock.patch.object(throttle, "FIRST_PROBE_US", MICROS_PER_SECOND // 2),
        mock.patch.object(throttle, "RARE_PROBE_US", MICROS_PER_SECOND),
        mock.patch.object(portal_queue, "Policy", partial(Policy, patience_us=(MICROS_PER_SECOND // 2,))),
        mock.patch.object(hard_exit, "end_process", end_process),
    ):
        before = structlog.get_config()
        structlog.configure(processors=[_drop])
        try:
            yield
        finally:
            structlog.configure(**before)


def _drop(*_: object) -> NoReturn:
    raise structlog.DropEvent
