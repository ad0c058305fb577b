"""The declaration of each part's rights, as lines of kafka-acls.sh and as JSON."""

import json
from typing import Any

import pytest

from connectors.acls import acls_of, command_lines, parts, principal_of
from connectors.topics import declared_topics
from streams.crm.registry import registered
from streams.errors import UserError
from streams.kafka.access import OPERATIONS
from streams.settings import Settings
from streams.workers.aggregate.worker import AggregateWorker
from streams.workers.deliver.worker import DeliverWorker
from tests.cli.commands import run


def settings(**kafka: Any) -> Settings:
    return Settings.model_validate(
        {"pbx": {"name": "office"}, "other_pbxs": [{"name": "branch"}], "kafka": {"topic_prefix": "acme", **kafka}}
    )


def test_each_part_and_each_crm_has_its_rights() -> None:
    assert list(parts(settings())) == ["connect", "aggregate", *registered().kinds, "operator", "reader"]


def test_only_topics_that_exist_are_named() -> None:
    known = {topic.name for topic in declared_topics(settings())}
    for part, acls in parts(settings()).items():
        for acl in acls:
            assert set(acl.operations) <= OPERATIONS.keys()
            if acl.resource == "topic" and not acl.prefixed:
                assert acl.name in known, f"{part}: {acl}"


def test_a_worker_may_use_every_topic_that_it_needs() -> None:
    portal = {"name": "main", "crm": "webhook", "webhook_url": "https://crm.example.org/calls", "secret": "whsec_MTIz"}
    served = Settings.model_validate({"kafka": {"topic_prefix": "acme"}, "portals": [portal]})
    for worker in (AggregateWorker(served), DeliverWorker(served, "webhook")):
        named = {acl.name for acl in acls_of(settings(), worker.name) if acl.resource == "topic"}
        assert {settings().kafka.topic(each) for each in (*worker.consumes, *worker.needs)} <= named


def test_each_pbx_has_its_own_lines() -> None:
    names = [acl.name for acl in acls_of(settings(), "connect")]
    for pbx in ("office", "branch"):
        assert {f"acme.schema-history.{pbx}", f"__debezium-heartbeat.{pbx}", f"{pbx}-schemahistory"} <= set(names)


@pytest.mark.parametrize("part", ["aggregate", "webhook", "reader", "connect"])
def test_only_the_operator_writes_signals_and_commands(part: str) -> None:
    for acl in acls_of(settings(), part):
        if "Write" in acl.operations:
            assert acl.name not in ("acme.signals", "acme.delivery-commands", "acme.capture-state")
            assert not acl.prefixed or acl.resource == "transactional-id" or acl.name == "connect-"


def test_lines_for_kafkas_own_tool() -> None:
    lines = list(command_lines(settings(), "aggregate", acls_of(settings(), "aggregate")))
    assert lines[0] == "kafka-acls.sh --add --allow-principal 'User:acme-aggregate' --operation Read --topic 'acme.cel'"
    assert [line for line in lines if "--transactional-id" in line] == [
        "kafka-acls.sh --add --allow-principal 'User:acme-aggregate' --operation Write "
        "--transactional-id 'acme.aggregate-checkpoints-' --resource-pattern-type prefixed"
    ]


def test_a_principal_of_ones_own() -> None:
    named = settings(principals={"aggregate": "User:CN=aggregate,O=acme"})
    assert principal_of(named, "aggregate") == "User:CN=aggregate,O=acme"
    assert principal_of(named, "kommo") == "User:acme-kommo"
    for wrong in ("aggregate", "User:a'b"):
        with pytest.raises(ValueError, match="a principal is written as"):
            settings(principals={"aggregate": wrong})


def test_the_command_prints_and_names_unknown_parts() -> None:
    done = run("topics", "acls")
    assert done.status == 0
    assert [line for line in done.stdout.splitlines() if line.startswith("#")] == [
        f"# {part}" for part in parts(Settings())
    ]
    told = json.loads(run("topics", "acls", "reader", "--json").stdout)
    assert told[0] == {
        "part": "reader",
        "principal": "User:cel2crm-reader",
        "resource": "topic",
        "name": "cel2crm.call-results",
        "pattern": "literal",
        "operations": ["Read"],
    }
    with pytest.raises(UserError, match="there is no part nobody"):
        acls_of(Settings(), "nobody")
