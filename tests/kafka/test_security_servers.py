"""TLS, logins and ACLs on a real broker: each failure has its sentence, and each part its rights and no others."""

import asyncio
import re
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from aiokafka.protocol.transaction import InitProducerIdRequest
from confluent_kafka import Consumer

from connectors.acls import parts, principal_of
from connectors.topics import declared_topics
from deploy.local import LocalStack
from streams.errors import UserError
from streams.kafka.access import OPERATIONS, Acl, create_acls, require_access
from streams.kafka.login import librdkafka_options
from streams.kafka.producer import IdempotentProducer
from streams.kafka.reach import reached, require_reach
from streams.kafka.requests import DescribeGroupsRequest, MetadataRequest
from streams.settings import KafkaSettings, Settings
from tests.certificates import Authority
from tests.cli.commands import Done, run
from tests.kafka.secured_broker import certificate_login, port_of, scram_login, secured_stack, unsigned_token
from tests.worker_installation import recorded_rows
from tests.workers.deliver.crm_installation import CrmInstallation

pytestmark = pytest.mark.servers

PREFIX = "sec"
CRM = "webhook"
PARTS = parts(Settings.model_validate({"kafka": {"topic_prefix": PREFIX}}))
WORKERS = ("aggregate", CRM)

IMPLIED = {
    "Read": "Describe",
    "Write": "Describe",
    "Delete": "Describe",
    "Alter": "Describe",
    "AlterConfigs": "DescribeConfigs",
}


def single(acls: tuple[Acl, ...]) -> list[Acl]:
    """One ACL for each operation."""
    return [replace(acl, operations=(operation,)) for acl in acls for operation in acl.operations]


LACKING = [(part, number, acl) for part in WORKERS for number, acl in enumerate(single(PARTS[part]))]


@dataclass(frozen=True)
class Secured:
    """The broker, whose authority it trusts, and who logs in how."""

    stack: LocalStack
    authority: Authority

    def kafka(self, user: str, **changed: Any) -> KafkaSettings:
        return KafkaSettings.model_validate(
            {"topic_prefix": PREFIX, **scram_login(self.stack, self.authority, user, **changed)}
        )

    def denied(self) -> list[str]:
        """What the broker refused anyone so far."""
        text = self.stack.log("kafka").read_text(encoding="utf-8")
        return re.findall(r"Principal = (User:\S+) is Denied operation = (.*?) from host", text)


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secured]:
    authority = Authority(tmp_path_factory.mktemp("certificates"))
    users = [f"{PREFIX}-{part}" for part in PARTS] + [f"{part}-without-{number}" for part, number, _ in LACKING]
    with secured_stack(authority, users) as running:
        made = Secured(running, authority)
        asyncio.run(make_topics_and_acls(made))
        yield made


async def make_topics_and_acls(secured: Secured) -> None:
    settings = Settings.model_validate({"kafka": {"topic_prefix": PREFIX}})
    rights = {principal_of(settings, part): acls for part, acls in PARTS.items()}
    rights |= {
        f"User:{part}-without-{number}": tuple(each for each in single(PARTS[part]) if each != lacking)
        for part, number, lacking in LACKING
    }
    rights["User:CN=aggregate"] = PARTS["aggregate"]
    await create_acls(secured.kafka("admin"), rights)


@dataclass
class SecuredInstallation(CrmInstallation):
    """Workers and commands, each with the login of its part."""

    login: dict[str, Any] = field(default_factory=dict)

    @property
    def tree(self) -> dict[str, Any]:
        tree = super().tree
        return {**tree, "kafka": {**tree["kafka"], **self.login}}


@pytest.fixture
async def installed(secured: Secured, tmp_path: Path) -> AsyncIterator[SecuredInstallation]:
    at = secured.stack.endpoints
    installation = SecuredInstallation(at.bootstrap_servers, at.registry_url, tmp_path, PREFIX, partitions=2, crm=CRM)
    installation.login = scram_login(secured.stack, secured.authority, f"{PREFIX}-operator")
    async with installation:  # makes the topics, as the operator
        yield installation


