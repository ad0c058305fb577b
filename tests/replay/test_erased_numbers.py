"""Replays obey erased numbers: rows still hold them, what is judged from the rows does not."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from streams.clock import utc_now_us
from streams.kafka.topic_client import Outgoing
from streams.privacy.erased import ErasedNumber
from streams.privacy.hashing import HashKey
from streams.replay.comparison import Difference
from streams.replay.spark import Work, judge_batches
from streams.settings import Settings
from tests.operations.memory import Operator
from tests.replay.memory import Live, MemorySource
from tests.replay.test_comparison import compared, outcomes, replayed

KEY = HashKey("k" * 40)


@pytest.fixture
def tree(tmp_path: Path) -> dict[str, Any]:
    file = tmp_path / "key"
    file.write_text("k" * 40)
    file.chmod(0o600)
    return {"privacy": {"hash_key_file": str(file)}}


def test_a_replay_leaves_out_what_was_erased_and_nothing_else(
    operator: Operator, source: MemorySource, live: Live
) -> None:
    client = next(each.client for each in live.highest.values() if each.client)
    record = ErasedNumber(erased_at=utc_now_us(), until=1 << 60, key=KEY.id, by="ann")
    topic = operator.settings.kafka.topic("erased-numbers")
    operator.topics.put(Outgoing(topic, KEY.of(client).encode(), record.encode(), 0))
    found, _ = replayed(operator, source)
    told = outcomes(found)
    others = {name for name, each in live.highest.items() if each != told[name]}
    assert others and others >= {name for name, each in live.highest.items() if each.client == client}
    assert not [each for each in told.values() if client[1:] in str(each)]
    found_differing = compared(operator, source)[0]
    differing = {each.after.result.call_id for each in found_differing if isinstance(each, Difference)}
    assert differing == others, "what still stands with the number is published without it"


def test_a_job_of_spark_leaves_it_out_too(operator: Operator, source: MemorySource, live: Live) -> None:
    """What runs on the executors, which have neither the topic nor the key's file."""
    result = next(each for each in live.highest.values() if each.client)
    record = ErasedNumber(erased_at=utc_now_us(), until=1 << 60, key=KEY.id, by="ann")
    work = Work(
        Settings(), {}, 1 << 50, frozenset(), ((KEY.of(str(result.client)).encode(), record.encode()),), "k" * 40
    )
    records = [each for (topic, _), log in operator.topics.logs.items() if topic == source.name for each in log]
    own = [each for each in records if each.key == result.linkedid.encode()]
    columns = {name: [getattr(each, name) for each in own] for name in ("key", "value")}
    columns["written_ms"] = [each.timestamp_ms for each in own]
    batches = judge_batches(work, iter([pa.RecordBatch.from_pydict(columns)]))
    told = [row for batch in batches for row in batch.to_pylist()]
    assert [(each["call_id"], each["client"], each["problem"]) for each in told] == [(result.call_id, None, None)]
    assert str(result.client)[-7:] not in str(told) and "k" * 40 not in repr(work)
