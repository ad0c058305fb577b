"""`cel2crm status` on real servers: workers that were killed, a paused portal, a dead letter, and when all is well."""

import asyncio
import json
import re
import signal
import sys
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from streams.delivery.record import State
from tests.worker_installation import captured
from tests.workers.deliver.crm_installation import CrmInstallation, recent

if TYPE_CHECKING:
    from deploy.local import LocalStack

pytestmark = pytest.mark.servers


class StatusInstallation(CrmInstallation):
    """With Kafka Connect, where nothing is applied."""

    connect_url = ""

    @property
    def tree(self) -> dict[str, Any]:
        return {**super().tree, "connect": {"url": self.connect_url}}


async def status_of(installation: CrmInstallation) -> dict[str, Any]:
    """What `cel2crm status --json` says, which looks for less than 15 seconds."""
    file = installation.directory / "operator.yaml"
    file.write_text(yaml.safe_dump(installation.tree), encoding="utf-8")
    command = ("-m", "streams.cli.main", "status", "--json", "--settings", str(file))
    process = await asyncio.create_subprocess_exec(sys.executable, *command, stdout=asyncio.subprocess.PIPE)
    async with asyncio.timeout(60):  # a busy machine takes long to start it
        out, _ = await process.communicate()
    told: dict[str, Any] = json.loads(out)
    assert told["seconds"] < 13
    assert process.returncode == told["exit_status"] == 1, told  # for there is no connector
    return told


def problems(told: dict[str, Any], area: str) -> dict[str, str]:
    """The findings of an area, by code: what is wrong and what to do."""
    return {each["code"]: f"{each['problem']} -> {each['remedy']}" for each in told["findings"] if each["area"] == area}


async def test_what_stands_still_is_told_with_what_to_do(stack: "LocalStack", tmp_path: Path) -> None:
    endpoints = stack.endpoints
    installation = StatusInstallation(
        endpoints.bootstrap_servers, endpoints.registry_url, tmp_path, f"t{uuid.uuid4().hex[:8]}", partitions=2
    )
    installation.crm, installation.connect_url = "kommo", endpoints.connect_url
    async with installation:
        workers = [installation.start_worker("aggregate"), installation.start_worker("kommo")]
        await installation.produce_results([recent(1)])
        await installation.until_delivered([recent(1)])

        told = await status_of(installation)
        assert {each["area"] for each in told["findings"]} == {"capture"}, told
        assert "cel2crm connectors apply" in problems(told, "capture")["connector"]
        assert [each["processes"] for each in told["workers"]] == [1, 1]
        assert [each["waiting"] for each in told["workers"]] == [0, 0]

        refusing = installation.portal.faults.order({"mode": "400", "times": 1})
        await installation.produce_results([recent(2)])
        await installation.until_state(recent(2).call_id, State.REFUSED)
        installation.portal.faults.clear(refusing.id)
        installation.portal.faults.order({"mode": "payment_required"})
        await installation.produce_results([recent(3)])
        await installation.until_state(recent(3).call_id, State.PAUSED)
        for worker in workers:
            worker.send_signal(signal.SIGKILL)
            await asyncio.to_thread(worker.wait)
        await installation.produce_results([recent(4)])
        row = {"id": 1, "eventtype": "CHAN_START", "eventtime": "2026-11-24 01:02:03", "linkedid": "1795480300.1"}
        await installation.produce([captured({**row, "uniqueid": row["linkedid"]})])

        told = await status_of(installation)
        standing = [each["problem"] for each in told["findings"] if each["area"] == "workers"]
        assert len(standing) == 2, told
        for name, problem in zip(("aggregate", "kommo"), standing, strict=True):
            # What was taken in the second before the worker was killed may not be committed either.
            assert re.match(rf"worker {name}: .*; \d+ records? waits?, the oldest for \d+ s$", problem), problem
        assert all(each["oldest_seconds"] is not None for each in told["workers"])
        (portal,) = told["portals"]
        assert (portal["waiting"], portal["oldest"]) == (1, recent(3).call_id)
        assert "cel2crm portal status main" in problems(told, "portals")["paused"]
        assert (
            f"cel2crm dead-letters retry {recent(2).call_id} --crm kommo" in problems(told, "dead letters").popitem()[1]
        )
