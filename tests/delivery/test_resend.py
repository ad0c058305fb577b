"""A receiver that cannot be asked: after an unknown outcome it gets the very same request again."""

from streams.crm.webhook.plan import PLAN as WEBHOOK
from streams.dead_letter_reasons import DeadLetterReason
from streams.delivery.answers import OutcomeUnknown, PortalBlocked, Refused, RetryLater, Succeeded
from streams.delivery.events import Answered, CommandReceived, DeadLetter, Due, PausePortal, PortalBack, Send
from streams.delivery.machine import advance
from streams.delivery.record import Action, Intent, OperatorCommand, State
from tests.delivery.test_machine import OPEN, POLICY, V2, answered, run

POSTED = (*OPEN, V2, answered(1, OutcomeUnknown("HTTP 500", 70), 3))  # a newer version came meanwhile


def test_a_receiver_in_doubt_gets_the_very_same_again() -> None:
    doubtful = run(*POSTED, plan=WEBHOOK).delivery
    assert (doubtful.state, doubtful.wait_until, doubtful.failures) == (State.UNSURE, 70, 1)
    again = run(*POSTED, Due(70, '{"newer":1}', "408"), plan=WEBHOOK)
    assert again.delivery.intent == Intent(
        attempt=2,
        step="post",
        version=1,
        outcome_hash="aaa",
        started_at=70,
        deadline=130,
        sent='{"a":1}',
        status="304",
        text="missed",
    )
    assert again.effects == (Send(2, "post", 130),)
    limited = (*POSTED, Due(70), answered(2, RetryLater("429", 90), 71), Due(90))
    assert run(*limited, plan=WEBHOOK).delivery.intent == Intent(
        attempt=3,
        step="post",
        version=1,
        outcome_hash="aaa",
        started_at=90,
        deadline=150,
        sent='{"a":1}',
        status="304",
        text="missed",
    )
    paused = (*POSTED, Due(70), answered(2, PortalBlocked("HTTP 404"), 71), PortalBack(90), Due(90))
    assert run(*paused, plan=WEBHOOK).delivery.intent == run(*limited, plan=WEBHOOK).delivery.intent
    done = run(*limited, answered(3, Succeeded({"webhook-id": "m"}), 91), plan=WEBHOOK).delivery
    assert (done.state, done.sent_version, done.version, done.doubt) == (State.SUPERSEDED, 1, 2, None)


RETRIED = CommandReceived(80, OperatorCommand("c1", Action.RETRY, "ann", 80))


def test_a_receiver_that_refuses_what_was_in_doubt_has_settled_it() -> None:
    refused = run(*POSTED, Due(70), answered(2, Refused("HTTP 422"), 71), plan=WEBHOOK)
    assert (refused.delivery.state, refused.delivery.doubt) == (State.REFUSED, None)
    assert refused.effects == (DeadLetter(DeadLetterReason.REFUSED, "HTTP 422"),)
    assert run(
        *POSTED, Due(70), answered(2, Refused("x"), 71), RETRIED, Due(80, "new"), plan=WEBHOOK
    ).delivery.intent == (
        Intent(attempt=3, step="post", version=2, outcome_hash="bbb", started_at=80, deadline=140, sent="new")
    )


def test_what_is_repeated_in_doubt_is_repeated_ever_later_up_to_the_deadline() -> None:
    waits, outcome, now = [], run(*OPEN, plan=WEBHOOK), 0
    for attempt in range(1, 9):
        outcome = advance(outcome.delivery, Answered(now, attempt, OutcomeUnknown("500"), 0.99), WEBHOOK, POLICY)
        assert outcome.delivery.wait_until is not None
        waits.append(outcome.delivery.wait_until - now)
        now = outcome.delivery.wait_until
        outcome = advance(outcome.delivery, Due(now), WEBHOOK, POLICY)
    assert waits == [60, 60, 60, 60, 63, 63, 63, 63]
    over = advance(run(*OPEN, answered(1, OutcomeUnknown("500")), plan=WEBHOOK).delivery, Due(1000), WEBHOOK, POLICY)
    assert over.delivery.state is State.GIVEN_UP and over.delivery.result == b"one"
    assert over.effects == (
        DeadLetter(DeadLetterReason.OUTCOME_UNKNOWN, "its deadline is over, its outcome unknown: 500"),
    )


def test_a_receiver_that_wants_no_more_is_not_even_tried() -> None:
    outcome = run(*OPEN, answered(1, PortalBlocked("HTTP 410", for_good=True)), plan=WEBHOOK)
    assert (outcome.delivery.state, outcome.effects) == (State.PAUSED, (PausePortal("HTTP 410", for_good=True),))
