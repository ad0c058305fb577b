"""The names on the wire, against golden values: records on Kafka, metrics and scripts of others depend on each.

A change here breaks somebody's reader. Adding is allowed; renaming and removing are not.
"""

from typing import get_args

import pytest
from prometheus_client.metrics import MetricWrapperBase

from connectors import gap_watch
from connectors.topics import declared_topics
from streams import topics
from streams.crm.shared.tokens import Pair, TokenAnswer
from streams.dead_letter_reasons import DeadLetterReason, Recovery
from streams.delivery.answers import Answer, LookupResult, metric_label
from streams.delivery.record import Action, State
from streams.kafka import metrics as worker_metrics
from streams.kafka.hard_exit import STATUS
from streams.settings import Settings
from streams.workers.aggregate import metrics as aggregate_metrics
from streams.workers.deliver import metrics as deliver_metrics

ANSWER_CODES = {
    "done": "done",
    "later": "later",
    "pause": "pause",
    "refused": "refused",
    "unsure": "unsure",
    "gone": "gone",
    "needs": "needs",
    "nouser": "nouser",
    "nofield": "nofield",
    "notyet": "notyet",
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
    "expired_rows": "backfill",
    "rows_lost": "backfill",
    "too_many_rows": "nothing",
    "not_judged": "backfill",
    "expired_results": "backfill",
    "wrong_partition": "nothing",
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

TOKEN_OUTCOMES = {"renewed", "grantrefused", "pause", "later", "unsure"}
"""The label `outcome` of cel2crm_token_refreshes."""

METRICS = {
    "cel2crm_cel_rows": ("counter", ()),
    "cel2crm_call_results": ("counter", ("origin",)),
    "cel2crm_aggregate_dead_letters": ("counter", ("reason",)),
    "cel2crm_call_cautions": ("counter", ("caution",)),
    "cel2crm_old_way_chosen": ("gauge", ()),
    "cel2crm_open_calls": ("gauge", ()),
    "cel2crm_kept_calls": ("gauge", ()),
    "cel2crm_aggregate_lag_rows": ("gauge", ("partition",)),
    "cel2crm_aggregate_last_checkpoint_timestamp_seconds": ("gauge", ("partition",)),
    "cel2crm_lost_rows": ("counter", ("partition",)),
    "cel2crm_aggregate_retention_margin_rows": ("gauge", ("partition",)),
    "cel2crm_delivery_results": ("counter", ("crm",)),
    "cel2crm_lost_results": ("counter", ("crm", "partition")),
    "cel2crm_delivery_retention_margin_results": ("gauge", ("crm", "partition")),
    "cel2crm_held_partitions": ("gauge", ()),
    "cel2crm_gaps": ("gauge", ("pbx", "kind")),
    "cel2crm_gaps_compared_timestamp_seconds": ("gauge", ("pbx",)),
    "cel2crm_deliveries": ("counter", ("crm", "portal", "state")),
    "cel2crm_portal_answers": ("counter", ("crm", "portal", "answer")),
    "cel2crm_delivery_commands": ("counter", ("crm", "action")),
    "cel2crm_delivery_dead_letters": ("counter", ("crm", "reason")),
    "cel2crm_waiting_deliveries": ("gauge", ("crm",)),
    "cel2crm_follow_ups": ("counter", ("crm", "portal", "kind", "state")),
    "cel2crm_waiting_follow_ups": ("gauge", ("crm",)),
    "cel2crm_portal_paused": ("gauge", ("crm", "portal")),
    "cel2crm_portal_shadow": ("gauge", ("crm", "portal")),
    "cel2crm_delivery_lag_results": ("gauge", ("crm", "partition")),
    "cel2crm_token_refreshes": ("counter", ("crm", "portal", "outcome")),
}
"""Kind and labels of each."""

TOPICS = {
    "cel": "",
    "call-results": "call_result",
    "call-legs": "call_leg",
    "aggregate-checkpoints": "",
    "deliveries-bitrix24": "delivery",
    "deliveries-kommo": "delivery",
    "deliveries-webhook": "delivery",
    "credentials": "",
    "delivery-commands": "delivery_command",
    "dead-letters": "dead_letter",
    "dead-letter-resolutions": "dead_letter_resolution",
}
"""The short name of each topic of ours: the schema of its values."""

STATES = {
    "new", "intent", "registered", "unsure", "looked_up", "delivered", "superseded", "waiting", "paused", "refused",
    "given_up", "skipped", "dropped", "shadowed", "serving", "disabled",
}  # fmt: skip

ACTIONS = {"retry", "deliver", "drop", "erase"}


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


def test_outcomes_of_token_requests() -> None:
    answers = get_args(TokenAnswer)
    assert {"renewed" if answer is Pair else answer.code for answer in answers} == TOKEN_OUTCOMES


def test_each_metric_has_its_kind_and_labels() -> None:
    collectors = [
        each
        for module in (aggregate_metrics, deliver_metrics, worker_metrics, gap_watch)
        for each in vars(module).values()
    ]
    there = {
        each._name: (each._type, tuple(each._labelnames)) for each in collectors if isinstance(each, MetricWrapperBase)
    }
    assert {name: there.get(name) for name in METRICS} == METRICS


def test_each_topic_has_its_name_and_its_schema() -> None:
    there = {str(each): each.schema for each in vars(topics).values() if isinstance(each, topics.Topic)}
    there |= {str(each): each.schema for each in map(topics.deliveries, ("bitrix24", "kommo", "webhook"))}
    assert {name: there.get(name) for name in TOPICS} == TOPICS
    declared = {topic.name for topic in declared_topics(Settings())}
    assert {f"cel2crm.{name}" for name in TOPICS} <= declared


def test_exit_statuses() -> None:
    assert STATUS == 70, "of a worker that ended hard; a mistake of the user's ends with 2"
