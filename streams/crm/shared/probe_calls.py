"""Test calls of a probe: call results as deliveries have them, whose ids are the probe's marker."""

from collections.abc import Mapping

from streams.calls.result import CallResult, Direction
from streams.clock import MICROS_PER_SECOND, utc_now_us
from streams.crm.shared.probe import LINE, ProbeRequest
from streams.delivery.record import Delivery, State
from streams.settings import PortalSettings

EXTENSION = "1"
"""The extension of test calls, which the settings of a probe give to somebody or to nobody."""


def probe_call(
    request: ProbeRequest,
    number: int,
    *,
    direction: Direction = "outgoing",
    age_seconds: int = 0,
    extension: str = EXTENSION,
) -> CallResult:
    """An unanswered test call that began so long ago. Its id, and so the CRM's, is the probe's marker and `number`."""
    began = utc_now_us() - age_seconds * MICROS_PER_SECOND
    incoming = direction == "incoming"
    return CallResult(
        call_id=f"{request.marker}/{number}",
        pbx=request.marker,
        linkedid=str(number),
        version=1,
        version_row_id=1,
        version_rows=1,
        rules_hash="",
        direction=direction,
        answered=False,
        started_at=began,
        ended_at=began + 5 * MICROS_PER_SECOND,
        utc_offset_seconds=0,
        utc_offset_source="probe",
        result=480,
        result_name="Temporarily unavailable",
        rule="probe",
        extra_usable=True,
        complete=True,
        caller=request.number if incoming else extension,
        called=LINE if incoming else request.number,
        client=request.number,
        extension=extension,
        rang_last=extension if incoming else None,
        did=LINE if incoming else None,
    )


def probe_delivery(result: CallResult, portal: PortalSettings, step: str, ids: Mapping[str, str]) -> Delivery:
    """A delivery of a test call at a step; `ids`: what the CRM called what earlier steps made."""
    return Delivery(
        call_id=result.call_id,
        crm=portal.crm,
        portal=portal.name,
        state=State.NEW,
        step=step,
        steps_done=("client",),
        crm_ids=dict(ids),
    )
