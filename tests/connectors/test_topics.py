"""What may be changed of a topic, and what is refused."""

import pytest
from aiohttp.test_utils import unused_port

from connectors.topics import Topic, apply_topics, change_of, declared_topics, refusals_of
from streams.errors import UserError
from streams.kafka.admin import ExistingTopic
from streams.settings import Settings

DAY = 24 * 3600 * 1000
TOPIC = Topic("t", 6, 1, {"cleanup.policy": "delete", "retention.ms": str(30 * DAY), "max.message.bytes": "4194304"})


def present(partitions: int = 6, **config: str) -> ExistingTopic:
    settings = {**TOPIC.config, **{name.replace("_", "."): value for name, value in config.items()}}
    return ExistingTopic("t", partitions, 1, settings, settings)


def test_a_missing_topic_is_made() -> None:
    assert change_of(TOPIC, None).action == "create"
    assert change_of(TOPIC, None).details == ("6 partitions", "delete")


def test_a_topic_as_declared_is_left() -> None:
    assert change_of(TOPIC, present()).action == "unchanged"
    assert refusals_of(TOPIC, present()) == []


def test_a_raised_retention_is_a_change() -> None:
    change = change_of(TOPIC, present(retention_ms=str(DAY)))
    assert (change.action, change.details) == ("alter", (f"retention.ms {DAY} -> {30 * DAY}",))
    assert refusals_of(TOPIC, present(retention_ms=str(DAY))) == []


@pytest.mark.parametrize("longer", [str(31 * DAY), "-1"])
def test_a_lower_retention_is_refused_unless_meant(longer: str) -> None:
    (line,) = refusals_of(TOPIC, present(retention_ms=longer))
    assert "Kafka would delete records" in line and "--shrink" in line
    assert refusals_of(TOPIC, present(retention_ms=longer), shrink=True) == []


@pytest.mark.parametrize("partitions", [3, 12])
def test_other_partitions_are_refused_always(partitions: int) -> None:
    (line,) = refusals_of(TOPIC, present(partitions), shrink=True)
    assert f"t has {partitions} partitions, not 6" in line and f"set it back to {partitions}" in line


def test_another_cleanup_policy_is_refused_always() -> None:
    (line,) = refusals_of(TOPIC, present(cleanup_policy="compact"), shrink=True)
    assert "cleanup.policy compact, not delete" in line and "by hand" in line


@pytest.mark.parametrize("name", ["cel", "call-results", "call-legs", "dead-letters"])
def test_a_topic_whose_records_each_count_is_never_compacted(name: str) -> None:
    topics = {topic.name: topic for topic in declared_topics(Settings())}
    assert topics[f"cel2crm.{name}"].config["cleanup.policy"] == "delete"


@pytest.mark.parametrize(
    "name", ["aggregate-checkpoints", "deliveries-bitrix24", "deliveries-kommo", "deliveries-webhook"]
)
def test_state_is_compacted_and_lies_beside_its_input(name: str) -> None:
    topics = {topic.name: topic for topic in declared_topics(Settings())}
    state = topics[f"cel2crm.{name}"]
    assert state.config["cleanup.policy"] == "compact"
    assert "retention.ms" not in state.config
    assert state.partitions == topics["cel2crm.cel"].partitions == topics["cel2crm.call-results"].partitions


def test_settings_decide_sizes_and_each_pbx_has_its_own_heartbeat() -> None:
    kafka = {"partitions": 3, "replication_factor": 3, "retention_days": 7, "topic_prefix": "acme"}
    settings = Settings.model_validate({"kafka": kafka, "other_pbxs": [{"name": "east"}]})
    topics = {topic.name: topic for topic in declared_topics(settings)}
    cel = topics["acme.cel"]
    assert (cel.partitions, cel.replication, cel.config["retention.ms"]) == (3, 3, str(7 * DAY))
    assert cel.config["min.insync.replicas"] == "2"
    assert {"__debezium-heartbeat.pbx1", "__debezium-heartbeat.east"} <= set(topics)
    assert topics["acme.schema-history.east"].config["retention.ms"] == "-1"
    assert topics["acme.signals"].partitions == 1


async def test_no_broker_is_one_clear_message() -> None:
    port = unused_port()
    settings = Settings.model_validate({"kafka": {"bootstrap_servers": f"127.0.0.1:{port}"}})
    with pytest.raises(UserError, match=rf"no Kafka broker at 127\.0\.0\.1:{port}") as caught:
        await apply_topics(settings)
    assert "kafka.bootstrap_servers" in caught.value.remedy
