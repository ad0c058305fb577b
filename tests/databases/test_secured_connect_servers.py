"""Kafka Connect and Debezium on a broker with TLS, SCRAM and ACLs: with the rights of the declaration alone."""

import asyncio
import json
import re
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace

import pytest
from confluent_kafka.admin import AdminClient, _acl, _resource  # the package exports them without saying so

from connectors.acls import acls_of
from connectors.apply import apply_source, connect_client
from connectors.source import connector_name, topics_of
from connectors.topics import apply_topics
from deploy.local import LocalStack
from streams.kafka.access import Acl, create_acls
from streams.kafka.topic_client import KafkaTopics
from streams.operations.backfill import signals_of
from streams.settings import KafkaSettings
from streams.settings.connections import ConnectKafkaSettings
from tests.certificates import Authority
from tests.connectors.capturing import applied, captured, command, silent, until_logged, watching
from tests.connectors.installation import Installation
from tests.kafka.secured_broker import PASSWORD, connect_login, scram_login, secured_stack

pytestmark = pytest.mark.servers

PREFIX = "secured"
CONNECT, OPERATOR = f"{PREFIX}-connect", f"{PREFIX}-operator"


class SecuredPbx(Installation):
    """A PBX whose commands log in as the operator, and whose connector's clients as Connect."""

    def __init__(self, stack: LocalStack, authority: Authority) -> None:
        super().__init__(stack)
        self.authority = authority
        kafka = {"topic_prefix": PREFIX, "partitions": 2, **scram_login(stack, authority, OPERATOR)}
        login = ConnectKafkaSettings.model_validate(connect_login(authority, CONNECT))
        self.settings = self.settings.model_copy(
            update={
                "kafka": KafkaSettings.model_validate(kafka),
                "connect": self.settings.connect.model_copy(update={"kafka": login}),
            }
        )
        self.topic = self.settings.kafka.topic("cel")

    def right(self, resource: str, name: str) -> Acl:
        """One of Connect's in the declaration."""
        return next(acl for acl in acls_of(self.settings, "connect") if (acl.resource, acl.name) == (resource, name))

    async def allow(self, user: str, *acls: Acl) -> None:
        """Make rights, as an administrator."""
        await create_acls(
            KafkaSettings.model_validate(scram_login(self.stack, self.authority, "admin")), {f"User:{user}": acls}
        )

    async def take_away(self, acl: Acl, *operations: str) -> None:
        """Some of Connect's rights on one resource; all of them where none is named."""
        client = AdminClient({"bootstrap.servers": self.stack.endpoints.bootstrap_servers})
        kind = {"topic": _resource.ResourceType.TOPIC, "group": _resource.ResourceType.GROUP}[acl.resource]
        found = _acl.AclBindingFilter(
            kind, acl.name, _resource.ResourcePatternType.LITERAL, f"User:{CONNECT}", None,  # type: ignore[arg-type]
            _acl.AclOperation.ANY, _acl.AclPermissionType.ANY,
        )  # fmt: skip
        assert [each.result(30) for each in client.delete_acls([found]).values()] != [[]]
        if rest := tuple(each for each in acl.operations if operations and each not in operations):
            await self.allow(CONNECT, replace(acl, operations=rest))

    async def restart(self) -> None:
        """The connector anew, as Connect's own restart does it."""
        async with connect_client(self.settings) as connect:
            await connect.restart(connector_name(self.settings), only_failed=False)

    def denied(self) -> list[tuple[str, str]]:
        """What the broker refused Connect so far: operation and resource."""
        text = self.stack.log("kafka").read_text(encoding="utf-8")
        return re.findall(rf"Principal = User:{CONNECT} is Denied operation = (\w+) .*? on resource = (\S+)", text)

    async def until_backfilled(self, linkedid: str, times: int) -> None:
        """Wait until a call's row has come so often by backfills."""
        async with KafkaTopics(self.settings.kafka) as topics, asyncio.timeout(60):
            while await self.backfilled(topics, linkedid) < times:  # noqa: ASYNC110
                await asyncio.sleep(0.2)

    async def backfilled(self, topics: KafkaTopics, linkedid: str) -> int:
        rows = [json.loads(record.value or b"{}") async for record in topics.read(self.topic)]
        return sum(row["__op"] == "r" and row["linkedid"] == linkedid for row in rows)

    async def signal(self, linkedid: str) -> None:
        """What `cel2crm backfill` sends."""
        async with KafkaTopics(self.settings.kafka) as topics:
            await topics.send(signals_of(self.settings, [linkedid]))


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[LocalStack, Authority]]:
    authority = Authority(tmp_path_factory.mktemp("certificates"))
    with secured_stack(authority, [CONNECT, OPERATOR], connect=CONNECT) as stack:
        yield stack, authority


