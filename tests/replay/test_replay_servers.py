"""Replays on a real broker: a member that is killed, two that finish its work, and what they leave behind."""

import asyncio
import json
import signal
import subprocess
import sys
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml
from aiokafka import AIOKafkaProducer, ConsumerRecord

from deploy.local import LocalStack
from schemas import SchemaRegistry, own_headers
from streams.calls.result_headers import origin_of
from streams.kafka.admin import KafkaAdmin
from tests.worker_installation import Installation, NewInstallation, Row, Tail, last_versions, recorded_rows

pytestmark = pytest.mark.servers

PBXS = ("pbx1", "pbx2", "pbx3")


def rows_of_three() -> list[Row]:
    """The recorded calls, logged by three PBXs under the same linkedids."""
    return [{**row, "__source_name": pbx} for pbx in PBXS for row in recorded_rows()]


async def publish(installation: Installation, results: dict[str, Row]) -> None:
    """Results as the aggregate worker writes them."""
    serializer = await installation.serializer()
    async with AIOKafkaProducer(bootstrap_servers=installation.bootstrap_servers) as producer:
        for key, result in results.items():
            value = serializer.encode("call_result", result)
            headers = list(own_headers("call_result"))
            await producer.send(installation.topic("call-results"), value, key=key.encode(), headers=headers)


async def leave_markers(installation: Installation) -> None:
    """The ends of transactions take the last offsets of partitions: no record stands there."""
    name = f"{installation.prefix}-markers"
    servers = installation.bootstrap_servers
    async with AIOKafkaProducer(bootstrap_servers=servers, transactional_id=name) as producer, producer.transaction():
        for partition in range(installation.partitions):
            await producer.send(installation.topic("cel"), b"{}", key=b"poison", partition=partition)


class Commands:
    """`cel2crm replay` as processes."""

    def __init__(self, installation: Installation, directory: Path) -> None:
        self.file = directory / "replay.yaml"
        tree = {**installation.tree, "other_pbxs": [{"name": name} for name in PBXS[1:]]}
        self.file.write_text(yaml.safe_dump(tree), encoding="utf-8")

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "streams.cli.main", "replay", *arguments, "--settings", str(self.file)]
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    async def told(self, *arguments: str, status: int = 0) -> list[dict[str, Any]]:
        process = self.start(*arguments, "--json")
        out, err = await asyncio.to_thread(process.communicate, timeout=120)
        assert process.returncode == status, (out, err)
        return [json.loads(line) for line in out.splitlines()]


async def test_killed_resumed_by_two_and_dropped(install: NewInstallation, tmp_path: Path) -> None:
    async with install() as installation:
        rows = rows_of_three()
        await installation.produce(rows)
        await leave_markers(installation)
        expected = installation.expected(rows)
        await publish(installation, expected)
        commands = Commands(installation, tmp_path)

        (summary,) = await commands.told("diff")
        assert (summary["summary"]["judged"], summary["summary"]["differing"]) == (len(expected), 0)

        first = commands.start("run", "--into", "new", "--yes")
        async with topic_of(installation, "call-results.new") as tail:
            await tail.until(bool)
            first.kill()
            first.communicate()
            (standing,) = await commands.told("resume", "new", "--workers", "2")
            assert (standing["state"], standing["judged"], standing["not_judged"]) == ("done", len(expected), 0)
            found = await results_in(installation, tail)
        assert {each["correction"] for each in found.values()} == {standing["correction"]}
        assert {key: {**each, "correction": 0} for key, each in found.items()} == expected

        assert (await commands.told("status"))[0]["state"] == "done"
        again = commands.start("run", "--into", "new", "--yes")
        assert "there is a replay new already: done" in again.communicate()[1] and again.returncode == 2
        await commands.told("drop", "new", "--yes")
        async with KafkaAdmin(installation.settings.kafka) as admin:
            assert not await admin.topics([installation.topic("call-results.new"), installation.topic("call-legs.new")])
        assert await commands.told("status") == []


