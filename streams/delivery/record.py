"""The state of one call's delivery: the fields of schemas/delivery.avsc. Times: UTC microseconds from 1970."""

import sys
from enum import StrEnum
from typing import Any

import msgspec

HISTORY = 20
"""Attempts that a record keeps: the first one and the latest."""

ORDERS = 10
"""Operators' commands that a record remembers, so that one that is read twice changes nothing."""


class State(StrEnum):
    """Where a delivery stands."""

    NEW = "new"
    INTENT = "intent"
    """A request may be out; nobody else may send."""
    REGISTERED = "registered"
    """A step is done, the next one is due."""
    UNSURE = "unsure"
    """A request's outcome is unknown, and it may still take effect until `wait_until`."""
    LOOKED_UP = "looked_up"
    """A lookup found nothing, or the CRM said so; to be repeated before it is believed."""
    DELIVERED = "delivered"
    SUPERSEDED = "superseded"
    """Delivered; a later version with another outcome came and was not sent."""
    WAITING = "waiting"
    PAUSED = "paused"
    """Until its portal answers again (licence, rights, address)."""
    REFUSED = "refused"
    GIVEN_UP = "given_up"
    SKIPPED = "skipped"
    DROPPED = "dropped"
    """An operator wants it no more."""
    SHADOWED = "shadowed"
    """Its portal is a shadow: what would have gone out is recorded, and nothing was sent."""
    SERVING = "serving"
    """No call: since when a portal is served."""
    DISABLED = "disabled"
    """No call: a portal that wants no more; `sent` is the fingerprint of the settings with which it said so."""


OF_PORTALS = frozenset({State.SERVING, State.DISABLED})
"""What is said of a portal, not of a call."""
FINAL = OF_PORTALS | {
    State.DELIVERED,
    State.SUPERSEDED,
    State.REFUSED,
    State.GIVEN_UP,
    State.SKIPPED,
    State.DROPPED,
    State.SHADOWED,
}
READY = frozenset({State.NEW, State.REGISTERED, State.WAITING, State.PAUSED})
"""No request is open or in doubt: the next step may be sent."""
DOUBTFUL = frozenset({State.UNSURE, State.LOOKED_UP})


_ALIKE = ("crm", "portal", "step", "source_topic")
"""The same in very many deliveries: they share one text."""


class Action(StrEnum):
    """What an operator may order."""

    RETRY = "retry"
    """Try again what was refused or given up, or waits."""
    DELIVER = "deliver"
    """The same, and also what was skipped for its time (history, backfill), dropped, shadowed, or seen to be missing
    in the CRM: looked up first where it may be there."""
    DROP = "drop"


class Order(msgspec.Struct, frozen=True):
    """An operator's command, as the delivery remembers it."""

    id: str
    action: Action
    by: str
    at: int
    note: str = ""


class Intent(msgspec.Struct, frozen=True):
    """One attempt at one step: what goes out, and until when it may take effect."""

    attempt: int
    step: str
    version: int
    outcome_hash: str
    started_at: int
    deadline: int
    sent: str = ""
    status: str | None = None
    text: str | None = None


class Attempt(msgspec.Struct, frozen=True):
    """A line of the history."""

    attempt: int
    step: str
    version: int
    started_at: int
    ended_at: int
    outcome: str
    explanation: str = ""
    sent: str = ""
    """The request's fields; empty where they were those of the attempt before at this step."""


class Delivery(msgspec.Struct, frozen=True):
    """The whole state of one call's delivery to one CRM."""

    call_id: str
    crm: str
    portal: str
    state: State
    reason: str | None = None
    step: str = ""
    steps_done: tuple[str, ...] = ()
    version: int = 0
    outcome_hash: str = ""
    result: bytes | None = None
    call_ended_at: int | None = None
    queued_at: int = 0
    updated_at: int = 0
    delivered_at: int | None = None
    attempt: int = 0
    failures: int = 0
    intent: Intent | None = None
    doubt: Intent | None = None
    gone: bool = False
    wait_until: int | None = None
    not_found_since: int | None = None
    crm_ids: dict[str, str] = {}
    sent_version: int | None = None
    sent_hash: str | None = None
    sent: str | None = None
    status: str | None = None
    text: str | None = None
    skip: str | None = None
    last_error: str | None = None
    unmatched: tuple[str, ...] = ()
    """Extensions (or `user:<id>`) for which the CRM, or the settings, have nobody."""
    history: tuple[Attempt, ...] = ()
    wish: str = ""
    """What an operator wants since: `deliver` (whatever its time) or `drop`; empty: what the settings say."""
    orders: tuple[Order, ...] = ()
    source_topic: str = ""
    source_partition: int = 0
    source_offset: int = 0

    @property
    def final(self) -> bool:
        """Nothing more is to be done."""
        return self.state in FINAL

    @property
    def due_at(self) -> int | None:
        """When it wants to act next; None: never, or when its portal or its open request lets it."""
        if self.final or self.state in (State.INTENT, State.PAUSED):
            return None
        return self.wait_until or 0

    def record(self) -> dict[str, Any]:
        """For the Avro codec."""
        fields = msgspec.structs.asdict(self)
        fields["state"] = self.state.value
        fields["steps_done"] = list(self.steps_done)
        fields["unmatched"] = list(self.unmatched)
        fields["intent"] = msgspec.structs.asdict(self.intent) if self.intent else None
        fields["doubt"] = msgspec.structs.asdict(self.doubt) if self.doubt else None
        fields["history"] = [msgspec.structs.asdict(attempt) for attempt in self.history]
        fields["orders"] = [{**msgspec.structs.asdict(order), "action": order.action.value} for order in self.orders]
        return fields

    @classmethod
    def from_record(cls, record: dict[str, Any]) -> "Delivery":
        """What the Avro codec read. Raises msgspec.ValidationError."""
        for name in _ALIKE:
            if isinstance(text := record.get(name), str):
                record[name] = sys.intern(text)
        return msgspec.convert(record, cls)


def with_attempt(history: tuple[Attempt, ...], attempt: Attempt) -> tuple[Attempt, ...]:
    """The history with one more line, bounded: the first line stays, for it tells when all began."""
    longer = (*history, attempt)
    return longer if len(longer) <= HISTORY else (longer[0], *longer[-(HISTORY - 1) :])
