"""The watch of the connectors in the process of a worker, on real servers: it fails, is told, and comes back alone."""

import asyncio
import json
import signal
import sys
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp.test_utils import unused_port

from deploy.local import LocalStack
from tests.connectors.capturing import applied, settings_file
from tests.connectors.installation import installed

pytestmark = pytest.mark.servers

SECONDS = 60.0
WATCH = "connectors watch"


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(SECONDS):
        while not await asyncio.to_thread(true):  # noqa: ASYNC110 (of another process)
            await asyncio.sleep(0.1)


async def test_a_watch_that_cannot_run_is_told_and_begun_anew_while_the_worker_takes_rows(stack: LocalStack) -> None:
    async with installed(stack) as pbx:
        await applied(pbx.settings)
        port, name = unused_port(), f"worker-{pbx.name}"
        password = pbx.stack.endpoints.directory / f"{pbx.name}.password"
        access = {"username": "admin", "password_file": str(password)}  # Connect wants none here, and ignores it
        file = settings_file(pbx, worker={"metrics_port": port}, connect=access)

        def answer(path: str) -> str:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=10) as found:
                    text: str = found.read().decode()
                    return text
            except (urllib.error.URLError, ConnectionError):
                return ""

        def service() -> Any:
            """What /healthz, with status 200, says of the watch."""
            return json.loads(answer("/healthz") or "{}").get("services", {}).get(WATCH)

        command: list[str | Path] = [
            sys.executable,
            "-m",
            "streams.cli.main",
            "worker",
            "aggregate",
            "--watch",
            "--settings",
            file,
        ]
        stack.run(name, command)
        try:
            await until(lambda: f"cannot read {password}" in (service() or ""))
            assert f'cel2crm_background_running{{service="{WATCH}"}} 0.0' in answer("/metrics")
            pbx.insert(["1795480300.1"])
            await until(lambda: "cel2crm_cel_rows_total 1.0" in answer("/metrics"))
            password.touch(mode=0o600)
            password.write_text("any", encoding="utf-8")
            await until(lambda: service() == "")
            await until(lambda: '"event": "connector runs"' in stack.log(name).read_text(encoding="utf-8"))
            assert f'cel2crm_background_running{{service="{WATCH}"}} 1.0' in answer("/metrics")
        finally:
            status = await asyncio.to_thread(stack.kill, name, signal.SIGTERM)
        log = stack.log(name).read_text(encoding="utf-8")
        assert status == 0, log[-2000:]
        failed = [line for line in map(json.loads, log.splitlines()) if line["event"].startswith("a service beside")]
        assert {line["reason"] for line in failed} == {
            f"connect.password_file: cannot read {password}: No such file or directory"
        }
