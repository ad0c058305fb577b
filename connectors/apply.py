"""`cel2crm connectors apply`: everything that must be right is checked, then the source is applied and seen to work."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from connectors.client import ConnectClient, ConnectorStatus
from connectors.heartbeat import Heartbeats
from connectors.mariadb.checks import check_database
from connectors.source import connector_name, heartbeat_topic, source_config, topics_of
from connectors.topics import missing_topics
from streams.errors import UserError
from streams.settings import Settings, secret

Progress = Callable[[str], None]

POLL_SECONDS = 0.3


@dataclass(frozen=True, slots=True)
class Applied:
    """The outcome of `apply_source`."""

    name: str
    action: Literal["created", "updated", "restarted", "unchanged"]
    warnings: tuple[str, ...]
    status: ConnectorStatus


def connect_client(settings: Settings) -> ConnectClient:
    """The client of the settings' Connect, which keeps the database's password out of its messages."""
    database = settings.database
    known = database.password is not None or (database.password_file is not None and database.password_file.is_file())
    password = secret(database.password, database.password_file, "database.password") if known else ""
    return ConnectClient(settings.connect.url, secrets=[password])


async def apply_source(settings: Settings, progress: Progress, *, timeout_seconds: float = 90.0) -> Applied:
    """Check database, topics and configuration, apply the source, and wait until it follows the database.

    Rows written after it returned are captured: the connector has its place in the binlog by then.
    Raises UserError naming what is wrong and the remedy.
    """
    config = source_config(settings)
    name = connector_name(settings)
    progress(f"checking the database at {settings.database.host}:{settings.database.port}")
    warnings = await check_database(settings.database)
    progress("checking the topics")
    if missing := await missing_topics(settings, list(topics_of(settings).values())):
        raise UserError(f"topics are missing: {', '.join(missing)}", "Run: cel2crm topics apply")
    async with (
        connect_client(settings) as connect,
        Heartbeats(settings.kafka.bootstrap_servers, heartbeat_topic(settings)) as heartbeats,
    ):
        progress(f"checking the configuration with Kafka Connect at {settings.connect.url}")
        if faults := await connect.validate(config):
            raise UserError(
                f"Kafka Connect refuses the configuration of {name}:\n" + "\n".join(f"  {fault}" for fault in faults)
            )
        seen = await heartbeats.count()
        action: Literal["created", "updated", "restarted", "unchanged"] = await connect.apply(name, config)
        progress(f"connector {name}: {action}")
        try:
            async with asyncio.timeout(timeout_seconds):
                status, restarted = await _until_running(connect, name, progress, restart=action != "created")
                if restarted and action == "unchanged":
                    action = "restarted"
                if action != "unchanged":
                    progress("waiting for its first sign of life from the database")
                    status = await _until_beating(connect, name, heartbeats, seen)
        except TimeoutError:
            raise UserError(
                f"connector {name} does not work within {timeout_seconds:g} s, and says no reason",
                "See Kafka Connect's log, and: cel2crm connectors status",
            ) from None
    return Applied(name, action, tuple(warnings), status)


async def _until_running(
    connect: ConnectClient, name: str, progress: Progress, *, restart: bool
) -> tuple[ConnectorStatus, bool]:
    """Wait for RUNNING. A part that had failed before is restarted once, which Connect itself never does."""
    last, restarted = "", False
    while True:
        status = await connect.status(name)
        if status is not None:
            if status.running:
                return status, restarted
            if status.failures:
                if not restart or restarted:
                    raise failure_error(status)
                progress(f"restarting the failed parts: {status.failures[0].reason}")
                await connect.restart(name)
                restarted = True
            elif (line := describe_status(status)) != last:
                progress(line)
                last = line
        await asyncio.sleep(POLL_SECONDS)


async def _until_beating(connect: ConnectClient, name: str, heartbeats: Heartbeats, seen: int) -> ConnectorStatus:
    """Wait for a heartbeat: RUNNING alone does not say that the connector has its place in the binlog."""
    while True:
        status = await connect.status(name)
        if status is not None and status.failures:
            raise failure_error(status)
        if status is not None and status.running and await heartbeats.count() > seen:
            return status
        await asyncio.sleep(POLL_SECONDS)


def failure_error(status: ConnectorStatus) -> UserError:
    """A connector's failure as the one message that a user gets."""
    failure = status.failures[0]
    return UserError(f"connector {status.name} failed: {failure.reason}", failure.remedy or "See Kafka Connect's log.")


def describe_status(status: ConnectorStatus) -> str:
    """A connector's state in one line."""
    tasks = ", ".join(f"task {task.number} {task.state}" for task in status.tasks) or "no task yet"
    return f"connector {status.name} {status.state}, {tasks}"
