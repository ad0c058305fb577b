"""Bitrix24: tasks for missed calls as universal activities (to-dos) of the client that the call stands at.

They stand in the client's timeline and in the counters of whose they are. They are found by the marker in their
description, wherever in the CRM they stand: calls of one client may stand at different cards.

Facts: apidocs.bitrix24.com, read in November 2026 (b24restdocs 5988ed1, pages of 2026-08-07 and 2026-08-19), scope crm.
crm.activity.todo.add takes title, description, deadline, responsibleId and no id of ours, and answers {"id": ..}.
crm.activity.list filters by the fields of an activity, `%` is a part of a text; 50 a page; only what its owner may see;
universal activities have the PROVIDER_ID CRM_TODO. crm.activity.update sets COMPLETED, which crm.activity.todo.update
cannot ("development has been halted", it goes on to work); its 200 with false is a refusal. That DESCRIPTION can be
filtered by: crm_activity.php of the on-premise product.
"""

from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Any

from streams.calls.result import CallResult
from streams.clock import MICROS_PER_SECOND, BootSeconds, UtcMicros, utc_now_us
from streams.crm.bitrix24.answers import USER_OF_CALL
from streams.crm.bitrix24.errors import LIMITS, code_of, error_text, own_error, portal_problem
from streams.crm.bitrix24.lookup import METHOD as STATISTICS
from streams.crm.bitrix24.lookup import records_of
from streams.crm.shared.call_fields import last_digits, user_ref
from streams.crm.shared.client import Pace
from streams.crm.shared.task_steps import GONE, Failure, Task, refusal, unanswered
from streams.crm.shared.tasks import (
    LATE_CONTACT_US,
    MISSED,
    TASK,
    Marker,
    common_fields,
    due_at,
    marker_in,
    marker_of,
    task_user,
    task_words,
)
from streams.crm.shared.transport_answers import without_reply
from streams.delivery.answers import (
    Answer,
    NotYet,
    OutcomeUnknown,
    PortalBlocked,
    Refused,
    RetryLater,
    SkipCall,
    Succeeded,
    UserUnknown,
)
from streams.delivery.record import Delivery
from streams.http.request import Ending, Reply, local_iso
from streams.settings import PortalSettings

ADD, LIST, UPDATE = "crm.activity.todo.add", "crm.activity.list", "crm.activity.update"
OWNER_TYPES = {"LEAD": 1, "DEAL": 2, "CONTACT": 3, "COMPANY": 4}
"""Numbers of the kinds of CRM objects (the documentation of the method crm.enum.ownertype)."""
PROVIDER = "CRM_TODO"
LONGEST_TITLE = 255
"""Bytes of a title."""
MOST_PAGES = 5

NEEDS_RIGHTS = (
    "missed_call_task needs the scope crm, a portal that knows universal activities, and an owner of the webhook or "
    "application who may see and edit all clients"
)
_RIGHTS = ("INSUFFICIENT_SCOPE", "ACCESS_DENIED", "ERROR_METHOD_NOT_FOUND")
"""Codes that say so; calls, which need none of it, go on."""
_GONE = ("NOT_FOUND", "OWNER_NOT_FOUND")

Ask = Callable[[str, dict[str, object], BootSeconds], Awaitable[Ending | PortalBlocked | RetryLater]]


def task_fields(step: str, delivery: Delivery, result: CallResult, portal: PortalSettings) -> dict[str, Any]:
    """The fields of a step's request, as they stand in the delivery; `task` is what goes out."""
    fields = common_fields(result, portal)
    settings = portal.missed_call_task
    if step != MISSED or settings is None:
        return fields
    ids = delivery.crm_ids
    owner = OWNER_TYPES.get(ids.get("CRM_ENTITY_TYPE", "").upper())
    if owner is None or not ids.get("CRM_ENTITY_ID", "").isdigit():
        return fields
    user = task_user(result, portal, delivery, ids.get(USER_OF_CALL, ""))
    due = due_at(result, portal, settings, utc_now_us())
    task = {
        "ownerTypeId": owner,
        "ownerId": int(ids["CRM_ENTITY_ID"]),
        "deadline": local_iso(due, result.utc_offset_seconds),
        "title": task_words(result, settings).encode()[:LONGEST_TITLE].decode(errors="ignore"),
        "description": marker_of(result).text,
        **({"responsibleId": int(user)} if user and user.isdigit() else {}),
    }
    return {**fields, "task": task}


