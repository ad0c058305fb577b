"""Commands of the capture, given by tests on real servers."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from structlog.testing import capture_logs
from typer.testing import CliRunner, Result

from connectors.apply import apply_source, connect_client, open_capture
from connectors.client import ConnectorStatus
from connectors.report import CaptureReport, report
from connectors.source import connector_name
from connectors.start_afresh import start_afresh
from connectors.watch import Backoff, Watcher
from streams.cli.connectors import app
from streams.errors import UserError
from streams.kafka.topic_client import KafkaTopics
from streams.settings import Settings
from tests.connectors.installation import Installation


def silent(_: str) -> None:
    """No progress lines."""


async def applied(settings: Settings) -> str:
    return (await apply_source(settings, silent)).action


async def refusal(settings: Settings) -> str:
    with pytest.raises(UserError) as caught:
        await apply_source(settings, silent)
    assert settings.database.password is not None
    assert settings.database.password.get_secret_value() not in str(caught.value)
    return str(caught.value)


async def started_afresh(settings: Settings) -> str:
    """The `--since` of the backfill that it names."""
    return (await start_afresh(settings, silent)).backfill_since


async def reported(settings: Settings) -> CaptureReport:
    async with open_capture(settings) as capture:
        return await report(capture)


def settings_file(pbx: Installation, **changed: Mapping[str, Any]) -> Path:
    """The installation's settings as a file; `changed`: by section."""
    assert pbx.settings.database.password is not None
    tree = pbx.settings.model_dump(mode="json", exclude={"portals"})
    tree["database"]["password"] = pbx.settings.database.password.get_secret_value()
    for section, values in changed.items():
        tree[section] |= values
    file = pbx.stack.endpoints.directory / f"{pbx.name}.yaml"
    file.touch(mode=0o600)
    file.write_text(yaml.safe_dump(tree), encoding="utf-8")
    return file


async def command(pbx: Installation, *words: str) -> Result:
    """`cel2crm connectors` with these words, in a thread: it has an event loop of its own."""
    file = settings_file(pbx)
    return await asyncio.to_thread(lambda: CliRunner().invoke(app, [*words, "--settings", str(file)]))


@contextlib.asynccontextmanager
async def watching(pbx: Installation, silence_seconds: float) -> AsyncIterator[list[Any]]:
    """The watcher at work, with the log lines it writes; it looks at the database every second."""
    with capture_logs() as lines:
        async with open_capture(pbx.settings) as capture:
            watcher = Watcher(
                capture.connect, capture.name, capture.heartbeats.count, capture.guard, Backoff(1, 4),
                poll_seconds=0.5, silence_seconds=silence_seconds, check_seconds=1, held_check_seconds=1,
            )  # fmt: skip
            task = asyncio.ensure_future(watcher.run())
            try:
                yield lines
            finally:
                assert not task.done(), "the watcher ended by itself"
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await task


async def until_logged(lines: list[Any], event: str) -> Any:
    async with asyncio.timeout(120):
        while not (found := [line for line in lines if line["event"] == event]):  # noqa: ASYNC110
            await asyncio.sleep(0.2)
    return found[0]


async def until_state(pbx: Installation, state: str) -> None:
    async with connect_client(pbx.settings) as connect, asyncio.timeout(60):
        name = connector_name(pbx.settings)
        while not _is(await connect.status(name), state):  # noqa: ASYNC110
            await asyncio.sleep(0.2)


def _is(status: ConnectorStatus | None, state: str) -> bool:
    return status is not None and status.state == state and bool(status.tasks) == (state == "RUNNING")


async def captured(pbx: Installation, *linkedids: str) -> None:
    """Write a row each, and wait until the topic holds them."""
    pbx.insert(linkedids)
    async with KafkaTopics(pbx.settings.kafka) as topics, asyncio.timeout(60):
        missing = {linkedid.encode() for linkedid in linkedids}
        while missing:
            missing -= {record.key or b"" async for record in topics.read(pbx.topic)}
            await asyncio.sleep(0.2)


async def looked_at(pbx: Installation) -> None:
    """One look that remembers, as `watch` does each minute."""
    async with open_capture(pbx.settings) as capture:
        assert (await capture.guard.check()).hold is None


async def held_after_reset(pbx: Installation, reset: str) -> Any:
    """Reset the binlog while the connector is stopped: it is refused, and held by the watcher, whose line is returned.

    There are more transactions than before by then: Debezium, which compares numbers only, goes on from there.
    """
    name = connector_name(pbx.settings)
    async with connect_client(pbx.settings) as connect:
        await connect.stop(name)
        await until_state(pbx, "STOPPED")
        pbx.insert(["1795480300.2"])
        pbx.root(reset)
        pbx.insert([f"17954803{n:02}.3" for n in range(10, 30)])
        assert "made anew" in await refusal(pbx.settings)
        await connect.resume(name)
        await until_state(pbx, "RUNNING")
    async with watching(pbx, silence_seconds=30) as lines:
        held = await until_logged(lines, "capture is held")
        await until_state(pbx, "STOPPED")
    assert "made anew" in held["reason"] and "cel2crm connectors start-afresh" in held["remedy"]
    return held
