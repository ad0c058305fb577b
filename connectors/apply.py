"""`cel2crm connectors apply`: check all that must be right, apply the source, and wait until it works."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from connectors.capture_state import Hold
from connectors.captured_rows import CapturedRows
from connectors.client import ConnectClient, ConnectorStatus
from connectors.engines import engine_of
from connectors.failures import KnownFailure, with_reference
from connectors.guard import CaptureGuard
from connectors.heartbeat import Heartbeats
from connectors.progress import (
    Action,
    Progress,
    give,
    require_valid,
    until_beating,
    until_position_stored,
    until_running,
)
from connectors.source import ConnectorConfig, connector_name, heartbeat_topic, source_config, topics_of
from connectors.topics import require_topics
from streams.errors import UserError
from streams.http.service import http_access
from streams.kafka.topic_client import KafkaTopics, Topics
from streams.settings import Settings, secret


@dataclass(frozen=True, slots=True)
class Applied:
    """The outcome of `apply_source`."""

    name: str
    action: Action
    warnings: tuple[str, ...]
    status: ConnectorStatus


@dataclass(frozen=True, slots=True)
class Capture:
    """One PBX's capture: its connector, and what there is to see of it."""

    name: str
    config: ConnectorConfig
    connect: ConnectClient
    heartbeats: Heartbeats
    guard: CaptureGuard
    topics: Topics
    settings: Settings


def connect_client(
    settings: Settings,
    *,
    timeout_seconds: float = 60.0,
    secrets: Iterable[str] = (),
    known_failures: Sequence[KnownFailure] | None = None,
) -> ConnectClient:
    """The client of the settings' Connect, which keeps the database's password, and `secrets`, out of its messages.

    `known_failures`: those of the connectors that are asked for; None: those of the database's engine.
    """
    database = settings.database
    known = database.password is not None or (database.password_file is not None and database.password_file.is_file())
    password = secret(database.password, database.password_file, "database.password") if known else ""
    return ConnectClient(
        settings.connect.url,
        access=http_access(settings.connect, "connect"),
        secrets=[password, *secrets],
        timeout_seconds=timeout_seconds,
        known=_failures_of(settings) if known_failures is None else known_failures,
    )


def _failures_of(settings: Settings) -> Sequence[KnownFailure]:
    return with_reference(engine_of(settings).known_failures, settings.connect.password_reference)


@asynccontextmanager
async def open_capture(settings: Settings, captured: CapturedRows | None = None) -> AsyncIterator[Capture]:
    """Connections to Connect and Kafka; `captured`: shared with other PBXs; None: its own.

    Raises UserError: no broker, settings that cannot be used.
    """
    config = source_config(settings)
    async with (
        connect_client(settings) as connect,
        Heartbeats(settings.kafka, heartbeat_topic(settings)) as heartbeats,
        KafkaTopics(settings.kafka) as topics,
    ):
        guard = CaptureGuard(settings, connect, topics, captured)
        yield Capture(connector_name(settings), config, connect, heartbeats, guard, topics, settings)


async def apply_source(
    settings: Settings, progress: Progress, *, timeout_seconds: float = 90.0, restart: bool = False
) -> Applied:
    """Check database, topics and configuration, apply the source, and wait until it follows the database.

    Rows written after it returned are captured: the connector has its place in the binlog by then, and has stored it.
    A connector that is stopped or paused is resumed; one whose rows may be missing is not, until `start_afresh`.
    `restart`: one that works is restarted too.
    Raises UserError naming what is wrong and the remedy.
    """
    warnings = await check_prerequisites(settings, progress)
    async with open_capture(settings) as capture:
        await check_configuration(capture, progress)
        await _refuse_gap(capture)
        seen = await capture.heartbeats.count()
        action = await _applied(capture, progress)
        if restart and action == "unchanged":
            await capture.connect.restart(capture.name, only_failed=False)
            action = "restarted"
        try:
            async with asyncio.timeout(timeout_seconds):
                status, restarted = await until_running(
                    capture.connect, capture.name, progress, restart=action != "created"
                )
                if restarted and action == "unchanged":
                    action = "restarted"
                if action != "unchanged":
                    progress("waiting for its first sign of life from the database")
                    status = await until_beating(capture.connect, capture.name, capture.heartbeats, seen, progress)
                if action == "created":
                    progress("waiting until Connect has stored its position (its offset.flush.interval.ms)")
                    await until_position_stored(capture.connect, capture.name)
        except TimeoutError:
            raise too_slow(capture.name, timeout_seconds) from None
        if hold := (verdict := await capture.guard.check()).hold:
            raise held(hold)
    told = (f"{fault.problem}. {fault.remedy}" for fault in verdict.warnings)
    return Applied(capture.name, action, (*warnings, *verdict.remarks, *told), status)


async def check_prerequisites(settings: Settings, progress: Progress) -> list[str]:
    """Check the database and the topics. Returns warnings, a line each. Raises UserError."""
    source_config(settings)
    progress(f"checking the database at {settings.database.host}:{settings.database.port}")
    warnings = await engine_of(settings).check(settings)
    progress("checking the topics")
    await require_topics(settings, list(topics_of(settings).values()))
    return warnings


async def check_configuration(capture: Capture, progress: Progress) -> None:
    """Let Connect and the connector check the configuration. Raises UserError with every fault."""
    progress(f"checking the configuration with Kafka Connect at {capture.connect.url}")
    await require_valid(capture.connect, capture.name, capture.config)


async def _applied(capture: Capture, progress: Progress) -> Action:
    """Give the connector its configuration, and start it where it is not started."""
    connect, name = capture.connect, capture.name
    if await connect.config(name) is None:
        # Its position, which outlives a deletion, can be asked for only now; it must not start without.
        await connect.create_stopped(name, capture.config)
        await _refuse_gap(capture, remember=True)
        await connect.resume(name)
        progress(f"connector {name}: created")
        return "created"
    return await give(connect, name, capture.config, progress)


async def _refuse_gap(capture: Capture, *, remember: bool = False) -> None:
    """Raises UserError where rows would be skipped. Nothing is held for it: the settings may be the ones to blame."""
    verdict = await (capture.guard.check(hold=False) if remember else capture.guard.look())
    if verdict.hold:
        raise held(verdict.hold)


def held(hold: Hold) -> UserError:
    """Why the capture must not go on, as the one message that a user gets."""
    return UserError(
        f"the capture must not go on: {hold.reason}. {hold.missing}",
        f"{hold.remedy} (Where database.host leads to another database by mistake: mend the settings.)",
    )


def too_slow(name: str, seconds: float) -> UserError:
    """The message when a connector neither works nor fails in time."""
    return UserError(
        f"connector {name} does not work within {seconds:g} s, and says no reason",
        "See Kafka Connect's log, and: cel2crm connectors status",
    )
