"""Bitrix24: the test calls of a probe, registered and finished with the fields that deliveries have.

They are outgoing and never answered, so that no counter of missed calls rises, make no lead of their own (CRM_CREATE 0)
and open no card. A call that was finished stays in the statistics: no method removes it there.
"""

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass

from streams.calls.result import CallResult
from streams.clock import utc_now_us
from streams.crm.bitrix24.answers import answer_of
from streams.crm.bitrix24.client import Bitrix24Client
from streams.crm.bitrix24.errors import portal_problem
from streams.crm.bitrix24.steps import METHODS, CallWords, fields_of
from streams.crm.shared.probe import AnswerLost, CannotProbe, Fate, ProbeRequest
from streams.crm.shared.probe_calls import EXTENSION, probe_call, probe_delivery
from streams.delivery.answers import Answer, OutcomeUnknown, PortalBlocked, RetryLater, Succeeded
from streams.http.request import NoReply, Reply
from streams.rules import CrmStatus
from streams.settings import PortalSettings

CANCELLED = CrmStatus("603-S")
CALL = "call in the statistics"
REGISTRATION = "registered call without an end"
KEPT = "no method removes a call from the statistics"
OPEN = "it could not be finished; the portal removes it 30 days after its beginning"


@dataclass(slots=True)
class FinishedCall:
    """A test call whose traces in the CRM are to be removed."""

    call_id: str
    activity: str = ""
    lead: str = ""


class ProbeCalls:
    """The test calls of one probe at one portal."""

    def __init__(self, client: Bitrix24Client, request: ProbeRequest, user: str) -> None:
        """`user`: the id of the one whom the calls belong to."""
        self.client = client
        self._request = request
        self._user = user
        self._words = CallWords(lambda _: CANCELLED, lambda _: f"test call of cel2crm portal probe, {request.marker}")
        self._number = 0
        self._open: dict[str, tuple[CallResult, Bitrix24Client]] = {}
        self.calls: dict[str, FinishedCall] = {}
        """By CALL_ID: everything that was registered."""
        self.operating: list[float] = []
        """Seconds of work of finish that counted after each finish by the portal's own authorisation, as it told."""

    def next_call(self, *, age_seconds: int = 0, extension: str = EXTENSION) -> CallResult:
        """A test call with an id of its own."""
        self._number += 1
        return probe_call(self._request, self._number, age_seconds=age_seconds, extension=extension)

    async def ask(self, method: str, fields: Mapping[str, object], client: Bitrix24Client | None = None) -> Reply:
        """A reply of the portal to this very request. Raises CannotProbe: there is none, or it says: not now."""
        await self._request.pace()
        ending = await (client or self.client).ask(method, dict(fields), self._request.until)
        if isinstance(ending, PortalBlocked | RetryLater):
            raise CannotProbe(ending.why)
        if isinstance(ending, NoReply):
            raise AnswerLost(f"{method}: {ending.why}")
        if not isinstance(ending, Reply):
            raise CannotProbe(f"{method}: {getattr(ending, 'why', 'there was no time left')}")
        problem = portal_problem(ending, utc_now_us()) if ending.status != 200 else None
        if isinstance(problem, RetryLater):
            raise CannotProbe(f"{method}: {problem.why}")
        return ending

    async def register(
        self, result: CallResult, *, inner: bool = False, client: Bitrix24Client | None = None
    ) -> tuple[Answer, Reply]:
        """Register a call; what the product makes of the answer, and the answer. `inner`: the call's extension is sent
        as an inner number, with no user."""
        sent = self._fields("register", result, {}, inner=inner)
        try:
            reply = await self.ask(METHODS["register"], sent, client)
        except (AnswerLost, asyncio.CancelledError):
            self._request.report.lost(REGISTRATION, result.call_id)
            raise
        answer = answer_of("register", reply, utc_now_us(), sent)
        if isinstance(answer, OutcomeUnknown):
            self._request.report.lost(REGISTRATION, result.call_id)
        if isinstance(answer, Succeeded):
            call_id = answer.ids["CALL_ID"]
            kind, entity = answer.ids.get("CRM_ENTITY_TYPE"), answer.ids.get("CRM_ENTITY_ID", "")
            lead = answer.ids.get("CRM_CREATED_LEAD") or (entity if kind == "LEAD" else "")
            known = self.calls.setdefault(call_id, FinishedCall(call_id))
            known.lead = known.lead or lead
            self._open[call_id] = result, client or self.client
            self._request.report.make(REGISTRATION, call_id)
        return answer, reply

    async def registered(self, result: CallResult) -> str:
        """CALL_ID of a call that is registered. Raises CannotProbe where the portal does not take it."""
        answer, _ = await self.register(result)
        if not isinstance(answer, Succeeded):
            raise CannotProbe(f"the portal takes no test call: {getattr(answer, 'why', answer.code)}")
        return answer.ids["CALL_ID"]

    async def finish(
        self, call_id: str, *, inner: str = "", client: Bitrix24Client | None = None
    ) -> tuple[Answer, Reply]:
        """Finish a call; `inner`: with this as an inner number instead of the user."""
        result, by = self._open[call_id]
        if inner:
            result = probe_call(self._request, int(result.linkedid), extension=inner)
        sent = self._fields("finish", result, {"CALL_ID": call_id}, inner=bool(inner))
        by = client or by
        reply = await self.ask(METHODS["finish"], sent, by)
        answer = answer_of("finish", reply, utc_now_us(), sent)
        if isinstance(answer, Succeeded):
            self._finished(call_id, answer.ids)
            if by is self.client:
                self._note_operating(reply)
        return answer, reply

    async def finish_open(self) -> None:
        """Finish what is still open, so that nothing stays that looks like a running call."""
        for call_id in list(self._open):
            with suppress(CannotProbe):
                await self.finish(call_id, client=self.client)
        for call_id in self._open:
            self._request.report.settle(REGISTRATION, call_id, Fate.STAYS, OPEN)

    def _finished(self, call_id: str, ids: Mapping[str, str]) -> None:
        del self._open[call_id]
        call = self.calls[call_id]
        call.activity = ids.get("CRM_ACTIVITY_ID", "").strip("0") and ids["CRM_ACTIVITY_ID"]
        if ids.get("CRM_ENTITY_TYPE") == "LEAD":
            call.lead = call.lead or ids.get("CRM_ENTITY_ID", "")
        report = self._request.report
        report.made = [each for each in report.made if (each.what, each.id) != (REGISTRATION, call_id)]
        report.settle(CALL, call_id, Fate.STAYS, KEPT)

    def _note_operating(self, reply: Reply) -> None:
        times = reply.document.get("time") if isinstance(reply.document, dict) else None
        seconds = times.get("operating") if isinstance(times, dict) else None
        if isinstance(seconds, int | float) and not isinstance(seconds, bool):
            self.operating.append(float(seconds))

    def _fields(self, step: str, result: CallResult, ids: Mapping[str, str], *, inner: bool) -> dict[str, object]:
        portal = self._portal(inner=inner)
        delivery = probe_delivery(result, portal, step, ids)
        fields, _ = fields_of(step, result, delivery, portal, self._words)
        return fields

    def _portal(self, *, inner: bool) -> PortalSettings:
        """The portal's settings, with test calls given to the user, or looked for by their inner number."""
        given: dict[str, object] = {
            "default_user": self._user,
            "users": {} if inner else {EXTENSION: self._user},
            "users_by": "inner_phone" if inner else "id",
            "unknown_number": "nothing",
            "route": (),
        }
        return self._request.portal.model_copy(update=given)
