"""What an operator orders at the command line, on real servers, down to what then stands in the portal."""

import asyncio
import json
import signal
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from typer.testing import CliRunner

from schemas import SchemaRegistry
from streams.cli.command_line import command_line
from streams.delivery.record import State
from tests.workers.deliver.crm_installation import CrmInstallation, recent, some_results

if TYPE_CHECKING:
    from deploy.local import LocalStack

pytestmark = pytest.mark.servers

NewInstallation = Callable[..., CrmInstallation]


@pytest.fixture
def install(stack: "LocalStack", tmp_path: Path) -> NewInstallation:
    """Makes an installation with a fake portal."""

    def new(crm: str, **fields: Any) -> CrmInstallation:
        endpoints = stack.endpoints
        installation = CrmInstallation(
            endpoints.bootstrap_servers, endpoints.registry_url, tmp_path, f"t{uuid.uuid4().hex[:8]}"
        )
        installation.crm, installation.portal_fields = crm, fields
        return installation

    return new


async def told(installation: CrmInstallation, *command: str) -> str:
    """What `cel2crm <command>` says, run as an operator would."""
    file = installation.directory / "operator.yaml"
    file.write_text(yaml.safe_dump(installation.tree), encoding="utf-8")
    done = await asyncio.to_thread(CliRunner().invoke, command_line(), [*command, "--settings", str(file)])
    assert done.exit_code == 0, (done.output, done.exception)
    return done.stdout


async def groups(installation: CrmInstallation, *options: str) -> list[dict[str, Any]]:
    listed = await told(installation, "dead-letters", "list", "--json", *options)
    return [json.loads(line) for line in listed.splitlines()]


async def test_refused_calls_are_retried_and_delivered_once_though_the_worker_is_killed(
    install: NewInstallation,
) -> None:
    async with install("bitrix24") as installation:
        worker = installation.start_worker("bitrix24", instance="one")
        refusing = installation.portal.faults.order({"mode": "400"})
        results = some_results(60)
        await installation.produce_results(results)
        async with asyncio.timeout(60):
            while sum(group["letters"] for group in await groups(installation)) < len(results):  # noqa: ASYNC110
                await asyncio.sleep(0.3)
        (group,) = await groups(installation)
        assert (group["component"], group["reason"], group["letters"]) == ("bitrix24", "refused", 60)
        installation.portal.faults.clear(refusing.id)
        installation.portal.faults.order({"mode": "slow", "seconds": 0.05})
        assert "60 dead letters retried" in await told(installation, "dead-letters", "retry", "--yes", "--by", "ann")
        async with asyncio.timeout(60):
            while len(installation.portal.entries()) < 20:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        worker.send_signal(signal.SIGKILL)
        await asyncio.to_thread(worker.wait)
        installation.start_worker("bitrix24", instance="one")
        await installation.until_delivered(results)
        assert await groups(installation) == []
        history = await told(installation, "deliveries", results[0].call_id)
        assert ": delivered" in history and "ordered: retry by ann" in history


async def test_a_dropped_call_stays_out_and_a_backfilled_one_comes_in_when_ordered(install: NewInstallation) -> None:
    async with install("kommo") as installation:
        installation.start_worker("kommo")
        refused, backfilled, live = recent(1, client="x"), recent(2), recent(3)
        fault = installation.portal.faults.order({"mode": "400", "times": 1})
        await installation.produce_results([refused])
        await installation.until_state(refused.call_id, State.REFUSED)
        installation.portal.faults.clear(fault.id)
        await installation.produce_results([backfilled], origin="backfill")
        assert "backfill" in str((await installation.until_state(backfilled.call_id, State.SKIPPED)).reason)
        await told(installation, "dead-letters", "drop", refused.call_id, "--note", "entered by hand")
        dropped = await installation.until_state(refused.call_id, State.DROPPED)
        assert "entered by hand" in str(dropped.reason)
        await told(installation, "deliver", backfilled.call_id)
        await told(installation, "deliver", backfilled.call_id)
        await installation.produce_results([live])
        await installation.until_delivered([backfilled, live])
        counts = json.loads(await told(installation, "deliveries", "--json"))
        assert counts["deliveries"] == {"delivered": 2, "dropped": 1}


async def test_a_shadow_sends_nothing_and_its_calls_are_not_sent_afterwards(install: NewInstallation) -> None:
    async with install("bitrix24", shadow=True) as installation:
        trial, real = recent(1), recent(2)
        worker = installation.start_worker("bitrix24")
        await installation.produce_results([trial])
        shadowed = await installation.until_state(trial.call_id, State.SHADOWED)
        assert json.loads(str(shadowed.sent))["finish"]["STATUS_CODE"] == "200"
        worker.terminate()
        assert await asyncio.to_thread(worker.wait, 30) == 0
        late = recent(3)  # ended during the trial, read after it
        await installation.produce_results([late])
        installation.portal_fields = {}
        installation.start_worker("bitrix24")
        await installation.until_state(late.call_id, State.SKIPPED)
        since = (await installation.portal_states())["bitrix24/main"].serving_since
        assert since is not None
        real = recent(2, ended_at=since + 1)
        await installation.produce_results([trial, real])
        await installation.until_delivered([real])


READING = (
    ("deliveries",),
    ("dead-letters", "list"),
    ("dead-letters", "retry"),
    ("portal", "status"),
    ("portal", "unmatched", "main"),
    ("portal", "enable", "main"),
)


async def test_commands_that_only_read_leave_the_registry_as_it_is(install: NewInstallation) -> None:
    async with install("kommo") as installation:
        before = await subjects(installation)
        for command in READING:
            await told(installation, *command)
        assert await subjects(installation) == before
        worker = installation.start_worker("kommo")
        result = recent(1)
        await installation.produce_results([result])
        await installation.until_delivered([result])
        page = installation.directory / "report.html"
        assert await told(installation, "report", "--html", str(page)) == f"1 calls in {page}\n"
        assert page.stat().st_size > 800_000
        before = await subjects(installation)
        assert any("deliveries-kommo" in subject for subject in before)
        for command in (*READING, ("deliveries", result.call_id), ("deliveries", "--crm", "bitrix24")):
            await told(installation, *command)
        assert await subjects(installation) == before
        assert worker.poll() is None


async def subjects(installation: CrmInstallation) -> list[str]:
    """The subjects of the registry."""
    async with SchemaRegistry(installation.registry_url) as registry:
        return sorted(subject for subject in await registry._call("GET", "/subjects") if installation.prefix in subject)
