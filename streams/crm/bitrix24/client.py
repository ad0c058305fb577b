"""Bitrix24 over HTTP: incoming webhook (whose address is a secret) or access token."""

from asyncio import to_thread
from collections.abc import Callable

import orjson
import structlog
from yarl import URL

from streams.calls.result import CallResult
from streams.clock import BootSeconds, boot_seconds, utc_now_us
from streams.crm.bitrix24 import recording
from streams.crm.bitrix24.batch import batch_answer_of, batch_fields
from streams.crm.bitrix24.comment import (
    LIST_METHOD,
    comment_answer_of,
    comment_fields,
    comment_lookup_result,
    list_fields,
    without_request,
)
from streams.crm.bitrix24.kind import KIND
from streams.crm.bitrix24.plan import PLAN
from streams.crm.bitrix24.steps import (
    BOTH,
    LOOKUP_METHOD,
    METHODS,
    answer_of,
    client_lookup_result,
    fields_of,
    first_asked,
    lookup_result,
    token_outdated,
)
from streams.crm.shared.call_fields import external_id
from streams.crm.shared.client import Pace, Request, unpaced
from streams.crm.shared.recording import RECORDING
from streams.crm.shared.tokens import FixedToken, Token, TokenSource, with_token
from streams.delivery.answers import Answer, LookupResult, PortalBlocked, Refused, RetryLater
from streams.delivery.record import Delivery
from streams.errors import SettingsError
from streams.http.request import Ending, Reply, request, session
from streams.http.web_address import same_cloud, web_address
from streams.rules import CrmStatus
from streams.settings import PortalSettings, secret

_log = structlog.get_logger("deliver")


class Bitrix24Client:
    """One Bitrix24 portal. Make it inside a running event loop."""

    plan = PLAN
    fingerprint = ""

    def __init__(
        self, portal: PortalSettings, status: Callable[[CallResult], CrmStatus], tokens: TokenSource | None = None
    ) -> None:
        """Raises SettingsError where the address or authorisation is missing. `tokens`: for portals[].oauth."""
        self._portal = portal
        self._status = status
        self._base, self._tokens = _access(portal, tokens)
        self._moved_to: str | None = None
        self._http = session()
        self.pace: Pace = unpaced

    def request(self, delivery: Delivery, result: CallResult) -> Request:
        """The fields of register or finish, of the question that goes before, of the comment that comes after."""
        if delivery.step == "comment":
            return Request(orjson.dumps(comment_fields(delivery, result, self._status)).decode(), step="comment")
        if delivery.step == RECORDING:
            return Request(orjson.dumps(recording.record_fields(delivery)).decode(), step=RECORDING)
        step = "client" if first_asked(delivery, result, self._portal) else delivery.step
        fields, no_user = fields_of(step, result, delivery, self._portal, self._status)
        finish = fields["finish"] if step == BOTH else fields
        status = finish.get("STATUS_CODE") if isinstance(finish, dict) else None
        return Request(orjson.dumps(fields).decode(), str(status) if status else None, step=step, no_user=no_user)

    async def send(self, delivery: Delivery, until: BootSeconds) -> Answer:
        """Register or finish, or both in a batch, the question before, the comment after."""
        intent = delivery.intent
        if intent is None:
            raise ValueError(f"{delivery.call_id}: no open intent")
        sent = orjson.loads(intent.sent)
        if intent.step == "comment" and (known := without_request(sent)) is not None:
            return known
        if intent.step == RECORDING:
            return await self._attach(delivery, sent, until)
        ending = await self._call(METHODS[intent.step], batch_fields(sent) if intent.step == BOTH else sent, until)
        if isinstance(ending, PortalBlocked | RetryLater):
            return ending
        match intent.step:
            case "client":
                return client_lookup_result(ending, self._portal, utc_now_us())
            case "comment":
                return comment_answer_of(ending, utc_now_us())
            case "register_finish":
                return batch_answer_of(ending, utc_now_us(), sent)
        return answer_of(intent.step, ending, utc_now_us(), sent)

    async def _attach(self, delivery: Delivery, sent: dict[str, str], until: BootSeconds) -> Answer:
        """The recording at the finished call."""
        if (known := recording.without_request(sent)) is not None:
            return known
        body = await to_thread(recording.request_body, sent)
        if isinstance(body, Refused):
            return body
        ending = await self._call(recording.METHOD, body, until)
        if isinstance(ending, PortalBlocked | RetryLater):
            return ending
        return recording.record_answer_of(ending, delivery, utc_now_us())

    async def look_up(self, delivery: Delivery, until: BootSeconds) -> LookupResult:
        """A finished call in the statistics, a comment in its client's timeline."""
        doubt = delivery.doubt
        if doubt is not None and doubt.step == "comment":
            ending = await self._call(LIST_METHOD, list_fields(doubt), until)
            if isinstance(ending, PortalBlocked | RetryLater):
                return ending
            return comment_lookup_result(ending, delivery, doubt, utc_now_us())
        fields: dict[str, object] = {
            "FILTER": {"EXTERNAL_CALL_ID": external_id(delivery.call_id, KIND.longest_external_id)}
        }
        ending = await self._call(LOOKUP_METHOD, fields, until)
        return (
            ending
            if isinstance(ending, PortalBlocked | RetryLater)
            else lookup_result(ending, delivery.call_id, utc_now_us())
        )

    async def close(self) -> None:
        """Close the connections."""
        await self._http.close()

    async def _call(
        self, method: str, fields: dict[str, object], until: BootSeconds
    ) -> Ending | PortalBlocked | RetryLater:
        if self._tokens is None:
            return await self._post(self._base / f"{method}.json", fields, until)

        async def ask(token: Token) -> Ending | PortalBlocked:
            base = URL(token.endpoint) if token.endpoint else self._base
            return await self._post(base / f"{method}.json", {**fields, "auth": token.access}, until)

        return await with_token(self._tokens, until, ask, token_outdated)

    async def _post(self, url: URL, body: dict[str, object], until: BootSeconds) -> Ending | PortalBlocked:
        for _ in range(2):
            ends = min(until, boot_seconds() + self._portal.request_timeout_seconds)
            ending = await request(self._http, "POST", url, until=ends, json=body)
            if not isinstance(ending, Reply) or not 300 <= ending.status < 400:
                return ending
            # The portal moved: the same POST there, never turned into a GET.
            there = URL(ending.headers.get("Location", ""))
            if not there.is_absolute() or not same_cloud(url, there, KIND.cloud):
                return PortalBlocked(f"the portal moved to {there.host or 'another address'}: set its new address")
            if there.host != self._moved_to:
                self._moved_to = there.host
                _log.warning("the portal moved: set its new address", portal=self._portal.name, host=there.host)
            url = there
        return PortalBlocked("the portal's addresses lead in a circle")


def _access(portal: PortalSettings, tokens: TokenSource | None) -> tuple[URL, TokenSource | None]:
    where = f"portals.{portal.name}"
    fixed = portal.token is not None or portal.token_file is not None
    if fixed or portal.oauth is not None:
        if not portal.url:
            raise SettingsError(f"{where}.url is not set", "Set it to the portal's address: https://name.bitrix24.com")
        if fixed:
            tokens = FixedToken(portal)
        return _address(portal.url, f"{where}.url") / "rest", tokens
    name = f"{where}.webhook_url"
    return _address(secret(portal.webhook_url, portal.webhook_url_file, name), name), None


def _address(text: str, where: str) -> URL:
    return web_address(text.rstrip("/"), where, "It begins with https:// (its value is not shown here).")
