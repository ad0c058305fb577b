"""Bitrix24: the traces of a probe's calls in the CRM, removed as far as the portal lets us.

Facts: crm.activity.get, .delete, crm.lead.get, .delete (apidocs.bitrix24.com; scope crm). The activity of a call has
the ORIGIN_ID `VI_<CALL_ID>` (seen in the product's source). Nothing is removed that is not shown to be of a probe's
call.
"""

from streams.crm.bitrix24.errors import error_text
from streams.crm.bitrix24.lookup import METHOD as STATISTICS
from streams.crm.bitrix24.lookup import records_of
from streams.crm.bitrix24.probe_calls import FinishedCall, ProbeCalls
from streams.crm.shared.probe import PREFIX, CannotProbe, Fate, ProbeRequest
from streams.http.request import Reply

ACTIVITY, LEAD = "activity of a call", "lead"
ORIGIN = "VI_"
MOST_EARLIER = 20
"""Calls of earlier probes whose traces are looked for: the latest."""
NO_SCOPE = "the scope crm is missing: remove it by hand"


class Traces:
    """Removes what calls left in one portal's CRM."""

    def __init__(self, calls: ProbeCalls, request: ProbeRequest, *, may: bool) -> None:
        """`may`: the authorisation has the scope crm."""
        self._calls = calls
        self._request = request
        self._may = may
        self._seen: set[tuple[str, str]] = set()

    async def remove(self) -> None:
        """Remove the activities and leads of this probe's calls."""
        for call in list(self._calls.calls.values()):
            await self._remove_of(call, ours=True)

    async def remove_earlier(self) -> None:
        """Remove what probes left that ended before they were over: the statistics show their calls."""
        if not self._may:
            return
        fields = {"FILTER": {"PHONE_NUMBER": self._request.number}, "SORT": "ID", "ORDER": "DESC"}
        records = records_of(await self._calls.ask(STATISTICS, fields)) or []
        marked = [one for one in records if str(one.get("EXTERNAL_CALL_ID") or "").startswith(PREFIX)]
        for one in marked[:MOST_EARLIER]:
            lead = str(one.get("CRM_ENTITY_ID") or "") if one.get("CRM_ENTITY_TYPE") == "LEAD" else ""
            activity = str(one.get("CRM_ACTIVITY_ID") or "").strip()
            await self._remove_of(FinishedCall(str(one.get("CALL_ID")), activity.lstrip("0"), lead), ours=False)

    async def _remove_of(self, call: FinishedCall, *, ours: bool) -> None:
        """`ours`: of this run, so that what is not removed is told."""
        if call.activity:
            await self._remove(ACTIVITY, call.activity, call.call_id, ours=ours)
        if call.lead:
            await self._remove(LEAD, call.lead, call.call_id, ours=ours)

    async def _remove(self, what: str, thing_id: str, call_id: str, *, ours: bool) -> None:
        report = self._request.report
        if (what, thing_id) in self._seen:
            return  # one lead of several calls
        self._seen.add((what, thing_id))
        if ours:
            report.make(what, thing_id, f"/crm/lead/details/{thing_id}/" if what == LEAD else "")
        if not self._may:
            report.settle(what, thing_id, Fate.STAYS, NO_SCOPE)
            return
        methods = "crm.lead" if what == LEAD else "crm.activity"
        try:
            shown = await self._calls.ask(f"{methods}.get", {"id": thing_id})
            known = shown.document.get("result") if shown.status == 200 and isinstance(shown.document, dict) else None
            if not isinstance(known, dict):
                self._not_there(what, thing_id, shown, ours=ours)
            elif not (self._is_our_lead(known) if what == LEAD else known.get("ORIGIN_ID") == f"{ORIGIN}{call_id}"):
                if ours:
                    report.settle(what, thing_id, Fate.STAYS, "it is not shown to be of a test call, so it was let be")
            else:
                removed = await self._calls.ask(f"{methods}.delete", {"id": thing_id})
                gone = removed.status == 200 and isinstance(removed.document, dict) and removed.document.get("result")
                fate = Fate.REMOVED if gone else Fate.STAYS
                report.settle(what, thing_id, fate, "" if gone else f"not removed: {error_text(removed)}")
        except CannotProbe as error:
            report.settle(what, thing_id, Fate.STAYS, f"not removed: {error}")

    def _not_there(self, what: str, thing_id: str, shown: Reply, *, ours: bool) -> None:
        """What an earlier probe made is usually removed already."""
        if ours:
            self._request.report.settle(what, thing_id, Fate.STAYS, f"it could not be looked at: {error_text(shown)}")

    def _is_our_lead(self, lead: dict[str, object]) -> bool:
        """Whether a lead has the probe's number, and no other."""
        phones = lead.get("PHONE")
        values = [str(one.get("VALUE")) for one in phones if isinstance(one, dict)] if isinstance(phones, list) else []
        return bool(values) and {_digits(value) for value in values} == {_digits(self._request.number)}


def _digits(number: str) -> str:
    return "".join(filter(str.isdigit, number))
