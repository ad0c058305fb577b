"""Kommo (amoCRM) over HTTP with a long-lived token."""

from collections.abc import Callable
from typing import Any

import orjson
from yarl import URL

from streams.calls.result import CallResult
from streams.crm.client import Request
from streams.crm.events import Answer, Found, Later, NotFound, Pause, Sighting
from streams.crm.http import Ending, Reply, TooLate, request, session, utc_now
from streams.crm.kommo.steps import answer_of, call_fields, contact_fields, trouble_of, words_of
from streams.crm.person import external_id
from streams.crm.plan import KOMMO
from streams.crm.record import SECOND, Delivery
from streams.errors import SettingsError
from streams.rules import KommoStatus
from streams.settings import PortalSettings, secret

PAGE = 250
MOST_PAGES = 40
SKEW = 600 * SECOND
"""How far the account's clock may differ from ours."""


class KommoClient:
    """One Kommo account. Make it inside a running event loop."""

    plan = KOMMO

    def __init__(self, portal: PortalSettings, status: Callable[[CallResult], KommoStatus]) -> None:
        """Raises SettingsError where the account's address or token is missing."""
        self._portal = portal
        self._status = status
        self._base = _address(portal)
        token = secret(portal.token, portal.token_file, f"portals.{portal.name}.token")
        self._headers = {"Authorization": f"Bearer {token}"}
        self._http = session()

    def request(self, delivery: Delivery, result: CallResult) -> Request:
        """The fields of the call, or of the contact that has to go before it."""
        if delivery.step == "contact":
            return Request(orjson.dumps(contact_fields(result)).decode())
        outcome = self._status(result)
        fields = call_fields(result, self._portal, self._status)
        return Request(orjson.dumps(fields).decode(), str(outcome.status), outcome.text)

    async def send(self, delivery: Delivery, until: float) -> Answer:
        """POST one call (or contact): errors then belong to it alone."""
        intent = delivery.intent
        if intent is None:
            raise ValueError(f"{delivery.call_id}: no open intent")
        kind = "contacts" if intent.step == "contact" else "calls"
        ending = await self._ask("POST", self._base / kind, until, [orjson.loads(intent.sent)])
        unknown = Later("no contact or lead has this number (Entity not found)")
        return answer_of(ending, kind, external_id(delivery.call_id), utc_now(), unknown=unknown)

    async def look_up(self, delivery: Delivery, until: float) -> Sighting:
        """The note with our `uniq`, or the contact with the number: at contacts, leads and companies."""
        doubt = delivery.doubt
        if doubt is None:
            return NotFound()
        if doubt.step == "contact":
            number = str(orjson.loads(doubt.sent).get("name", ""))
            return await self._search(self._base / "contacts", [("query", number)], "contacts", lambda _: True, until)
        span = (doubt.started_at - SKEW) // SECOND, (doubt.deadline + SKEW) // SECOND
        query = [
            ("filter[note_type][0]", "call_in"),
            ("filter[note_type][1]", "call_out"),
            ("filter[updated_at][from]", str(span[0])),
            ("filter[updated_at][to]", str(span[1])),
        ]
        uniq = external_id(delivery.call_id)
        for entity in ("contacts", "leads", "companies"):
            sighting = await self._search(
                self._base / entity / "notes", query, "notes", lambda note: _uniq(note) == uniq, until
            )
            if not isinstance(sighting, NotFound):
                return sighting
        return NotFound()

    async def close(self) -> None:
        """Close the connections."""
        await self._http.close()

    async def _search(
        self, url: URL, query: list[tuple[str, str]], kind: str, ours: Callable[[dict[str, Any]], bool], until: float
    ) -> Sighting:
        for page in range(1, MOST_PAGES + 1):
            asked = url.with_query([*query, ("limit", str(PAGE)), ("page", str(page))])
            ending = await self._ask("GET", asked, until)
            if not isinstance(ending, Reply):
                why = "not asked in time" if isinstance(ending, TooLate) else ending.why
                return Later(why, whole_portal=True)
            if ending.status == 204:
                return NotFound()
            items = _embedded(ending.document, kind) if ending.status == 200 else None
            if items is None:
                trouble = trouble_of(ending, utc_now())
                return trouble if isinstance(trouble, Pause | Later) else Later(words_of(ending))
            for item in items:
                if ours(item):
                    return Found({"contact" if kind == "contacts" else "note": str(item.get("id"))})
            if not ending.document.get("_links", {}).get("next"):
                return NotFound()
        return Later(f"more than {MOST_PAGES} pages of {kind}")

    async def _ask(self, method: str, url: URL, until: float, body: object = None) -> Ending:
        return await request(self._http, method, url, until=until, json=body, headers=self._headers)


def _embedded(document: object, kind: str) -> list[dict[str, Any]] | None:
    embedded = document.get("_embedded") if isinstance(document, dict) else None
    items = embedded.get(kind) if isinstance(embedded, dict) else None
    return [item for item in items if isinstance(item, dict)] if isinstance(items, list) else None


def _uniq(note: dict[str, Any]) -> object:
    params = note.get("params")
    return params.get("uniq") if isinstance(params, dict) else None


def _address(portal: PortalSettings) -> URL:
    try:
        url = URL((portal.url or "").rstrip("/"))
    except ValueError:
        url = URL()
    if url.scheme not in ("http", "https") or not url.host:
        raise SettingsError(
            f"portals.{portal.name}.url is no web address", "Set it to the account's: https://name.kommo.com"
        )
    return url / "api" / "v4"
