"""`cel2crm erase` on real servers: live workers of both kinds, and a backfill that brings the rows again."""

import asyncio
import json
import subprocess
import sys
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml
from aiokafka import ConsumerRecord

from deploy.fake_crms.webhook import FAKE_SECRET
from deploy.local import LocalStack
from schemas import SchemaRegistry, Serializer, written_as
from streams.calls.result_headers import origin_of
from tests.worker_installation import Installation, Row, Tail, recorded_rows

pytestmark = pytest.mark.servers

CRM = {
    "name": "main", "crm": "webhook", "webhook_url": "https://crm.example.org/calls", "secret": FAKE_SECRET,
    "shadow": True, "deliver_from": "2000-01-01T00:00:00Z",
}  # fmt: skip


@dataclass
class Keyed(Installation):
    """An installation with a key for hashes, and a portal to which nothing is sent."""

    privacy: dict[str, Any] = field(default_factory=dict)

    @property
    def tree(self) -> dict[str, Any]:
        return {**super().tree, "privacy": self.privacy, "portals": [CRM]}


def told(file: Path, number: str, *arguments: str) -> tuple[int, dict[str, Any]]:
    """A run of the command, as a process."""
    command = [sys.executable, "-m", "streams.cli.main", "erase", number, "--yes", "--json", "--settings", str(file)]
    done = subprocess.run([*command, *arguments], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode in (0, 1), (done.stdout, done.stderr)
    return done.returncode, json.loads(done.stdout)


def of_client(rows: list[Row], expected: dict[str, Row]) -> tuple[str, set[str]]:
    """The client of the first incoming call, and the calls that have that number."""
    client = next(each["client"] for each in expected.values() if each["client"] and each["direction"] == "incoming")
    return client, {name for name, each in expected.items() if each["client"] == client}


async def test_nothing_is_left_and_a_backfill_brings_nothing_back(stack: LocalStack, tmp_path: Path) -> None:
    key = tmp_path / "hash-key"
    key.write_text("k" * 40)
    at = stack.endpoints
    privacy = {"hash_key_file": str(key), "hashed_topic": True}
    ours = Keyed(
        at.bootstrap_servers, at.registry_url, tmp_path, f"t{uuid.uuid4().hex[:8]}", {"grace_seconds": 1},
        privacy=privacy,
    )  # fmt: skip
    async with ours as installation:
        workers = [installation.start_worker(), installation.start_worker("webhook")]
        rows = recorded_rows()[:400]
        expected = installation.expected(rows)
        client, calls = of_client(rows, expected)
        await installation.produce(rows)
        results, log = installation.topic("call-results"), installation.topic("deliveries-webhook")
        hashed = installation.topic("call-results-hashed")
        async with (
            Tail(at.bootstrap_servers, results) as result_tail,
            Tail(at.bootstrap_servers, log) as delivery_tail,
            Tail(at.bootstrap_servers, hashed) as hashed_tail,
        ):
            await result_tail.until(lambda records: died(workers) or set(expected) <= keys(records))
            assert not died(workers), [installation.log_of(each)[-2000:] for each in workers]
            await delivery_tail.until(lambda records: calls <= keys(records))
            file = tmp_path / "erase.yaml"
            file.write_text(yaml.safe_dump(installation.tree), encoding="utf-8")
            status, certificate = await asyncio.to_thread(told, file, client)
            assert certificate["calls_rewritten"] >= len(calls) and certificate["deliveries_erased"] >= len(calls)
            assert not [each for each in certificate["left"] if "under way" not in each], certificate["left"]
            assert status == bool(certificate["left"])

            async with SchemaRegistry(at.registry_url) as registry:
                serializer = await registry.register({results: "call_result", log: "delivery"})
            truth = last_of(await result_tail.everything(), serializer, "call_result")
            assert {truth[name]["client"] for name in calls} == {None}
            assert {name: truth[name]["version"] for name in calls} == {n: expected[n]["version"] for n in calls}
            await delivery_tail.until(lambda records: calls <= told_erased(records, serializer))
            kept = last_of(delivery_tail.records, serializer, "delivery")
            assert not [name for name, each in kept.items() if client in str(each)]
            told_hashed = last_of(await hashed_tail.everything(), serializer, "call_result")
            assert {told_hashed[name]["client"] for name in calls} == {None} and client not in str(told_hashed)

            name = sorted(calls)[0]
            linkedid = name.partition("/")[2]
            again = [{**row, "__op": "r", "id": row["id"] + 100_000} for row in rows if row["linkedid"] == linkedid]
            count = sum(map(is_erasure, result_tail.records))
            await installation.produce(again)
            await result_tail.until(lambda records: sum(map(is_erasure, records)) > count)
            backfilled = last_of(result_tail.records, serializer, "call_result")[name]
            assert backfilled["version"] > expected[name]["version"] and client not in str(backfilled)


def keys(records: list[ConsumerRecord]) -> set[str]:
    return {record.key.decode() for record in records}


def died(workers: list[subprocess.Popen[bytes]]) -> bool:
    return any(each.poll() is not None for each in workers)


def told_erased(records: list[ConsumerRecord], serializer: Serializer) -> set[str]:
    return {name for name, each in last_of(records, serializer, "delivery").items() if each["wish"] == "erase"}


def is_erasure(record: ConsumerRecord) -> bool:
    return origin_of(record.headers) == "erasure"


def last_of(records: list[ConsumerRecord], serializer: Serializer, schema: str) -> dict[str, Row]:
    """The truth about each call; of deliveries the last record."""
    last: dict[str, Row] = {}
    for record in records:
        name = record.key.decode()
        found = dict(serializer.decode_own(record.value, schema, written_as(record.headers)))
        order = (found["version"], found["correction"]) if schema == "call_result" else (0, 0)
        if name not in last or order >= (last[name]["version"], last[name]["correction"]) or schema == "delivery":
            last[name] = found
    return last