async def command(installation: SecuredInstallation, *words: str) -> Done:
    """`cel2crm WORDS`, with the login that the installation has now."""
    file = installation.directory / "command.yaml"
    file.write_text(yaml.safe_dump(installation.tree), encoding="utf-8")
    return await asyncio.to_thread(run, *words, "--settings", str(file))


async def test_each_part_works_with_its_rights(secured: Secured, installed: SecuredInstallation) -> None:
    before = len(secured.denied())
    workers = []
    for part in WORKERS:
        installed.login = scram_login(secured.stack, secured.authority, f"{PREFIX}-{part}")
        workers.append(installed.start_worker(part))
    rows = recorded_rows()
    linkedid = next(
        result["linkedid"] for result in installed.expected(rows).values() if result["direction"] == "incoming"
    )
    await installed.produce([row for row in rows if row["linkedid"] == linkedid])
    await installed.produce([b"no row"])  # a dead letter
    reader = Consumer(
        librdkafka_options(secured.kafka(f"{PREFIX}-reader"))
        | {"group.id": f"{PREFIX}.reader-1", "auto.offset.reset": "earliest"}
    )
    reader.subscribe([f"{PREFIX}.call-results"])
    result = await asyncio.to_thread(reader.consume, 1, 60)
    await asyncio.to_thread(reader.close)
    assert [(record.error(), record.key()) for record in result] == [(None, f"pbx1/{linkedid}".encode())]

    installed.login = scram_login(secured.stack, secured.authority, f"{PREFIX}-operator")
    async with asyncio.timeout(60):
        while "delivered" not in (shown := await command(installed, "deliveries", linkedid)).stdout:
            assert shown.status in (0, 1), shown.stderr
            assert [worker.poll() for worker in workers] == [None, None], [*map(installed.log_of, workers)]
    for words in (["topics", "show"], ["dead-letters", "list"], ["deliver", linkedid, "--yes"], ["portal", "status"]):
        done = await command(installed, *words)
        assert done.status in (0, 1), f"{words}: {done.stderr}"
    for words in (["diff"], ["run", "--into", "own", "--yes"], ["status"], ["drop", "own", "--yes"]):
        done = await command(installed, "replay", *words)
        assert done.status in (0, 1), f"replay {words}: {done.stderr}"
    assert secured.denied()[before:] == []
    installed.login = scram_login(secured.stack, secured.authority, f"{PREFIX}-reader")
    for words in (["run", "--join", "own"], ["diff"], ["publish", "--yes"]):
        done = await command(installed, "replay", *words)
        assert (done.status, "not be allowed to see it" in done.stderr) == (2, True), f"{words}: {done.stderr}"


async def test_a_token_lets_a_worker_in_and_an_expired_one_does_not(
    secured: Secured, installed: SecuredInstallation, tmp_path: Path
) -> None:
    token = tmp_path / "token"
    token.touch(mode=0o600)
    login = {"sasl_mechanism": "OAUTHBEARER", "sasl_oauthbearer_token_file": str(token), "sasl_username": None}
    login |= {"sasl_password_file": None, "bootstrap_servers": f"127.0.0.1:{port_of(secured.stack, 'kafka-oauth')}"}
    token.write_text(unsigned_token(f"{PREFIX}-aggregate", seconds=-30), encoding="utf-8")
    with pytest.raises(UserError, match="refuses the token of this client"):
        await require_reach(secured.kafka("nobody", **login))
    token.write_text(unsigned_token(f"{PREFIX}-aggregate"), encoding="utf-8")
    await require_access(secured.kafka("nobody", **login), (), PARTS["aggregate"])
    installed.login = scram_login(secured.stack, secured.authority, "nobody", **login)
    worker = installed.start_worker()
    await installed.until_taken_over(worker)
    token.write_text(unsigned_token(f"{PREFIX}-reader"), encoding="utf-8")
    with pytest.raises(UserError, match="have no ACL for whom this token names to"):
        await require_access(secured.kafka("nobody", **login), (), PARTS["aggregate"])


