"""A topic that goes away under running workers, on a real broker: few questions, few lines, and they go on."""

import asyncio
import json
import signal
import subprocess
import uuid
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from aiokafka.admin import AIOKafkaAdminClient

from connectors.topics import apply_topics
from deploy.local import LocalStack
from streams.delivery.record import State
from streams.topics import CALL_RESULTS, CEL
from tests.worker_installation import Installation, NewInstallation, Tail, recorded_rows
from tests.workers.deliver.crm_installation import CrmInstallation, recent

pytestmark = pytest.mark.servers

MOST_QUESTIONS = 100
"""In the session of a member that does not answer, and some seconds more; thousands of them without a rest."""
MOST_LINES = 30

Worker = subprocess.Popen[bytes]


@pytest.mark.timeout(180)
async def test_while_cel_is_gone_an_aggregate_worker_asks_and_logs_little_and_goes_on(install: NewInstallation) -> None:
    installation = install()
    await_others(installation)
    async with installation:
        workers = [installation.start_worker(), installation.start_worker()]
        await installation.until_taken_over(*workers)
        await until(lambda: all("partition taken over" in installation.log_of(each) for each in workers))
        rows = recorded_rows()
        await installation.produce(rows[:200])
        leader = await take_away(installation, CEL, workers)
        await installation.produce(rows[200:400])
        expected = installation.expected(rows[200:400])
        async with Tail(installation.bootstrap_servers, installation.topic(CALL_RESULTS)) as results:
            await results.until(lambda records: set(expected) <= {record.key.decode() for record in records}, 90)
        assert leader.poll() is None


@pytest.mark.timeout(180)
async def test_while_results_are_gone_a_delivery_worker_asks_and_logs_little_and_goes_on(
    stack: LocalStack, tmp_path: Path
) -> None:
    at, prefix = stack.endpoints, f"t{uuid.uuid4().hex[:8]}"
    installation = CrmInstallation(at.bootstrap_servers, at.registry_url, tmp_path, prefix, crm="kommo")
    await_others(installation)
    async with installation:
        workers = [installation.start_worker("kommo"), installation.start_worker("kommo")]
        await installation.until_taken_over(*workers)
        await until(lambda: all("partition taken over" in installation.log_of(each) for each in workers))
        before = [recent(number) for number in range(1, 40)]
        await installation.produce_results(before)
        leader = await take_away(installation, CALL_RESULTS, workers)
        after = [recent(number) for number in range(100, 140)]
        await installation.produce_results(after)
        async with asyncio.timeout(90):
            while not {each.call_id for each in after} <= set(await installation.deliveries()):  # noqa: ASYNC110
                await asyncio.sleep(0.3)
        known = [each for each in (*before, *after) if each.call_id in await installation.deliveries()]
        await installation.until_delivered(known)  # each once
        assert {each.state for each in (await installation.deliveries()).values()} == {State.DELIVERED}
        assert leader.poll() is None


def await_others(installation: Installation) -> None:
    """A rebalance waits six seconds for a member that does not answer; and the log tells of each question."""
    installation.worker = {"session_timeout_seconds": 6.0}
    installation.log_level = "debug"


async def take_away(installation: Installation, topic: str, workers: Sequence[Worker]) -> Worker:
    """Delete a topic while rows of it are not committed and a member of the group does not answer, and make it again
    when the group's leader has no partition of it. Checks that it asked and said little meanwhile; the leader."""
    leaders = [each for each in workers if is_leader(installation.log_of(each))]
    assert len(leaders) == 1, "the leader sees first that the topic is gone"
    [worker], [silent] = leaders, [each for each in workers if each not in leaders]
    name, known = installation.topic(topic), len(list(lines(installation, worker)))
    silent.send_signal(signal.SIGSTOP)
    admin = AIOKafkaAdminClient(bootstrap_servers=installation.bootstrap_servers)
    await admin.start()
    await admin.delete_topics([name])
    await until(lambda: f"no partition of {name}" in installation.log_of(worker))
    await apply_topics(installation.settings)
    await admin.close()
    await until(lambda: f"partitions of {name} again" in installation.log_of(worker))
    silent.kill()
    since = list(lines(installation, worker))[known:]
    questions = [each for each in since if "MetadataResponse" in each["event"] and f"topic='{name}'" in each["event"]]
    assert 1 <= len(questions) <= MOST_QUESTIONS
    said = [each["event"] for each in since if each["level"] not in ("debug", "info")]
    assert len(said) <= MOST_LINES, said
    assert sum("not found in cluster metadata" in each for each in said) == 1
    return worker


def is_leader(log: str) -> bool:
    """Whether a worker led its group when it joined it last."""
    return log.rfind("Elected group leader") > log.rfind("Joined group ")


def lines(installation: Installation, worker: Worker) -> Iterator[dict[str, Any]]:
    """The lines of a worker's log."""
    return (json.loads(line) for line in installation.log_of(worker).splitlines() if line.startswith("{"))


async def until(reached: Callable[[], bool], seconds: float = 60.0) -> None:
    """Wait until this is so. Raises TimeoutError."""
    async with asyncio.timeout(seconds):
        while not reached():  # noqa: ASYNC110  # another process's file
            await asyncio.sleep(0.1)
