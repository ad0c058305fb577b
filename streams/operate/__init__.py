"""What operators do by command: look at deliveries and dead letters, retry, deliver, drop, backfill."""
