"""Bitrix24 over HTTP: incoming webhook (whose address is a secret) or access token."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import orjson
import structlog
from yarl import URL

from streams.calls.result import CallResult
from streams.clock import BootSeconds, boot_seconds, utc_now_us
from streams.crm.bitrix24 import recording
from streams.crm.bitrix24.answers import answer_of, client_lookup_result
from streams.crm.bitrix24.batch import FINISH, REGISTER, batch_answer_of, batch_fields
from streams.crm.bitrix24.comment import (
    LIST_METHOD,
    comment_answer_of,
    comment_fields,
    comment_lookup_result,
    list_fields,
    without_request,
)
from streams.crm.bitrix24.errors import token_outdated
from streams.crm.bitrix24.kind import KIND
from streams.crm.bitrix24.limits import OperatingLimits
from streams.crm.bitrix24.lines import LineNames
from streams.crm.bitrix24.lookup import (
    IGNORED_FILTER,
    NO_RIGHT,
    Witnesses,
    by_our_id,
    by_their_id,
    lookup_result,
    records_of,
)
from streams.crm.bitrix24.lookup import METHOD as LOOKUP_METHOD
from streams.crm.bitrix24.options import Bitrix24Options
from streams.crm.bitrix24.plan import PLAN
from streams.crm.bitrix24.steps import BOTH, METHODS, CallWords, fields_of, first_asked
from streams.crm.bitrix24.tasks import Bitrix24Tasks, task_fields
from streams.crm.shared.client import Pace, Request, unpaced
from streams.crm.shared.recording import RECORDING
from streams.crm.shared.task_steps import look_up_task, take_step
from streams.crm.shared.tasks import MISSED, TASK_STEPS
from streams.crm.shared.tokens import FixedToken, Token, TokenSource, with_token
from streams.delivery.answers import Answer, LookupResult, NotFound, PortalBlocked, Refused, RetryLater
from streams.delivery.lookups import doubtful_before
from streams.delivery.record import Delivery, Intent
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
        self,
        portal: PortalSettings,
        status: Callable[[CallResult], CrmStatus],
        tokens: TokenSource | None = None,
        *,
        reason: Callable[[CallResult], str] = lambda result: "",
    ) -> None:
        """Raises SettingsError where the address or authorisation is missing. `tokens`: for portals[].oauth; `reason`:
        why a call failed, in words."""
        self._portal = portal
        self._words = CallWords(status, reason)
        self._base, self._tokens = _access(portal, tokens)
        self._moved_to: str | None = None
        self._limits = OperatingLimits()
        self._witnesses = Witnesses(portal.settle_seconds)
        options, create = Bitrix24Options.of(portal.options), portal.for_unknown_number == "create_lead"
        self._lines = LineNames(portal.name, options.lines, auto_create=create)
        self._http = session()
        self.pace: Pace = unpaced

    def request(self, delivery: Delivery, result: CallResult) -> Request:
        """The fields of register or finish, of the question that goes before, of the comment that comes after."""
        if delivery.step == "comment":
            fields = comment_fields(delivery, result, self._words.status)
            return Request(orjson.dumps(fields).decode(), step="comment")
        if delivery.step == RECORDING:
            return Request(orjson.dumps(recording.record_fields(delivery)).decode(), step=RECORDING)
        if delivery.step in TASK_STEPS:
            fields = task_fields(delivery.step, delivery, result, self._portal)
            return Request(orjson.dumps(fields).decode(), step=delivery.step)
        step = "client" if first_asked(delivery, result, self._portal) else delivery.step
        fields, no_user = fields_of(step, result, delivery, self._portal, self._words)
        finish = fields["finish"] if step == BOTH else fields
        status, text = (
            (finish.get(name) for name in ("STATUS_CODE", "FAILED_REASON"))
            if isinstance(finish, dict)
            else (None, None)
        )
        return Request(
            orjson.dumps(fields).decode(),
            str(status) if status else None,
            str(text) if text else None,
            step=step,
            no_user=no_user,
        )

    async def send(self, delivery: Delivery, until: BootSeconds) -> Answer:
        """Register or finish, or both in a batch, the question before, the comment after."""
        intent = delivery.intent
        if intent is None:
            raise ValueError(f"{delivery.call_id}: no open intent")
        sent = orjson.loads(intent.sent)
        if intent.step in TASK_STEPS:
            return await take_step(Bitrix24Tasks(self.ask, self.pace), intent.step, sent, until, utc_now_us())
        if intent.step == "comment" and (known := without_request(sent)) is not None:
            return known
        if intent.step == RECORDING and (known := recording.without_request(sent)) is not None:
            return known
        methods = (REGISTER, FINISH) if intent.step == BOTH else (intent.step,)
        if (limited := await self._limited(methods, until)) is not None:
            return limited
        await self._name_line(sent, until)
        body = await self._body(intent.step, sent)
        if isinstance(body, Refused | RetryLater):
            return body
        ending = await self.ask(METHODS[intent.step], body, until)
        if isinstance(ending, PortalBlocked | RetryLater):
            return ending
        now = utc_now_us()
        self._limits.note(methods, ending, now)
        self._witnesses.note(ending, intent.step, now)
        if intent.step == RECORDING:
            answer = recording.record_answer_of(ending, delivery, now)
        else:
            answer = self._answer(intent.step, ending, sent, now)
        if isinstance(answer, RetryLater) and answer.not_before is None and not answer.whole_portal:
            return replace(answer, not_before=self._limits.blocked_until(methods, now))
        return answer

    async def _body(self, step: str, sent: dict[str, Any]) -> dict[str, Any] | Refused | RetryLater:
        if step == RECORDING:
            return await recording.request_body(sent)
        return batch_fields(sent) if step == BOTH else sent

    def _answer(self, step: str, ending: Ending, sent: dict[str, Any], now: int) -> Answer:
        match step:
            case "client":
                return client_lookup_result(ending, self._portal, now)
            case "comment":
                return comment_answer_of(ending, now)
            case "register_finish":
                return batch_answer_of(ending, now, sent)
        return answer_of(step, ending, now, sent)

    async def _limited(self, methods: tuple[str, ...], until: BootSeconds) -> RetryLater | None:
        """Keep to the seconds of work that the methods may take; RetryLater: they may take none now."""
        why = "the portal's limit on the seconds of work of this method (OPERATION_TIME_LIMIT)"
        if (end := self._limits.blocked_until(methods, utc_now_us())) is not None:
            return RetryLater(why, end)
        return None if await self._limits.pace(methods, until) else RetryLater(why)

    async def _name_line(self, sent: dict[str, Any], until: BootSeconds) -> None:
        line = str(sent.get(REGISTER, sent).get("LINE_NUMBER") or "")
        if not self._lines.due(line):
            return

        async def ask(method: str, fields: dict[str, object], end: BootSeconds) -> Ending | PortalBlocked | RetryLater:
            await self.pace()
            return await self.ask(method, fields, end)

        await self._lines.register(line, ask, until)

    async def look_up(self, delivery: Delivery, until: BootSeconds) -> LookupResult:
        """A finished call in the statistics, a comment in its client's timeline."""
        doubt = delivery.doubt
        if doubt is not None and doubt.step == MISSED:
            return await look_up_task(Bitrix24Tasks(self.ask, self.pace), orjson.loads(doubt.sent), until)
        if doubt is not None and doubt.step == "comment":
            ending = await self.ask(LIST_METHOD, list_fields(doubt), until)
            if isinstance(ending, PortalBlocked | RetryLater):
                return ending
            return comment_lookup_result(ending, delivery, doubt, utc_now_us())
        found = await self._look_in_statistics(by_our_id(delivery.call_id), delivery, until)
        call_id = delivery.crm_ids.get("CALL_ID")
        if isinstance(found, RetryLater) and found.why == IGNORED_FILTER and call_id:
            await self.pace()
            found = await self._look_in_statistics(by_their_id(call_id), delivery, until)
        # A finish that is repeated is told that its call is over; what would register again must be sure.
        if isinstance(found, NotFound) and doubt is not None and (delivery.gone or doubt.step == BOTH):
            return await self._not_found(delivery, doubt, until)
        return found

    async def _look_in_statistics(
        self, fields: dict[str, object], delivery: Delivery, until: BootSeconds
    ) -> LookupResult:
        ending = await self.ask(LOOKUP_METHOD, fields, until)
        if isinstance(ending, PortalBlocked | RetryLater):
            return ending
        return lookup_result(ending, delivery, utc_now_us())

    async def _not_found(self, delivery: Delivery, doubt: Intent, until: BootSeconds) -> LookupResult:
        """NotFound, as reliable as the statistics: they must show a call that this process finished."""
        witness = self._witnesses.call_for(doubt, utc_now_us())
        if not witness:
            return NotFound(reliable=False)
        await self.pace()
        ending = await self.ask(LOOKUP_METHOD, by_their_id(witness), until)
        if isinstance(ending, PortalBlocked | RetryLater):
            return ending
        records = records_of(ending)
        if records is None:
            return RetryLater("whether the statistics show all calls could not be asked", whole_portal=True)
        if not records and doubtful_before(delivery, PLAN) is None:
            return PortalBlocked(NO_RIGHT)
        return NotFound(reliable=bool(records))

    async def close(self) -> None:
        """Close the connections."""
        await self._http.close()

    async def ask(
        self, method: str, fields: dict[str, object], until: BootSeconds
    ) -> Ending | PortalBlocked | RetryLater:
        """Make one request of the REST interface."""
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
