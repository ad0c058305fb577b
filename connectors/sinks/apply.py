"""`cel2crm connectors apply --sink`: check all that must be right, apply a sink, and wait until it takes records."""

import asyncio
from dataclasses import dataclass

from connectors.apply import too_slow
from connectors.client import ConnectorStatus
from connectors.progress import POLL_SECONDS, Action, Progress, failure_error, give, require_valid, until_running
from connectors.sinks.connected import Sink, SinkConnector, open_sink, records_behind
from connectors.sinks.jdbc.checks import check_sink_database
from connectors.sinks.jdbc.config import sink_named
from connectors.topics import require_topics
from streams.settings import Settings


@dataclass(frozen=True, slots=True)
class AppliedPart:
    """The outcome for one connector of a sink."""

    action: Action
    status: ConnectorStatus
    behind: int
    """Records of its topics that it had not confirmed at the end."""


async def apply_sink(
    settings: Settings, name: str, progress: Progress, *, timeout_seconds: float = 90.0
) -> list[AppliedPart]:
    """Check database, topics and configurations, apply the sink's connectors, and wait until each takes records.

    A connector that is stopped or paused is resumed, what has failed is restarted once. Nothing is applied where a
    check fails. Raises UserError naming what is wrong and the remedy.
    """
    settings_of_sink = sink_named(settings, name)
    async with open_sink(settings, settings_of_sink) as sink:
        progress(f"checking database {settings_of_sink.database} at {settings_of_sink.address}")
        await check_sink_database(settings_of_sink)
        progress("checking the topics")
        wanted = [topic for connector in sink.connectors for topic in connector.topics]
        await require_topics(settings, wanted)
        progress(f"checking the configuration with Kafka Connect at {sink.connect.url}")
        for connector in sink.connectors:
            await require_valid(sink.connect, connector.name, connector.config)
        actions = [await give(sink.connect, each.name, each.config, progress) for each in sink.connectors]
        return [
            await _until_it_works(sink, connector, action, progress, timeout_seconds)
            for connector, action in zip(sink.connectors, actions, strict=True)
        ]


async def _until_it_works(
    sink: Sink, connector: SinkConnector, action: Action, progress: Progress, timeout_seconds: float
) -> AppliedPart:
    try:
        async with asyncio.timeout(timeout_seconds):
            status, restarted = await until_running(sink.connect, connector.name, progress, restart=action != "created")
            behind = await _until_taking(sink, connector, progress)
    except TimeoutError:
        raise too_slow(connector.name, timeout_seconds) from None
    return AppliedPart("restarted" if restarted and action == "unchanged" else action, status, behind)


async def _until_taking(sink: Sink, connector: SinkConnector, progress: Progress) -> int:
    """Wait until a connector has confirmed a record, or has none to take: RUNNING alone says nothing of the table.

    Returns how many it has still to take. Raises UserError: it fails.
    """
    before = await _confirmed(sink, connector)
    told = False
    while behind := await records_behind(sink, connector):
        if await _confirmed(sink, connector) > before:
            break
        status = await sink.connect.status(connector.name)
        if status is not None and status.failures:
            raise failure_error(status)
        if not told:
            progress(f"connector {connector.name}: waiting until it has written some of {behind} records")
            told = True
        await asyncio.sleep(POLL_SECONDS)
    return behind


async def _confirmed(sink: Sink, connector: SinkConnector) -> int:
    """A number that rises with each record that it has confirmed."""
    return sum((await sink.connect.sink_offsets(connector.name) or {}).values())
