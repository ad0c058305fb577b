"""Prometheus metrics of every worker (served on worker.metrics_port)."""

from prometheus_client import Gauge

HELD_PARTITIONS = Gauge("cel2crm_held_partitions", "Partitions that the consumer group gave to this process")
