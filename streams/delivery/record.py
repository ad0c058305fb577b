"""The state of one call's delivery: the fields of schemas/delivery.avsc, which gives them their names."""

import sys
from enum import StrEnum
from typing import Any

import msgspec

from schemas.headers import SCHEMA
from streams.clock import UtcMicros

MAX_HISTORY = 20
"""Attempts that a record keeps: the first one and the latest."""

MAX_COMMANDS = 10
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
    """A lookup found nothing, or the CRM said so; it is repeated before that is believed."""
    DELIVERED = "delivered"
    SUPERSEDED = "superseded"
    """Delivered; a later version with another outcome came and was not sent."""
    WAITING = "waiting"
    """The last request surely had no effect; the step is repeated at `wait_until`."""
    PAUSED = "paused"
    """The delivery waits until its portal answers again (licence, rights, address)."""
    REFUSED = "refused"
    """The CRM finds fault with the call; it is in the dead letters."""
    GIVEN_UP = "given_up"
    """The deadline is over; the call is in the dead letters."""
    SKIPPED = "skipped"
    """The settings keep the call out of the portal."""
    DROPPED = "dropped"
    """An operator does not want the delivery any more."""
    SHADOWED = "shadowed"
    """The portal is a shadow: what would have gone out is recorded, and nothing was sent."""
    SERVING = "serving"
    """Not a call: since when a portal is served."""
    DISABLED = "disabled"
    """Not a call: a portal that wants no more; `sent` is the fingerprint of the settings with which it said so."""


OF_PORTALS = frozenset({State.SERVING, State.DISABLED})
"""States of a portal, not of a call."""

IN_CRM = frozenset({State.DELIVERED, State.SUPERSEDED})
"""The call stands in the CRM."""

FINAL = OF_PORTALS | IN_CRM | {State.REFUSED, State.GIVEN_UP, State.SKIPPED, State.DROPPED, State.SHADOWED}
"""Nothing more is done, unless a new version or a command comes."""

READY = frozenset({State.NEW, State.REGISTERED, State.WAITING, State.PAUSED})
"""No request is open or in doubt: the next step may be sent."""
DOUBTFUL = frozenset({State.UNSURE, State.LOOKED_UP})

_INTERNED = ("crm", "portal", "step", "source_topic", "result_schema")
"""Fields that are the same in very many deliveries: equal values share one string in memory."""

OWNER_LOST = "owner_lost"
"""Outcome of an attempt whose worker was lost before the answer: unknown."""
AWAITS_CHANGE = "waits for a change in the CRM: "
"""Begins the reason of a delivery that something has to change for in the CRM before it can be taken."""


class Action(StrEnum):
    """The commands that an operator may give."""

    RETRY = "retry"
    """Try a call again that was refused or given up, or waits."""
    DELIVER = "deliver"
    """As RETRY, and also deliver a call that was skipped for its time (history, backfill), dropped or shadowed, or is
    missing in the CRM: looked up first where it may be there."""
    DROP = "drop"
    """Do not deliver the call."""
    ERASE = "erase"
    """As DROP, and take out what tells of people (delivery/erasure.py)."""


class OperatorCommand(msgspec.Struct, frozen=True):
    """An operator's command, as the delivery remembers it (Delivery.orders)."""

    id: str
    action: Action
    by: str
    at: UtcMicros
    note: str = ""


class Intent(msgspec.Struct, frozen=True, kw_only=True):
    """One attempt at one step: what goes out, and until when it may take effect."""

    attempt: int
    step: str
    version: int
    outcome_hash: str
    started_at: UtcMicros
    deadline: UtcMicros
    sent: str = ""
    status: str | None = None
    text: str | None = None
    correction: int = 0
    compared_hash: str = ""


class Attempt(msgspec.Struct, frozen=True, kw_only=True):
    """A line of the history: an attempt that ended."""

    attempt: int
    step: str
    version: int
    started_at: UtcMicros
    ended_at: UtcMicros
    outcome: str
    """The `code` of the answer or lookup result (delivery/answers.py), or `owner_lost`."""
    explanation: str = ""
    sent: str = ""
    """The request's fields; empty where they were those of the attempt before at this step."""
    correction: int = 0


