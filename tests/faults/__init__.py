"""Delivery under faults: every one at every step, workers killed and stopped, the soak."""
