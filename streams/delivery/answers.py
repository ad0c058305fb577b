"""The contract between the delivery machine and a CRM: what the end of a request, or of a lookup, proves.

A CRM's client returns one of these and raises nothing for what a portal does. `code`: the answer's name on Kafka
(Delivery.history[].outcome) and in metrics; a code that was ever written stays, whatever its class is called.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

from streams.clock import UtcMicros


@dataclass(frozen=True, slots=True)
class Succeeded:
    """The request took effect."""

    code: ClassVar[str] = "done"
    ids: Mapping[str, str] = field(default_factory=dict)
    """The CRM's ids of the things that the request made, by kind."""
    note: str = ""


@dataclass(frozen=True, slots=True)
class RetryLater:
    """The request surely had no effect and may be repeated, not before `not_before`."""

    code: ClassVar[str] = "later"
    why: str
    not_before: UtcMicros | None = None
    whole_portal: bool = False
    """The cause is not this call (limits, overload, nobody there): the portal's other calls wait with it."""


@dataclass(frozen=True, slots=True)
class PortalBlocked:
    """The request had no effect, and none will have any until a person acts: licence, rights, credentials, address."""

    code: ClassVar[str] = "pause"
    why: str
    for_good: bool = False
    """The receiver wants nothing more: no request is even tried until a person says so."""
    rarely: bool = False
    """Requests prolong it (an address that is blocked for too many): one an hour is tried, and no more."""


@dataclass(frozen=True, slots=True)
class Refused:
    """The request had no effect and never will have one: the CRM finds fault with this call."""

    code: ClassVar[str] = "refused"
    why: str


@dataclass(frozen=True, slots=True)
class OutcomeUnknown:
    """The request may have had its effect."""

    code: ClassVar[str] = "unsure"
    why: str
    not_before: UtcMicros | None = None
    """When the CRM, which asked for time, may be asked again."""


@dataclass(frozen=True, slots=True)
class PrerequisiteLost:
    """The CRM does not know what an earlier step made: it is finished already, or was forgotten."""

    code: ClassVar[str] = "gone"
    why: str


@dataclass(frozen=True, slots=True)
class PrerequisiteMissing:
    """The request had no effect: another step has to go before."""

    code: ClassVar[str] = "needs"
    step: str
    why: str


@dataclass(frozen=True, slots=True)
class UserUnknown:
    """The request had no effect: the CRM knows no such (active) person. It is sent again for somebody else."""

    code: ClassVar[str] = "nouser"
    who: str
    """The inner phone number, or `user:<id>`, that was sent."""
    why: str


@dataclass(frozen=True, slots=True)
class FieldRefused:
    """The request had no effect: the CRM does not take these fields of this sender. It is sent again without them."""

    code: ClassVar[str] = "nofield"
    fields: tuple[str, ...]
    why: str


@dataclass(frozen=True, slots=True)
class NotYet:
    """The request had no effect, and has none until somebody changes something in the CRM: the call waits for that, and
    is tried again now and then (Policy.patience_us). That is no failure of the portal's."""

    code: ClassVar[str] = "notyet"
    why: str


@dataclass(frozen=True, slots=True)
class PartlyDone:
    """The first part of a request of two steps took effect, the second part surely did not: go on after the first."""

    code: ClassVar[str] = "partly"
    done: str
    """The step that took effect."""
    ids: Mapping[str, str]
    why: str


@dataclass(frozen=True, slots=True)
class SkipCall:
    """The request had no effect, and the operator wants no entry in such a case."""

    code: ClassVar[str] = "unwanted"
    why: str


@dataclass(frozen=True, slots=True)
class NotSent:
    """The request's time was over before its bytes went out."""

    code: ClassVar[str] = "not_sent"
    why: str = "its time was over before it went out"


Answer = (
    Succeeded
    | RetryLater
    | PortalBlocked
    | Refused
    | OutcomeUnknown
    | PrerequisiteLost
    | PrerequisiteMissing
    | UserUnknown
    | FieldRefused
    | NotYet
    | PartlyDone
    | SkipCall
    | NotSent
)
"""The end of a request."""


@dataclass(frozen=True, slots=True)
class CallFound:
    """The call is there."""

    code: ClassVar[str] = "found"
    ids: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class NotFound:
    """The call is not there, or not yet."""

    code: ClassVar[str] = "not_found"
    reliable: bool = True
    """False: it may be there and be hidden, as from somebody who lacks the right to see the calls of all."""


LookupResult = CallFound | NotFound | RetryLater | PortalBlocked
"""The end of a lookup. RetryLater and PortalBlocked: it could not be made."""


def metric_label(answer: Answer | LookupResult) -> str:
    """The value of the label `answer` of cel2crm_portal_answers: the code without its underscore, as ever."""
    return answer.code.replace("_", "")


def explanation(answer: Answer | LookupResult) -> str:
    """The text that the history keeps of an answer: why not, or the CRM's ids of the things that were made."""
    if isinstance(answer, Succeeded | CallFound):
        ids = ", ".join(f"{name} {value}" for name, value in answer.ids.items())
        return "; ".join(part for part in (getattr(answer, "note", ""), ids) if part)
    return str(getattr(answer, "why", ""))
