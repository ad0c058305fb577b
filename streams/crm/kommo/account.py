"""One Kommo account over HTTP with an access token: requests, and lists searched page by page."""

from collections.abc import Callable
from typing import Any

from yarl import URL

from streams.clock import MICROS_PER_SECOND, BootSeconds, boot_seconds, utc_now_us
from streams.crm.kommo.answers import PLURALS, error_text, inactive, portal_problem
from streams.crm.kommo.steps import has_phone
from streams.crm.shared.client import Pace, unpaced
from streams.crm.shared.tokens import FixedToken, Token, TokenSource, with_token
from streams.crm.shared.transport_answers import lookup_without_reply
from streams.delivery.answers import NotFound, PortalBlocked, RetryLater
from streams.http.request import Ending, Reply, request, session
from streams.http.web_address import web_address
from streams.settings import PortalSettings

PAGE = 250
MOST_PAGES = 40
SKEW = 120 * MICROS_PER_SECOND
"""How far the account's clock may differ from what its last answer said."""

CLIENT_LISTS = ("contacts", "companies")
"""Where a number may stand that has somebody responsible."""

Item = dict[str, Any]
Failure = RetryLater | PortalBlocked


class KommoAccount:
    """One account. Make it inside a running event loop."""

    def __init__(self, portal: PortalSettings, tokens: TokenSource | None = None) -> None:
        """Raises SettingsError where the account's address or token is missing. `tokens`: for portals[].oauth."""
        self.base = _address(portal)
        self._limit_seconds = portal.request_timeout_seconds
        self._tokens = FixedToken(portal) if tokens is None or portal.oauth is None else tokens
        self._http = session()
        self.pace: Pace = unpaced
        self.ahead = 0
        """Microseconds by which the account's clock is ahead of ours."""

    async def ask(self, method: str, url: URL, until: BootSeconds, body: object = None) -> Ending | Failure:
        """Make one request, repeated where another token is needed."""

        async def ask(token: Token) -> Ending:
            headers = {"Authorization": f"Bearer {token.access}"}
            ends = min(until, boot_seconds() + self._limit_seconds)
            ending = await request(self._http, method, url, until=ends, json=body, headers=headers)
            if isinstance(ending, Reply) and (date := ending.date) is not None:
                self.ahead = date - utc_now_us()
            return ending

        return await with_token(self._tokens, until, ask, _outdated)

    async def token(self, until: BootSeconds) -> Token | Failure:
        """The access token that the next request takes."""
        return await self._tokens.token(until)

    async def search(
        self, url: URL, query: list[tuple[str, str]], ours: Callable[[Item], bool], until: BootSeconds
    ) -> Item | NotFound | Failure:
        """The first item of a list that is `ours`. A list is embedded in its answer under the last part of its path."""
        kind = url.name
        for page in range(1, MOST_PAGES + 1):
            await self.pace()
            asked = url.with_query([*query, ("limit", str(PAGE)), ("page", str(page))])
            ending = await self.ask("GET", asked, until)
            if isinstance(ending, PortalBlocked | RetryLater):
                return ending
            if not isinstance(ending, Reply):
                return lookup_without_reply(ending)
            if ending.status == 204 or no_such_list(url, ending):
                return NotFound()
            items = embedded_in(ending.document, kind) if ending.status == 200 else None
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

    async def contact(
        self, digits: str, until: BootSeconds, lists: tuple[str, ...] = ("contacts",)
    ) -> Item | NotFound | Failure:
        """The first contact, or other client of `lists`, with this number (steps.last_digits)."""
        query = [("query", digits), ("order[id]", "asc")]
        found: Item | NotFound | Failure = NotFound()
        for name in lists:
            found = await self.search(self.base / name, query, lambda one: has_phone(one, digits), until)
            if not isinstance(found, NotFound):
                break
        return found

    async def note(self, sent: Item, until: BootSeconds) -> Item | Failure | None:
        """The call's note that `sent` names; None: it is no longer there."""
        where = self.base / PLURALS[sent["entity_type"]] / sent["entity_id"] / "notes" / sent["note"]
        ending = await self.ask("GET", where, until)
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

    async def user_left(self, user: str, until: BootSeconds) -> bool:
        """Whether the account says that it has no such active user. False too where it says nothing of users."""
        await self.pace()
        return inactive(await self.ask("GET", self.base / "users" / user, until))

    async def close(self) -> None:
        """Close the connections."""
        await self._http.close()


def _outdated(ending: Ending) -> bool:
    return isinstance(ending, Reply) and ending.status == 401


def no_such_list(url: URL, reply: Reply) -> bool:
    """Customers are switched off in most accounts; no document says with which answer."""
    own = isinstance(reply.document, dict)
    return "customers" in url.parts and (reply.status == 404 or (own and reply.status in (400, 402, 403)))


def embedded_in(document: object, kind: str) -> list[Item] | None:
    """The items of a list in an answer; None: it holds none."""
    embedded = document.get("_embedded") if isinstance(document, dict) else None
    items = embedded.get(kind) if isinstance(embedded, dict) else None
    return [item for item in items if isinstance(item, dict)] if isinstance(items, list) else None


def _address(portal: PortalSettings) -> URL:
    remedy = "Set it to the account's: https://name.kommo.com"
    return web_address((portal.url or "").rstrip("/"), f"portals.{portal.name}.url", remedy) / "api" / "v4"
