"""An installation in memory whose topics hold calls of a client, and delivery workers that carry out commands."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml
from msgspec.structs import replace

from schemas import written_as
from streams.calls.result import CallLeg, CallResult
from streams.cli import erase as erase_command
from streams.crm.kommo.plan import PLAN
from streams.delivery.command_record import Command
from streams.delivery.events import CommandReceived
from streams.delivery.machine import advance
from streams.delivery.record import Delivery, State
from streams.erasure import cluster
from streams.erasure.cluster import Cluster
from streams.kafka.topic_client import Outgoing, TopicRecord
from streams.settings import load_settings
from tests.delivery.test_machine import POLICY
from tests.operations.memory import PARTITIONS, Operator, make_operator
from tests.privacy.examples import CLIENT, RESULT, leg

DAY = 86_400_000
EXPIRES = {"cleanup.policy": "delete", "retention.ms": str(30 * DAY), "segment.ms": str(DAY)}
COMPACTED = {"cleanup.policy": "compact", "max.compaction.lag.ms": str(7 * DAY), "segment.ms": str(DAY)}


@pytest.fixture
def tree() -> dict[str, Any]:
    """Further settings; a test may ask for others by a fixture or parameter of this name."""
    return {}


class Installation(Operator):
    """A person at the command line; owners of delivery logs carry out commands at once, unless they are `away`."""

    away = False
    stop_after: int | None = None
    """The process dies before it writes more batches than this."""
    cluster = Cluster({}, 0)

    def watch(self) -> None:
        """Act on what commands write."""
        send = self.topics.send

        async def watched(records: Sequence[Outgoing]) -> None:
            if self.stop_after is not None:
                if not self.stop_after:
                    raise KeyboardInterrupt
                self.stop_after -= 1
            await send(records)
            for record in records:
                if record.topic.endswith("delivery-commands") and not self.away:
                    self.carry_out(record)

        self.topics.send = watched  # type: ignore[method-assign]

    def carry_out(self, record: Outgoing) -> None:
        """As the delivery worker does."""
        fields = self.serializer.decode_own(record.value, "delivery_command", written_as(record.headers))
        command = Command.from_record(fields)
        known = self.deliveries()[command.crm, command.call_id]
        event = CommandReceived(command.at, command.remembered)
        self.delivery(advance(known, event, PLAN, POLICY).delivery)

    def deliveries(self) -> dict[tuple[str, str], Delivery]:
        """The last record of each, by CRM and call."""
        found = {}
        for crm in ("kommo", "bitrix24"):
            for fields in self._all(f"deliveries-{crm}", "delivery"):
                found[crm, fields["call_id"]] = Delivery.from_record(fields)
        return found

    def call(self, result: CallResult, *legs: CallLeg) -> None:
        """A result and its legs on their topics."""
        self.result(result)
        for each in legs:
            made = replace(each, call_id=result.call_id, version=result.version, correction=result.correction)
            self.put("call-legs", "call_leg", result.call_id, made.record())

    def truth(self) -> dict[str, tuple[CallResult, list[CallLeg]]]:
        """The highest version of each call, with its legs."""
        found: dict[str, CallResult] = {}
        for fields in self._all("call-results", "call_result"):
            result = CallResult.from_record(fields)
            known = found.get(result.call_id)
            if known is None or (known.version, known.correction) < (result.version, result.correction):
                found[result.call_id] = result
        legs = [CallLeg(**fields) for fields in self._all("call-legs", "call_leg")]
        of: dict[tuple[str, int, int], list[CallLeg]] = defaultdict(list)
        for each in legs:
            of[each.call_id, each.version, each.correction].append(each)
        return {name: (each, of[name, each.version, each.correction]) for name, each in found.items()}

    def all_logs(self) -> dict[tuple[str, int], list[TopicRecord]]:
        """Everything that stands on topics."""
        return {place: list(log) for place, log in self.topics.logs.items() if log}

    def put_raw(self, topic: str, key: bytes, value: bytes) -> None:
        """Bytes on a topic's first partition."""
        self.topics.put(Outgoing(self.settings.kafka.topic(topic), key, value, 0))

    def letter(self, call_id: str, value: bytes) -> None:
        """A dead letter of the aggregate worker."""
        record = {
            "key": b"k", "value": value, "headers": [], "topic": "cel2crm.cel", "partition": 0, "offset": 1,
            "timestamp": None, "component": "aggregate", "reason": "late_row", "explanation": "late", "failed_at": 1,
            "call_id": call_id, "portal": None,
        }  # fmt: skip
        self.put("dead-letters", "dead_letter", "k", record)

    def records(self, topic: str) -> list[TopicRecord]:
        """All of a topic's."""
        name = self.settings.kafka.topic(topic)
        return [record for number in range(PARTITIONS) for record in self.topics.logs[name, number]]


