"""Kommo: tasks for missed calls, at the card that the call stands at.

Kommo lists tasks by their card, not by a part of their text: the cards of a client are that of the call, and the
contacts with the number, their leads and their companies, for calls of one client may stand at different ones.

Facts: tasks list, add tasks, edit task, notes list (developers.kommo.com, read in November 2026, pages of 2026-06-29):
POST /api/v4/tasks with text, complete_till, entity_type in the plural and entity_id; PATCH /api/v4/tasks/{id} with
is_completed and result.text; filters is_completed, entity_type with entity_id (TasksFilter.php and NotesFilter.php of
amocrm-api-php 1354d8a, 2026-04-14); `with=leads` of contacts. No filter by text, and no comparison of a repeated POST.
"""

from typing import Any

from yarl import URL

from streams.calls.result import CallResult
from streams.clock import MICROS_PER_SECOND, BootSeconds, utc_now_us
from streams.crm.kommo.account import PAGE, Item, KommoAccount, embedded_in, no_such_list
from streams.crm.kommo.answers import OWN, PLURALS, entity_of, error_text, named_fields, portal_problem
from streams.crm.kommo.steps import has_phone
from streams.crm.shared.call_fields import user_ref
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
from streams.http.request import Ending, Reply
from streams.settings import PortalSettings

CONTACT_AGAIN = 1
"""The account's type of task for calling somebody (TaskModel.php)."""
MOST_CARDS = 50
"""Cards of one kind that are looked at: the newest ones."""

MOST_PAGES = 4
"""Pages of a list that are read: a client's newest notes and tasks."""

NEEDS_RIGHTS = "missed_call_task needs a token whose owner may see and edit the tasks of all"

Cards = dict[str, list[int]]
"""Ids of cards by the list that they are in."""


def task_fields(step: str, delivery: Delivery, result: CallResult, portal: PortalSettings) -> dict[str, Any]:
    """The fields of a step's request, as they stand in the delivery; `task` is what goes out."""
    fields = common_fields(result, portal)
    ids = delivery.crm_ids
    kind, card = PLURALS.get(entity_of(ids.get("entity_type")) or ""), ids.get("entity_id", "")
    if kind is None or not card.isdigit():
        return fields
    fields |= {"entity_type": kind, "entity_id": int(card)}
    settings = portal.missed_call_task
    if step != MISSED or settings is None:
        return fields
    user = task_user(result, portal, delivery)
    marker = marker_of(result)
    task = {
        "task_type_id": CONTACT_AGAIN,
        "text": f"{task_words(result, settings)}\n{marker.text}",
        "complete_till": due_at(result, portal, settings, utc_now_us()) // MICROS_PER_SECOND,
        "entity_type": kind,
        "entity_id": int(card),
        **({"responsible_user_id": int(user)} if user and user.isdigit() else {}),
        "request_id": marker.call,
    }
    return {**fields, "task": task}