class Bitrix24Tasks:
    """The tasks of one portal (a ClientTasks)."""

    def __init__(self, ask: Ask, pace: Pace) -> None:
        """`pace`: awaited before each request but the first, which the portal's queue admitted."""
        self._ask = ask
        self._pace = pace
        self._first = True

    async def _asked(self, method: str, fields: dict[str, object], until: BootSeconds) -> Reply | Failure:
        """A reply of success to a request that may be repeated."""
        ending = await self._once(method, fields, until)
        if isinstance(ending, PortalBlocked | RetryLater):
            return ending
        if not isinstance(ending, Reply):
            return unanswered(ending)
        if ending.status == 200 and not own_error(ending) and isinstance(ending.document, dict):
            return ending
        if own_error(ending) and code_of(ending) in _RIGHTS:
            return NotYet(f"{NEEDS_RIGHTS} ({error_text(ending)})")
        return refusal(portal_problem(ending, utc_now_us()), error_text(ending))

    async def _once(
        self, method: str, fields: dict[str, object], until: BootSeconds
    ) -> Ending | PortalBlocked | RetryLater:
        if not self._first:
            await self._pace()
        self._first = False
        return await self._ask(method, fields, until)

    async def of_client(self, client: Marker, sent: dict[str, Any], until: BootSeconds) -> list[Task] | Failure:
        """See ClientTasks."""
        found: list[Task] = []
        start: object = 0
        for _ in range(MOST_PAGES):
            asked: dict[str, object] = {
                "filter": {"PROVIDER_ID": PROVIDER, "%DESCRIPTION": client.of_client},
                "order": {"ID": "DESC"},
                "select": ["ID", "COMPLETED", "DESCRIPTION"],
                "start": start,
            }
            reply = await self._asked(LIST, asked, until)
            if not isinstance(reply, Reply):
                return reply
            rows = [row for row in reply.document.get("result") or () if isinstance(row, dict)]
            tasks = [_task(row) for row in rows]
            found += [task for task in tasks if task is not None and task.marker.client == client.client]
            start = reply.document.get("next")
            if not isinstance(start, int):
                return found
        # A client has one task at a time: so many are those of others, by a filter that is not known there.
        return RetryLater(f"{LIST} answers more than {MOST_PAGES} pages: it does not filter by DESCRIPTION")

    async def reached(self, sent: dict[str, Any], since: int, until: BootSeconds) -> bool | Failure:
        """See ClientTasks. By the statistics; who may not see them knows of no talk."""
        digits = str(sent["digits"])
        if not digits:
            return False
        earliest = since * MICROS_PER_SECOND - LATE_CONTACT_US
        conditions = {
            "%PHONE_NUMBER": digits,
            ">CALL_DURATION": 0,
            ">=CALL_START_DATE": local_iso(earliest, 0),
        }
        asked: dict[str, object] = {"FILTER": conditions, "SORT": "CALL_START_DATE", "ORDER": "DESC"}
        reply = await self._asked(STATISTICS, asked, until)
        if isinstance(reply, NotYet | Refused):
            return False
        if not isinstance(reply, Reply):
            return reply
        return any(_end_of(record, digits) > since for record in records_of(reply) or ())

    async def add(self, sent: dict[str, Any], until: BootSeconds) -> Answer:
        """See ClientTasks."""
        task = sent.get("task")
        if not isinstance(task, dict):
            why = "the call stands at no client of the CRM, where a task could stand"
            return SkipCall(f"{why} (portals[].unknown_number: create_lead)")
        ending = await self._once(ADD, task, until)
        return ending if isinstance(ending, PortalBlocked | RetryLater) else added_of(ending, task, utc_now_us())

    async def complete(self, task: Task, sent: dict[str, Any], until: BootSeconds) -> Failure | None:
        """See ClientTasks."""
        return await self._changed(task, {"COMPLETED": "Y"}, until)

    async def reopen(self, task: Task, until: BootSeconds) -> Failure | None:
        """See ClientTasks."""
        return await self._changed(task, {"COMPLETED": "N"}, until)

    async def rewrite(self, task: Task, text: str, until: BootSeconds) -> Failure | None:
        """See ClientTasks."""
        return await self._changed(task, {"DESCRIPTION": text}, until)

    async def _changed(self, task: Task, fields: dict[str, object], until: BootSeconds) -> Failure | None:
        reply = await self._asked(UPDATE, {"id": int(task.id), "fields": fields}, until)
        if isinstance(reply, Reply):
            return None if reply.document.get("result") else NotYet(f"task {task.id} cannot be changed: {NEEDS_RIGHTS}")
        if isinstance(reply, Refused) and "activity is not found" in reply.why.lower():
            return RetryLater(GONE)
        return reply


def added_of(ending: Ending, task: dict[str, Any], now: UtcMicros) -> Answer:
    """The answer that the end of an add proves. Rights that only tasks need must not stop the portal's calls."""
    if not isinstance(ending, Reply):
        return without_reply(ending)
    document = ending.document if isinstance(ending.document, dict) else {}
    made = document.get("result")
    if ending.status == 200 and isinstance(made, dict) and made.get("id"):
        return Succeeded({TASK: str(made["id"])})
    words = error_text(ending)
    code = code_of(ending) if own_error(ending) else ""
    if code in _RIGHTS:
        return NotYet(f"{NEEDS_RIGHTS} ({words})")
    if ending.status >= 500 and code not in LIMITS:
        return OutcomeUnknown(words)
    if code in _GONE:
        return SkipCall("the client that the call stands at is no longer in the CRM")
    if ending.status == 400 and "responsible" in words.lower() and "responsibleId" in task:
        return UserUnknown(user_ref(str(task["responsibleId"])), words)
    return portal_problem(ending, now) or Refused(words)


def _task(row: dict[str, Any]) -> Task | None:
    marker, number = marker_in(row.get("DESCRIPTION")), str(row.get("ID"))
    if marker is None or not number.isdigit():
        return None
    return Task(number, str(row["DESCRIPTION"]), marker, str(row.get("COMPLETED")).upper() != "Y")


def _end_of(record: dict[str, Any], digits: str) -> int:
    """The unix second of the end of a talk in the statistics; 0: it is none with this number, or none at all."""
    duration = str(record.get("CALL_DURATION"))
    try:
        start = datetime.fromisoformat(str(record.get("CALL_START_DATE")))
    except ValueError:
        return 0
    ours = last_digits(str(record.get("PHONE_NUMBER"))) == digits
    if not ours or start.tzinfo is None or not duration.isdigit() or int(duration) == 0:
        return 0
    return int(start.timestamp()) + int(duration)
