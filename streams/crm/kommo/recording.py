"""Kommo: a recording is the `link` of a call, and so of its note.

Where the address is known in time it goes with the call; else the note is read and changed. The same link again changes
nothing, so that it may be sent again.

Facts: add calls, edit notes, get note (developers.kommo.com).
"""

from typing import Any

import orjson

from streams.clock import BootSeconds, utc_now_us
from streams.crm.kommo.account import KommoAccount
from streams.crm.kommo.answers import PLURALS, entity_of, portal_problem
from streams.crm.kommo.revision import edited_of
from streams.crm.shared.recording import URL, address_with_call
from streams.delivery.answers import Answer, PortalBlocked, Refused, RetryLater, SkipCall, Succeeded
from streams.delivery.record import Delivery
from streams.http.request import Ending, Reply

NUMBERS = ("call_status", "duration")


def with_link(step: str, fields: dict[str, object], delivery: Delivery) -> dict[str, object]:
    """The fields of a call, or of an incoming lead, with the recording's address where that is known already."""
    address = address_with_call(delivery)
    metadata = fields.get("metadata")
    if address and step == "call":
        return {**fields, "link": address}
    if address and step == "unsorted" and isinstance(metadata, dict):
        return {**fields, "metadata": {**metadata, "link": address}}
    return fields


def link_fields(delivery: Delivery) -> dict[str, object]:
    """The note of the call, and what its link is to be."""
    ids, sent = delivery.crm_ids, orjson.loads(delivery.sent or "{}")
    link = ids.get(URL, "")
    went = link != "" and link in (sent.get("link"), (sent.get("metadata") or {}).get("link"))
    note = {
        "entity_type": entity_of(ids.get("entity_type", "")) or "",
        "entity_id": ids.get("entity_id", ""),
        "note": ids.get("note", ""),
    }
    return {**note, "link": link, "went_with_call": went}


async def set_link(account: KommoAccount, sent: dict[str, Any], until: BootSeconds) -> Answer:
    """Set the link of the call's note, after it was read: another recording that stands there stays."""
    if (known := _without_request(sent)) is not None:
        return known
    note = await account.note(sent, until)
    if isinstance(note, RetryLater | PortalBlocked):
        return note
    if (known := _linked(note, sent)) is not None or note is None:
        return known or Succeeded()
    notes = account.base / PLURALS[sent["entity_type"]] / "notes"
    ending = await account.ask("PATCH", notes, until, [_note_with_link(note, sent)])
    if isinstance(ending, RetryLater | PortalBlocked):
        return ending
    return _answer_of(ending, sent, utc_now_us())


def _without_request(sent: dict[str, Any]) -> Answer | None:
    """The answer that is known before anything is sent; None: send."""
    if sent["went_with_call"]:
        return Succeeded(note="it went with the call")
    if not sent["link"]:
        return Refused("the account takes the address of a recording only: set recordings[].link or address")
    if not sent["note"] or not sent["entity_id"] or sent["entity_type"] not in PLURALS:
        return SkipCall("the call is an incoming lead, or it is not known where it stands: its link cannot be changed")
    return None


def _linked(note: dict[str, Any] | None, sent: dict[str, Any]) -> Answer | None:
    """The answer if the note, as read just before the change, is not to be changed; None: change it."""
    if note is None:
        return SkipCall("the call's note is no longer there")
    there = (note.get("params") or {}).get("link")
    if there == sent["link"]:
        return Succeeded()
    return SkipCall("the call has another recording in the CRM: kept") if there else None


def _answer_of(ending: Ending, sent: dict[str, Any], now: int) -> Answer:
    """The answer that the end of the PATCH proves. 404 may be the account's, which was moved or closed."""
    if isinstance(ending, Reply) and ending.status == 404:
        return portal_problem(ending, now) or SkipCall("the call's note is no longer there")
    return edited_of(ending, str(sent["note"]), now)


def _note_with_link(note: dict[str, Any], sent: dict[str, Any]) -> dict[str, object]:
    """The note as PATCH takes it: all its params, so that none gets lost. What GET gives and PATCH refuses is mended:
    null, an empty text, a number as a text (amocrm-api-php issues 383, 471, 570)."""
    params = {
        name: int(value) if name in NUMBERS and str(value).isdigit() else value
        for name, value in (note.get("params") or {}).items()
        if value is not None and value != ""
    }
    return {
        "id": int(sent["note"]),
        "entity_id": int(sent["entity_id"]),
        "note_type": note.get("note_type"),
        "params": {**params, "link": sent["link"]},
    }
