"""Topics that get partitions behind the workers' back, on a real broker: nobody goes on, and everybody says why."""

import asyncio
import json
import subprocess
import sys
import uuid
from collections.abc import Iterable, Mapping
from pathlib import Path

import pytest
import yaml
from aiokafka.admin import AIOKafkaAdminClient, NewPartitions

from connectors.topics import apply_topics
from deploy.local import LocalStack
from streams.errors import UserError
from streams.topics import AGGREGATE_CHECKPOINTS, CALL_RESULTS, CEL, DEAD_LETTERS, deliveries
from tests.worker_installation import recorded_rows
from tests.workers.deliver.crm_installation import CrmInstallation

pytestmark = pytest.mark.servers

KOMMO = deliveries("kommo")
_MORE = 6


@pytest.mark.timeout(150)
async def test_a_topic_that_got_partitions_stops_everybody_with_words(stack: LocalStack, tmp_path: Path) -> None:
    at = stack.endpoints
    prefix = f"t{uuid.uuid4().hex[:8]}"
    async with CrmInstallation(at.bootstrap_servers, at.registry_url, tmp_path, prefix, crm="kommo") as installation:
        workers = [installation.start_worker(name) for name in ("aggregate", "kommo")]
        await installation.produce(recorded_rows()[:300])
        async with asyncio.timeout(60):
            while len(installation.portal.entries()) < 4:  # noqa: ASYNC110
                await asyncio.sleep(0.1)

        # One is read by its group, which is given the new partitions; the other is a memory that nobody is told of.
        await give_partitions(installation, {CEL: _MORE, KOMMO: _MORE})
        for worker, topic in zip(workers, (CEL, KOMMO), strict=True):
            said = await ended(installation, worker)
            assert f"topic {installation.topic(topic)} has 6 partitions, not 4" in said, said[-1500:]
            assert "docs/operating.md#partitions-are-chosen-once" in said

        with pytest.raises(UserError, match=rf"{installation.topic(CEL)} has 6 partitions, not 4: keys would move"):
            await apply_topics(installation.settings)
        (told,) = await status_says(installation)
        for topic in (CEL, KOMMO):
            assert f"topic {installation.topic(topic)} has 6 partitions, not 4" in told
        said = await ended(installation, installation.start_worker("aggregate"))
        assert f"topic {installation.topic(CEL)} has 6 partitions, not 4" in said

        # Whoever makes settings and topics agree is told by what was written before.
        installation.partitions = _MORE
        others = (CALL_RESULTS, "call-legs", AGGREGATE_CHECKPOINTS, DEAD_LETTERS, "delivery-commands",
                  "dead-letter-resolutions")  # fmt: skip
        crms = ("bitrix24", "webhook")
        await give_partitions(installation, dict.fromkeys([*others, *map(deliveries, crms)], _MORE))
        await apply_topics(installation.settings)
        again = [installation.start_worker(name) for name in ("aggregate", "kommo")]
        assert "calls were judged on 4 partitions until now" in await ended(installation, again[0])
        assert "by kafka.partitions (6) this call belongs to partition" in await ended(installation, again[1])


async def give_partitions(installation: CrmInstallation, counts: Mapping[str, int]) -> None:
    """As `kafka-topics.sh --alter --partitions` does."""
    admin = AIOKafkaAdminClient(bootstrap_servers=installation.bootstrap_servers)
    await admin.start()
    try:
        wanted = {installation.topic(name): NewPartitions(total_count=count) for name, count in counts.items()}
        answer = await admin.create_partitions(wanted)
        assert all(not code for _, code, *_ in answer.topic_errors), answer
    finally:
        await admin.close()


async def ended(installation: CrmInstallation, worker: "subprocess.Popen[bytes]") -> str:
    """Wait until a worker has ended as for a fault that a person mends; its log."""
    status = await asyncio.to_thread(worker.wait, 60)
    said = installation.log_of(worker)
    assert status == 2, said[-2000:]
    return said


async def status_says(installation: CrmInstallation) -> Iterable[str]:
    """What `cel2crm status` finds of the topics' partitions."""
    file = installation.directory / "status.yaml"
    file.write_text(yaml.safe_dump(installation.tree), encoding="utf-8")
    command = ["-m", "streams.cli.main", "status", "--json", "--settings", str(file)]
    asked = await asyncio.create_subprocess_exec(sys.executable, *command, stdout=asyncio.subprocess.PIPE)
    async with asyncio.timeout(60):
        out, _ = await asked.communicate()
    return [each["problem"] for each in json.loads(out)["findings"] if each["code"] == "partitions_changed"]
