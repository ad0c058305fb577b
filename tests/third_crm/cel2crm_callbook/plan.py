"""Callbook: the steps of a delivery."""

from streams.delivery.plan import Plan, Step, UnknownOutcome

PLAN = Plan(
    "callbook",
    "call",
    {
        # A second POST would make a second call: where an answer was lost, it is looked up first.
        "call": Step(None, UnknownOutcome.LOOK_UP),
    },
)
