"""Kommo (amoCRM) over HTTP with an access token."""

from collections.abc import Callable
from typing import Any

import orjson
from yarl import URL

from streams.calls.result import CallResult
from streams.clock import MICROS_PER_SECOND, BootSeconds, boot_seconds, utc_now_us
from streams.crm.kommo.kind import KIND
from streams.crm.kommo.plan import PLAN
from streams.crm.kommo.recording import Patch, link_fields, set_link, with_link
from streams.crm.kommo.revision import (
    PLURALS,
    changed_note,
    edited_of,
    text_fields,
    touched,
    update_fields,
    without_request,
)
from streams.crm.kommo.steps import (
    ADDRESSES,
    answer_of,
    error_text,
    fields_of,
    first_asked,
    has_phone,
    ids_of,
    last_digits,
    portal_problem,
)
from streams.crm.shared.call_fields import RESPONSIBLE, external_id
from streams.crm.shared.client import Pace, Request, unpaced
from streams.crm.shared.correction_note import note_marker
from streams.crm.shared.recording import RECORDING
from streams.crm.shared.tokens import FixedToken, Token, TokenSource, with_token
from streams.crm.shared.transport_answers import lookup_without_reply
from streams.delivery.answers import Answer, CallFound, LookupResult, NotFound, PortalBlocked, RetryLater, Succeeded
from streams.delivery.record import Delivery, Intent
from streams.http.request import Ending, Reply, request, session
from streams.http.web_address import web_address
from streams.rules import CrmStatus
from streams.settings import PortalSettings

PAGE = 250
MOST_PAGES = 40
SKEW = 120 * MICROS_PER_SECOND
"""How far the account's clock may differ from what its last answer said."""


