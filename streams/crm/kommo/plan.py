"""Kommo: the steps of a delivery."""

from streams.crm.shared.recording import RECORDING, recording_plan
from streams.crm.shared.tasks import CLOSE, MISSED, close_plan, missed_plan
from streams.delivery.plan import Plan, Step, UnknownOutcome

PLAN = Plan(
    "kommo",
    "call",
    {
        "client": Step("call", UnknownOutcome.RESEND),
        "call": Step(None, UnknownOutcome.LOOK_UP),
        # Only where the CRM knows nobody with this phone, as the operator wants it.
        "contact": Step("call", UnknownOutcome.LOOK_UP),
        "lead": Step("call", UnknownOutcome.LOOK_UP),
        "unsorted": Step(None, UnknownOutcome.LOOK_UP),
        "text_note": Step(None, UnknownOutcome.LOOK_UP, is_annotation=True),
        "update": Step(None, UnknownOutcome.LOOK_UP),
    },
    revisions={"note": "text_note", "update": "update"},
    follow_ups={
        # The note is read before it is changed, and the same link twice changes nothing.
        RECORDING: recording_plan("kommo", UnknownOutcome.RESEND),
        MISSED: missed_plan("kommo"),
        CLOSE: close_plan("kommo"),
    },
)
