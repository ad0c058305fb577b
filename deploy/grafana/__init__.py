"""Dashboards for Grafana over the views of connectors/sinks/jdbc, made from code by `python -m deploy.grafana`.

dashboards.py    which panels there are, and their queries
model.py         panels and dashboards as Grafana imports them
*.json           what they make, for people who import it (docs/analytics.md)
"""