@pytest.mark.parametrize(
    ("changed", "words", "remedy"),
    [
        ({"bootstrap_servers": "127.0.0.1:1"}, "no Kafka broker at 127.0.0.1:1", "Start it"),
        ({"bootstrap_servers": "no-such-host.invalid:9092"}, "no such host: no-such-host.invalid", "DNS"),
        ({"sasl_password_file": None, "sasl_password": "wrong"}, "refuses the login of sec-aggregate", "password_file"),
        ({"sasl_username": "nobody"}, "refuses the login of nobody: wrong password, or no such user", "sasl_username"),
        ({"sasl_mechanism": "PLAIN"}, "takes no login by PLAIN", "sasl.enabled.mechanisms"),
        ({"ssl_ca_file": None}, "signed by nobody whom ssl_ca_file names", "Set ssl_ca_file"),
        ({"bootstrap_servers": "OPEN"}, "it does not speak TLS there|connection was closed", "open listener|no TLS"),
        ({"bootstrap_servers": "MTLS"}, "client's certificate|connection was closed", "ssl_certificate_file"),
    ],
)
async def test_each_failure_has_a_sentence(secured: Secured, changed: dict[str, Any], words: str, remedy: str) -> None:
    listeners = {
        "OPEN": secured.stack.endpoints.bootstrap_servers,
        "MTLS": f"127.0.0.1:{port_of(secured.stack, 'kafka-mtls')}",
    }
    if (named := changed.get("bootstrap_servers")) in listeners:
        changed = {"bootstrap_servers": listeners[named]}
    with pytest.raises(UserError, match=words) as raised:
        await require_reach(secured.kafka(f"{PREFIX}-aggregate", **changed))
    assert re.search(remedy, raised.value.remedy), raised.value.remedy
    assert "correct horse" not in str(raised.value)


async def test_without_tls_or_login_the_secured_listeners_say_so(secured: Secured) -> None:
    for name in ("kafka-scram", "kafka-mtls"):
        with pytest.raises(UserError, match="the connection was closed without an answer") as raised:
            await require_reach(KafkaSettings(bootstrap_servers=f"127.0.0.1:{port_of(secured.stack, name)}"))
        assert "TLS or a login" in raised.value.remedy
    tls_alone = {"sasl_mechanism": None, "sasl_username": None, "sasl_password_file": None, "security_protocol": "SSL"}
    with pytest.raises(UserError, match="connection was closed"):
        await require_reach(secured.kafka("nobody", **tls_alone))
    mutual = certificate_login(secured.stack, secured.authority, "nobody")
    mutual |= {"bootstrap_servers": f"127.0.0.1:{port_of(secured.stack, 'kafka-scram')}"}
    with pytest.raises(UserError, match="connection was closed"):
        await require_reach(KafkaSettings.model_validate(mutual))


@pytest.mark.parametrize("words", [("topics", "apply"), ("deliveries",)], ids=" ".join)
async def test_commands_say_the_same(secured: Secured, installed: SecuredInstallation, words: tuple[str, ...]) -> None:
    installed.login = scram_login(secured.stack, secured.authority, "nobody")
    done = await command(installed, *words)
    assert done.status == 2
    assert "refuses the login of nobody: wrong password, or no such user" in done.stderr


async def test_status_says_the_same(secured: Secured, installed: SecuredInstallation) -> None:
    installed.login = scram_login(secured.stack, secured.authority, "nobody")
    done = await command(installed, "status")
    assert done.status != 0
    assert "refuses the login of nobody" in " ".join(done.stdout.split())


async def test_any_right_that_is_taken_away_is_named(secured: Secured, installed: SecuredInstallation) -> None:
    for part, number, lacking in LACKING:
        with pytest.raises(UserError, match="have no ACL for user") as raised:
            await require_access(secured.kafka(f"{part}-without-{number}"), [], PARTS[part])
        told = [line.strip() for line in raised.value.problem.splitlines()[1:]]
        assert told == [f"{lacking.operations[0]} {lacking}"], f"{part} without {lacking}"
        assert "topics acls" in raised.value.remedy


