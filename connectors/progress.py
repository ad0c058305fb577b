"""A connector gets its configuration, and is waited for: stopped, running, following the database, its place stored.

Every function waits without a limit of its own: use asyncio.timeout.
"""

import asyncio
from collections.abc import Callable
from typing import Literal

from connectors.client import PAUSED, STOPPED, ConnectClient, ConnectorStatus, describe_status
from connectors.heartbeat import Heartbeats
from connectors.source import ConnectorConfig
from streams.errors import UserError

Progress = Callable[[str], None]
"""Takes a line for the person who waits."""

POLL_SECONDS = 0.3

Action = Literal["created", "updated", "resumed", "restarted", "unchanged"]


async def require_valid(connect: ConnectClient, name: str, config: ConnectorConfig) -> None:
    """Let Connect and the connector check a configuration. Raises UserError with every fault."""
    if faults := await connect.validate(config):
        told = "\n".join(f"  {line}" for line in faults)
        raise UserError(f"Kafka Connect refuses the configuration of {name}:\n{told}")


async def give(connect: ConnectClient, name: str, config: ConnectorConfig, progress: Progress) -> Action:
    """Give a connector its configuration, and start it where it is not started."""
    action: Action = await connect.apply(name, config)
    progress(f"connector {name}: {action}")
    status = await connect.status(name)
    if status is not None and status.state in (STOPPED, PAUSED):
        progress(f"connector {name} is {status.state}: resuming it")
        await connect.resume(name)
        return "resumed"
    return action


async def until_stopped(connect: ConnectClient, name: str) -> None:
    """Wait until a connector is stopped and has no task left."""
    while True:
        status = await connect.status(name)
        if status is not None and status.state == STOPPED and not status.tasks:
            return
        await asyncio.sleep(POLL_SECONDS)


async def until_running(
    connect: ConnectClient, name: str, progress: Progress, *, restart: bool
) -> tuple[ConnectorStatus, bool]:
    """Wait for RUNNING. A part that had failed before is restarted once (`restart`), which Connect itself never does.

    Returns whether it was. Raises UserError for a failure that a restart does not mend, or must not hide.
    """
    last, restarted = "", False
    while True:
        status = await connect.status(name)
        if status is not None:
            if status.running:
                return status, restarted
            if status.failures:
                await _restart_failed(connect, status, progress, allowed=restart and not restarted)
                restarted = True
            elif (line := describe_status(status)) != last:
                progress(line)
                last = line
        await asyncio.sleep(POLL_SECONDS)


async def _restart_failed(
    connect: ConnectClient, status: ConnectorStatus, progress: Progress, *, allowed: bool
) -> None:
    """Restart the failed parts of a connector. Raises UserError: that is not `allowed`, or would hide the failure."""
    if not allowed or any(failure.needs_person for failure in status.failures):
        raise failure_error(status)
    progress(f"restarting the failed parts: {status.failures[0].reason}")
    await connect.restart(status.name)


async def until_beating(
    connect: ConnectClient, name: str, heartbeats: Heartbeats, seen: int, progress: Progress
) -> ConnectorStatus:
    """Wait for a heartbeat: RUNNING alone does not say that the connector has its place in the binlog.

    A part that fails is restarted once: Debezium's schema history may be closed by a task that just ended while the
    next one begins with it (RejectedExecutionException). Raises UserError as until_running does.
    """
    restarted = False
    while True:
        status = await connect.status(name)
        if status is not None and status.failures:
            await _restart_failed(connect, status, progress, allowed=not restarted)
            restarted = True
        elif status is not None and status.running and await heartbeats.count() > seen:
            return status
        await asyncio.sleep(POLL_SECONDS)


async def until_position_stored(connect: ConnectClient, name: str) -> None:
    """Wait until Connect has stored a position: a Connect that ends before begins anew, and skips rows silently."""
    while not await connect.offset(name):  # noqa: ASYNC110 (Connect tells no one)
        await asyncio.sleep(POLL_SECONDS)


def failure_error(status: ConnectorStatus) -> UserError:
    """A connector's failure as the one message that a user gets."""
    failure = status.failures[0]
    return UserError(f"connector {status.name} failed: {failure.reason}", failure.remedy or "See Kafka Connect's log.")
