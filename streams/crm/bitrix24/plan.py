"""Bitrix24: the steps of a delivery."""

from streams.crm.shared.recording import RECORDING, recording_plan
from streams.crm.shared.tasks import CLOSE, MISSED, close_plan, missed_plan
from streams.delivery.plan import Plan, Step, UnknownOutcome

PLAN = Plan(
    "bitrix24",
    "register",
    {
        # Whom the CRM knows by this number, and who is responsible: only asked where the settings need it.
        "client": Step("register", UnknownOutcome.RESEND),
        # Statistics hold finished calls only, so a register cannot be looked up. Repeated within 30 minutes it is the
        # same call; after that it leaves an orphan, which no user sees as a call, but which ran the automations again.
        "register": Step("finish", UnknownOutcome.RESEND),
        "finish": Step(None, UnknownOutcome.LOOK_UP, restart="register"),
        # Both in one request, where many calls wait: what the portal finishes is looked up as after a finish.
        "register_finish": Step(None, UnknownOutcome.LOOK_UP),
        # A finished call cannot be changed: a later version is a comment in the client's timeline.
        "comment": Step(None, UnknownOutcome.LOOK_UP, is_annotation=True),
    },
    revisions={"note": "comment"},
    when_many_wait={"register": "register_finish"},
    follow_ups={
        # A second recording of a call takes the place of the first one.
        RECORDING: recording_plan("bitrix24", UnknownOutcome.RESEND),
        MISSED: missed_plan("bitrix24"),
        CLOSE: close_plan("bitrix24"),
    },
)
