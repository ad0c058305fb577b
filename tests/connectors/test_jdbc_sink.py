"""A sink's configurations fit its tables and the schemas: a column without a field would stop it, or stay empty."""

from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

import schemas
from connectors.acls import acls_of
from connectors.failures import explain
from connectors.sinks.failures import SINK_KNOWN
from connectors.sinks.jdbc.checks import Column, Present, refusals_of
from connectors.sinks.jdbc.config import sink_configs
from connectors.sinks.jdbc.tables import PARTS, fields_of, sql_file, tables_in, views_in
from connectors.sinks.shared import connector_of, sink_named
from streams.cli.connectors import app
from streams.errors import SettingsError
from streams.settings import Settings
from tests.connectors.test_sql_views_servers import is_array

ENGINES = ("postgresql", "mariadb")
LEFT_OUT = {
    "deliveries": {
        "steps_done", "result", "intent", "doubt", "gone", "not_found_since", "crm_ids", "sent_hash", "sent",
        "unmatched", "history", "orders", "source_topic", "source_partition", "source_offset", "result_schema",
        "follow_ups", "compared_hash", "sent_compared_hash",
    },
    "dead-letters": {"key", "value", "headers"},
}  # fmt: skip
"""Fields that have no column on purpose: nested ones, bytes, and what only the worker needs."""


def settings_with(engine: str, **fields: Any) -> Settings:
    return Settings.model_validate(
        {"sinks": [{"engine": engine, **fields}], "registry": {"url": "http://registry:8080/apis/ccompat/v7"}}
    )


def configs_with(engine: str, **fields: Any) -> dict[Any, dict[str, str]]:
    settings = settings_with(engine, **fields)
    return sink_configs(settings, settings.sinks[0])


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("engine", ENGINES)
def test_a_connector_fits_its_table_and_schema(engine: str, part: Any) -> None:
    config, kind = configs_with(engine)[part], PARTS[part]
    table = tables_in(sql_file(settings_with(engine).sinks[0]).read_text(encoding="utf-8"))[kind.table]
    fields = {field["name"]: field for field in schemas.load(kind.schema)["fields"]}
    taken = config["transforms.columns.include"].split(",")
    assert taken == fields_of(kind, table)
    arrays = {name for name, field in fields.items() if is_array(field["type"])} if engine == "mariadb" else set()
    assert set(taken) == fields.keys() - LEFT_OUT.get(part, set()) - arrays
    assert config["collection.name.format"] == table.name
    assert tuple(config["primary.key.fields"].split(",")) == table.key
    for name in taken:
        column = table.columns[kind.renamed.get(name, name)]
        assert ("not null" in column) is not isinstance(fields[name]["type"], list), name
        assert column.startswith("text[]") is is_array(fields[name]["type"])
    assert {*kind.headers, *(kind.place or ())} == table.columns.keys() - {
        kind.renamed.get(name, name) for name in taken
    }


@pytest.mark.parametrize(
    ("engine", "fields", "told"),
    [
        ("postgresql", {}, ""),
        ("mariadb", {}, ""),
        ("postgresql", {"ssl": True, "ssl_ca_file": "/etc/ca.pem"}, "&sslmode=verify-full&sslrootcert=/etc/ca.pem"),
        (
            "postgresql",
            {"ssl": True, "ssl_ca_file": "/etc/ca.pem", "connect_ssl_ca_file": "/connect/ca.pem"},
            "&sslmode=verify-full&sslrootcert=/connect/ca.pem",
        ),
        ("postgresql", {"ssl": True}, "&sslmode=verify-full&sslfactory=org.postgresql.ssl.DefaultJavaSSLFactory"),
        ("mariadb", {"ssl": True, "ssl_ca_file": "/etc/ca.pem"}, "&sslMode=verify-full&serverSslCert=/etc/ca.pem"),
        ("mariadb", {"ssl": True}, "&sslMode=verify-full"),
    ],
)
def test_the_driver_is_told_of_tls(engine: str, fields: dict[str, Any], told: str) -> None:
    url = configs_with(engine, **fields)["results"]["connection.url"]
    assert url.partition("?")[2].partition("&socketTimeout=")[2].lstrip("0123456789") == told


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"ssl_ca_file": "/etc/ca.pem"}, "are for ssl: true"),
        ({"ssl": True, "connect_ssl_ca_file": "/etc/ca.pem"}, "goes with ssl_ca_file"),
        ({"ssl": True, "ssl_ca_file": "/etc/ca.pem&password=x"}, "letters, digits"),
    ],
)
def test_tls_that_cannot_be_meant_is_refused(fields: dict[str, Any], why: str) -> None:
    with pytest.raises(ValueError, match=why):
        settings_with("postgresql", **fields)