class KommoTasks:
    """The tasks of one account (a ClientTasks)."""

    def __init__(self, account: KommoAccount) -> None:
        self._account = account
        self._known: Cards | None = None
        self._first = True

    async def of_client(self, client: Marker, sent: dict[str, Any], until: BootSeconds) -> list[Task] | Failure:
        """See ClientTasks."""
        cards = await self._cards(sent, until)
        if not isinstance(cards, dict):
            return cards
        found: list[Task] = []
        for kind, ids in cards.items():
            query = [("filter[entity_type]", kind), *_many("filter[entity_id]", ids), ("order[id]", "desc")]
            items = await self._listed(self._account.base / "tasks", query, until)
            if not isinstance(items, list):
                return items
            tasks = [_task(item) for item in items]
            found += [task for task in tasks if task is not None and task.marker.client == client.client]
        return found

    async def reached(self, sent: dict[str, Any], since: int, until: BootSeconds) -> bool | Failure:
        """See ClientTasks. By the notes of calls at the client's cards."""
        cards = await self._cards(sent, until)
        if not isinstance(cards, dict):
            return cards
        # Whether a note's updated_at is its call's time or that of its request, no document says: the earlier one.
        earliest = since * MICROS_PER_SECOND - LATE_CONTACT_US + min(0, self._account.ahead)
        for kind, ids in cards.items():
            query = [
                *_many("filter[entity_id]", ids),
                *_many("filter[note_type]", ["call_in", "call_out"]),
                ("filter[updated_at][from]", str(earliest // MICROS_PER_SECOND)),
                ("order[id]", "desc"),
            ]
            notes = await self._listed(self._account.base / kind / "notes", query, until)
            if not isinstance(notes, list):
                return notes
            if any(_end_of(note) > since for note in notes):
                return True
        return False

    async def add(self, sent: dict[str, Any], until: BootSeconds) -> Answer:
        """See ClientTasks."""
        task = sent.get("task")
        if not isinstance(task, dict):
            return SkipCall("the call is an incoming lead, or it is not known at which card it stands: no task there")
        ending = await self._asked("POST", self._account.base / "tasks", until, [task])
        return ending if isinstance(ending, PortalBlocked | RetryLater) else added_of(ending, task, utc_now_us())

    async def complete(self, task: Task, sent: dict[str, Any], until: BootSeconds) -> Failure | None:
        """See ClientTasks."""
        return await self._changed(task, {"is_completed": True, "result": {"text": sent["result"]}}, until)

    async def reopen(self, task: Task, until: BootSeconds) -> Failure | None:
        """See ClientTasks."""
        return await self._changed(task, {"is_completed": False}, until)

    async def rewrite(self, task: Task, text: str, until: BootSeconds) -> Failure | None:
        """See ClientTasks."""
        return await self._changed(task, {"text": text}, until)

    async def _changed(self, task: Task, fields: Item, until: BootSeconds) -> Failure | None:
        ending = await self._asked("PATCH", self._account.base / "tasks" / task.id, until, fields)
        if isinstance(ending, Reply) and ending.status == 404 and _own(ending):
            return RetryLater(GONE)  # or the account is
        if isinstance(ending, Reply) and ending.status == 200 and isinstance(ending.document, dict):
            changed = str(ending.document.get("id")) == task.id
            return None if changed else RetryLater("HTTP 200 that names no such task")
        return _failure(ending)

    async def _cards(self, sent: dict[str, Any], until: BootSeconds) -> Cards | Failure:
        """The client's cards: the call's own, the contacts with the number, their leads and companies."""
        if self._known is not None:
            return self._known
        cards: dict[str, dict[int, None]] = {}
        if "entity_type" in sent:
            cards[sent["entity_type"]] = {sent["entity_id"]: None}
        if digits := str(sent["digits"]):
            query = [("query", digits), ("with", "leads"), ("order[id]", "desc")]
            contacts = await self._listed(self._account.base / "contacts", query, until)
            if not isinstance(contacts, list):
                return contacts
            for contact in contacts:
                if has_phone(contact, digits):
                    _add(cards, "contacts", [contact])
                    embedded = contact.get("_embedded") or {}
                    for kind in ("leads", "companies"):
                        _add(cards, kind, embedded.get(kind) or ())
        self._known = {kind: sorted(ids, reverse=True)[:MOST_CARDS] for kind, ids in cards.items() if ids}
        return self._known

    async def _listed(self, url: URL, query: list[tuple[str, str]], until: BootSeconds) -> list[Item] | Failure:
        """The items of a list, in its order."""
        items: list[Item] = []
        for page in range(1, MOST_PAGES + 1):
            asked = url.with_query([*query, ("limit", str(PAGE)), ("page", str(page))])
            ending = await self._asked("GET", asked, until)
            if isinstance(ending, Reply) and (ending.status == 204 or no_such_list(url, ending)):
                break
            document = ending.document if isinstance(ending, Reply) and ending.status == 200 else None
            listed = embedded_in(document, url.name)
            if listed is None:
                return _failure(ending)
            items += listed
            if not (document or {}).get("_links", {}).get("next"):
                break
        return items

    async def _asked(
        self, method: str, url: URL, until: BootSeconds, body: object = None
    ) -> Ending | PortalBlocked | RetryLater:
        """One request, in the account's rate: the first of a step was admitted by the portal's queue."""
        if not self._first:
            await self._account.pace()
        self._first = False
        return await self._account.ask(method, url, until, body)


def added_of(ending: Ending, task: dict[str, Any], now: int) -> Answer:
    """The answer that the end of the POST proves. Rights that only tasks need must not stop the account's calls."""
    if not isinstance(ending, Reply):
        return without_reply(ending)
    document = ending.document if isinstance(ending.document, dict) else {}
    if ending.status in (200, 201):
        made = [item for item in (document.get("_embedded") or {}).get("tasks") or () if isinstance(item, dict)]
        return (
            Succeeded({TASK: str(made[0]["id"])})
            if made and made[0].get("id")
            else OutcomeUnknown(f"HTTP {ending.status} that names no task")
        )
    if (lacking := _lacks_rights(ending)) is not None:
        return lacking
    problem = portal_problem(ending, now)
    if problem is not None:
        return problem
    named = named_fields(document)
    if "responsible_user_id" in named and "responsible_user_id" in task:
        return UserUnknown(user_ref(str(task["responsible_user_id"])), error_text(ending))
    if "entity_id" in named:
        return SkipCall("the card that the call stands at is no longer in the CRM")
    return Refused(error_text(ending))


def _failure(ending: Ending | PortalBlocked | RetryLater) -> Failure:
    """The end of a request that may be repeated, and was not answered with success."""
    if isinstance(ending, PortalBlocked | RetryLater):
        return ending
    if not isinstance(ending, Reply):
        return unanswered(ending)
    if (lacking := _lacks_rights(ending)) is not None:
        return lacking
    return refusal(portal_problem(ending, utc_now_us()), error_text(ending))


def _lacks_rights(reply: Reply) -> NotYet | None:
    return NotYet(f"{NEEDS_RIGHTS} ({error_text(reply)})") if reply.status == 403 and _own(reply) else None


def _own(reply: Reply) -> bool:
    return isinstance(reply.document, dict) and bool(OWN.intersection(reply.document))


def _many(name: str, values: list[int] | list[str]) -> list[tuple[str, str]]:
    return [(f"{name}[{at}]", str(value)) for at, value in enumerate(values)]


def _add(cards: dict[str, dict[int, None]], kind: str, items: Any) -> None:
    for item in items:
        if isinstance(item, dict) and isinstance(item.get("id"), int):
            cards.setdefault(kind, {})[item["id"]] = None


def _task(item: Item) -> Task | None:
    marker, number = marker_in(item.get("text")), str(item.get("id"))
    if marker is None or not number.isdigit():
        return None
    return Task(number, str(item["text"]), marker, not item.get("is_completed"))


def _end_of(note: Item) -> int:
    """The unix second of the end of a talk that a call's note tells; 0: there was none."""
    params = note.get("params")
    duration = str((params if isinstance(params, dict) else {}).get("duration"))
    start = note.get("created_at")
    if not duration.isdigit() or int(duration) == 0 or not isinstance(start, int):
        return 0
    return start + int(duration)
