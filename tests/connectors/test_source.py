"""The source's configuration as a table: the setting, and what it does to the configuration."""

from typing import Any

import pytest
import yaml

from connectors.engines import engine_of
from connectors.failures import explain, root_cause
from connectors.placeholders import fill
from connectors.source import FOLDER, captured_topic, connector_name, server_id, source_config, topics_of
from connectors.topics import declared_topics
from streams.errors import SettingsError
from streams.settings import Settings


def config(**sections: Any) -> dict[str, str]:
    return source_config(Settings(**sections))


DEFAULT = config()


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("skipped.operations", "u,d,t"),
        ("snapshot.mode", "no_data"),
        ("snapshot.locking.mode", "none"),
        ("read.only", "true"),
        ("signal.enabled.channels", "kafka"),
        ("signal.poll.interval.ms", "500"),
        ("signal.consumer.auto.offset.reset", "earliest"),
        ("include.schema.changes", "false"),
        ("time.precision.mode", "isostring"),
        ("connect.keep.alive.interval.ms", "5000"),
        ("heartbeat.interval.ms", "5000"),
        ("errors.tolerance", "none"),
        ("transforms", "unwrap,keyFromRow,bareKey,route"),
        ("transforms.unwrap.add.fields", "op,source.ts_ms,source.snapshot,source.name"),
        ("key.converter", "org.apache.kafka.connect.storage.StringConverter"),
        ("value.converter.schemas.enable", "false"),
    ],
)
def test_what_was_found_by_running_it_stays(field: str, value: str) -> None:
    assert DEFAULT[field] == value


def test_the_message_key_stays_debeziums_own() -> None:
    assert "message.key.columns" not in DEFAULT


@pytest.mark.parametrize("step", DEFAULT["transforms"].split(","))
def test_heartbeats_are_left_alone_by_every_step(step: str) -> None:
    assert DEFAULT[f"transforms.{step}.predicate"] == "isCel"


@pytest.mark.parametrize(
    ("sections", "changed"),
    [
        ({"pbx": {"name": "pbx1"}}, {}),
        (
            {"database": {"host": "db.example", "port": 3307, "user": "reader"}},
            {"database.hostname": "db.example", "database.port": "3307", "database.user": "reader"},
        ),
        (
            {"database": {"column_name_aliases": {"cel_linkedid": "call"}}},
            {"transforms.keyFromRow.fields": "call", "transforms.bareKey.field": "call"},
        ),
        (
            {"database": {"name": "my-cdr", "table": "cel$1"}},
            {
                "database.include.list": r"my\-cdr",
                "table.include.list": r"my\-cdr\.cel\$1",
                "predicates.isCel.pattern": r"pbx1\.my\-cdr\.cel_1",
                "transforms.route.regex": r"pbx1\.my\-cdr\.cel_1",
            },
        ),
        (
            {"kafka": {"bootstrap_servers": "k:1", "topic_prefix": "acme"}},
            {
                "signal.kafka.bootstrap.servers": "k:1",
                "schema.history.internal.kafka.bootstrap.servers": "k:1",
                "signal.kafka.topic": "acme.signals",
                "signal.kafka.groupId": "acme.signals.pbx1",
                "schema.history.internal.kafka.topic": "acme.schema-history.pbx1",
                "transforms.route.replacement": "acme.cel",
            },
        ),
        ({"connect": {"password_reference": "${env:CEL_PASSWORD}"}}, {"database.password": "${env:CEL_PASSWORD}"}),
    ],
)
def test_a_setting_changes_what_it_names_and_nothing_else(sections: dict[str, Any], changed: dict[str, str]) -> None:
    assert config(**sections) == DEFAULT | changed


def test_the_password_is_never_in_the_configuration() -> None:
    assert "hunter2" not in str(config(database={"password": "hunter2"}))


def test_a_password_in_the_place_of_the_reference_is_refused_and_not_shown() -> None:
    with pytest.raises(SettingsError, match=r"connect\.password_reference") as caught:
        config(connect={"password_reference": "hunter2"})
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("engine", ["mariadb", "mysql", "postgresql"])
def test_every_engine_of_the_settings_can_be_captured_and_names_its_own_user_file(engine: str) -> None:
    settings = Settings.model_validate({"database": {"engine": engine}})
    assert source_config(settings)["connector.class"].startswith("io.debezium.connector.")
    remedies = " ".join(each.remedy for each in engine_of(settings).known_failures[:12])
    assert f"connectors/{engine}/capture_user.sql" in remedies