def result_of(number: int, **fields: Any) -> CallResult:
    """A call of CLIENT's."""
    made = replace(
        RESULT, call_id=f"pbx1/1795389970.{number}", linkedid=f"1795389970.{number}", version=0, version_row_id=0,
        version_rows=0, outcome_hash="", **fields,
    )  # fmt: skip
    return made.stamped(number << 20 | 2, number, 2)


def of_another(number: int) -> CallResult:
    """A call of somebody else's."""
    return result_of(
        number, caller="89169999999", caller_e164="+79169999999", client="+79169999999", talked_with=(), why=(),
        hangup_source=None,
    )  # fmt: skip


DELIVERED = Delivery(
    call_id="pbx1/1795389970.1", crm="kommo", portal="sales", state=State.DELIVERED, version=1 << 20 | 2,
    outcome_hash="h", sent_version=1 << 20 | 2, sent='{"phone":"+79161234567"}', crm_ids={"note": "7"}, attempt=1,
    step="call", steps_done=("call",),
)  # fmt: skip


@pytest.fixture
def operator(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, tree: dict[str, Any]) -> Iterator[Installation]:
    """Two calls of the client's, one of which is in Kommo, and one of somebody else's."""
    key = tmp_path / "hash-key"
    key.write_text("k" * 40)
    key.chmod(0o600)
    file = tmp_path / "cel2crm.yaml"
    privacy = {"hash_key_file": str(key), "hashed_topic": tree.get("hashed_topic", False)}
    further = {name: value for name, value in tree.items() if name != "hashed_topic"}
    settings = {"portals": [{"name": "sales", "crm": "kommo"}], "privacy": privacy, **further}
    file.write_text(yaml.safe_dump(settings), encoding="utf-8")
    monkeypatch.setenv("CEL2CRM_SETTINGS", str(file))
    made = make_operator(monkeypatch, load_settings())
    made.__class__ = Installation
    assert isinstance(made, Installation)
    topic = made.settings.kafka.topic
    made.cluster = Cluster(
        {topic(name): EXPIRES for name in ("cel", "call-results", "call-legs", "dead-letters")}
        | {topic(name): COMPACTED for name in ("aggregate-checkpoints", "deliveries-kommo")},
        0,
    )

    async def look_at(_: object) -> Cluster:
        return made.cluster

    monkeypatch.setattr(cluster, "look_at", look_at)
    monkeypatch.setattr(erase_command, "_WAIT_SECONDS", 0.0)
    made.watch()
    made.call(result_of(1), leg(CLIENT, "PJSIP/provider-00000001"), leg("1002", "PJSIP/1002-00000002", leg=2))
    made.call(result_of(2), leg("89161234567", "Local/89161234567@x-1;1"))
    made.call(of_another(3), leg("89169999999", "PJSIP/provider-00000003"))
    made.delivery(DELIVERED)
    made.delivery(replace(DELIVERED, call_id="pbx1/1795389970.3", sent='{"phone":"+79169999999"}'))
    yield made
