"""An event loop that ends when it should: nothing that hangs in it, a thread included, delays the end of a command.

asyncio.run waits at its end for every task that was cancelled, and for the threads of to_thread and of name servers'
answers; a client of aiokafka that is closed while a broker is frozen, or a database that accepts and says nothing,
would hold a command for minutes.
"""

import asyncio
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

Outcome = TypeVar("Outcome")

_LEAVE_SECONDS = 0.5
"""Time for tasks that were cancelled to close their connections."""


class _AbandonedThreads(ThreadPoolExecutor):
    """A thread for each call, which nobody waits for at the end: neither the loop nor the process."""

    def submit(self, function: Callable[..., Any], /, *given: Any, **named: Any) -> "Future[Any]":
        outcome: Future[Any] = Future()

        def run() -> None:
            if not outcome.set_running_or_notify_cancel():
                return
            try:
                found = function(*given, **named)
            except BaseException as error:
                outcome.set_exception(error)
            else:
                outcome.set_result(found)

        threading.Thread(target=run, daemon=True).start()
        return outcome

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Nothing is waited for."""


def run_bounded(work: Coroutine[Any, Any, Outcome]) -> Outcome:
    """Run `work` in a loop of its own, which is left half a second after its end, whatever else still runs in it.

    `work` itself must be bounded. For commands that read only: what is left is not closed.
    """
    loop = asyncio.new_event_loop()
    loop.set_default_executor(_AbandonedThreads())
    try:
        asyncio.set_event_loop(loop)
        return loop.run_until_complete(work)
    finally:
        loop.set_exception_handler(lambda _loop, _context: None)
        left = asyncio.all_tasks(loop)
        for task in left:
            task.cancel()
        if left:
            loop.run_until_complete(asyncio.wait(left, timeout=_LEAVE_SECONDS))
        asyncio.set_event_loop(None)
        loop.close()
