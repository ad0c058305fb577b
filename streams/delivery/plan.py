"""A CRM's way of taking a call, as data: its steps, and a portal's times."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

from msgspec.structs import replace

from streams.delivery.record import Delivery


class UnknownOutcome(Enum):
    """How the unknown outcome of a step is settled, once the request can have no more effect."""

    RESEND = "send it again: at worst it leaves something that nobody sees"
    RESEND_SAME = "send the very same request again, older version or not: the receiver knows it by its key"
    LOOK_UP = "look the call up, and send again only if it is not there"


@dataclass(frozen=True, slots=True)
class Step:
    """One request of a delivery."""

    then: str | None
    """The step after it; None: the call is delivered."""
    unknown_outcome: UnknownOutcome
    restart: str | None = None
    """Where to begin again when the CRM no longer knows what an earlier step made; None: it cannot happen."""
    is_annotation: bool = False
    """The step adds a comment; the call's own entry in the CRM stays as it was."""
    is_local: bool = False
    """The step of a follow-up asks nobody at the portal and has no effect; its answer comes as events.Prepared."""


@dataclass(frozen=True, slots=True)
class Plan:
    """How one CRM takes a call."""

    crm: str
    first: str
    steps: Mapping[str, Step]
    revisions: Mapping[str, str] = field(default_factory=dict)
    """By `on_revision`: the step that brings a later version to the CRM after delivery; none for what is not here."""
    when_many_wait: Mapping[str, str] = field(default_factory=dict)
    """By step: the one that does more in one request and takes its place when many calls wait."""
    follow_ups: "Mapping[str, Plan]" = field(default_factory=dict)
    """By kind: the steps of what can be done beside a call once it is in the CRM (delivery/follow_ups.py)."""
    writes_call: bool = True
    """Of a follow-up: its requests write what the call's own write too, so that these wait for one in doubt."""

    def revises(self, step: str) -> bool:
        """Whether a step only brings a later version of what another step delivered."""
        return step in self.revisions.values() and step not in self.path

    def with_batch_step(self, delivery: Delivery) -> Delivery:
        """The delivery with the step that its request is made for when many calls wait."""
        return replace(delivery, step=self.when_many_wait.get(delivery.step, delivery.step))

    @property
    def path(self) -> tuple[str, ...]:
        """The steps that every call takes; detours and steps in place of others left out."""
        path = [self.first]
        while (following := self.steps[path[-1]].then) is not None:
            path.append(following)
        return tuple(path)


@dataclass(frozen=True, slots=True)
class Policy:
    """A portal's times, in microseconds."""

    request_limit_us: int
    """From the intent on, no effect of a request comes later than this."""
    settle_us: int
    """A lookup that finds nothing is believed when it is repeated so much later: CRMs index late."""
    deadline_us: int
    """From the first sight of the call to giving it up."""
    on_revision: str = "keep"
    """The way of a version that comes after delivery: `keep` (leave the CRM as it is), or a name in Plan.revisions."""
    follow_up_us: int = 0
    """So much longer than `deadline_us` is the deadline of what follows a call."""
    patience_us: tuple[int, ...] = (600_000_000, 1_800_000_000, 3_600_000_000)
    """The waits of a call for which something in the CRM must change first (NotYet); the last one is repeated."""
    backoff_base_us: int = 1_000_000
    backoff_limit_us: int = 60_000_000

    def patient_wait_us(self, waited: int) -> int:
        """The time to the next try of a call that waited so long: never less than the first of `patience_us`."""
        due = 0
        for span in self.patience_us:
            due += span
            if due > waited:
                break
        else:
            last = self.patience_us[-1]
            due += ((waited - due) // last + 1) * last
        return max(self.patience_us[0], due - waited)

    def backoff_us(self, failures: int, jitter: float) -> int:
        """The wait after so many failures in a row: full jitter (0 <= jitter < 1) over a doubling span.

        Source: https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/
        """
        return int(jitter * min(self.backoff_limit_us, self.backoff_base_us * 2 ** min(failures, 30)))
