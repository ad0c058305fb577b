"""All connectors watched by one coroutine, and the service of a worker that it is."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from streams.cli import watching
from streams.cli.watching import watch_connectors
from streams.cli.worker import app
from streams.settings import Settings


async def test_where_one_watcher_fails_the_others_end_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    ended: list[str] = []

    async def watch_source(settings: Settings, _: float) -> None:
        if settings.pbx.name == "b":
            raise ValueError("a fault")
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(settings.pbx.name)

    async def watch_sinks(_: Settings) -> None:
        """There are none: it returns at once, and the others go on."""

    monkeypatch.setattr(watching, "_watch_source", watch_source)
    monkeypatch.setattr(watching, "watch_sinks", watch_sinks)
    chosen = [Settings.model_validate({"pbx": {"name": name}}) for name in "abc"]
    with pytest.raises(ValueError, match="a fault"):
        await watch_connectors(chosen[0], chosen)
    assert ended == ["a", "c"]
    watched = asyncio.ensure_future(watch_connectors(chosen[0], chosen[:1]))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert not watched.done()
    watched.cancel()
    with pytest.raises(asyncio.CancelledError):
        await watched
    assert ended == ["a", "c", "a"]


@pytest.mark.parametrize(("words", "services"), [([], []), (["--watch"], ["connectors watch"])])
def test_a_worker_watches_where_it_is_told_to(
    words: list[str], services: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran: list[tuple[list[str], list[str]]] = []

    def run(_: Settings, workers: Any, acls: Any, beside: Any) -> None:
        ran.append(([each.name for each in workers], [each.name for each in beside]))

    monkeypatch.setattr("streams.kafka.worker_runtime.run", run)
    (tmp_path / "cel2crm.yaml").write_text("pbx: {name: a}\n", encoding="utf-8")
    settings = ["--settings", str(tmp_path / "cel2crm.yaml")]
    done = CliRunner().invoke(app, ["aggregate", *words, *settings])
    assert done.exit_code == 0, done.output
    assert ran == [(["aggregate"], services)]