def test_two_pbxs_differ_in_everything_that_must_not_be_shared() -> None:
    one, two = config(), config(pbx={"name": "pbx2"})
    for field in ("database.server.id", "topic.prefix", "signal.kafka.groupId", "schema.history.internal.kafka.topic"):
        assert one[field] != two[field]
    assert connector_name(Settings()) == "cel2crm-pbx1"
    assert server_id("pbx1") == server_id("pbx1")
    assert all(0x4000_0000 <= server_id(f"pbx{n}") < 2**31 for n in range(1000))


def test_every_topic_that_the_connector_needs_is_declared() -> None:
    settings = Settings()
    assert set(topics_of(settings).values()) <= {topic.name for topic in declared_topics(settings)}
    assert captured_topic(settings) == "pbx1.asteriskcdrdb.cel"


def test_an_unknown_placeholder_is_named() -> None:
    with pytest.raises(LookupError, match=r"nothing is known as <kafka\.colour>; there are <a>"):
        fill({"x": ["-<kafka.colour>-"]}, {"a": 1})


def test_a_lone_placeholder_keeps_its_type() -> None:
    assert fill({"n": "<a>", "t": "n=<a>", "other": 3}, {"a": 1}) == {"n": 1, "t": "n=1", "other": 3}


@pytest.mark.parametrize("engine", ["mariadb", "mysql", "postgresql"])
def test_the_source_file_is_readable_yaml_without_doubles(engine: str) -> None:
    text = (FOLDER / engine / "source.yaml").read_text(encoding="utf-8")
    keys = [line.split(":")[0] for line in text.splitlines() if line and not line.startswith("#")]
    assert len(keys) == len(set(keys)) == len(yaml.safe_load(text))


@pytest.mark.parametrize(
    ("trace", "line"),
    [
        ("x\nCaused by: java.sql.SQLException: Access denied for user 'u'@'h'", "the database refuses user u"),
        ("java.net.UnknownHostException: nowhere.invalid: Name", "host nowhere.invalid is not known"),
        ("Socket fail to connect to 10.0.0.1:3306. Connection refused", "no database answers at 10.0.0.1:3306"),
        ("ServerException: Could not find first log file name in binary log index", "purged before it was"),
        ("ServerException: Error code: 1236", "purged before it was"),
        ('NullPointerException: .. because "this.gtidSet" is null', "binlog holds no transaction yet"),
        ("...which is no longer available on the server. Reconfigure", "purged before it was"),
        ("Topic cel2crm.cel not present in metadata after 60000 ms.", "topic cel2crm.cel does not exist"),
        ("Access denied; you need (at least one of) the BINLOG MONITOR privilege(s)", "privilege BINLOG MONITOR"),
        ("SELECT command denied to user 'u'@'h' for table", "user u may not read the table"),
        ("ConfigException: Could not read properties from file /x/y", "the file with the password (/x/y)"),
    ],
)  # fmt: skip
def test_a_trace_becomes_one_understandable_line(trace: str, line: str) -> None:
    failure = explain(trace)
    assert line in failure.reason
    assert "\n" not in str(failure)
    assert failure.remedy


def test_an_unknown_trace_gives_its_innermost_cause() -> None:
    trace = (
        "a.b.Outer: one\n\tat x.Y(Z.java:1)\n"
        "Caused by: c.d.Middle: two\n\tat x\n\t... 3 more\n"
        "Caused by: e.f.Inner: three\n\tat y"
    )
    assert root_cause(trace) == "Inner: three"
    assert root_cause("") == "no reason is given"
    assert len(root_cause("x" * 1000)) == 300


def test_secrets_are_masked_in_a_trace() -> None:
    assert (
        explain("e.f.Inner: jdbc:mariadb://h?password=hunter2", ["hunter2", ""]).reason
        == "Inner: jdbc:mariadb://h?password=***"
    )
