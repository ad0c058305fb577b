"""Worker processes killed, and stopped beyond their session and resumed, at each step of a call, on real servers."""

import asyncio
import signal
import subprocess
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from deploy.fake_crms.exchange import Inbound
from streams.calls.result import CallResult
from streams.kafka.hard_exit import STATUS
from tests.faults.fixtures import differences
from tests.faults.recorded_results import many_results
from tests.faults.ways import WAYS
from tests.workers.deliver.crm_installation import CrmInstallation

if TYPE_CHECKING:
    from deploy.local import LocalStack

pytestmark = pytest.mark.servers

Moment = tuple[str, str]
"""An operation of the portal, and when: its request `arrived`, or its answer went out (`answered`)."""

KILLED: dict[str, tuple[Moment, ...]] = {
    "bitrix24": (
        ("register", "answered"),
        ("finish", "arrived"),
        ("finish", "answered"),
        ("statistic.get", "answered"),
    ),
    "kommo_contact": (
        ("post contacts", "answered"),
        ("calls", "arrived"),
        ("calls", "answered"),
        ("notes", "answered"),
    ),
}
UNDER_WAY = 40
"""Calls that wait at most when another comes: a moment of a call is never behind hundreds of others."""
OF_A_CALL = {"externalcall.register": b"EXTERNAL_CALL_ID", "statistic.get": b"FILTER"}
"""By operation: a field of requests that are about a call."""
STOPPED: dict[str, tuple[Moment, ...]] = {
    "bitrix24": (("register", "answered"), ("finish", "arrived"), ("finish", "answered"), ("statistic.get", "arrived")),
    "kommo_contact": (("post contacts", "arrived"), ("calls", "arrived"), ("calls", "answered"), ("notes", "arrived")),
}


class InterruptedWorker:
    """One worker at a time that is killed or stopped at given moments, while calls come."""

    def __init__(self, way: str, stack: "LocalStack", directory: Path) -> None:
        self.way = WAYS[way]
        where = stack.endpoints
        directory.mkdir()
        prefix = f"t{uuid.uuid4().hex[:8]}"
        self.installation = CrmInstallation(where.bootstrap_servers, where.registry_url, directory, prefix)
        # Never both steps in one request: each is to be interrupted.
        fields = {"parallel": 3, "bitrix24_batch": "never", **self.way.settings}
        self.installation.crm, self.installation.portal_fields = self.way.crm, fields
        self.installation.worker = {"session_timeout_seconds": 6.0}
        self._interrupted = asyncio.Event()
        self._waiting: tuple[Moment, subprocess.Popen[bytes], signal.Signals] | None = None

    @asynccontextmanager
    async def calls(self) -> AsyncIterator[None]:
        """Calls come as long as the block lasts; after it each of them must stand in the portal once."""
        results: dict[str, CallResult] = {}
        external: dict[str, CallResult] = {}
        async with self.installation as installation:
            installation.portal.change_settings(**self.way.portal)
            installation.portal.on_request = self._on_request
            lookups_needed = {**self.way.doubt(), "probability": 0.2, "times": 1000}
            installation.portal.faults.order(lookups_needed)

            async def produce_calls() -> None:
                async with installation.results_producer() as produce:
                    for result in many_results(10_000, 5):
                        while len(external) - len(installation.portal.entries()) > UNDER_WAY:  # noqa: ASYNC110
                            await asyncio.sleep(0.1)
                        await produce(result)
                        results[result.call_id] = result
                        if result.direction != "internal":
                            external[result.call_id] = result
                        await asyncio.sleep(0.1)

            producing = asyncio.create_task(produce_calls())
            try:
                yield
            finally:
                producing.cancel()
            installation.portal.faults.clear()
            await installation.until_over(results, 120)
            await installation.no_dead_letters()
            entries = installation.portal.entries()
            assert sorted(str(entry.external_id) for entry in entries) == sorted(external)
            wrong = [differences(external[str(entry.external_id)], entry, installation.crm) for entry in entries]
            assert not any(wrong), wrong

    async def interrupt(self, worker: subprocess.Popen[bytes], moment: Moment, sent: signal.Signals) -> None:
        """Send the signal at the next such moment; return when it is sent."""
        self._waiting = moment, worker, sent
        async with asyncio.timeout(120):
            await self._interrupted.wait()
        self._interrupted.clear()

    def _on_request(self, when: str, inbound: Inbound) -> None:
        if self._waiting is None:
            return
        (name, moment), worker, sent = self._waiting
        verb, _, operation = name.rpartition(" ")
        fits = inbound.operation.endswith(operation) and verb in ("", inbound.method.lower())
        if any(inbound.operation.endswith(name) and field not in inbound.body for name, field in OF_A_CALL.items()):
            return  # the check at the worker's start: no call is under way
        if moment == when and fits:
            worker.send_signal(sent)
            self._waiting = None
            self._interrupted.set()


async def killed_at_each(way: str, stack: "LocalStack", directory: Path) -> None:
    """SIGKILL; the next one begins at once, under the same static membership."""
    test = InterruptedWorker(way, stack, directory)
    async with test.calls():
        worker = test.installation.start_worker(test.way.crm, instance="one")
        for moment in KILLED[way]:
            await test.interrupt(worker, moment, signal.SIGKILL)
            await asyncio.to_thread(worker.wait)
            worker = test.installation.start_worker(test.way.crm, instance="one")


async def stopped_at_each(way: str, stack: "LocalStack", directory: Path) -> None:
    """SIGSTOP; when the next one has taken over, SIGCONT: it had a request open, and must not log its end."""
    test = InterruptedWorker(way, stack, directory)
    async with test.calls():
        worker = test.installation.start_worker(test.way.crm)
        for moment in STOPPED[way]:
            await test.interrupt(worker, moment, signal.SIGSTOP)
            successor = test.installation.start_worker(test.way.crm)
            await test.installation.until_taken_over(successor)
            worker.send_signal(signal.SIGCONT)
            assert await asyncio.to_thread(worker.wait, 30) == STATUS
            worker = successor


MANNERS = {"killed": killed_at_each, "stopped": stopped_at_each}


@pytest.fixture(scope="module")
async def outcomes(stack: "LocalStack", tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, str], object]:
    """The exception of each run, None where all was well; all run at the same time."""
    directory = tmp_path_factory.mktemp("runs")
    kinds = [(manner, way) for manner in MANNERS for way in KILLED]
    runs = [MANNERS[manner](way, stack, directory / f"{manner}-{way}") for manner, way in kinds]
    return dict(zip(kinds, await asyncio.gather(*runs, return_exceptions=True), strict=True))


@pytest.mark.timeout(400)
@pytest.mark.parametrize("way", KILLED)
@pytest.mark.parametrize("manner", MANNERS)
async def test_at_whatever_step_a_worker_is_interrupted_no_call_is_lost_or_doubled(
    manner: str, way: str, outcomes: dict[tuple[str, str], object]
) -> None:
    if isinstance(found := outcomes[manner, way], BaseException):
        raise found
