"""The steps of tasks for missed calls, for every CRM in the same way: what is read, what is decided, what is written.

All steps but the making of a task may be repeated at any time; that one is looked up by its marker.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from streams.clock import MICROS_PER_SECOND, BootSeconds, UtcMicros
from streams.crm.shared.tasks import (
    CHECK,
    CLOSE,
    CLOSED,
    FIND,
    MICROS_PER_HOUR,
    MISSED,
    TASK,
    Marker,
    marker_in,
    with_later_end,
)
from streams.crm.shared.transport_answers import lookup_without_reply
from streams.delivery.answers import (
    Answer,
    CallFound,
    LookupResult,
    NotFound,
    NotYet,
    OutcomeUnknown,
    PortalBlocked,
    Refused,
    RetryLater,
    SkipCall,
    Succeeded,
)
from streams.http.request import NoReply, NothingSent, TooLate

GONE = "the task is not there any more, as the CRM says: the client's tasks are read again"
OUT_OF_TIME = "its time was over before all was asked"
Failure = RetryLater | PortalBlocked | NotYet | Refused
"""The end of a question, or of a change that may be repeated, that brought nothing."""


def unanswered(ending: NothingSent | NoReply | TooLate) -> RetryLater:
    """The end of a question without a reply. A step of several requests runs out of time at a busy portal: nothing for
    which its calls would have to wait."""
    return RetryLater(OUT_OF_TIME) if isinstance(ending, TooLate) else lookup_without_reply(ending)


def refusal(problem: PortalBlocked | RetryLater | OutcomeUnknown | None, words: str) -> Failure:
    """The end of a question, or of a change that may be repeated, that was answered without success. `problem`: of the
    portal as a whole; `words`: the portal's own."""
    return RetryLater(problem.why) if isinstance(problem, OutcomeUnknown) else problem or Refused(words)


@dataclass(frozen=True, slots=True)
class Task:
    """A task of ours in a CRM."""

    id: str
    text: str
    """The text that holds its marker."""
    marker: Marker
    is_open: bool


class ClientTasks(Protocol):
    """What a CRM offers. `sent`: the fields of the step's request (tasks.common_fields, and the CRM's own).

    Whoever asks several times awaits the portal's rate itself.
    """

    async def of_client(self, client: Marker, sent: dict[str, Any], until: BootSeconds) -> list[Task] | Failure:
        """The tasks of ours for the client whom a marker names, done ones too."""
        ...

    async def reached(self, sent: dict[str, Any], since: int, until: BootSeconds) -> bool | Failure:
        """Whether the CRM knows of a talk with the client that went on after `since` (unix seconds)."""
        ...

    async def add(self, sent: dict[str, Any], until: BootSeconds) -> Answer:
        """Make the task; its id as TASK."""
        ...

    async def complete(self, task: Task, sent: dict[str, Any], until: BootSeconds) -> Failure | None:
        """Complete a task; None: it is done. RetryLater(GONE): it is not there, and what is, is to be read again."""
        ...

    async def reopen(self, task: Task, until: BootSeconds) -> Failure | None:
        """Open a task again, as `complete`."""
        ...

    async def rewrite(self, task: Task, text: str, until: BootSeconds) -> Failure | None:
        """Change a task's text, as `complete`."""
        ...


async def take_step(tasks: ClientTasks, step: str, sent: dict[str, Any], until: BootSeconds, now: UtcMicros) -> Answer:
    """The answer of a step."""
    marker = marker_in(sent["marker"])
    if marker is None:
        return Refused("the request bears no marker")
    if step in (FIND, MISSED) and (against := _not_wanted(sent, marker, now)) is not None:
        return against
    if step == MISSED:
        return await tasks.add(sent, until)
    if step == CLOSE and not sent["reached"]:
        return SkipCall("a later version of the call came, by which nobody talked with the client")
    found = await tasks.of_client(marker, sent, until)
    if not isinstance(found, list):
        return found
    if step == FIND:
        return await _find(tasks, found, marker, sent, until)
    if step == CHECK:
        return await _check(tasks, found, marker, sent, until)
    return await _close(tasks, found, marker, sent, until)


async def look_up_task(tasks: ClientTasks, sent: dict[str, Any], until: BootSeconds) -> LookupResult:
    """The task that a request of unknown outcome may have made; also one that somebody completed meanwhile."""
    marker = marker_in(sent.get("marker"))
    if marker is None:
        return NotFound()
    found = await tasks.of_client(marker, sent, until)
    if isinstance(found, NotYet | Refused):
        return RetryLater(found.why)
    if not isinstance(found, list):
        return found
    ours = [task for task in found if task.marker.call == marker.call]
    return CallFound({TASK: _oldest(ours).id}) if ours else NotFound()