@pytest.fixture
async def pbx(running: tuple[LocalStack, Authority]) -> AsyncIterator[SecuredPbx]:
    made = SecuredPbx(*running)
    await made.allow(CONNECT, *acls_of(made.settings, "connect"))
    await made.allow(OPERATOR, *acls_of(made.settings, "operator"))
    made.make_database()
    await apply_topics(made.settings)
    assert await applied(made.settings) == "created"
    try:
        yield made
    finally:
        async with connect_client(made.settings) as connect:
            await connect.delete(connector_name(made.settings))


async def test_rows_and_backfills_come_with_the_least_rights_and_no_secret_is_in_the_configuration(
    pbx: SecuredPbx,
) -> None:
    await captured(pbx, "1795480300.1")
    await pbx.signal("1795480300.1")
    await pbx.until_backfilled("1795480300.1", 1)
    assert (await command(pbx, "status")).exit_code == 0
    assert pbx.denied() == []
    async with connect_client(pbx.settings) as connect:
        config = json.dumps(await connect.config(connector_name(pbx.settings)))
    assert PASSWORD not in config and pbx.stack.endpoints.secret("cel.password") not in config
    for client in ("signal.consumer", "schema.history.internal.producer", "schema.history.internal.consumer"):
        assert f'"{client}.security.protocol": "SASL_SSL"' in config
    assert config.count(":kafka.password}") == 3


@pytest.mark.parametrize(
    ("resource", "name", "operation"),
    [
        ("topic", "{prefix}.schema-history.{pbx}", "Read"),
        ("topic", "{prefix}.cel", "Write"),
        ("topic", "__debezium-heartbeat.{pbx}", "Write"),
    ],
)
async def test_each_right_that_is_taken_away_is_named_and_its_return_loses_nothing(
    pbx: SecuredPbx, resource: str, name: str, operation: str
) -> None:
    await captured(pbx, "1795480300.1")
    acl = pbx.right(resource, name.format(prefix=PREFIX, pbx=pbx.name))
    await pbx.take_away(acl, operation)
    await pbx.restart()
    pbx.insert(["1795480300.2"])
    sentence = f"may not use {acl.name}: the brokers have no ACL"
    async with asyncio.timeout(60):
        while sentence not in (told := await command(pbx, "status")).stdout:  # noqa: ASYNC110
            await asyncio.sleep(0.5)
    assert told.exit_code == 1
    assert "cel2crm topics acls connect --apply" in told.stdout
    async with watching(pbx, silence_seconds=30) as lines:
        failed = await until_logged(lines, "failed")
        assert acl.name in failed["reason"]
        await pbx.allow(CONNECT, acl)
        await captured(pbx, "1795480300.3")
    async with KafkaTopics(pbx.settings.kafka) as topics:
        keys = {record.key async for record in topics.read(pbx.topic)}
    assert {b"1795480300.1", b"1795480300.2", b"1795480300.3"} <= keys


@pytest.mark.parametrize("resource", ["topic", "group"])
async def test_signals_that_were_refused_are_read_after_the_restart_that_backfill_names(
    pbx: SecuredPbx, resource: str
) -> None:
    await captured(pbx, "1795480300.1")
    signals = topics_of(pbx.settings)["topics.signals"]
    acl = pbx.right(resource, signals if resource == "topic" else f"{PREFIX}.signals.{pbx.name}")
    await pbx.take_away(acl)
    await pbx.restart()
    before = len(pbx.denied())
    await pbx.signal("1795480300.1")
    async with asyncio.timeout(60):
        while len(pbx.denied()) == before:  # noqa: ASYNC110
            await asyncio.sleep(0.2)
    # Rows come all the same, and nothing of Connect's tells: it is backfill that says that nothing is read.
    await captured(pbx, "1795480300.2")
    async with asyncio.timeout(60):  # it is RESTARTING yet
        while "RUNNING, task 0 RUNNING" not in (told := await command(pbx, "status")).stdout:  # noqa: ASYNC110
            await asyncio.sleep(0.5)
    assert "ACL" not in told.stdout
    await pbx.allow(CONNECT, acl)
    assert (await apply_source(pbx.settings, silent, restart=True)).action == "restarted"
    await pbx.until_backfilled("1795480300.1", 1)
