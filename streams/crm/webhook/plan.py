"""Webhook: the one step of a delivery."""

from streams.delivery.plan import Plan, Step, UnknownOutcome

PLAN = Plan(
    "webhook",
    "post",
    {
        # A receiver cannot be asked, but it takes each `webhook-id` once.
        "post": Step(None, UnknownOutcome.RESEND_SAME),
    },
    revisions={"update": "post"},
)
