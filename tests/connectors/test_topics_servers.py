"""Topics on a real broker."""

import pytest

from connectors.topics import apply_topics, missing_topics, topic_table
from deploy.local import LocalStack
from streams.errors import UserError
from streams.kafka.admin import KafkaAdmin
from streams.settings import Settings
from tests.brokers import brokers

pytestmark = pytest.mark.servers


def settings_of(stack: LocalStack, prefix: str, **kafka: object) -> Settings:
    section = {"bootstrap_servers": stack.endpoints.bootstrap_servers, "topic_prefix": prefix, "partitions": 2, **kafka}
    return Settings.model_validate({"pbx": {"name": prefix}, "kafka": section})


async def test_applied_once_twice_and_dry(stack: LocalStack) -> None:
    settings = settings_of(stack, "topics1")
    for dry_run in (True, True, False):
        assert {change.action for change in await apply_topics(settings, dry_run=dry_run)} == {"create"}
    assert {change.action for change in await apply_topics(settings)} == {"unchanged"}
    assert {row[-1] for row in await topic_table(settings)} == {"as declared"}


async def test_a_retention_is_raised_and_what_the_operator_set_stays(stack: LocalStack) -> None:
    settings = settings_of(stack, "topics2")
    await apply_topics(settings)
    async with KafkaAdmin(brokers(stack.endpoints.bootstrap_servers)) as admin:
        await admin.alter("topics2.cel", {"segment.ms": "123456"})
    raised = settings_of(stack, "topics2", retention_days=60)
    changed = {change.topic for change in await apply_topics(raised) if change.action == "alter"}
    assert changed == {"topics2.cel", "topics2.call-results", "topics2.call-legs", "topics2.iceberg-control"}
    async with KafkaAdmin(brokers(stack.endpoints.bootstrap_servers)) as admin:
        config = (await admin.topics(["topics2.cel"]))["topics2.cel"].own
    assert (config["retention.ms"], config["segment.ms"]) == (str(60 * 86_400_000), "123456")


async def test_a_refusal_names_each_topic_and_leaves_all_of_them(stack: LocalStack) -> None:
    await apply_topics(settings_of(stack, "topics3"))
    before = await topic_table(settings_of(stack, "topics3"))
    with pytest.raises(UserError, match=r"topics3\.cel has 2 partitions, not 5") as caught:
        await apply_topics(settings_of(stack, "topics3", partitions=5, retention_days=90))
    assert "topics3.call-results" in str(caught.value)
    with pytest.raises(UserError, match="--shrink"):
        await apply_topics(settings_of(stack, "topics3", retention_days=1))
    assert await topic_table(settings_of(stack, "topics3")) == before
    shrunk = await apply_topics(settings_of(stack, "topics3", retention_days=1), shrink=True)
    assert "topics3.cel" in {change.topic for change in shrunk if change.action == "alter"}


async def test_a_compacted_cel_topic_is_refused(stack: LocalStack) -> None:
    async with KafkaAdmin(brokers(stack.endpoints.bootstrap_servers)) as admin:
        await admin.create("topics4.cel", 2, 1, {"cleanup.policy": "compact"})
    with pytest.raises(UserError, match=r"topics4\.cel has cleanup\.policy compact, not delete"):
        await apply_topics(settings_of(stack, "topics4"))
    assert await missing_topics(settings_of(stack, "topics4"), ["topics4.cel", "topics4.call-legs"]) == [
        "topics4.call-legs"
    ]


async def test_what_the_broker_refuses_is_told(stack: LocalStack) -> None:
    with pytest.raises(UserError, match=r"(?s)cannot be made: .*Set kafka.replication_factor, now "):
        await apply_topics(settings_of(stack, "topics5", replication_factor=3))
