"""Callbook over HTTP with an access token."""

from collections.abc import Callable

import orjson

from streams.calls.result import CallResult
from streams.clock import BootSeconds, boot_seconds, utc_now_us
from streams.crm.shared.call_fields import external_id
from streams.crm.shared.client import Pace, Request, unpaced
from streams.crm.shared.tokens import FixedToken, Token, with_token
from streams.delivery.answers import Answer, LookupResult, PortalBlocked, RetryLater
from streams.delivery.record import Delivery
from streams.http.request import Ending, Reply, request, session
from streams.http.web_address import web_address
from streams.rules import CrmStatus
from streams.settings import PortalSettings

from .kind import KIND
from .plan import PLAN
from .steps import answer_of, fields_of, lookup_result


class CallbookClient:
    """One Callbook. Make it inside a running event loop."""

    plan = PLAN
    fingerprint = ""

    def __init__(self, portal: PortalSettings, status: Callable[[CallResult], CrmStatus]) -> None:
        """Raises SettingsError where the address or the token is missing."""
        self._portal = portal
        self._status = status
        self._calls = web_address(portal.url, f"portals.{portal.name}.url") / "calls"
        self._tokens = FixedToken(portal)
        self._http = session()
        self.pace: Pace = unpaced

    def request(self, delivery: Delivery, result: CallResult) -> Request:
        """The fields of the call."""
        status = self._status(result)
        fields = fields_of(result, status, self._portal.options["board"])
        return Request(orjson.dumps(fields).decode(), str(status.code))

    async def send(self, delivery: Delivery, until: BootSeconds) -> Answer:
        """POST the call of the open intent."""
        assert delivery.intent is not None
        ending = await self._ask("POST", until, orjson.loads(delivery.intent.sent))
        return ending if isinstance(ending, RetryLater | PortalBlocked) else answer_of(ending, utc_now_us())

    async def look_up(self, delivery: Delivery, until: BootSeconds) -> LookupResult:
        """The call with our id."""
        return await self.look_up_id(external_id(delivery.call_id, KIND.longest_external_id), until)

    async def look_up_id(self, uniq: str, until: BootSeconds) -> LookupResult:
        """The call with this id."""
        ending = await self._ask("GET", until, uniq=uniq)
        return ending if isinstance(ending, RetryLater | PortalBlocked) else lookup_result(ending, utc_now_us())

    async def close(self) -> None:
        """Close the connections."""
        await self._http.close()

    async def _ask(
        self, method: str, until: BootSeconds, body: object = None, uniq: str = ""
    ) -> Ending | RetryLater | PortalBlocked:
        url = self._calls.with_query(external_id=uniq) if uniq else self._calls

        async def ask(token: Token) -> Ending:
            ends = min(until, boot_seconds() + self._portal.request_timeout_seconds)
            headers = {"Authorization": f"Bearer {token.access}"}
            return await request(self._http, method, url, until=ends, json=body, headers=headers)

        return await with_token(self._tokens, until, ask, _outdated)


def _outdated(ending: Ending) -> bool:
    """A token file may have been replaced meanwhile."""
    return isinstance(ending, Reply) and ending.status == 401
