"""Webhook: the one step of a delivery."""

from streams.crm.shared.recording import RECORDING, recording_plan
from streams.delivery.plan import Plan, Step, UnknownOutcome

PLAN = Plan(
    "webhook",
    "post",
    {
        # A receiver cannot be asked, but it takes each `webhook-id` once.
        "post": Step(None, UnknownOutcome.RESEND_SAME),
    },
    revisions={"update": "post"},
    # An event of its own, under a `webhook-id` of its own.
    follow_ups={RECORDING: recording_plan("webhook", UnknownOutcome.RESEND_SAME)},
)
