"""Bitrix24's methods of the CRM: clients of a number, comments, activities of calls, leads.

Sources: the vendor's pages (crm.timeline.comment.*, crm.activity.get, .delete, crm.lead.get, .delete; 2026). That the
activity of a call has the ORIGIN_ID `VI_<CALL_ID>` is seen in the product's source and reported from live portals.
"""

from __future__ import annotations

from typing import Any

from deploy.fake_crms.bitrix24.calls import FIRST_ACTIVITY, CallStore
from deploy.fake_crms.bitrix24.config import Bitrix24Config
from deploy.fake_crms.bitrix24.crm import CrmStore
from deploy.fake_crms.bitrix24.fields import TelephonyError, whole_number
from deploy.fake_crms.bitrix24.rest import RestError

CRM_METHODS = frozenset(
    {
        "telephony.externalcall.searchcrmentities",
        "crm.timeline.comment.add",
        "crm.timeline.comment.list",
        "crm.activity.get",
        "crm.activity.delete",
        "crm.lead.get",
        "crm.lead.delete",
    }
)


def crm_method(
    name: str, params: dict[str, Any], crm: CrmStore, calls: CallStore, config: Bitrix24Config, now: float
) -> dict[str, Any]:
    """The answer of one of CRM_METHODS. Raises RestError for another one, and TelephonyError."""
    match name:
        case "telephony.externalcall.searchcrmentities":
            return {"result": crm.search(params)}
        case "crm.timeline.comment.add":
            return {"result": crm.comment(params.get("FIELDS"), now, config.webhook_user)}
        case "crm.timeline.comment.list":
            return crm.timeline(params.get("FILTER"), int(params.get("START") or 0), now - config.lookup_lag)
        case "crm.activity.get" | "crm.activity.delete":
            activity = _activity(whole_number(params.get("ID")) or 0, crm, calls)
            return _got_or_deleted(name, "ACTIVITY", activity, crm)
        case "crm.lead.get" | "crm.lead.delete":
            lead = crm.lead(params.get("ID"))
            phones = [{"ID": "1", "VALUE_TYPE": "WORK", "VALUE": lead["phone"], "TYPE_ID": "PHONE"}]
            return _got_or_deleted(name, "LEAD", {"ID": str(lead["id"]), "TITLE": lead["name"], "PHONE": phones}, crm)
    raise RestError("404")


def _got_or_deleted(name: str, kind: str, thing: dict[str, Any], crm: CrmStore) -> dict[str, Any]:
    if name.endswith(".get"):
        return {"result": thing}
    crm.delete(kind, int(thing["ID"]))
    return {"result": True}


def _activity(activity_id: int, crm: CrmStore, calls: CallStore) -> dict[str, Any]:
    """The activity of a finished call. Raises TelephonyError: there is none, or it was deleted."""
    number = activity_id - FIRST_ACTIVITY
    if not 0 < number <= len(calls.finished) or ("ACTIVITY", activity_id) in crm.deleted:
        raise TelephonyError("Activity is not found.", "")
    call = calls.registrations[calls.finished[number - 1]["call_id"]]
    return {
        "ID": str(activity_id),
        "PROVIDER_ID": "VOXIMPLANT_CALL",
        "ORIGIN_ID": f"VI_{call.call_id}",
        "SUBJECT": f"Outgoing to {call.phone}" if call.type == 1 else f"Incoming from {call.phone}",
    }
