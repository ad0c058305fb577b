"""Capture: the Debezium source in Kafka Connect, and the topics that it needs.

topics.py         every topic of the product, made from topics.yaml
source.py         the connector's configuration, made from <engine>/source.yaml
client.py         Kafka Connect's REST interface
failures.py       Java stack traces as one line for a person
heartbeat.py      Debezium's sign of life
apply.py          `connectors apply`: check, apply, wait until it works
watch.py          `connectors watch`: restart what fails, unless rows are missing
mariadb/          checks of a MariaDB server, its source.yaml, its capture user
"""
