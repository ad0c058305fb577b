"""`cel2crm connectors apply --sink`: check all that must be right, apply a sink, and wait until it takes records."""

import asyncio
from dataclasses import dataclass

from connectors.apply import too_slow
from connectors.client import ConnectorStatus
from connectors.progress import POLL_SECONDS, Action, Progress, failure_error, give, require_valid, until_running
from connectors.sinks.connected import Sink, SinkConnector, open_sink, records_behind
from connectors.sinks.kinds import confirm_seconds, kind_of
from connectors.sinks.shared import sink_named
from connectors.topics import require_topics
from streams.errors import UserError
from streams.settings import Settings, SinkSettings


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
    """Check the place, the topics and configurations, apply the sink's connectors, and wait until each takes records.

    A connector that is stopped or paused is resumed, what has failed is restarted once. Nothing is applied where a
    check fails. Raises UserError naming what is wrong and the remedy.
    """
    settings_of_sink = sink_named(settings, name)
    kind = kind_of(settings_of_sink)
    async with open_sink(settings, settings_of_sink) as sink:
        progress(f"checking {kind.where(settings_of_sink)}")
        await _require_place(settings_of_sink)
        progress("checking the topics")
        wanted = [topic for connector in sink.connectors for topic in connector.topics]
        wanted += map(settings.kafka.topic, kind.own_topics)
        await require_topics(settings, wanted)
        progress(f"checking the configuration with Kafka Connect at {sink.connect.url}")
        for connector in sink.connectors:
            await require_valid(sink.connect, connector.name, connector.config)
        if kind.prepare is not None:
            new = [each.name for each in sink.connectors if await sink.connect.config(each.name) is None]
            await kind.prepare(settings, new)
        actions = [await give(sink.connect, each.name, each.config, progress) for each in sink.connectors]
        return [
            await _until_it_works(
                sink, connector, action, progress, timeout_seconds + confirm_seconds(settings_of_sink)
            )
            for connector, action in zip(sink.connectors, actions, strict=True)
        ]


async def _require_place(sink: SinkSettings) -> None:
    """Raise UserError with all that is wrong with the database or catalog, a line each."""
    kind = kind_of(sink)
    if refusals := await kind.refusals(sink):
        told = "\n".join(f"  {line}" for line in refusals)
        raise UserError(f"sink {sink.called} ({kind.where(sink)}) cannot take calls:\n{told}", kind.remedy(sink))


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
