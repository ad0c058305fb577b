"""Kommo (amoCRM) as the delivery worker calls it: the request of each step sent, and what its end proves."""

from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import orjson
import structlog

from streams.calls.result import CallResult
from streams.clock import BootSeconds, boot_seconds, utc_now_us
from streams.crm.kommo.account import CLIENT_LISTS, KommoAccount
from streams.crm.kommo.answers import PLURALS, answer_of, choice_refused, doubtful_attempts, entity_of
from streams.crm.kommo.lookups import look_up
from streams.crm.kommo.plan import PLAN
from streams.crm.kommo.recording import link_fields, set_link, with_link
from streams.crm.kommo.revision import (
    changed_note,
    edited_of,
    text_fields,
    touched,
    update_fields,
    without_request,
)
from streams.crm.kommo.steps import ADDRESSES, fields_of, first_asked
from streams.crm.kommo.tasks import KommoTasks, task_fields
from streams.crm.shared.call_fields import RESPONSIBLE, last_digits, user_ref
from streams.crm.shared.client import Pace, Request
from streams.crm.shared.recording import RECORDING
from streams.crm.shared.task_steps import take_step
from streams.crm.shared.tasks import TASK_STEPS
from streams.crm.shared.tokens import TokenSource
from streams.delivery.answers import (
    Answer,
    FieldRefused,
    LookupResult,
    PortalBlocked,
    RetryLater,
    Succeeded,
    UserUnknown,
)
from streams.delivery.record import Delivery
from streams.rules import CrmStatus
from streams.settings import PortalSettings

LEFT_OUT_SECONDS = 3600.0
"""A field that the account did not take is left out of other calls for so long: rights may be given meanwhile."""

REMEMBERED_SECONDS = 1000
"""Calls whose number and second are remembered."""

