"""The names on the wire, against golden values: records on Kafka, metrics and scripts of others depend on each.

A change here breaks somebody's reader. Adding is allowed; renaming and removing are not.
"""

from typing import get_args

import pytest

from streams.dead_letter_reasons import DeadLetterReason, Recovery
from streams.delivery.answers import Answer, LookupResult, metric_label
from streams.delivery.record import Action, State

ANSWER_CODES = {
    "done": "done",
    "later": "later",
    "pause": "pause",
    "refused": "refused",
    "unsure": "unsure",
    "gone": "gone",
    "needs": "needs",
    "nouser": "nouser",
    "partly": "partly",
    "unwanted": "unwanted",
    "not_sent": "notsent",
    "found": "found",
    "not_found": "notfound",
}
"""`Delivery.history[].outcome`: the label `answer` of cel2crm_portal_answers."""

DEAD_LETTER_CODES = {
    "unreadable_row": "retry its bytes",
    "late_row": "backfill",
    "too_many_rows": "nothing",
    "not_judged": "backfill",
    "unreadable_result": "retry its bytes",
    "unreadable_command": "retry its bytes",
    "refused": "retry",
    "deadline": "retry",
    "outcome_unknown": "retry",
}
_RECOVERIES = {
    Recovery.RETURN: "retry its bytes",
    Recovery.BACKFILL: "backfill",
    Recovery.NOTHING: "nothing",
    Recovery.RETRY: "retry",
}

STATES = {
    "new", "intent", "registered", "unsure", "looked_up", "delivered", "superseded", "waiting", "paused", "refused",
    "given_up", "skipped", "dropped", "shadowed", "serving", "disabled",
}  # fmt: skip

ACTIONS = {"retry", "deliver", "drop"}


def test_each_answer_has_the_code_that_stands_in_the_delivery_logs() -> None:
    answers = {*get_args(Answer), *get_args(LookupResult)}
    assert {answer.code: metric_label(answer) for answer in answers} == ANSWER_CODES


def test_each_dead_letter_reason_has_its_code_and_its_recovery() -> None:
    assert {reason.code: _RECOVERIES[reason.recovery] for reason in DeadLetterReason} == DEAD_LETTER_CODES


@pytest.mark.parametrize("reason", DeadLetterReason)
def test_a_reason_is_found_by_its_code(reason: DeadLetterReason) -> None:
    assert DeadLetterReason.of(reason.code) is reason


def test_a_code_of_a_newer_version_has_no_reason() -> None:
    assert DeadLetterReason.of("struck_by_lightning") is None


def test_states_and_actions_of_deliveries() -> None:
    assert {state.value for state in State} == STATES
    assert {action.value for action in Action} == ACTIONS
