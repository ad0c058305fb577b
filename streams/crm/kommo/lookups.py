"""Kommo: looking for what a request of unknown outcome made."""

from typing import Any

import orjson

from streams.clock import MICROS_PER_SECOND, BootSeconds, UtcMicros
from streams.crm.kommo.account import SKEW, KommoAccount
from streams.crm.kommo.answers import PLURALS, ids_of
from streams.crm.kommo.kind import KIND
from streams.crm.kommo.revision import touched
from streams.crm.kommo.tasks import KommoTasks
from streams.crm.shared.call_fields import external_id, last_digits
from streams.crm.shared.correction_note import note_marker
from streams.crm.shared.task_steps import look_up_task
from streams.crm.shared.tasks import MISSED
from streams.delivery.answers import CallFound, LookupResult, NotFound, PortalBlocked, RetryLater, Succeeded
from streams.delivery.record import Delivery, Intent


async def look_up(account: KommoAccount, delivery: Delivery, until: BootSeconds) -> LookupResult:
    """Look for what the doubtful step made: the note or the incoming lead with our `uniq`, the contact with the
    number."""
    doubt = delivery.doubt
    if doubt is None:
        return NotFound()
    sent: dict[str, Any] = orjson.loads(doubt.sent or "{}")
    if doubt.step == MISSED:
        return await look_up_task(KommoTasks(account), sent, until)
    match doubt.step:
        case "contact" | "lead":
            found = await account.contact(last_digits(str(sent["name"])), until)
            return CallFound({"contact": str(found.get("id"))}) if isinstance(found, dict) else found
        case "update":
            note = await account.note(sent, until)
            if isinstance(note, RetryLater | PortalBlocked):
                return note
            # What is not there, or what a person changed since, is told by the next attempt.
            return CallFound() if note is not None and isinstance(touched(note, sent), Succeeded) else NotFound()
        case "text_note":
            return await _text(account, delivery, doubt, sent, until)
    uniq = external_id(delivery.call_id, KIND.longest_external_id)
    if doubt.step == "unsorted":
        query = [("filter[category][0]", "sip"), ("order[created_at]", "desc")]
        listed = account.base / "leads" / "unsorted"
        found = await account.search(listed, query, lambda one: one.get("source_uid") == uniq, until)
        if not isinstance(found, NotFound):
            return CallFound(ids_of(found, "unsorted")) if isinstance(found, dict) else found
    for _ in range(2):
        assumed = account.ahead
        noted = await _note(account, uniq, doubt, _created_at(sent), until)
        if not isinstance(noted, NotFound) or abs(account.ahead - assumed) < SKEW // 2:
            return noted
    return RetryLater("the account's clock moves")


async def _text(
    account: KommoAccount, delivery: Delivery, doubt: Intent, sent: dict[str, Any], until: BootSeconds
) -> LookupResult:
    where = account.base / PLURALS[sent["entity_type"]] / sent["entity_id"] / "notes"
    query = [("filter[note_type][0]", "common"), ("order[id]", "desc")]
    wanted = f"{note_marker(delivery, doubt.version, doubt.correction)})"
    found = await account.search(where, query, lambda note: wanted in str(note.get("params")), until)
    return CallFound(ids_of(found, "text_note")) if isinstance(found, dict) else found


def _created_at(sent: dict[str, Any]) -> UtcMicros | None:
    moment = sent.get("created_at")
    return moment * MICROS_PER_SECOND if isinstance(moment, int) else None


async def _note(
    account: KommoAccount, uniq: str, doubt: Intent, created_at: UtcMicros | None, until: BootSeconds
) -> LookupResult:
    """The call's note: at every kind of entity. An incoming lead that was accepted has one too.

    By the time of the request; and where the call is older, by its own: whether a note's updated_at is the one or the
    other, no document says.
    """
    spans = [(doubt.started_at + account.ahead - SKEW, doubt.deadline + account.ahead + SKEW)]
    if created_at is not None and created_at + SKEW < spans[0][0]:
        spans.append((created_at - SKEW, created_at + SKEW))
    for since, to in spans:
        query = [
            ("filter[note_type][0]", "call_in"),
            ("filter[note_type][1]", "call_out"),
            ("filter[updated_at][from]", str(since // MICROS_PER_SECOND)),
            ("filter[updated_at][to]", str(to // MICROS_PER_SECOND)),
        ]
        for entity, entities in PLURALS.items():
            notes = account.base / entities / "notes"
            found = await account.search(notes, query, lambda note: _uniq(note) == uniq, until)
            if isinstance(found, dict):
                return CallFound(ids_of({**found, "entity_type": entity}, "call"))
            if not isinstance(found, NotFound):
                return found
    return NotFound()


def _uniq(note: dict[str, Any]) -> object:
    params = note.get("params")
    return params.get("uniq") if isinstance(params, dict) else None
