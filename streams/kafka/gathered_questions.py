"""A question to the brokers that several ask at about the same time is asked once, where the answer is the same."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

Answer = TypeVar("Answer")


class GatheredQuestions(Generic[Answer]):
    """One request at a time: those who ask in the same turn of the event loop, or while a request is under way, share
    the next one, so that no answer is older than its question."""

    def __init__(self, request: Callable[[], Awaitable[Answer]]) -> None:
        self._request = request
        self._next: asyncio.Future[Answer] | None = None
        self._asking: asyncio.Task[None] | None = None

    async def ask(self) -> Answer:
        """Raises what the request raises."""
        if self._next is None:
            self._next = asyncio.get_running_loop().create_future()
        answer = self._next
        if self._asking is None:
            self._asking = asyncio.create_task(self._ask_all())
        return await asyncio.shield(answer)

    async def _ask_all(self) -> None:
        try:
            while self._next is not None:
                answer, self._next = self._next, None
                try:
                    found = await self._request()
                except Exception as error:  # whatever it is: it belongs to those who asked
                    answer.set_exception(error)
                else:
                    answer.set_result(found)
        finally:
            self._asking = None