async def test_a_worker_without_login_or_right_does_not_start(secured: Secured, installed: SecuredInstallation) -> None:
    group = next(number for part, number, acl in LACKING if (part, acl.resource) == ("aggregate", "group"))
    said = {
        "nobody": "refuses the login of nobody: wrong password, or no such user",
        f"aggregate-without-{group}": f"Read group {PREFIX}.aggregate",
    }
    workers = {}
    for user in said:
        installed.login = scram_login(secured.stack, secured.authority, user)
        workers[user] = installed.start_worker("aggregate")
    for user, worker in workers.items():
        assert await asyncio.to_thread(worker.wait, 60) == 2
        assert said[user] in installed.log_of(worker)


async def test_no_part_can_do_more(secured: Secured, installed: SecuredInstallation) -> None:
    names = [topic.name for topic in declared_topics(installed.settings)]
    for part, acls in PARTS.items():
        async with reached(secured.kafka(f"{PREFIX}-{part}")) as broker:
            answer = await broker.send(MetadataRequest([*names, "another.topic"]))
            for code, topic, _, _, allowed in answer.topics:
                wanted = closure(acls, "topic", topic)
                if not wanted:
                    assert code == 29, f"{part} sees {topic}"
                else:
                    assert operations_in(allowed) == wanted, f"{part} on {topic}"
            for group in (f"{PREFIX}.aggregate", f"{PREFIX}.{CRM}", "another"):
                ((code, *_, allowed),) = (await broker.send(DescribeGroupsRequest(group))).groups
                wanted = closure(acls, "group", group)
                assert (operations_in(allowed) if code == 0 else set()) == wanted, f"{part} in {group}"
            for topic in ("aggregate-checkpoints-7", f"deliveries-{CRM}-7", "deliveries-kommo-7", "other-7"):
                answer = await broker.send(InitProducerIdRequest(f"{PREFIX}.{topic}", 10_000))
                wanted = closure(acls, "transactional-id", f"{PREFIX}.{topic}")
                assert (answer.error_code != 53) == bool(wanted), f"{part} as {topic}"


def closure(acls: tuple[Acl, ...], resource: str, name: str) -> set[str]:
    """What is allowed by ACLs and their implications on one resource."""
    found = {
        operation
        for acl in acls
        if acl.resource == resource and (name.startswith(acl.name) if acl.prefixed else name == acl.name)
        for operation in acl.operations
    }
    return found | {IMPLIED[each] for each in found if each in IMPLIED}


def operations_in(allowed: int) -> set[str]:
    return {name for name, number in OPERATIONS.items() if allowed >> number & 1}


async def test_a_certificate_is_a_login_too(secured: Secured, installed: SecuredInstallation) -> None:
    login = certificate_login(secured.stack, secured.authority, "aggregate")
    kafka = KafkaSettings.model_validate({"topic_prefix": PREFIX, **login})
    await require_access(kafka, [kafka.topic("cel")], PARTS["aggregate"])
    producer = IdempotentProducer(kafka)
    await producer.start()
    sent = await producer.send(kafka.topic("call-legs"), b"key", None)
    await sent
    await producer.stop()
    other = KafkaSettings.model_validate({**login, **certificate_login(secured.stack, secured.authority, "other")})
    with pytest.raises(UserError, match="no ACL for the certificate of"):
        await require_access(other, [kafka.topic("cel")], PARTS["aggregate"])


async def test_an_operator_makes_no_acls(secured: Secured, installed: SecuredInstallation) -> None:
    done = await command(installed, "topics", "acls", "--apply")
    assert done.status == 2
    assert f"make no ACLs for user {PREFIX}-operator" in done.stderr
    assert "may Alter the cluster" in done.stderr
    installed.login = scram_login(secured.stack, secured.authority, "admin")
    done = await command(installed, "topics", "acls", "aggregate", "--apply")
    assert (done.status, done.stdout) == (
        0,
        f"aggregate: User:{PREFIX}-aggregate has its {len(single(PARTS['aggregate']))} ACLs\n",
    )