class KommoClient:
    """One Kommo account. Make it inside a running event loop."""

    plan = PLAN
    fingerprint = ""

    def __init__(
        self, portal: PortalSettings, status: Callable[[CallResult], CrmStatus], tokens: TokenSource | None = None
    ) -> None:
        """Raises SettingsError where the account's address or token is missing. `tokens`: for portals[].oauth."""
        self._portal = portal
        self._status = status
        self._base = _address(portal)
        if tokens is None or portal.oauth is None:
            tokens = FixedToken(portal)
        self._tokens = tokens
        self._http = session()
        self.pace: Pace = unpaced
        self._ahead = 0
        """Microseconds by which the account's clock is ahead of ours."""

    def request(self, delivery: Delivery, result: CallResult) -> Request:
        """The fields of the call, of what has to go before it, of what it becomes instead, of what comes after it."""
        if delivery.step == "text_note":
            return Request(orjson.dumps(text_fields(delivery, result, self._status)).decode(), step="text_note")
        if delivery.step == RECORDING:
            return Request(orjson.dumps(link_fields(delivery)).decode(), step=RECORDING)
        step = "client" if first_asked(delivery, result, self._portal) else delivery.step
        if step == "update":
            fields, no_user = update_fields(delivery, result, self._status), ""
        else:
            fields, no_user = fields_of(step, result, delivery, self._portal, self._status)
            fields = with_link(step, fields, delivery)
        sent = orjson.dumps(fields).decode()
        if step not in ("call", "update"):
            return Request(sent, step=step, no_user=no_user)
        outcome = self._status(result)
        return Request(sent, str(outcome.code), outcome.text, step=step, no_user=no_user)

    async def send(self, delivery: Delivery, until: BootSeconds) -> Answer:
        """POST one item: errors then belong to it alone."""
        intent = delivery.intent
        if intent is None:
            raise ValueError(f"{delivery.call_id}: no open intent")
        sent: dict[str, object] = orjson.loads(intent.sent)
        match intent.step:
            case "client":
                return await self._client(str(sent["query"]), until)
            case "recording":
                return await set_link(sent, lambda: self._read(sent, until), self._patch(sent, until))
            case "text_note" | "update":
                return without_request(intent.step, sent) or await self._revise(intent.step, sent, until)
        ending = await self._ask("POST", self._base.joinpath(*ADDRESSES[intent.step]), until, [sent])
        if isinstance(ending, PortalBlocked | RetryLater):
            return ending
        return answer_of(intent.step, ending, sent, self._portal.for_unknown_number, utc_now_us())

    async def _revise(self, step: str, sent: dict[str, Any], until: BootSeconds) -> Answer:
        """A text note; or the call's own note, read first: what a person wrote there stays."""
        notes = self._base / PLURALS[sent["entity_type"]] / "notes"
        if step == "text_note":
            item = {name: value for name, value in sent.items() if name != "entity_type"}
            item["entity_id"] = int(sent["entity_id"])
            ending = await self._ask("POST", notes, until, [item])
            if isinstance(ending, PortalBlocked | RetryLater):
                return ending
            return answer_of(step, ending, item, self._portal.for_unknown_number, utc_now_us())
        note = await self._read(sent, until)
        if isinstance(note, RetryLater | PortalBlocked):
            return note
        against = touched(note, sent)
        if against is not None or note is None:
            return against or Succeeded()
        ending = await self._ask("PATCH", notes, until, [changed_note(note, sent)])
        return (
            ending if isinstance(ending, PortalBlocked | RetryLater) else edited_of(ending, sent["note"], utc_now_us())
        )

    def _patch(self, sent: dict[str, Any], until: BootSeconds) -> Patch:
        notes = self._base / PLURALS.get(sent["entity_type"], "") / "notes"
        return lambda note: self._ask("PATCH", notes, until, [note])

    async def _read(
        self, sent: dict[str, Any], until: BootSeconds
    ) -> "dict[str, Any] | RetryLater | PortalBlocked | None":
        """The call's note; None: it is no longer there."""
        where = self._base / PLURALS[sent["entity_type"]] / sent["entity_id"] / "notes" / sent["note"]
        ending = await self._ask("GET", where, until)
        if isinstance(ending, RetryLater | PortalBlocked):
            return ending
        if not isinstance(ending, Reply):
            return lookup_without_reply(ending)
        if ending.status == 204 or (ending.status == 404 and isinstance(ending.document, dict)):
            return None
        if ending.status == 200 and isinstance(ending.document, dict) and ending.document.get("id"):
            return ending.document
        problem = portal_problem(ending, utc_now_us())
        return problem if isinstance(problem, PortalBlocked | RetryLater) else RetryLater(error_text(ending))

    async def _client(self, digits: str, until: BootSeconds) -> Answer:
        """Ask who is responsible for the contact with this number."""
        found = await self._contact(digits, until)
        if isinstance(found, RetryLater | PortalBlocked):
            return found
        user = str(found.get("responsible_user_id") or "") if isinstance(found, dict) else ""
        return Succeeded({RESPONSIBLE: user} if user else {})

    async def look_up(self, delivery: Delivery, until: BootSeconds) -> LookupResult:
        """Look for what the doubtful step made: the note or the incoming lead with our `uniq`, the contact with the
        number."""
        doubt = delivery.doubt
        if doubt is None:
            return NotFound()
        if doubt.step in ("contact", "lead"):
            sent = orjson.loads(doubt.sent)
            found = await self._contact(last_digits(str(sent["name"])), until)
            return CallFound({"contact": str(found.get("id"))}) if isinstance(found, dict) else found
        if doubt.step == "update":
            sent = orjson.loads(doubt.sent)
            note = await self._read(sent, until)
            if isinstance(note, RetryLater | PortalBlocked):
                return note
            # What is not there, or what a person changed since, is told by the next attempt.
            return CallFound() if note is not None and isinstance(touched(note, sent), Succeeded) else NotFound()
        if doubt.step == "text_note":
            return await self._text(delivery, doubt, until)
        uniq = external_id(delivery.call_id, KIND.longest_external_id)
        if doubt.step == "unsorted":
            query = [("filter[category][0]", "sip"), ("order[created_at]", "desc")]
            listed = self._base / "leads" / "unsorted"
            found = await self._search(listed, query, "unsorted", lambda one: one.get("source_uid") == uniq, until)
            if not isinstance(found, NotFound):
                return CallFound(ids_of(found, "unsorted")) if isinstance(found, dict) else found
        for _ in range(2):
            assumed = self._ahead
            noted = await self._note(uniq, doubt, until)
            if not isinstance(noted, NotFound) or abs(self._ahead - assumed) < SKEW // 2:
                return noted
        return RetryLater("the account's clock moves")

    async def _text(self, delivery: Delivery, doubt: Intent, until: BootSeconds) -> LookupResult:
        sent = orjson.loads(doubt.sent)
        where = self._base / PLURALS[sent["entity_type"]] / sent["entity_id"] / "notes"
        query = [("filter[note_type][0]", "common"), ("order[id]", "desc")]
        wanted = note_marker(delivery, doubt.version)
        found = await self._search(where, query, "notes", lambda note: wanted in str(note.get("params")), until)
        return CallFound(ids_of(found, "text_note")) if isinstance(found, dict) else found

    async def _note(self, uniq: str, doubt: Intent, until: BootSeconds) -> LookupResult:
        """The call's note: at contacts, leads and companies. An incoming lead that was accepted has one too."""
        span = doubt.started_at + self._ahead - SKEW, doubt.deadline + self._ahead + SKEW
        query = [
            ("filter[note_type][0]", "call_in"),
            ("filter[note_type][1]", "call_out"),
            ("filter[updated_at][from]", str(span[0] // MICROS_PER_SECOND)),
            ("filter[updated_at][to]", str(span[1] // MICROS_PER_SECOND)),
        ]
        for entity, entities in PLURALS.items():
            notes = self._base / entities / "notes"
            found = await self._search(notes, query, "notes", lambda note: _uniq(note) == uniq, until)
            if isinstance(found, dict):
                return CallFound(ids_of({**found, "entity_type": entity}, "call"))
            if not isinstance(found, NotFound):
                return found
        return NotFound()

    async def _contact(
        self, digits: str, until: BootSeconds
    ) -> "dict[str, Any] | NotFound | RetryLater | PortalBlocked":
        query = [("query", digits), ("order[id]", "asc")]
        return await self._search(
            self._base / "contacts", query, "contacts", lambda contact: has_phone(contact, digits), until
        )

    async def close(self) -> None:
        """Close the connections."""
        await self._http.close()

    async def _search(
        self,
        url: URL,
        query: list[tuple[str, str]],
        kind: str,
        ours: Callable[[dict[str, Any]], bool],
        until: BootSeconds,
    ) -> "dict[str, Any] | NotFound | RetryLater | PortalBlocked":
        for page in range(1, MOST_PAGES + 1):
            await self.pace()
            asked = url.with_query([*query, ("limit", str(PAGE)), ("page", str(page))])
            ending = await self._ask("GET", asked, until)
            if isinstance(ending, PortalBlocked | RetryLater):
                return ending
            if not isinstance(ending, Reply):
                return lookup_without_reply(ending)
            if ending.status == 204:
                return NotFound()
            items = _embedded(ending.document, kind) if ending.status == 200 else None
            if items is None:
                problem = portal_problem(ending, utc_now_us())
                if isinstance(problem, PortalBlocked | RetryLater):
                    return problem
                return RetryLater(error_text(ending), whole_portal=problem is not None)
            for item in items:
                if ours(item):
                    return item
            if not ending.document.get("_links", {}).get("next"):
                return NotFound()
        return RetryLater(f"more than {MOST_PAGES} pages of {kind}")

    async def _ask(
        self, method: str, url: URL, until: BootSeconds, body: object = None
    ) -> Ending | PortalBlocked | RetryLater:
        async def ask(token: Token) -> Ending:
            headers = {"Authorization": f"Bearer {token.access}"}
            ends = min(until, boot_seconds() + self._portal.request_timeout_seconds)
            ending = await request(self._http, method, url, until=ends, json=body, headers=headers)
            if isinstance(ending, Reply) and (date := ending.date) is not None:
                self._ahead = date - utc_now_us()
            return ending

        return await with_token(self._tokens, until, ask, _outdated)


def _outdated(ending: Ending) -> bool:
    return isinstance(ending, Reply) and ending.status == 401


def _embedded(document: object, kind: str) -> list[dict[str, Any]] | None:
    embedded = document.get("_embedded") if isinstance(document, dict) else None
    items = embedded.get(kind) if isinstance(embedded, dict) else None
    return [item for item in items if isinstance(item, dict)] if isinstance(items, list) else None


def _uniq(note: dict[str, Any]) -> object:
    params = note.get("params")
    return params.get("uniq") if isinstance(params, dict) else None


def _address(portal: PortalSettings) -> URL:
    remedy = "Set it to the account's: https://name.kommo.com"
    return web_address((portal.url or "").rstrip("/"), f"portals.{portal.name}.url", remedy) / "api" / "v4"
