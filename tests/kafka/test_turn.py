"""Long work lets others go on."""

import asyncio
from collections.abc import Callable
from itertools import pairwise

import pytest

from streams.kafka import turn
from streams.kafka.fenced_log import _offsets
from streams.kafka.turn import give_back

MANY = 10_000


async def sizes_during(work: Callable[[], asyncio.Future[object]], items: list[object]) -> list[int]:
    """How long a list was at each turn of the event loop meanwhile, from the beginning to the end."""
    found, task = [len(items)], work()
    while not task.done():
        await asyncio.sleep(0)
        found.append(len(items))
    await task
    return found


def longest_step(sizes: list[int]) -> int:
    return max(before - after for before, after in pairwise(sizes))


async def test_a_long_list_is_freed_in_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turn, "LONGEST_TURN_SECONDS", 0.0)
    items: list[object] = [object() for _ in range(MANY)]
    sizes = await sizes_during(lambda: asyncio.ensure_future(give_back(items)), items)
    assert sizes[-1] == 0 and longest_step(sizes) <= 1_000


async def test_the_answers_about_many_records_are_taken_some_at_a_time() -> None:
    class Answer:
        def __init__(self, offset: int) -> None:
            self.offset = offset

    sent: list[object] = []
    for number in range(MANY):
        sent.append(answer := asyncio.get_running_loop().create_future())
        answer.set_result(Answer(number))
    task = asyncio.ensure_future(_offsets(sent))  # type: ignore[arg-type]
    sizes = await sizes_during(lambda: task, sent)  # type: ignore[arg-type,return-value]
    assert longest_step(sizes) <= 500
    assert task.result() == list(range(MANY))
