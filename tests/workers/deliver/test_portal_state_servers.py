"""Portal states on real servers: written under a fence, taken over from 0.1, read by the commands."""

import asyncio
import json
import subprocess
import uuid
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from typer.testing import CliRunner

from schemas import own_headers
from streams.cli.command_line import command_line
from streams.clock import MICROS_PER_SECOND, utc_now_us
from streams.delivery.portal_records import PortalState
from streams.delivery.record import Delivery, State
from streams.kafka.fenced_log import Fenced, FencedLog
from tests.brokers import brokers
from tests.workers.deliver.crm_installation import CrmInstallation, recent

if TYPE_CHECKING:
    from deploy.local import LocalStack

pytestmark = pytest.mark.servers

NewInstallation = Callable[..., CrmInstallation]


@pytest.fixture
def install(stack: "LocalStack", tmp_path: Path) -> NewInstallation:
    """Makes an installation with a fake portal."""

    def new(crm: str, **fields: Any) -> CrmInstallation:
        endpoints = stack.endpoints
        prefix = f"t{uuid.uuid4().hex[:8]}"
        made = CrmInstallation(endpoints.bootstrap_servers, endpoints.registry_url, tmp_path, prefix, deliver_from=None)
        made.crm, made.portal_fields = crm, fields
        return made

    return new


async def put_old(installation: CrmInstallation, records: Sequence[Delivery]) -> None:
    """Records in the first partition of the delivery log, as 0.1 left them."""
    serializer = await installation.serializer()
    topic = installation.topic(f"deliveries-{installation.crm}")
    log = await FencedLog(brokers(installation.bootstrap_servers), topic, 0, f"{topic}-0").fence()
    written = [(each.call_id.encode(), serializer.encode("delivery", each.record())) for each in records]
    assert await log.write(written, headers=own_headers("delivery")) is not None
    await log.close()


async def until_logged(installation: CrmInstallation, worker: "subprocess.Popen[bytes]", words: str) -> None:
    async with asyncio.timeout(60):
        while words not in installation.log_of(worker):  # noqa: ASYNC110
            await asyncio.sleep(0.1)


async def until_recorded(installation: CrmInstallation, key: str) -> PortalState:
    """Wait for a record on portal-states."""
    async with asyncio.timeout(60):
        while (state := (await installation.portal_states()).get(key)) is None:  # noqa: ASYNC110
            await asyncio.sleep(0.1)
    return state


def old(crm: str, name: str, state: State, at: int, **fields: Any) -> Delivery:
    return Delivery(call_id=name, crm=crm, portal="main", state=state, queued_at=at, updated_at=at, **fields)


async def command(installation: CrmInstallation, *arguments: str, status: int = 0) -> str:
    """What `cel2crm <arguments>` says, run as an operator would."""
    file = installation.directory / "operator.yaml"
    file.write_text(yaml.safe_dump(installation.tree), encoding="utf-8")
    done = await asyncio.to_thread(CliRunner().invoke, command_line(), [*arguments, "--settings", str(file)])
    assert done.exit_code == status, (done.output, done.exception)
    return done.stdout


async def test_what_0_1_recorded_of_a_portal_is_taken_over_and_kept(install: NewInstallation) -> None:
    since = utc_now_us() - 7200 * MICROS_PER_SECOND
    async with install("kommo") as installation:
        await put_old(installation, [old("kommo", "portal:main", State.SERVING, since)])
        early, late = recent(1, ended_at=since - 1), recent(2)
        await installation.produce_results([early, late])
        worker = installation.start_worker("kommo")
        await installation.until_delivered([late])
        await installation.until_state(early.call_id, State.SKIPPED)
        assert (await until_recorded(installation, "kommo/main")).serving_since == since
        assert (await installation.deliveries())["portal:main"].queued_at == since
        worker.terminate()
        assert await asyncio.to_thread(worker.wait, 30) == 0


