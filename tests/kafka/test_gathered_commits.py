"""Commits that are asked for together go in one request."""

import asyncio

import pytest
from aiokafka.structs import OffsetAndMetadata, TopicPartition

from streams.kafka.gathered_commits import GatheredCommits, Offsets


class Broker:
    """Takes requests, one at a time; `answers` are given in turn, then True."""

    def __init__(self, *answers: bool | Exception) -> None:
        self.requests: list[dict[int, int]] = []
        self.answers = list(answers)
        self.may_answer = asyncio.Event()
        self.under_way = 0

    async def commit(self, offsets: Offsets) -> bool:
        """One request."""
        self.requests.append({place.partition: each.offset for place, each in offsets.items()})
        self.under_way += 1
        assert self.under_way == 1
        await self.may_answer.wait()
        self.under_way -= 1
        answer = self.answers.pop(0) if self.answers else True
        if isinstance(answer, Exception):
            raise answer
        return answer


def asked(commits: GatheredCommits, *partitions: int, offset: int = 1) -> list[asyncio.Task[bool]]:
    """So many commits at once."""
    return [
        asyncio.create_task(commits.commit(TopicPartition("cel", number), OffsetAndMetadata(offset, "marker")))
        for number in partitions
    ]


async def test_what_is_asked_at_once_is_one_request_and_what_is_asked_meanwhile_the_next() -> None:
    broker = Broker(True, False)
    commits = GatheredCommits(broker.commit)
    first = asked(commits, 0, 1, 2)
    await asyncio.sleep(0.01)
    second = [*asked(commits, 3), *asked(commits, 0, offset=2)]
    await asyncio.sleep(0.01)
    assert broker.requests == [{0: 1, 1: 1, 2: 1}]
    broker.may_answer.set()
    assert await asyncio.gather(*first) == [True, True, True]
    assert await asyncio.gather(*second) == [False, False], "each has the answer of its own request"
    assert broker.requests[1:] == [{3: 1, 0: 2}]
    assert await asyncio.gather(*asked(commits, 5)) == [True]


async def test_an_error_comes_to_all_who_asked_and_the_next_goes_out_all_the_same() -> None:
    broker = Broker(ValueError("unexpected"))
    commits = GatheredCommits(broker.commit)
    both = asked(commits, 0, 1)
    broker.may_answer.set()
    for each in await asyncio.gather(*both, return_exceptions=True):
        with pytest.raises(ValueError, match="unexpected"):
            raise each  # type: ignore[misc]
    assert await asyncio.gather(*asked(commits, 0)) == [True]


async def test_one_who_asked_and_went_away_takes_nothing_from_the_others() -> None:
    broker = Broker()
    commits = GatheredCommits(broker.commit)
    gone, stays = asked(commits, 0, 1)
    await asyncio.sleep(0.01)
    gone.cancel()
    await asyncio.sleep(0)
    broker.may_answer.set()
    assert await stays
    assert broker.requests == [{0: 1, 1: 1}]
