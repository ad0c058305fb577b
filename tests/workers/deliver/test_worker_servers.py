"""The delivery workers as processes on real servers: results in, each call once in the portal."""

import asyncio
import random
import signal
import subprocess
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from aiokafka import TopicPartition
from msgspec.structs import replace

from streams.calls.result import CallResult
from streams.delivery.digest import trusted_digest
from streams.delivery.record import State
from streams.kafka.bounded_reader import BoundedReader
from streams.workers.deliver.batched_log import log_headers
from tests.brokers import brokers
from tests.calls.hashed import hashed
from tests.worker_installation import Tail
from tests.workers.deliver.crm_installation import CrmInstallation, recent, some_results

if TYPE_CHECKING:
    from deploy.local import LocalStack

pytestmark = pytest.mark.servers

CRMS = ("bitrix24", "kommo")
NewInstallation = Callable[..., CrmInstallation]


@pytest.fixture
def install(stack: "LocalStack", tmp_path: Path) -> NewInstallation:
    """Makes an installation with a fake portal."""

    def new(crm: str, **fields: Any) -> CrmInstallation:
        endpoints = stack.endpoints
        prefix = f"t{uuid.uuid4().hex[:8]}"
        options = {name: fields.pop(name) for name in ("deliver_from", "partitions", "recordings") if name in fields}
        installation = CrmInstallation(endpoints.bootstrap_servers, endpoints.registry_url, tmp_path, prefix, **options)
        installation.crm, installation.portal_fields = crm, fields
        return installation

    return new


@pytest.mark.parametrize("crm", CRMS)
async def test_each_call_stands_once_in_the_portal(crm: str, install: NewInstallation) -> None:
    async with install(crm) as installation:
        worker = installation.start_worker(crm)
        results = some_results(60)
        again = [*results, *results[:20]]
        internal = recent(500, direction="internal", client=None)
        await installation.produce_results([*again, internal])
        await installation.until_delivered(results)
        assert (await installation.until_state(internal.call_id, State.SKIPPED)).reason
        delivery = (await installation.deliveries())[results[0].call_id]
        assert delivery.state is State.DELIVERED and delivery.sent_version == results[0].version
        assert delivery.status is not None and delivery.sent is not None and delivery.delivered_at is not None
        worker.terminate()
        assert await asyncio.to_thread(worker.wait, 30) == 0
        records = await finished_records(installation)
        assert {key.decode() for key in records} == {internal.call_id, *(result.call_id for result in results)}
        for key, (value, digest) in records.items():
            assert digest is not None and trusted_digest(digest, key, value) is not None


async def finished_records(installation: CrmInstallation) -> dict[bytes, tuple[bytes, bytes | None]]:
    """By key, the last record of each call in the log: value and digest."""
    topic, records = installation.topic(f"deliveries-{installation.crm}"), dict[bytes, tuple[bytes, bytes | None]]()
    async with BoundedReader(brokers(installation.bootstrap_servers)) as reader:
        partitions = [TopicPartition(topic, number) for number in range(installation.partitions)]
        async for batch in reader.read(partitions):
            records |= {each.key: (each.value, log_headers(each.headers)[1]) for each in batch}
    return records


async def test_one_process_serves_several_crms(install: NewInstallation, tmp_path: Path) -> None:
    one, other = install("bitrix24"), install("kommo", name="other")
    (directory := tmp_path / "other").mkdir()
    other.prefix, other.directory = one.prefix, directory
    async with one, other:
        one.other_portals = other.tree["portals"]
        worker = one.start_worker("bitrix24", "kommo")
        results = some_results(20)
        await one.produce_results(results)
        await one.until_delivered(results)
        await other.until_delivered(results)
        worker.terminate()
        assert await asyncio.to_thread(worker.wait, 30) == 0
        assert one.log_of(worker).count('"stopped"') == 2


FAULTS: list[dict[str, Any]] = [
    {"mode": "500"},
    {"mode": "503"},
    {"mode": "429", "retry_after": 1},
    {"mode": "lost_answer"},
    {"mode": "reset"},
    {"mode": "html"},
    {"mode": "garbage200"},
    {"mode": "half_answer"},
    {"mode": "hang", "seconds": 5},
]


