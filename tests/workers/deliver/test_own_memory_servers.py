"""The workers' memory on real servers: whatever becomes of the registry, and where a record of it cannot be read."""

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from deploy.local import LocalStack
from deploy.local.parts.registry import SCHEMAS
from schemas import SchemaRegistry, load, own_headers
from streams.delivery.record import State
from streams.kafka.fenced_log import FencedLog
from streams.kafka.topic_client import partition_of
from tests.brokers import brokers
from tests.calls.hashed import hashed
from tests.workers.deliver.crm_installation import CrmInstallation, some_results

pytestmark = pytest.mark.servers


@pytest.fixture(scope="module")
def servers() -> Iterator[LocalStack]:
    """Kafka and a registry that nobody else uses: it is emptied."""
    with LocalStack(parts=("kafka", "registry")) as running:
        yield running


def installation_of(servers: LocalStack, directory: Path, prefix: str) -> CrmInstallation:
    at = servers.endpoints
    installation = CrmInstallation(at.bootstrap_servers, at.registry_url, directory, prefix, partitions=2)
    installation.crm = "kommo"
    return installation


def empty_registry(servers: LocalStack) -> None:
    """The registry loses everything."""
    servers.kill("registry")
    for file in (servers.endpoints.directory / "registry").glob(f"{SCHEMAS}.*"):
        file.unlink()
    servers.start_part("registry")


async def ended(worker: "subprocess.Popen[bytes]", seconds: float = 60.0) -> int:
    return await asyncio.to_thread(worker.wait, seconds)


async def until_said(installation: CrmInstallation, worker: "subprocess.Popen[bytes]", words: str) -> None:
    async with asyncio.timeout(60):
        while words not in installation.log_of(worker):
            assert worker.poll() is None, installation.log_of(worker)
            await asyncio.sleep(0.1)


async def test_an_emptied_registry_loses_no_call_and_doubles_none(servers: LocalStack, tmp_path: Path) -> None:
    async with installation_of(servers, tmp_path, "emptied") as installation:
        worker = installation.start_worker("kommo")
        delivered, waiting = some_results(10)[:5], some_results(10)[5:]
        await installation.produce_results(delivered)
        await installation.until_delivered(delivered)
        installation.portal.faults.order({"mode": "503"})
        await installation.produce_results(waiting)
        await asyncio.gather(*(until_waiting(installation, each.call_id) for each in waiting))
        worker.terminate()
        assert await ended(worker) == 0

        empty_registry(servers)
        async with SchemaRegistry(servers.endpoints.registry_url) as registry:
            # The ids of results, commands and deliveries are now those of others.
            for number, name in enumerate(("dead_letter_resolution", "call_leg", "dead_letter", "portal_state"), 1):
                assert await registry.register_schema(f"emptied.other-{name}", name) == number
        installation.portal.faults.clear()
        worker = installation.start_worker("kommo")
        later = [hashed(replace(each, version=each.version + 1, hangup_source="late")) for each in delivered]
        await installation.produce_results(later)
        await installation.until_delivered([*delivered, *waiting])
        await asyncio.gather(*(installation.until_state(each.call_id, State.SUPERSEDED) for each in later))
        installation.check({each.call_id: each for each in (*delivered, *waiting)})
        assert installation.log_of(worker).count("the schema registry was emptied or replaced") == 1
        assert "Traceback" not in installation.log_of(worker)


async def until_waiting(installation: CrmInstallation, call: str) -> None:
    async with asyncio.timeout(60):
        while call not in (known := await installation.deliveries()) or known[call].final:  # noqa: ASYNC110
            await asyncio.sleep(0.3)


async def test_a_worker_waits_for_a_registry_that_is_away(servers: LocalStack, tmp_path: Path) -> None:
    async with (
        installation_of(servers, tmp_path, "away") as installation,
        SchemaRegistry(servers.endpoints.registry_url) as registry,
    ):
        known = await registry.register_schema("durable.results", "call_result")
        servers.kill("registry")
        try:
            stopped, started = installation.start_worker("kommo"), installation.start_worker("kommo")
            for worker in (stopped, started):
                await until_said(installation, worker, "waiting for the schema registry")
            stopped.terminate()
            assert await ended(stopped, 10) == 0
        finally:
            servers.start_part("registry")
        results = some_results(3)
        await installation.produce_results(results)
        await installation.until_delivered(results)
        assert "Traceback" not in installation.log_of(started) + installation.log_of(stopped)
        assert await registry.schema(known) == load("call_result"), "the local stack's registry is durable"


async def test_an_unreadable_record_stops_the_worker_until_it_is_set_aside(servers: LocalStack, tmp_path: Path) -> None:
    async with installation_of(servers, tmp_path, "damaged") as installation:
        topic = installation.topic("deliveries-kommo")
        number = partition_of(b"pbx1/7", installation.partitions)
        log = await FencedLog(brokers(installation.bootstrap_servers), topic, number, f"{topic}-{number}").fence()
        written = await log.write([(b"pbx1/7", b"\x00\x00\x00\x00\x01damaged")], headers=own_headers("delivery"))
        await log.close()
        assert written is not None
        place = f"{topic}/{number}/{written[0]}"
        results = some_results(6)
        await installation.produce_results(results)
        worker = installation.start_worker("kommo")
        assert await ended(worker) == 2
        said = installation.log_of(worker)
        assert f"cel2crm: {place} cannot be read" in said and "'pbx1/7'" in said
        assert f"cel2crm topics set-aside {place} --by NAME" in said and "Traceback" not in said
        assert not installation.portal.entries()

        done = await set_aside(installation, place)
        assert done.returncode == 0, done.stderr.decode()
        worker = installation.start_worker("kommo")
        await installation.until_delivered(results)
        said = installation.log_of(worker)
        assert "a record is passed over: an operator set it aside" in said and place in said and "disk fault" in said


async def set_aside(installation: CrmInstallation, place: str) -> "subprocess.CompletedProcess[bytes]":
    settings = installation.directory / "settings-0.yaml"
    words = ["topics", "set-aside", place, "--by", "ann", "--note", "disk fault", "--yes", "-s", str(settings)]
    command = [sys.executable, "-m", "streams.cli.main", *words]
    return await asyncio.to_thread(subprocess.run, command, capture_output=True, check=False, timeout=60)


async def test_an_unreadable_checkpoint_stops_the_worker_until_it_is_set_aside(
    servers: LocalStack, tmp_path: Path
) -> None:
    async with installation_of(servers, tmp_path, "checkpoint") as installation:
        topic = installation.topic("aggregate-checkpoints")
        log = await FencedLog(brokers(installation.bootstrap_servers), topic, 0, f"{topic}-0").fence()
        written = await log.write([(b"pbx1/1795389780.7", b"damaged")])
        await log.close()
        assert written is not None
        place = f"{topic}/0/{written[0]}"
        worker = installation.start_worker("aggregate")
        assert await ended(worker) == 2
        said = installation.log_of(worker)
        assert f"cel2crm: {place} cannot be read" in said and "backfill --call '1795389780.7'" in said
        assert "Traceback" not in said
        assert (await set_aside(installation, place)).returncode == 0
        worker = installation.start_worker("aggregate")
        await until_said(installation, worker, "a record is passed over")
        await until_said(installation, worker, "started")
        worker.terminate()
        assert await ended(worker) == 0
