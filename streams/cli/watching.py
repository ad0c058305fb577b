"""The watch of all connectors: `cel2crm connectors watch`, and `cel2crm worker .. --watch` in the workers' process."""

import asyncio
from collections.abc import Sequence

import structlog

from connectors.apply import open_capture
from connectors.capture_marks import CaptureMarks, DatabaseCapture
from connectors.captured_rows import CapturedRows
from connectors.gap_watch import GapWatch
from connectors.sinks.watch import watch_sinks
from connectors.watch import Watcher
from streams.errors import SettingsError, UserError
from streams.gaps.small import SmallComparison
from streams.settings import Settings

SILENCE_SECONDS = 60.0
"""Without a heartbeat, before a connector that says that it runs is restarted."""
RETRY_SECONDS = 60.0
COMPARED_AT_ONCE = 4
"""PBXs whose rows are compared for gaps at once; the others wait for their turn."""

log = structlog.get_logger("connectors.watch")


async def watch_connectors(
    settings: Settings, chosen: Sequence[Settings], silence_seconds: float = SILENCE_SECONDS
) -> None:
    """Watch the sources of the chosen PBXs and every sink, until cancelled. Raises SettingsError: for a person to mend.

    Where one of them fails by a fault of its own, the others are ended with it, and its error is raised.
    """
    turns, captured = asyncio.Semaphore(COMPARED_AT_ONCE), CapturedRows.of_all(settings)
    tasks = [asyncio.ensure_future(_watch_source(each, silence_seconds, turns, captured)) for each in chosen]
    tasks.append(asyncio.ensure_future(watch_sinks(settings)))
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)


async def _watch_source(
    settings: Settings, silence_seconds: float, turns: asyncio.Semaphore, captured: CapturedRows
) -> None:
    """Watch; a broker that is away at the start is waited for, one line a minute."""
    while True:
        try:
            async with (
                open_capture(settings, captured) as capture,
                DatabaseCapture(settings, capture.connect) as marked,
            ):
                gaps = GapWatch(SmallComparison(settings), capture.name, settings.pbx.name, turns=turns)
                marks = CaptureMarks(marked, capture.name)
                await Watcher(
                    capture.connect, capture.name, capture.heartbeats.count, capture.guard, gaps=gaps, marks=marks,
                    silence_seconds=silence_seconds,
                ).run()  # fmt: skip
        except SettingsError:
            raise
        except UserError as error:
            log.error("cannot watch yet", reason=error.problem, remedy=error.remedy)
            await asyncio.sleep(RETRY_SECONDS)
