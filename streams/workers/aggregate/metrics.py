"""Prometheus metrics of the aggregate worker (served on worker.metrics_port)."""

from prometheus_client import Counter, Gauge

from streams.dead_letter_reasons import DeadLetterReason

ROWS = Counter("cel2crm_cel_rows", "CEL rows taken from the topic, repeated ones included")
RESULTS = Counter("cel2crm_call_results", "Versions of call results sent", ["origin"])
DEAD_LETTERS = Counter("cel2crm_aggregate_dead_letters", "Rows that went to the dead letters", ["reason"])
WARNINGS = Counter(
    "cel2crm_call_cautions",
    "Results that show what an operator can mend: direction_unknown, caller_rows_missing, no_bridge_rows, "
    "zone_disagrees, event_unknown, time_unreadable, rows_unreadable, extra_unusable",
    ["caution"],
)
TWO_STATUS_MODE = Gauge("cel2crm_old_way_chosen", "1: cel_extra is `id`, all details of calls are given away")
OPEN_CALLS = Gauge("cel2crm_open_calls", "Calls that have not ended")
KEPT_CALLS = Gauge("cel2crm_kept_calls", "Calls in memory: open, or within the grace time after their end")
LAG = Gauge("cel2crm_aggregate_lag_rows", "Rows on the topic that are not taken yet", ["partition"])
RETENTION_MARGIN = Gauge(
    "cel2crm_aggregate_retention_margin_rows",
    "Offsets from the first that the topic still holds to the next row; below 0: rows were lost",
    ["partition"],
)
LOST = Counter(
    "cel2crm_lost_rows", "Rows that were gone, or passed over by hand, before they were taken", ["partition"]
)
LAST_CHECKPOINT = Gauge(
    "cel2crm_aggregate_last_checkpoint_timestamp_seconds", "When the last checkpoint was confirmed", ["partition"]
)

COMPLETE_UNTIL = Gauge(
    "cel2crm_complete_until_timestamp_seconds",
    "Every call that began before is on the results' topic, as far as a partition of the rows is concerned",
    ["pbx", "partition"],
)


def count_lost(partition: int, rows: int) -> None:
    """Count rows that were lost, and their dead letter."""
    LOST.labels(partition).inc(rows)
    DEAD_LETTERS.labels(DeadLetterReason.EXPIRED_ROWS.code).inc()