def _not_wanted(sent: dict[str, Any], marker: Marker, now: UtcMicros) -> Answer | None:
    """Why no task is to be made, as far as that is known without the CRM; None: it is to be made."""
    hours = sent["max_age_hours"]
    if hours is None:
        return SkipCall("portals[].missed_call_task is not set (any more)")
    if not sent["still_missed"]:
        return SkipCall("a later version of the call came, by which it is no missed call")
    if now - marker.ended * MICROS_PER_SECOND > hours * MICROS_PER_HOUR:
        return SkipCall(f"the call is older than portals[].missed_call_task.max_age_hours ({hours:g} h)")
    return None


async def _find(
    tasks: ClientTasks, found: Sequence[Task], marker: Marker, sent: dict[str, Any], until: BootSeconds
) -> Answer:
    """Go on to make a task, unless one of the client stands, or he was reached since. A standing task is made to speak
    of this call too, so that no talk from before this call closes it."""
    own = [task for task in found if task.marker.call == marker.call]
    if own:
        return SkipCall(f"its task {own[0].id} was made before")
    standing = [task for task in found if task.is_open]
    if standing:
        task = _oldest(standing)
        failed = await _speak_of(tasks, task, marker.ended, until)
        if failed is not None:
            return failed
        # A talk from before this call may have been about to close it.
        again = await tasks.of_client(marker, sent, until)
        if not isinstance(again, list):
            return again
        if any(each.id == task.id and each.is_open for each in again):
            return SkipCall(f"task {task.id} stands already for this client")
    reached = await tasks.reached(sent, marker.ended, until)
    if not isinstance(reached, bool):
        return reached
    return SkipCall("the client was reached after the call") if reached else Succeeded()


async def _check(
    tasks: ClientTasks, found: Sequence[Task], marker: Marker, sent: dict[str, Any], until: BootSeconds
) -> Answer:
    """Close the call's own task where the client was reached, or an older task of his stands: either may have been on
    its way to the CRM, and invisible, when this one was made."""
    own = [task for task in found if task.is_open and task.marker.call == marker.call]
    if not own:
        return Succeeded(note="its task is not open any more")
    kept = _oldest(own)
    ended = max(task.marker.ended for task in own)
    taken_back = not sent["still_missed"] and ended <= marker.ended
    reached = taken_back or await tasks.reached(sent, ended, until)
    if not isinstance(reached, bool):
        return reached
    older = [task for task in found if task.is_open and int(task.id) < int(kept.id)]
    if older and not reached:
        failed = await _speak_of(tasks, _oldest(older), ended, until)
        if failed is not None:
            return failed
    needless = own if reached or older else [task for task in own if task is not kept]
    failed = await _complete(tasks, needless, sent, until)
    if failed is not None:
        return failed
    if reached:
        return Succeeded(note="the client was reached meanwhile: the task is closed")
    return Succeeded(note=f"task {_oldest(older).id} stands already: this one is closed" if older else "")


async def _close(
    tasks: ClientTasks, found: Sequence[Task], marker: Marker, sent: dict[str, Any], until: BootSeconds
) -> Answer:
    """Close the client's open tasks of calls that were over before this talk was, and one of an earlier version of this
    call that was taken for missed."""
    open_tasks = [task for task in found if task.is_open]
    due = [task for task in open_tasks if task.marker.ended < marker.ended or _is_taken_back(task, marker)]
    failed = await _complete(tasks, due, sent, until)
    if failed is not None:
        return failed
    if not due:
        return Succeeded(note="no task of ours is open")
    # A later missed call may have found one of them still open, and speaks by it.
    again = await tasks.of_client(marker, sent, until)
    if not isinstance(again, list):
        return again
    closed = {task.id for task in due}
    for task in again:
        if task.id in closed and not task.is_open and task.marker.ended > marker.ended:
            failed = await tasks.reopen(task, until)
            if failed is not None:
                return failed
            closed.discard(task.id)
    return Succeeded({CLOSED: " ".join(sorted(closed, key=int))} if closed else {})


def _is_taken_back(task: Task, marker: Marker) -> bool:
    """Whether a task is of this call alone: it may speak of a later missed call besides."""
    return task.marker.call == marker.call and task.marker.ended <= marker.ended


async def _complete(
    tasks: ClientTasks, due: Sequence[Task], sent: dict[str, Any], until: BootSeconds
) -> Failure | None:
    for task in due:
        failed = await tasks.complete(task, sent, until)
        if failed is not None:
            return failed
    return None


async def _speak_of(tasks: ClientTasks, task: Task, ended: int, until: BootSeconds) -> Failure | None:
    return await tasks.rewrite(task, with_later_end(task.text, ended), until) if task.marker.ended < ended else None


def _oldest(tasks: Sequence[Task]) -> Task:
    return min(tasks, key=lambda task: int(task.id))
