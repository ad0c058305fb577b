"""Questions asked at once, each of which may stay without an answer."""

import asyncio
import time
from collections.abc import Coroutine, Iterable
from typing import Any

from streams.errors import UserError
from streams.operations.status.facts import Unanswered


class Questions:
    """Questions to servers that may be away, or may never answer. Nothing here raises what a question raises."""

    def __init__(self, seconds: float) -> None:
        """`seconds`: from now on; a question that has no answer by then has none."""
        self._until = time.monotonic() + seconds
        self._asked: list[tuple[str, asyncio.Task[Any]]] = []

    @property
    def left(self) -> float:
        """Seconds that are left."""
        return max(0.0, self._until - time.monotonic())

    def ask(
        self, subject: str, question: Coroutine[Any, Any, Any], seconds: float | None = None
    ) -> "asyncio.Task[Any]":
        """Ask at once. `subject`: what cannot be looked at without an answer, in words: `the workers`.

        `seconds`: a limit of its own, where there is no use in waiting as long as for the others.
        """
        task = asyncio.ensure_future(question)
        if seconds is not None:
            asyncio.get_running_loop().call_later(seconds, task.cancel)
        self._asked.append((subject, task))
        return task

    async def wait(self) -> tuple[Unanswered, ...]:
        """Wait for the answers, as long as there is time; what has none. Questions for one reason are told as one."""
        tasks = [task for _, task in self._asked]
        if tasks:
            await asyncio.wait(tasks, timeout=self.left)
        return together(unanswered for subject, task in self._asked if (unanswered := _failure(subject, task)))


def answer(task: "asyncio.Task[Any] | None") -> Any:
    """The answer to a question; None: there is none."""
    if task is None or not task.done() or task.cancelled() or task.exception() is not None:
        return None
    return task.result()


def answered(task: "asyncio.Task[Any] | None") -> bool:
    """Whether there is an answer, which may be None itself."""
    return task is not None and task.done() and not task.cancelled() and task.exception() is None


def together(found: Iterable[Unanswered]) -> tuple[Unanswered, ...]:
    """One for each reason, with all its subjects."""
    by_reason: dict[tuple[str, str], list[str]] = {}
    for each in found:
        subjects = by_reason.setdefault((each.why, each.remedy), [])
        if each.subject not in subjects:
            subjects.append(each.subject)
    return tuple(Unanswered(", ".join(subjects), *reason) for reason, subjects in by_reason.items())


def _failure(subject: str, task: "asyncio.Task[Any]") -> Unanswered | None:
    if not task.done() or task.cancelled():
        task.cancel()  # not awaited: closing its connections may take as long
        return Unanswered(subject, "there was no answer in time", "Is the server there, but frozen or overloaded?")
    error = task.exception()
    if error is None:
        return None
    if isinstance(error, UserError):
        return Unanswered(subject, error.problem, error.remedy)
    return Unanswered(subject, f"{type(error).__name__}: {error}" if str(error) else type(error).__name__)