@pytest.mark.parametrize("crm", [*CRMS, "webhook"])
async def test_no_fault_of_a_portal_loses_or_doubles_a_call(crm: str, install: NewInstallation) -> None:
    async with install(crm) as installation:
        installation.start_worker(crm)
        results = some_results(70)
        for number, fault in enumerate(FAULTS):
            installation.portal.faults.order({**fault, "seed": number, "probability": 0.1, "times": 3})
        await installation.produce_results(results)
        await installation.until_delivered(results, 180)
        assert sum(int(str(fault["fired"])) for fault in installation.portal.faults.as_json()) > 10
        await installation.no_dead_letters()


@pytest.mark.parametrize("crm", CRMS)
async def test_a_portal_that_is_away_gets_its_calls_when_it_is_back(crm: str, install: NewInstallation) -> None:
    async with install(crm) as installation:
        installation.start_worker(crm)
        first, second = some_results(140)[:20], some_results(140)[20:]
        await installation.produce_results(first)
        await installation.until_delivered(first)
        await installation.portal.go_away(7)
        await installation.produce_results(second)
        await installation.until_delivered(first + second)
        await installation.no_dead_letters()
        if crm == "bitrix24":  # in half the requests, as long as many wait
            operations = [str(line["operation"]) for line in installation.portal.log]
            assert operations.count("batch") >= len(second) // 2


@pytest.mark.parametrize(("crm", "kills"), [("bitrix24", 2), ("kommo", 5), ("webhook", 1)])
async def test_killed_in_mid_work_no_call_is_lost_or_doubled(crm: str, kills: int, install: NewInstallation) -> None:
    rng = random.Random(5)
    results = some_results(80 * kills)
    async with install(crm, recordings=True) as installation:
        recorded = [result for result in results if result.answered]
        installation.record(recorded)
        worker = installation.start_worker(crm, instance="one")
        installation.portal.faults.order({"mode": "slow", "seconds": 0.05, "probability": 0.5})
        installation.portal.faults.order({"mode": "lost_answer", "probability": 0.02, "seed": 3})
        producing = asyncio.create_task(installation.produce_results(results, per_second=200))
        for _ in range(kills):
            enough = min(len(results) - 1, len(installation.portal.entries()) + rng.randint(15, 40))
            async with asyncio.timeout(60):
                while len(installation.portal.entries()) < enough:  # noqa: ASYNC110
                    await asyncio.sleep(0.01)
            worker.send_signal(signal.SIGKILL)
            await asyncio.to_thread(worker.wait)
            worker = installation.start_worker(crm, instance="one")
        await producing
        await installation.until_delivered(results, 180)
        await installation.no_dead_letters()
        shown = {str(entry.external_id): entry.recording for entry in installation.portal.entries()}
        assert {call for call, link in shown.items() if link} == {result.call_id for result in recorded}
        assert all((shown[result.call_id] or "").endswith(f"/{result.linkedid}.wav") for result in recorded)


@pytest.mark.parametrize("crm", CRMS)
async def test_a_portal_that_a_person_must_mend_keeps_its_calls(crm: str, install: NewInstallation) -> None:
    async with install(crm) as installation:
        worker = installation.start_worker(crm)
        fault = installation.portal.faults.order({"mode": "payment_required"})
        results = some_results(10)
        await installation.produce_results(results)
        await until_logged(installation, worker, "portal is paused")
        installation.portal.faults.clear(fault.id)
        await installation.until_delivered(results)
        assert installation.log_of(worker).count("portal is paused") == 1
        await installation.no_dead_letters()


async def test_a_receiver_that_wants_no_more_gets_nothing_until_its_settings_change(install: NewInstallation) -> None:
    async with install("webhook") as installation:
        worker = installation.start_worker("webhook")
        fault = installation.portal.faults.order({"mode": "portal_deleted"})
        results = some_results(10)
        await installation.produce_results(results)
        await until_logged(installation, worker, "portal is disabled")
        worker.terminate()
        await asyncio.to_thread(worker.wait, 30)
        installation.portal.faults.clear(fault.id)
        asked = len(installation.portal.log)
        again = installation.start_worker("webhook")
        await until_logged(installation, again, "portal is disabled")
        await until_logged(installation, again, "partition taken over")
        assert len(installation.portal.log) == asked and not installation.portal.entries()
        again.terminate()
        await asyncio.to_thread(again.wait, 30)
        installation.portal_fields["url"] = f"{installation.portal.url}/calls?v=2"
        installation.start_worker("webhook")
        await installation.until_delivered(results)
        await installation.no_dead_letters()


