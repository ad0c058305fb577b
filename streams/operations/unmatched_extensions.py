"""Extensions without a person: their calls went to the route's or the default user, as the delivery log remembers. And
the fields that a CRM does not take of us, and the leads that it did not make although it took the calls."""

from collections.abc import Iterable
from dataclasses import dataclass

import msgspec

from schemas import MalformedRecord
from streams import topics
from streams.crm.shared.call_fields import NO_LEAD
from streams.operations.connection import Connection
from streams.settings import PortalSettings

_USER = "user:"
_FIELD = "field:"
_LEAD = "lead:"


@dataclass(frozen=True, slots=True)
class Unmatched:
    """An extension without a person, a CRM user whom the CRM does not know (any more), a field that it refused, or a
    lead that it did not make."""

    who: str
    calls: int
    last_call: int
    """When the last of them ended, UTC microseconds."""

    @property
    def user(self) -> str | None:
        """The CRM user id, where it is the CRM that knows nobody of the settings' id."""
        return self.who.removeprefix(_USER) if self.who.startswith(_USER) else None

    @property
    def field(self) -> str | None:
        """The field that the CRM did not take of us, so that calls went without it."""
        return self.who.removeprefix(_FIELD) if self.who.startswith(_FIELD) else None

    @property
    def no_lead(self) -> str | None:
        """The CRM's words for why it made no lead of a call that it took."""
        return self.who.removeprefix(_LEAD) if self.who.startswith(_LEAD) else None


async def unmatched_of(connection: Connection, portal: PortalSettings) -> list[Unmatched]:
    """The unmatched of one portal, most calls first, without those that the settings name by now. Raises UserError."""
    calls: dict[bytes, tuple[tuple[str, ...], int]] = {}
    async for record in connection.topics.read(connection.topic(topics.deliveries(portal.crm))):
        calls.pop(record.key or b"", None)
        if record.value is None:
            continue
        try:
            fields = await connection.read(record, "delivery")
        except (MalformedRecord, msgspec.ValidationError):
            continue
        lead_error = fields["crm_ids"].get(NO_LEAD)
        names = (*fields["unmatched"], *((f"{_LEAD}{lead_error}",) if lead_error else ()))
        if fields["portal"] == portal.name and names:
            calls[record.key or b""] = names, fields["call_ended_at"] or fields["queued_at"]
    return _counted(calls.values(), portal)


def _counted(calls: Iterable[tuple[tuple[str, ...], int]], portal: PortalSettings) -> list[Unmatched]:
    counted: dict[str, Unmatched] = {}
    for names, ended_at in calls:
        for who in names:
            known = counted.get(who, Unmatched(who, 0, 0))
            counted[who] = Unmatched(who, known.calls + 1, max(known.last_call, ended_at))
    left = (one for one in counted.values() if not _named_since(one, portal))
    return sorted(left, key=lambda one: (-one.calls, one.who))


def _named_since(one: Unmatched, portal: PortalSettings) -> bool:
    """Whether the settings have changed since: the extension has a person, or nobody leads to the unknown user."""
    refused = one.user
    if refused is not None:
        return refused not in (*portal.users.values(), *(line.user for line in portal.route), portal.default_user)
    return one.who in portal.users