class FollowUp(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be done beside a call once it is in the CRM, such as its recording (delivery/follow_ups.py).

    The fields are those of Delivery, for the follow-up's own steps, attempts and times.
    """

    kind: str
    """One of the plan's follow-ups."""
    state: State = State.NEW
    reason: str | None = None
    step: str = ""
    """Empty: the first one."""
    steps_done: tuple[str, ...] = ()
    queued_at: UtcMicros = 0
    """When its deadline began to run; 0: not begun."""
    updated_at: UtcMicros = 0
    attempt: int = 0
    failures: int = 0
    intent: Intent | None = None
    doubt: Intent | None = None
    wait_until: UtcMicros | None = None
    not_found_since: UtcMicros | None = None
    ids: dict[str, str] = {}
    """What its steps found or made, beside the call's own ids."""
    last_error: str | None = None
    history: tuple[Attempt, ...] = ()

    @property
    def ended(self) -> bool:
        """Whether nothing more is to be done for it."""
        return self.state in FINAL

    @property
    def begun(self) -> bool:
        """Whether anything was tried."""
        return self.state is not State.NEW or self.attempt > 0


class Delivery(msgspec.Struct, frozen=True, kw_only=True):
    """The whole state of one call's delivery to one CRM."""

    call_id: str
    crm: str
    portal: str
    state: State
    reason: str | None = None
    """Why the delivery is in its state, for people."""
    step: str = ""
    """The step of the CRM's plan that is next, or under way."""
    steps_done: tuple[str, ...] = ()
    version: int = 0
    """The newest version of the result that was read; the three fields after it are that version's."""
    outcome_hash: str = ""
    result: bytes | None = None
    call_ended_at: UtcMicros | None = None
    queued_at: UtcMicros = 0
    """When the deadline began to run."""
    updated_at: UtcMicros = 0
    delivered_at: UtcMicros | None = None
    attempt: int = 0
    """Number of the last attempt."""
    failures: int = 0
    """Failures in a row, for the backoff."""
    intent: Intent | None = None
    """The open request."""
    doubt: Intent | None = None
    """The first request whose outcome is unknown, until that is settled."""
    gone: bool = False
    """The CRM does not know any more what the step before made: if the lookup finds nothing, begin again there."""
    wait_until: UtcMicros | None = None
    not_found_since: UtcMicros | None = None
    """When a lookup found nothing for the first time."""
    crm_ids: dict[str, str] = {}
    sent_version: int | None = None
    """The version that the CRM shows; the four fields after it are of the request that brought it there."""
    sent_hash: str | None = None
    sent: str | None = None
    status: str | None = None
    text: str | None = None
    skip: str | None = None
    """Why the newest version is not to be sent; None: it is."""
    last_error: str | None = None
    unmatched: tuple[str, ...] = ()
    """Extensions (or `user:<id>`) for which the CRM, or the settings, have nobody; `field:<name>`: a field that the CRM
    does not take of us."""
    history: tuple[Attempt, ...] = ()
    wish: str = ""
    """The last command that still holds: `deliver` (whatever the call's time), `drop`, `erase`; empty: none does."""
    orders: tuple[OperatorCommand, ...] = ()
    """The latest commands."""
    source_topic: str = ""
    source_partition: int = 0
    source_offset: int = 0
    correction: int = 0  # of `version`, as the field after it
    compared_hash: str = ""  # calls/differences.py; empty: read by an earlier release
    sent_correction: int = 0  # of `sent_version`, as the field after it
    sent_compared_hash: str = ""
    result_schema: str = ""
    """The schema header (schemas/headers.py) of the record that held `result`; empty: it had none."""
    follow_ups: tuple[FollowUp, ...] = ()
    """At most one of a kind."""

    @property
    def final(self) -> bool:
        """Whether nothing more is to be done for the call itself."""
        return self.state in FINAL

    @property
    def over(self) -> bool:
        """Whether nothing more is to be done: the call is final, and what follows it has ended or never begins."""
        return self.final and not (self.state in IN_CRM and any(not each.ended for each in self.follow_ups))

    @property
    def order(self) -> tuple[int, int]:
        """The newest version and its correction: the higher pair counts."""
        return self.version, self.correction

    @property
    def due_at(self) -> UtcMicros | None:
        """When the delivery is due next (0: now); None: never, or not before its portal or its open request lets it."""
        if self.final or self.state in (State.INTENT, State.PAUSED):
            return None
        return self.wait_until or 0

    @property
    def result_headers(self) -> list[tuple[str, bytes]]:
        """The schema header of the record that held `result`."""
        return [(SCHEMA, self.result_schema.encode())] if self.result_schema else []

    def record(self) -> dict[str, Any]:
        """The fields as the Avro codec takes them."""
        fields = msgspec.structs.asdict(self)
        fields["state"] = self.state.value
        fields["steps_done"] = list(self.steps_done)
        fields["unmatched"] = list(self.unmatched)
        fields["intent"] = msgspec.structs.asdict(self.intent) if self.intent else None
        fields["doubt"] = msgspec.structs.asdict(self.doubt) if self.doubt else None
        fields["history"] = [msgspec.structs.asdict(attempt) for attempt in self.history]
        fields["follow_ups"] = [_follow_up_record(each) for each in self.follow_ups]
        fields["orders"] = [
            {**msgspec.structs.asdict(command), "action": command.action.value} for command in self.orders
        ]
        return fields

    @classmethod
    def from_record(cls, record: dict[str, Any]) -> "Delivery":
        """The delivery that the Avro codec read. Raises msgspec.ValidationError."""
        for name in _INTERNED:
            if isinstance(text := record.get(name), str):
                record[name] = sys.intern(text)
        return msgspec.convert(record, cls)


def _follow_up_record(follow_up: FollowUp) -> dict[str, Any]:
    fields = msgspec.structs.asdict(follow_up)
    fields["state"] = follow_up.state.value
    fields["steps_done"] = list(follow_up.steps_done)
    for name in ("intent", "doubt"):
        fields[name] = msgspec.structs.asdict(fields[name]) if fields[name] else None
    fields["history"] = [msgspec.structs.asdict(attempt) for attempt in follow_up.history]
    return fields


def with_attempt(history: tuple[Attempt, ...], attempt: Attempt) -> tuple[Attempt, ...]:
    """The history with one more line, at most MAX_HISTORY: the first line stays, for it tells when all began."""
    longer = (*history, attempt)
    return longer if len(longer) <= MAX_HISTORY else (longer[0], *longer[-(MAX_HISTORY - 1) :])
