"""Kommo (amoCRM): a call result as the fields of requests. Pure.

Facts: POST /api/v4/calls, contacts, leads, incoming leads (developers.kommo.com); docs/crms.md.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

from streams.calls.result import CallResult
from streams.crm.kommo.kind import KIND
from streams.crm.kommo.options import SOURCE, KommoOptions
from streams.crm.shared.call_fields import (
    asks_responsible,
    external_id,
    last_digits,
    outgoing,
    person_of,
    phone,
    talk_seconds,
)
from streams.crm.shared.route import options_of
from streams.delivery.record import Delivery
from streams.delivery.requests import field_ref
from streams.rules import CrmStatus
from streams.settings import PortalSettings

OUTBOUND = "outbound"

MAKER_FIELDS = ("created_by", "call_responsible")
"""Who made or took the call: the first for the statistics of calls, the second is shown. Not every account lets every
token name them (docs/crms.md)."""


def first_asked(delivery: Delivery, result: CallResult, portal: PortalSettings) -> bool:
    """Whether the account is to be asked who is responsible for the client, before the call goes there."""
    return delivery.step == "call" and "client" not in delivery.steps_done and asks_responsible(result, portal)


def fields_of(
    step: str,
    result: CallResult,
    delivery: Delivery,
    portal: PortalSettings,
    status: Callable[[CallResult], CrmStatus],
    left_out: Collection[str] = (),
) -> tuple[dict[str, object], str]:
    """The fields of a step's request, and the extension that nobody was found for, if so.

    `left_out`: those of MAKER_FIELDS that the account did not take lately.
    """
    if step == "client":
        return {"query": last_digits(phone(result))}, ""
    person = person_of(result, portal, delivery)
    user = int(person.user) if person.user and person.user.isdigit() else None
    refused = tuple(name for name in MAKER_FIELDS if field_ref(name) in delivery.unmatched or name in left_out)
    call = _Call(result, user, status(result), KommoOptions.of(options_of(result, portal)), refused)
    return _without_null(_BODIES[step](call)), person.no_user


@dataclass(frozen=True, slots=True)
class _Call:
    """A call, and all that its requests are made of."""

    result: CallResult
    user: int | None
    """The CRM user whom it belongs to."""
    outcome: CrmStatus
    options: KommoOptions
    left_out: tuple[str, ...]
    """Fields that the account does not take of us."""

    @property
    def uniq(self) -> str:
        """The id by which Kommo knows the call."""
        return external_id(self.result.call_id, KIND.longest_external_id)

    def maker(self, field: str, otherwise: str | None) -> int | str | None:
        """Who made or took the call: the user, or words for nobody in particular. None: this may not be said."""
        return None if field in self.left_out else self.user or otherwise or None

    @property
    def extension(self) -> str | None:
        """The extension that talked, or rang last."""
        result = self.result
        return result.answered_by or result.extension or result.rang_last


def _call(call: _Call) -> dict[str, object | None]:
    """A call as POST /api/v4/calls takes it."""
    result = call.result
    return {
        "direction": OUTBOUND if outgoing(result) else "inbound",
        "uniq": call.uniq,
        "duration": talk_seconds(result),
        "source": call.options.source,
        "phone": phone(result),
        "call_status": call.outcome.code,
        "call_result": call.outcome.text or None,
        "created_at": result.started_at // 1_000_000,
        "responsible_user_id": call.user,
        # Without it statistics count the call for a robot; a name cannot stand here.
        "created_by": call.maker("created_by", None),
        "call_responsible": call.maker("call_responsible", call.extension),
        "request_id": call.uniq,
    }


def _contact(call: _Call) -> dict[str, object | None]:
    """A contact for an unknown number."""
    return {**_person_card(call.result, call.user), "request_id": call.uniq}


def _lead(call: _Call) -> dict[str, object | None]:
    """A lead with its contact, as POST /api/v4/leads/complex takes them: both or neither."""
    return {
        "name": phone(call.result),
        "pipeline_id": call.options.pipeline_id,
        "responsible_user_id": call.user,
        "_embedded": {"contacts": [_without_null(_person_card(call.result, call.user))]},
        "request_id": call.uniq,
    }


def _unsorted(call: _Call) -> dict[str, object | None]:
    """An incoming lead of type sip. It has no field for the status: the words stand in the lead's name.

    `phone` is who called and `call_responsible` whom; `from` is deprecated, and shown as the other end where it differs
    (SipMetadata.php and issue 441 of the official PHP SDK), so it is the client too.
    """
    result, number, words = call.result, phone(call.result), call.outcome.text
    moment = result.started_at // 1_000_000
    metadata = {
        "from": number,
        "phone": number,
        "call_responsible": call.maker("call_responsible", result.did or call.extension),
        "called_at": moment,
        "duration": talk_seconds(result),
        "link": "",
        "service_code": SOURCE,
        "uniq": call.uniq,
        "is_call_event_needed": True,
    }
    return {
        "source_name": call.options.source,
        "source_uid": call.uniq,
        "pipeline_id": call.options.pipeline_id,
        "created_at": moment,
        "metadata": _without_null(metadata),
        "_embedded": {
            "leads": [{"name": f"{number}: {words}" if words else number}],
            "contacts": [_without_null(_person_card(result, None))],
        },
        "request_id": call.uniq,
    }


def _person_card(result: CallResult, user: int | None) -> dict[str, object | None]:
    number = phone(result)
    phones = [{"field_code": "PHONE", "values": [{"value": number, "enum_code": "WORK"}]}]
    return {"name": number, "responsible_user_id": user, "custom_fields_values": phones}


_BODIES: dict[str, Callable[[_Call], dict[str, object | None]]] = {
    "call": _call,
    "contact": _contact,
    "lead": _lead,
    "unsorted": _unsorted,
}
ADDRESSES = {
    "call": ("calls",),
    "contact": ("contacts",),
    "lead": ("leads", "complex"),
    "unsorted": ("leads", "unsorted", "sip"),
}
"""Where each step's request is posted, below /api/v4."""


def _without_null(fields: Mapping[str, object | None]) -> dict[str, object]:
    """The fields that are set: Kommo refuses null."""
    return {name: value for name, value in fields.items() if value is not None}


def has_phone(contact: dict[str, Any], digits: str) -> bool:
    """Whether a contact has this number. A search by text finds more than phones."""
    fields = contact.get("custom_fields_values")
    phones = [field for field in fields or () if isinstance(field, dict) and field.get("field_code") == "PHONE"]
    values = [value for field in phones for value in field.get("values") or () if isinstance(value, dict)]
    return any(last_digits(str(value.get("value") or "")) == digits for value in values)