async def test_a_webhook_gets_later_versions_where_that_is_wished(install: NewInstallation) -> None:
    async with install("webhook", on_revision="update") as installation:
        installation.start_worker("webhook")
        first = recent(1)
        later = hashed(replace(first, version=first.version + 1, answered=False, result=480))
        await installation.produce_results([first])
        await installation.until_state(first.call_id, State.DELIVERED)
        await installation.produce_results([later, first])
        async with asyncio.timeout(60):
            while len(installation.portal.entries()) < 2:  # noqa: ASYNC110
                await asyncio.sleep(0.1)
        assert [entry.status for entry in installation.portal.entries()] == ["200", "480"]
        delivery = await installation.until_state(first.call_id, State.DELIVERED)
        assert delivery.sent_version == later.version


async def test_a_later_version_is_recorded_and_not_sent(install: NewInstallation) -> None:
    async with install("kommo") as installation:
        installation.start_worker("kommo")
        first = recent(1)
        later = hashed(replace(first, version=first.version + 1, answered=False, result=480))
        await installation.produce_results([first])
        await installation.until_state(first.call_id, State.DELIVERED)
        await installation.produce_results([later, first])
        delivery = await installation.until_state(first.call_id, State.SUPERSEDED)
        assert (delivery.version, delivery.sent_version) == (later.version, first.version)
        assert [entry.status for entry in installation.portal.entries()] == ["4"]


async def test_what_a_crm_refuses_and_what_cannot_be_read_are_dead_letters(install: NewInstallation) -> None:
    async with install("bitrix24") as installation:
        installation.start_worker("bitrix24")
        refused = recent(1, client="no number")
        good = some_results(5)[1:]
        poison = [b"", b"\x00\x00\x00\x00\x01nonsense", b"{}", None]
        await installation.produce_results([*poison, refused, *good])
        await installation.until_delivered(good)
        delivery = await installation.until_state(refused.call_id, State.REFUSED)
        assert "phone number" in str(delivery.reason)
        serializer = await installation.serializer()
        async with Tail(installation.bootstrap_servers, installation.topic("dead-letters")) as dead:
            await dead.until(lambda records: len(records) >= 5)
            letters = [serializer.decode(record.value, "dead_letter") for record in dead.records]
        assert sorted(letter["reason"] for letter in letters) == ["refused", *["unreadable_result"] * 4]
        (letter,) = [letter for letter in letters if letter["reason"] == "refused"]
        assert (letter["call_id"], letter["portal"]) == (refused.call_id, "main")
        assert CallResult.from_record(serializer.decode(letter["value"], "call_result")) == refused


async def test_calls_from_before_the_portal_was_served_are_skipped(install: NewInstallation) -> None:
    async with install("kommo", deliver_from=None) as installation:
        old = recent(1)
        await installation.produce_results([old])
        worker = installation.start_worker("kommo")
        assert "deliver_from" in str((await installation.until_state(old.call_id, State.SKIPPED)).reason)
        serving = (await installation.portal_states())["kommo/main"].serving_since
        assert serving is not None
        worker.terminate()
        await asyncio.to_thread(worker.wait, 30)
        new = recent(2, ended_at=serving + 1)  # while nobody delivered
        await installation.produce_results([new])
        installation.start_worker("kommo")
        await installation.until_delivered([new])
        assert (await installation.portal_states())["kommo/main"].serving_since == serving


async def test_two_workers_share_the_partitions(install: NewInstallation) -> None:
    async with install("bitrix24") as installation:
        first = installation.start_worker("bitrix24")
        results = some_results(250)
        producing = asyncio.create_task(installation.produce_results(results, per_second=100))
        async with asyncio.timeout(60):
            while len(installation.portal.entries()) < 50:  # noqa: ASYNC110
                await asyncio.sleep(0.05)
            second = installation.start_worker("bitrix24")
            while "partition taken over" not in installation.log_of(second):  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        first.terminate()
        assert await asyncio.to_thread(first.wait, 30) == 0
        await producing
        await installation.until_delivered(results)
        assert second.poll() is None


async def until_logged(installation: CrmInstallation, worker: "subprocess.Popen[bytes]", words: str) -> None:
    async with asyncio.timeout(60):
        while words not in installation.log_of(worker):  # noqa: ASYNC110
            await asyncio.sleep(0.1)
