"""Events of a delivery, and the effects that the machine asks its caller for.

`now`: when the event happened. `jitter`: 0 <= jitter < 1, drawn by the caller.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from streams.clock import UtcMicros
from streams.dead_letter_reasons import DeadLetterReason
from streams.delivery.answers import Answer, LookupResult
from streams.delivery.record import OperatorCommand


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrived:
    """A version of the call's result was read."""

    now: UtcMicros
    call_id: str
    portal: str
    version: int
    outcome_hash: str
    compared_hash: str = ""
    """Of everything in which results are compared (calls/differences.py)."""
    correction: int = 0
    """0: judged live; else by a replay."""
    result: bytes
    """The record's value, as it stands on the topic."""
    result_schema: str = ""
    """The record's schema header (schemas/headers.py); empty: it has none."""
    call_ended_at: UtcMicros
    skip: str | None = None
    """Why this version is not to be sent; None: it is."""
    follow_ups: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """By kind what is to be done beside the call (Plan.follow_ups), with the ids that are known at once."""
    history: str | None = None
    """Why the call's time keeps it out (over before the portal was served, backfilled ..); an operator may have it
    delivered all the same."""
    look_first: bool = False
    """A call that is not known may have been delivered by a delivery that was lost: it is looked up first."""
    source: tuple[str, int, int] = ("", 0, 0)
    """Topic, partition, offset."""


@dataclass(frozen=True, slots=True)
class Due:
    """The delivery is due, and its portal may take a request. The fields describe the request, if one follows."""

    now: UtcMicros
    sent: str = ""
    status: str | None = None
    text: str | None = None
    step: str = ""
    """A step to be taken in place of the one that is next: something to be asked before, or two steps at once."""
    no_user: str = ""
    """Extension that has no person in the settings, so that the default user stands for it."""
    follow_up: str = ""
    """Kind of the follow-up that is due; empty: the call itself. So in the events and effects below."""


@dataclass(frozen=True, slots=True)
class Answered:
    """The request of an attempt ended."""

    now: UtcMicros
    attempt: int
    answer: Answer
    jitter: float = 0.5
    follow_up: str = ""


@dataclass(frozen=True, slots=True)
class Prepared:
    """A local step of a follow-up ended (Plan's Step.is_local)."""

    now: UtcMicros
    follow_up: str
    answer: Answer
    jitter: float = 0.5


@dataclass(frozen=True, slots=True)
class LookedUp:
    """The lookup for an attempt ended."""

    now: UtcMicros
    attempt: int
    result: LookupResult
    jitter: float = 0.5
    follow_up: str = ""


@dataclass(frozen=True, slots=True)
class Recovered:
    """A new owner read this state, after it fenced the one before."""

    now: UtcMicros


@dataclass(frozen=True, slots=True)
class Overdue:
    """The delivery's deadline is over, and its portal does not take calls."""

    now: UtcMicros


@dataclass(frozen=True, slots=True)
class PortalBack:
    """The portal of a paused delivery takes calls again."""

    now: UtcMicros


@dataclass(frozen=True, slots=True)
class CommandReceived:
    """An operator's command was read."""

    now: UtcMicros
    command: OperatorCommand
    arrived: Arrived | None = None
    """The call's result, where the command brings it along."""
    look_first: bool = False
    """The call is older than what delivery remembers: it may have been delivered by a delivery that was forgotten."""


@dataclass(frozen=True, slots=True)
class Shadowed:
    """The delivery's portal is a shadow: this would have gone out now."""

    now: UtcMicros
    sent: str
    status: str | None = None
    text: str | None = None


Event = Arrived | Due | Answered | Prepared | LookedUp | Recovered | Overdue | PortalBack | CommandReceived | Shadowed

# Effects. The new state must be durable before Send and LookUp are done, and the dead letter before the new state is.


@dataclass(frozen=True, slots=True)
class Send:
    """Send the request of this attempt, once, if its deadline is not over; answer with Answered."""

    attempt: int
    step: str
    deadline: UtcMicros
    follow_up: str = ""


@dataclass(frozen=True, slots=True)
class LookUp:
    """Look for the effect of this attempt; answer with LookedUp."""

    attempt: int
    step: str
    follow_up: str = ""


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """Hand the call's result over to people."""

    reason: DeadLetterReason
    why: str


@dataclass(frozen=True, slots=True)
class PausePortal:
    """Send no more requests to the portal until a person acts or, unless it is `for_good`, the portal answers again."""

    why: str
    for_good: bool = False
    rarely: bool = False
    """Answers.PortalBlocked.rarely."""


@dataclass(frozen=True, slots=True)
class SlowPortal:
    """Send no more requests to the portal before this time."""

    until: UtcMicros
    why: str


Effect = Send | LookUp | DeadLetter | PausePortal | SlowPortal
