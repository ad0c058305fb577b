"""Who asks while a question is under way shares the next one."""

import asyncio

import pytest

from streams.kafka.gathered_questions import GatheredQuestions


async def test_no_answer_is_older_than_its_question() -> None:
    begun = 0
    may_answer = asyncio.Event()

    async def request() -> int:
        nonlocal begun
        begun += 1
        number = begun
        await may_answer.wait()
        if number == 3:
            raise ValueError("unexpected")
        return number

    questions = GatheredQuestions(request)
    first = [asyncio.create_task(questions.ask()) for _ in range(3)]
    await asyncio.sleep(0.01)
    second = [asyncio.create_task(questions.ask()) for _ in range(96)]
    await asyncio.sleep(0.01)
    assert begun == 1
    may_answer.set()
    assert await asyncio.gather(*first) == [1, 1, 1]
    assert set(await asyncio.gather(*second)) == {2}
    with pytest.raises(ValueError, match="unexpected"):
        await questions.ask()
    assert await questions.ask() == 4