async def test_cancelled_while_a_member_works_and_the_broker_away_in_the_middle(
    stack: LocalStack, install: NewInstallation, tmp_path: Path
) -> None:
    async with install() as installation:
        rows = rows_of_three()
        await installation.produce(rows)
        expected = installation.expected(rows)
        commands = Commands(installation, tmp_path)
        first = commands.start("run", "--into", "new", "--yes")
        async with topic_of(installation, "call-results.new") as tail:
            await tail.until(bool)
            first.send_signal(signal.SIGSTOP)  # so that it is not done before it is cancelled
            await commands.told("cancel", "new")
            first.send_signal(signal.SIGCONT)
            _, words = await asyncio.to_thread(first.communicate, timeout=60)
            assert (first.returncode, "replay new was cancelled; cel2crm replay resume new" in words) == (1, True), (
                words
            )
            (standing,) = await commands.told("status", "new")
            assert (standing["state"], standing["members"]) == ("cancelled", 0)

            written = len(await tail.everything())
            second = commands.start("resume", "new")
            await tail.until(lambda records: len(records) > written)
            second.send_signal(signal.SIGSTOP)
            stack.kill("kafka")
            second.send_signal(signal.SIGCONT)
            stack.start_part("kafka")
            _, words = await asyncio.to_thread(second.communicate, timeout=120)
            assert second.returncode == 0, words
            found = await results_in(installation, tail)
        assert {key: {**each, "correction": 0} for key, each in found.items()} == expected
        (standing,) = await commands.told("status", "new")
        assert (standing["state"], standing["judged"], standing["not_judged"]) == ("done", len(expected), 0)


@asynccontextmanager
async def topic_of(installation: Installation, name: str) -> AsyncIterator[Tail]:
    """A topic that a replay makes, as soon as it is there: its legs' topic is made after it."""
    async with asyncio.timeout(60), KafkaAdmin(installation.settings.kafka) as admin:
        while True:
            if await admin.topics([installation.topic("call-legs.new")]):
                break
            await asyncio.sleep(0.05)
    async with Tail(installation.bootstrap_servers, installation.topic(name)) as tail:
        yield tail


async def results_in(installation: Installation, tail: Tail) -> dict[str, Row]:
    """The highest version of each call."""
    async with SchemaRegistry(installation.registry_url) as registry:
        serializer = await registry.register({installation.topic("call-results.new"): "call_result"})
    return last_versions(await tail.everything(), serializer)


@dataclass
class Ruled(Installation):
    """An installation whose rules change."""

    rules: dict[str, Any] = field(default_factory=dict)

    @property
    def tree(self) -> dict[str, Any]:
        return {**super().tree, "rules": self.rules}


def is_correction(record: ConsumerRecord) -> bool:
    """Whether a replay wrote it."""
    return origin_of(record.headers) == "replay"


async def test_a_changed_rule_is_published_once_the_live_workers_judge_by_it(stack: LocalStack, tmp_path: Path) -> None:
    at = stack.endpoints
    ours = Ruled(at.bootstrap_servers, at.registry_url, tmp_path, f"t{uuid.uuid4().hex[:8]}")
    rules = tmp_path / "rules.yaml"
    rules.write_text("results:\n  - cause: 17\n    result: 603\n", encoding="utf-8")
    async with ours as installation:
        worker = installation.start_worker()
        rows = recorded_rows()[:900]
        expected = installation.expected(rows)
        busy = {name for name, each in expected.items() if each["result"] == 486 and each["hangup_cause"] == 17}
        await installation.produce(rows)
        topics = installation.topic("rules-in-force"), installation.topic("call-results")
        async with Tail(at.bootstrap_servers, topics[0]) as told, Tail(at.bootstrap_servers, topics[1]) as results:
            await results.until(lambda records: busy <= {record.key.decode() for record in records})
            installation.rules = {"file": str(rules)}
            commands = Commands(installation, tmp_path)
            refused = commands.start("publish", "--yes")
            assert "judges by rules" in refused.communicate()[1] and refused.returncode == 2
            worker.terminate()
            worker.wait()
            installation.start_worker()
            await told.until(lambda records: len(records) >= 2 * installation.partitions)
            chosen = [f"--call={name}" for name in sorted(expected) if name in busy]
            (done,) = await commands.told("publish", "--yes", *chosen)
            assert (done["published"], done["still_to_come"], done["not_judged"]) == (len(busy), 0, 0)
            await results.until(lambda records: sum(map(is_correction, records)) >= len(busy))
            async with SchemaRegistry(at.registry_url) as registry:
                serializer = await registry.register({topics[1]: "call_result"})
            found = [serializer.decode(record.value, "call_result") for record in results.records]
        corrected = {each["call_id"]: each for each in found if each["correction"]}
        assert set(corrected) == busy and {each["result"] for each in corrected.values()} == {603}
        assert all(each["version"] == expected[name]["version"] for name, each in corrected.items())
        (again,) = await commands.told("publish", "--yes", *chosen)
        assert again["published"] == 0
