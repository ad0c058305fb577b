"""The first of several servers that answers, the others asked beside one that is silent."""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, TypeVar

NEXT_SECONDS = 1.0
"""A server that has not answered by then is waited for beside the next one."""

Answer = TypeVar("Answer")


async def first_answer(
    questions: Sequence[Callable[[], Coroutine[Any, Any, Answer | None]]],
    drop: Callable[[Answer], object],
    *,
    next_seconds: float = NEXT_SECONDS,
) -> Answer | None:
    """Ask in this order, the next one as soon as one says None or is silent; None: all said so.

    What is still asked is cancelled in the end; a second answer that came at the same moment is given to `drop`.
    """
    waiting = list(questions)
    asked = set[asyncio.Task[Answer | None]]()
    answers = list[Answer]()
    try:
        while (waiting or asked) and not answers:
            if waiting:
                asked.add(asyncio.ensure_future(waiting.pop(0)()))
            patience = next_seconds if waiting else None
            done, asked = await asyncio.wait(asked, timeout=patience, return_when=asyncio.FIRST_COMPLETED)
            answers += [answer for each in done if (answer := each.result()) is not None]
    finally:
        for each in asked:
            each.cancel()
        for late in await asyncio.gather(*asked, return_exceptions=True):
            if late is not None and not isinstance(late, BaseException):
                answers.append(late)
        for answer in answers[1:]:
            drop(answer)
    return answers[0] if answers else None
