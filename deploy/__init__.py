"""Ways to run the product here: none of it is installed with it.

local/      Kafka, Connect with Debezium, the registry and MariaDB as processes on loopback, for tests and demo
fake_crms/  Bitrix24, Kommo and a webhook's receiver as the vendors document them, faults included
demo/       the whole pipeline with recorded calls (`make demo`)
"""