def test_no_secret_is_in_a_configuration() -> None:
    reference = "${file:/etc/cel2crm/connect-secrets.properties:sink.password}"
    for config in configs_with("mariadb", password="hunter2").values():
        assert config["connection.password"] == reference
        assert "hunter2" not in str(config)
    with pytest.raises(SettingsError, match="is not a reference"):
        configs_with("mariadb", password_reference="hunter2")
    with pytest.raises(SettingsError, match="by reference only") as caught:
        configs_with("mariadb", properties={"value.converter.apicurio.auth.password": "hunter2"})
    assert "hunter2" not in str(caught.value)


def test_a_property_of_ours_cannot_be_changed_and_others_can() -> None:
    with pytest.raises(SettingsError, match=r"insert\.mode of sink mariadb: cel2crm sets this property itself"):
        configs_with("mariadb", properties={"insert.mode": "insert"})
    assert configs_with("mariadb", properties={"batch.size": "50"})["legs"]["batch.size"] == "50"


def test_the_converter_is_that_of_the_registry() -> None:
    apicurio = configs_with("postgresql")["results"]
    assert apicurio["value.converter.apicurio.registry.url"] == "http://registry:8080/apis/registry/v2"
    reference = "${file:/s:registry}"
    settings = Settings.model_validate(
        {
            "sinks": [{"engine": "postgresql", "registry_password_reference": reference}],
            "registry": {"url": "https://registry:8081", "username": "u", "password": "hunter2"},
        }
    )
    confluent = sink_configs(settings, settings.sinks[0])["results"]
    assert confluent["value.converter.schema.registry.url"] == "https://registry:8081"
    assert confluent["value.converter.basic.auth.user.info"] == f"u:{reference}"
    without = settings.model_copy(update={"sinks": settings_with("postgresql").sinks})
    with pytest.raises(SettingsError, match="registry_password_reference of sink postgresql is not a reference"):
        sink_configs(without, without.sinks[0])


def test_sinks_have_names_of_their_own() -> None:
    settings = Settings.model_validate({"sinks": [{"engine": "mariadb"}, {"engine": "mariadb", "name": "archive"}]})
    assert connector_of(settings, sink_named(settings, "archive"), "legs") == "cel2crm-sink-archive-legs"
    with pytest.raises(SettingsError, match="there is no sink lake in the settings, but: mariadb, archive"):
        sink_named(settings, "lake")
    with pytest.raises(ValueError, match="two sinks are called mariadb"):
        Settings.model_validate({"sinks": [{"engine": "mariadb"}, {"engine": "mariadb"}]})


def test_connect_may_read_what_sinks_take_and_nothing_more_without_one() -> None:
    with_sinks = {acl.name for acl in acls_of(settings_with("mariadb"), "connect")}
    assert with_sinks - {acl.name for acl in acls_of(Settings(), "connect")} == {
        "cel2crm.call-results", "cel2crm.call-legs", "cel2crm.deliveries-", "cel2crm.dead-letters",
        "cel2crm.complete-until", "connect-cel2crm-sink-mariadb-",
    }  # fmt: skip


def present(engine: str) -> Present:
    """A database exactly as the file makes it."""
    text = sql_file(settings_with(engine).sinks[0]).read_text(encoding="utf-8")
    names = {
        "text[]": "ARRAY", "timestamptz": "timestamp with time zone", "datetime(6)": "datetime", "double": "double",
        "varchar(255)": "varchar", "varchar(64)": "varchar", "boolean": "boolean",
    }  # fmt: skip
    return Present(
        columns={
            name: {
                column: Column(names.get(kind.removesuffix(" not null"), kind.removesuffix(" not null")), False)
                for column, kind in table.columns.items()
            }
            for name, table in tables_in(text).items()
        },
        keys={name: frozenset(table.key) for name, table in tables_in(text).items()},
        views=frozenset(views_in(text)),
        refused={},
    )


@pytest.mark.parametrize("engine", ENGINES)
def test_a_database_as_the_file_makes_it_is_taken(engine: str) -> None:
    assert refusals_of(settings_with(engine).sinks[0], present(engine)) == []


def changed(**columns: Column | None) -> Present:
    """One whose legs have other columns; None: it has not that one."""
    whole = present("postgresql")
    legs = {**whole.columns["call_legs"], **columns}
    kept = {name: column for name, column in legs.items() if column is not None}
    return Present({**whole.columns, "call_legs": kept}, whole.keys, whole.views, whole.refused)


