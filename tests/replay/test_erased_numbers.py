"""Replays obey erased numbers: rows still hold them, what is judged from the rows does not."""

from pathlib import Path
from typing import Any

import pytest

from streams.clock import utc_now_us
from streams.kafka.topic_client import Outgoing
from streams.privacy.erased import ErasedNumber
from streams.privacy.hashing import HashKey
from streams.replay.comparison import Difference
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
