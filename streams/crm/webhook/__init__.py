"""Any receiver of Standard Webhooks."""
