"""Partitions are chosen once: other numbers of them are refused, in words."""

import asyncio
from collections.abc import Collection, Mapping

import pytest
import yaml
from faust.types import TP

from connectors.topics import DECLARATION
from streams import topics
from streams.calls.rules_in_force import RulesInForce, refuse_other_partitions
from streams.errors import UserError
from streams.kafka import partition_counts
from streams.kafka.counted_partitions import CountedPartitions
from streams.kafka.partition_counts import changed, chosen_counts, watched_counts
from streams.settings import KafkaSettings
from streams.topics import CALL_RESULTS, CEL, PORTAL_STATES, Topic, deliveries

KAFKA = KafkaSettings(topic_prefix="t", partitions=4)


def test_which_topics_calls_share_out_stands_in_their_declaration_too() -> None:
    declared = yaml.safe_load(DECLARATION.read_text(encoding="utf-8"))["topics"]
    known = [*(each for each in vars(topics).values() if isinstance(each, Topic)), deliveries("kommo")]
    for topic in known:
        entry = declared["deliveries" if topic == "deliveries-kommo" else topic]
        assert topic.by_call == (entry["partitions"] == "<kafka.partitions>"), topic
        assert topic.by_call or entry["partitions"] == 1, topic


def test_a_topic_that_got_partitions_is_told_with_both_numbers() -> None:
    chosen = chosen_counts(KAFKA, [CEL, PORTAL_STATES, "a plugin's own"])
    assert chosen == {"t.cel": 4, "t.portal-states": 1}
    assert changed(chosen, {"t.cel": 4}) is None, "what is not there is told elsewhere"
    error = changed(chosen, {"t.cel": 6, "t.portal-states": 3})
    assert error is not None
    assert "topic t.cel has 6 partitions, not 4; topic t.portal-states has 3 partitions, not 1" in error.problem
    assert "docs/operating.md#partitions-are-chosen-once" in error.remedy


class Owner:
    """Remembers what it was given."""

    def __init__(self) -> None:
        self.given: frozenset[TP] | None = None

    async def assigned(self, partitions: frozenset[TP]) -> Mapping[TP, int]:
        self.given = partitions
        return dict.fromkeys(partitions, 7)

    async def revoked(self) -> None:
        self.given = None

    def positions(self) -> Mapping[TP, int]:
        return {}


async def test_partitions_beyond_those_that_were_chosen_are_not_taken_over() -> None:
    owner = Owner()
    counted = CountedPartitions(owner, KAFKA, [CEL, CALL_RESULTS])
    own = frozenset({TP("t.cel", 0), TP("t.cel", 3)})
    assert await counted.assigned(own) == {TP("t.cel", 0): 7, TP("t.cel", 3): 7}
    assert owner.given == own
    await counted.revoked()
    with pytest.raises(UserError, match=r"topic t.call-results has 5 partitions, not 4"):
        await counted.assigned(own | {TP("t.call-results", 4)})
    assert owner.given is None


async def test_a_running_worker_looks_until_a_number_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    answers: list[dict[str, int] | Exception] = [{"t.cel": 4}, UserError("no broker"), OSError(), {"t.cel": 5}]

    async def found(_: KafkaSettings, names: Collection[str]) -> dict[str, int]:
        assert list(names) == ["t.cel"]
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    monkeypatch.setattr(partition_counts, "found_counts", found)
    told: asyncio.Future[UserError] = asyncio.get_running_loop().create_future()
    async with watched_counts(KAFKA, [CEL], told.set_result, seconds=0), asyncio.timeout(5):
        assert "t.cel has 5 partitions, not 4" in (await told).problem
    assert not answers


def test_calls_that_were_judged_on_another_number_of_partitions_stop_the_worker() -> None:
    told = [RulesInForce("r", "host/1", 1), RulesInForce("r", "host/1", 1, partitions=4)]
    refuse_other_partitions(4, told)
    refuse_other_partitions(6, told[:1])  # a release that did not say it
    with pytest.raises(UserError, match=r"judged on 4 partitions until now, and kafka\.partitions is 6"):
        refuse_other_partitions(6, told)
