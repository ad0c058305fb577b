"""What happens to a delivery, and what it asks for.

Times: UTC microseconds from 1970; jitter: 0 <= jitter < 1, drawn by the caller.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

from streams.dead_letter_reasons import DeadLetterReason
from streams.delivery.record import Order

# What the CRM's answer to a request means. `code`: its name on Kafka (Delivery.history[].outcome) and in metrics; it
# stays whatever the class is called.


@dataclass(frozen=True, slots=True)
class Succeeded:
    """It took effect."""

    code: ClassVar[str] = "done"
    ids: Mapping[str, str] = field(default_factory=dict)
    note: str = ""


@dataclass(frozen=True, slots=True)
class RetryLater:
    """It had no effect, surely, and may be repeated, not before `not_before`."""

    code: ClassVar[str] = "later"
    why: str
    not_before: int | None = None
    whole_portal: bool = False
    """Not this call's matter: limits, overload, nobody there. The portal's other calls wait with it."""


@dataclass(frozen=True, slots=True)
class PortalBlocked:
    """It had no effect, and none will have any until a person acts: licence, rights, credentials, address."""

    code: ClassVar[str] = "pause"
    why: str
    for_good: bool = False
    """The receiver wants nothing more: it is not even tried until a person says so."""


@dataclass(frozen=True, slots=True)
class Refused:
    """It had no effect, and never will: the CRM finds fault with this call."""

    code: ClassVar[str] = "refused"
    why: str


@dataclass(frozen=True, slots=True)
class OutcomeUnknown:
    """It may have had its effect."""

    code: ClassVar[str] = "unsure"
    why: str
    not_before: int | None = None
    """The CRM asked for time."""


@dataclass(frozen=True, slots=True)
class PrerequisiteLost:
    """The CRM does not know what an earlier step made: it is finished already, or was forgotten."""

    code: ClassVar[str] = "gone"
    why: str


@dataclass(frozen=True, slots=True)
class PrerequisiteMissing:
    """It had no effect: another step has to go before."""

    code: ClassVar[str] = "needs"
    step: str
    why: str


@dataclass(frozen=True, slots=True)
class UserUnknown:
    """It had no effect: the CRM knows no such (active) person. To be sent again for somebody else."""

    code: ClassVar[str] = "nouser"
    who: str
    """The inner phone number, or `user:<id>`, that was sent."""
    why: str


@dataclass(frozen=True, slots=True)
class PartlyDone:
    """The first part of a request of two steps took effect, the other part surely did not: to go on after it."""

    code: ClassVar[str] = "partly"
    done: str
    """The step that took effect."""
    ids: Mapping[str, str]
    why: str


@dataclass(frozen=True, slots=True)
class SkipCall:
    """It had no effect, and the operator wants none in such a case."""

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
    | PartlyDone
    | SkipCall
    | NotSent
)


@dataclass(frozen=True, slots=True)
class CallFound:
    """The call is there."""

    code: ClassVar[str] = "found"
    ids: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class NotFound:
    """The call is not there, or not yet."""

    code: ClassVar[str] = "not_found"


LookupResult = CallFound | NotFound | RetryLater | PortalBlocked


def metric_label(said: Answer | LookupResult) -> str:
    """The value of the label `answer` of cel2crm_portal_answers: the code without its underscore, as ever."""
    return said.code.replace("_", "")


# Events.


@dataclass(frozen=True, slots=True)
class Arrived:
    """A version of the call's result was read."""

    now: int
    call_id: str
    portal: str
    version: int
    outcome_hash: str
    result: bytes
    call_ended_at: int
    skip: str | None = None
    """Why this version is not to be sent; None: it is."""
    history: str | None = None
    """Why its time keeps it out (over before the portal was served, backfilled ..): an operator may order it all the
    same."""
    source: tuple[str, int, int] = ("", 0, 0)
    """Topic, partition, offset."""


@dataclass(frozen=True, slots=True)
class Due:
    """Its time has come, and its portal has room for a request. The fields describe the request, if it is to be one."""

    now: int
    sent: str = ""
    status: str | None = None
    text: str | None = None
    step: str = ""
    """A step to be taken in place of the one that is next: something to be asked before, or two steps at once."""
    no_user: str = ""
    """Extension that has no person in the settings, so that the default user stands for it."""


@dataclass(frozen=True, slots=True)
class Answered:
    """The request of an attempt ended."""

    now: int
    attempt: int
    answer: Answer
    jitter: float = 0.5


@dataclass(frozen=True, slots=True)
class LookedUp:
    """The lookup for an attempt ended."""

    now: int
    attempt: int
    sighting: LookupResult
    jitter: float = 0.5


@dataclass(frozen=True, slots=True)
class Recovered:
    """A new owner read this state, after it fenced the one before."""

    now: int


@dataclass(frozen=True, slots=True)
class Overdue:
    """The delivery's deadline is over, and its portal does not take calls."""

    now: int


@dataclass(frozen=True, slots=True)
class PortalBack:
    """The portal of a paused delivery takes calls again."""

    now: int


@dataclass(frozen=True, slots=True)
class Ordered:
    """An operator's command was read."""

    now: int
    order: Order
    arrived: Arrived | None = None
    """The call's result, where the command brings it along."""
    look_first: bool = False
    """The call is older than what delivery remembers: it may have been delivered by a delivery that was forgotten."""


@dataclass(frozen=True, slots=True)
class Shadowed:
    """Its portal is a shadow: this would have gone out now."""

    now: int
    sent: str
    status: str | None = None
    text: str | None = None


Event = Arrived | Due | Answered | LookedUp | Recovered | Overdue | PortalBack | Ordered | Shadowed

# Effects. The new state must be durable before Send and LookUp are done, and the dead letter before the new state is.


@dataclass(frozen=True, slots=True)
class Send:
    """Send the request of this attempt, once, if its deadline is not over; answer with Answered."""

    attempt: int
    step: str
    deadline: int


@dataclass(frozen=True, slots=True)
class LookUp:
    """Look for the effect of this attempt; answer with LookedUp."""

    attempt: int
    step: str


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """Hand the call's result over to people."""

    reason: DeadLetterReason
    why: str


@dataclass(frozen=True, slots=True)
class PausePortal:
    """No more requests to the portal until a person acts or, unless it is `for_good`, it answers again."""

    why: str
    for_good: bool = False


@dataclass(frozen=True, slots=True)
class SlowPortal:
    """No more requests to the portal before this time."""

    until: int
    why: str


Effect = Send | LookUp | DeadLetter | PausePortal | SlowPortal
