"""MySQL 8 as a source: prepared, and not usable yet.

source.yaml         the connector's configuration: Kafka Connect accepts it, no server was at hand to follow with it
capture_user.sql    the user's grants, by MySQL's documentation

`cel2crm connectors apply` refuses the engine until checks and history of a server, as ../mariadb has them, were tried
on one: a server that loses rows has to be told.
"""
