"""Flink SQL of docs/analytics.md, on a cluster within one process, beside real servers: `make test-flink`."""