@pytest.mark.parametrize(
    ("found", "told"),
    [
        (changed(number=None), "table call_legs has no column number (text)"),
        (changed(number=Column("integer", False)), "column number of table call_legs is integer, not text"),
        (changed(number=Column("character varying", False)), None),
        (changed(ours=Column("text", False)), None),
        (
            changed(ours=Column("text", True)),
            "column ours of table call_legs is none of ours and must have a value: give it a default",
        ),
    ],
)
def test_a_table_changed_by_hand_is_told_in_one_line(found: Present, told: str | None) -> None:
    assert refusals_of(settings_with("postgresql").sinks[0], found) == ([told] if told else [])


def test_a_lost_key_a_right_and_a_view_are_told() -> None:
    whole, sink = present("postgresql"), settings_with("postgresql", parts=["legs"]).sinks[0]
    keys = {**whole.keys, "call_legs": frozenset({"call_id"})}
    assert refusals_of(sink, Present(whole.columns, keys, whole.views, {})) == [
        "the primary key of table call_legs is not (call_id, version, correction, leg): rows would come twice"
    ]
    assert refusals_of(sink, Present(whole.columns, whole.keys, whole.views, {"call_legs": "permission denied"})) == [
        "user cel2crm may not insert, update and select in table call_legs: permission denied"
    ]
    assert refusals_of(sink, Present(whole.columns, whole.keys, whole.views - {"calls"}, {})) == [
        "there is no view calls, or user cel2crm may not read it"
    ]
    assert refusals_of(sink, Present({}, {}, whole.views, {})) == [
        "there is no table call_legs, or user cel2crm may not see it"
    ]


@pytest.mark.parametrize(
    ("trace", "told"),
    [
        ("java.sql.SQLException: Cannot create table public.call_legs because schema evolution is disabled",
         "there is no table call_legs, or the sink's user may not see it"),
        ("java.sql.SQLException: Cannot alter table calls.call_legs because schema evolution is disabled",
         "table call_legs lacks a column that its records have"),
        ('ERROR: column "number" of relation "call_legs" does not exist\n  Position: 3',
         "the table has no column number"),
        ('FATAL: password authentication failed for user "cel2crm"',
         "the database refuses user cel2crm: wrong password, or no such user"),
        ("(conn=5) Access denied for user 'cel2crm'@'db' (using password: YES)",
         "the database refuses user cel2crm: wrong password, or no such user"),
        ("ERROR: permission denied for table call_legs", "the sink's user may not write table call_legs"),
        ("INSERT, UPDATE command denied to user 'cel2crm'@'db' for table `calls`.`call_legs`",
         "the sink's user may not write table call_legs"),
        ('ERROR: null value in column "ours" of relation "call_legs" violates not-null constraint',
         "column ours must have a value, and the records have none for it"),
        ("PSQLException: Could not open SSL root certificate file /etc/ca.pem.\n\tat org.postgresql",
         "Kafka Connect finds no certificates of authorities at /etc/ca.pem"),
        ("PSQLException: The server does not support SSL.", "the database speaks no TLS"),
        ("SQLNonTransientConnectionException: ssl not enabled in the server", "the database speaks no TLS"),
        ("PSQLException: The hostname 10.0.0.4 could not be verified by hostnameverifier PgjdbcHostnameVerifier.",
         "the database's certificate is of another name than the sink's host"),
        ("SunCertPathBuilderException: unable to find valid certification path to requested target",
         "the database's certificate is signed by nobody whom the sink's ssl_ca_file names"),
        ("SQLException: Connections using insecure transport are prohibited while --require_secure_transport=ON.",
         "the database wants TLS"),
        ("io.apicurio.registry.rest.client.exception.ContentNotFoundException: No content with id/hash '7' was found.",
         "the registry does not know the schema of a record"),
        ("PSQLException: Connection to db:5432 refused. Check that the hostname and port are correct",
         "no database answers"),
    ],
)  # fmt: skip
def test_failures_are_one_sentence(trace: str, told: str) -> None:
    failure = explain(f"org.apache.kafka.connect.errors.ConnectException: x\nCaused by: {trace}", (), SINK_KNOWN)
    assert failure.reason == told
    assert any(words in failure.remedy for words in ("cel2crm connectors", "sink", "docs/analytics.md", "docs/topics"))
    assert "capture_user" not in failure.remedy


@pytest.mark.parametrize("engine", ENGINES)
def test_the_statements_are_printed(engine: str, tmp_path: Path) -> None:
    file = tmp_path / "cel2crm.yaml"
    file.write_text(f"sinks: [{{engine: {engine}}}]\n")
    printed = CliRunner().invoke(app, ["tables", engine, "--settings", str(file)])
    assert printed.output == sql_file(settings_with(engine).sinks[0]).read_text(encoding="utf-8")
    unknown = CliRunner().invoke(app, ["apply", "--sink", "lake", "--settings", str(file)])
    assert isinstance(unknown.exception, SettingsError) and f"but: {engine}" in unknown.exception.problem
