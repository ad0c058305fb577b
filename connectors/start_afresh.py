"""`cel2crm connectors start-afresh`: capture from now on, where the connector's position is of no use any more."""

import asyncio
from dataclasses import dataclass

from connectors.apply import Capture, check_configuration, check_prerequisites, open_capture, too_slow
from connectors.client import ConnectorStatus
from connectors.progress import Progress, until_beating, until_position_stored, until_running, until_stopped
from streams.settings import Settings


@dataclass(frozen=True, slots=True)
class StartedAfresh:
    """The outcome of `start_afresh`."""

    status: ConnectorStatus
    warnings: tuple[str, ...]
    backfill_since: str
    """The value for `cel2crm backfill --since`, to bring the rows written between."""


async def start_afresh(settings: Settings, progress: Progress, *, timeout_seconds: float = 120.0) -> StartedAfresh:
    """Stop the connector, delete its position, start it, wait until it follows the database, and remember the database.

    Interrupted, it is given again: until its end the capture counts as held. Raises UserError naming what is wrong.
    """
    warnings = await check_prerequisites(settings, progress)
    async with open_capture(settings) as capture:
        await check_configuration(capture, progress)
        hold = await capture.guard.begin_afresh()
        try:
            async with asyncio.timeout(timeout_seconds):
                await _forget_position(capture, progress)
                status = await _start(capture, progress)
        except TimeoutError:
            raise too_slow(capture.name, timeout_seconds) from None
        await capture.guard.accept()
    return StartedAfresh(status, tuple(warnings), hold.backfill_since)


async def _forget_position(capture: Capture, progress: Progress) -> None:
    connect, name = capture.connect, capture.name
    if await connect.config(name) is None:
        await connect.create_stopped(name, capture.config)
    else:
        progress(f"stopping connector {name}")
        await connect.stop(name)
    await until_stopped(connect, name)
    progress("deleting its position")
    await connect.delete_offset(name)


async def _start(capture: Capture, progress: Progress) -> ConnectorStatus:
    connect, name = capture.connect, capture.name
    await connect.apply(name, capture.config)
    seen = await capture.heartbeats.count()
    progress(f"resuming connector {name}")
    await connect.resume(name)
    await until_running(connect, name, progress, restart=False)
    progress("waiting for its first sign of life from the database")
    status = await until_beating(connect, name, capture.heartbeats, seen, progress)
    progress("waiting until Connect has stored its position (its offset.flush.interval.ms)")
    await until_position_stored(connect, name)
    return status