_log = structlog.get_logger("deliver")


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
        self._account = KommoAccount(portal, tokens)
        self._left_out: dict[str, BootSeconds] = {}
        """Fields that the account did not take, and until when they are left out."""
        self._seconds: OrderedDict[tuple[str, int], str] = OrderedDict()
        """The call that has a number's second: of two in the same one, Kommo shows one (amocrm-api-php issue 379)."""

    @property
    def pace(self) -> Pace:
        """See CrmClient."""
        return self._account.pace

    @pace.setter
    def pace(self, pace: Pace) -> None:
        self._account.pace = pace

    def request(self, delivery: Delivery, result: CallResult) -> Request:
        """The fields of the call, of what has to go before it, of what it becomes instead, of what comes after it."""
        if delivery.step == "text_note":
            return Request(orjson.dumps(text_fields(delivery, result, self._status)).decode(), step="text_note")
        if delivery.step == RECORDING:
            return Request(orjson.dumps(link_fields(delivery)).decode(), step=RECORDING)
        if delivery.step in TASK_STEPS:
            fields = task_fields(delivery.step, delivery, result, self._portal)
            return Request(orjson.dumps(fields).decode(), step=delivery.step)
        step = "client" if first_asked(delivery, result, self._portal) else delivery.step
        if step == "update":
            fields, no_user = update_fields(delivery, result, self._status), ""
        else:
            left_out = [name for name, end in self._left_out.items() if boot_seconds() < end]
            fields, no_user = fields_of(step, result, delivery, self._portal, self._status, left_out)
            fields = with_link(step, fields, delivery)
        if step == "call":
            fields["created_at"] = self._second_of_its_own(delivery.call_id, fields)
        sent = orjson.dumps(fields).decode()
        if step not in ("call", "update"):
            return Request(sent, step=step, no_user=no_user)
        outcome = self._status(result)
        return Request(sent, str(outcome.code), outcome.text, step=step, no_user=no_user)

    def _second_of_its_own(self, call_id: str, fields: dict[str, object]) -> int:
        """The call's second, or the next one that no other call of this number has."""
        digits, second = last_digits(str(fields["phone"])), int(str(fields["created_at"]))
        while self._seconds.setdefault((digits, second), call_id) != call_id:
            second += 1
        while len(self._seconds) > REMEMBERED_SECONDS:
            self._seconds.popitem(last=False)
        return second

    async def send(self, delivery: Delivery, until: BootSeconds) -> Answer:
        """POST one item: errors then belong to it alone."""
        intent = delivery.intent
        if intent is None:
            raise ValueError(f"{delivery.call_id}: no open intent")
        sent: dict[str, Any] = orjson.loads(intent.sent)
        if intent.step in TASK_STEPS:
            return await take_step(KommoTasks(self._account), intent.step, sent, until, utc_now_us())
        match intent.step:
            case "client":
                return await self._client(str(sent["query"]), until)
            case "recording":
                return await set_link(self._account, sent, until)
            case "text_note" | "update":
                # A delivery of an earlier release may hold the entity's type in the plural.
                sent["entity_type"] = entity_of(sent["entity_type"])
                return without_request(intent.step, sent) or await self._revise(intent.step, sent, until)
        answer = await self._post(intent.step, sent, doubtful_attempts(delivery, intent.step), until)
        return await self._maker_refused(answer[0], answer[1], sent, until)

    async def _post(self, step: str, sent: dict[str, Any], doubtful: int, until: BootSeconds) -> tuple[Answer, object]:
        """The answer to the POST of one item, and the reply that it was made of."""
        ending = await self._account.ask("POST", self._account.base.joinpath(*ADDRESSES[step]), until, [sent])
        if isinstance(ending, PortalBlocked | RetryLater):
            return ending, None
        return answer_of(step, ending, sent, self._portal.for_unknown_number, utc_now_us(), doubtful), ending

    async def _maker_refused(self, answer: Answer, reply: object, sent: dict[str, Any], until: BootSeconds) -> Answer:
        """The answer where the account does not take who made the call: the person may have left, else the token may
        not say it."""
        if not isinstance(answer, FieldRefused):
            return answer
        user = sent.get("responsible_user_id")
        if user is not None and choice_refused(reply) and await self._account.user_left(str(user), until):
            return UserUnknown(user_ref(str(user)), answer.why)
        for name in answer.fields:
            if self._left_out.get(name, 0.0) < boot_seconds():
                _log.warning(
                    "the account does not take who made a call: statistics count it for a robot",
                    portal=self._portal.name,
                    field=name,
                    why=answer.why,
                    remedy="let an administrator of the account own the token, then restart the worker",
                )
            self._left_out[name] = boot_seconds() + LEFT_OUT_SECONDS
        return answer

    async def _revise(self, step: str, sent: dict[str, Any], until: BootSeconds) -> Answer:
        """A text note; or the call's own note, read first: what a person wrote there stays."""
        notes = self._account.base / PLURALS[sent["entity_type"]] / "notes"
        if step == "text_note":
            item = {name: value for name, value in sent.items() if name != "entity_type"}
            item["entity_id"] = int(sent["entity_id"])
            ending = await self._account.ask("POST", notes, until, [item])
            if isinstance(ending, PortalBlocked | RetryLater):
                return ending
            return answer_of(step, ending, item, self._portal.for_unknown_number, utc_now_us())
        note = await self._account.note(sent, until)
        if isinstance(note, RetryLater | PortalBlocked):
            return note
        against = touched(note, sent)
        if against is not None or note is None:
            return against or Succeeded()
        ending = await self._account.ask("PATCH", notes, until, [changed_note(note, sent)])
        return (
            ending if isinstance(ending, PortalBlocked | RetryLater) else edited_of(ending, sent["note"], utc_now_us())
        )

    async def _client(self, digits: str, until: BootSeconds) -> Answer:
        """Ask who is responsible for the contact, else the company, with this number."""
        found = await self._account.contact(digits, until, CLIENT_LISTS)
        if isinstance(found, RetryLater | PortalBlocked):
            return found
        user = str(found.get("responsible_user_id") or "") if isinstance(found, dict) else ""
        return Succeeded({RESPONSIBLE: user} if user else {})

    async def look_up(self, delivery: Delivery, until: BootSeconds) -> LookupResult:
        """See lookups.look_up."""
        return await look_up(self._account, delivery, until)

    async def close(self) -> None:
        """Close the connections."""
        await self._account.close()