async def test_a_portal_that_0_1_disabled_gets_nothing_until_it_is_enabled(install: NewInstallation) -> None:
    async with install("webhook") as installation:
        first = installation.start_worker("webhook")
        await until_logged(installation, first, "partition taken over")
        result = recent(1, ended_at=utc_now_us())
        fault = installation.portal.faults.order({"mode": "portal_deleted"})
        await installation.produce_results([result])
        await until_logged(installation, first, "portal is disabled")
        first.terminate()
        await asyncio.to_thread(first.wait, 30)
        installation.portal.faults.clear(fault.id)
        (key,) = [key for key, state in (await installation.portal_states()).items() if state.disabled_at]
        fingerprint = (await installation.portal_states())[key].fingerprint
        assert "main is enabled" in await command(installation, "portal", "enable", "main")
        assert set(await installation.portal_states()) == {"webhook/main"}

        disabled = old("webhook", "disabled:main", State.DISABLED, 5, reason="HTTP 410", sent=fingerprint)
        await put_old(installation, [disabled])
        asked = len(installation.portal.log)
        second = installation.start_worker("webhook")
        await until_logged(installation, second, "portal is disabled")
        taken_over = await until_recorded(installation, "webhook/main/0")  # by the owner of the first partition
        assert taken_over.disabled_reason == "HTTP 410"
        assert "disabled:main" in await installation.deliveries()
        told = json.loads(await command(installation, "portal", "status", "main", "--json", status=1))
        assert (told["paused"], told["waiting"]) == ("HTTP 410", 1)
        assert "main is enabled" in await command(installation, "portal", "enable", "main")  # while it runs
        assert len(installation.portal.log) == asked
        second.terminate()
        await asyncio.to_thread(second.wait, 30)
        installation.start_worker("webhook")
        await installation.until_delivered([result])
        assert set(await installation.portal_states()) == {"webhook/main"}


async def test_records_that_were_lost_stop_the_worker_with_words(install: NewInstallation) -> None:
    async with install("kommo") as installation:
        await put_old(installation, [old("kommo", recent(1).call_id, State.DELIVERED, 5)])
        worker = installation.start_worker("kommo")
        assert await asyncio.to_thread(worker.wait, 60) == 2
        said = installation.log_of(worker)
        assert "does not say since when portal main is served" in said and "portals.main.deliver_from" in said
        assert await installation.portal_states() == {}


async def test_a_second_worker_serves_from_the_same_time_as_the_first(install: NewInstallation) -> None:
    async with install("kommo") as installation:
        workers = [installation.start_worker("kommo") for _ in range(2)]
        for worker in workers:
            await until_logged(installation, worker, "partition taken over")
        state = (await installation.portal_states())["kommo/main"]
        assert state.serving_since is not None
        results = [recent(number, ended_at=state.serving_since + number) for number in range(1, 20)]
        early = recent(50, ended_at=state.serving_since - 1)
        await installation.produce_results([early, *results])
        await installation.until_delivered(results)
        await installation.until_state(early.call_id, State.SKIPPED)
        assert (await installation.portal_states())["kommo/main"] == state


async def test_what_is_written_beside_a_log_stands_under_its_fence(install: NewInstallation) -> None:
    async with install("kommo") as installation:
        topic = installation.topic("deliveries-kommo")
        states = installation.topic("portal-states")

        def log() -> FencedLog:
            return FencedLog(brokers(installation.bootstrap_servers), topic, 0, f"{topic}-0")

        lost = await log().fence()
        owner = await log().fence()
        with pytest.raises(Fenced):
            await lost.write([(b"key", b"zombie")], to=(states, 0))
        both = await asyncio.gather(
            owner.write([(b"key", b"state")], to=(states, 0)), owner.write([(b"key", b"delivery")])
        )
        assert None not in both, "one transaction after the other"
        reader = FencedLog(brokers(installation.bootstrap_servers), states, 0, "reader")
        assert (await reader.read(), await owner.read()) == ({b"key": b"state"}, {b"key": b"delivery"})
        await lost.close()
        await owner.close()
