"""A lake's configurations fit the records: partitions by day, times as such, no secrets, rights for its own clients."""

import re
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from pydantic import ValidationError
from typer.testing import CliRunner

import schemas
from connectors.acls import acls_of
from connectors.failures import explain
from connectors.sinks.connected import connectors_of
from connectors.sinks.failures import SINK_KNOWN
from connectors.sinks.iceberg.checks import jdbc_refusals, lake_refusals
from connectors.sinks.iceberg.config import lake_configs
from connectors.sinks.iceberg.tables import TABLES
from connectors.sinks.kinds import confirm_seconds
from connectors.topics import declared_topics
from streams.cli.connectors import app
from streams.errors import SettingsError, UserError
from streams.settings import Settings, SinkSettings

WAREHOUSE = "s3://bucket/calls"


def settings_with(lake: dict[str, Any] | None = None, **fields: Any) -> Settings:
    told = {"warehouse": WAREHOUSE, **(lake or {})}
    return Settings.model_validate({"sinks": [{"engine": "iceberg", "lake": told, **fields}]})


def configs_with(lake: dict[str, Any] | None = None, **fields: Any) -> dict[Any, dict[str, str]]:
    settings = settings_with(lake, **fields)
    return lake_configs(settings, settings.sinks[0])


@pytest.mark.parametrize("part", TABLES)
def test_a_table_is_partitioned_by_the_day_of_a_real_timestamp(part: Any) -> None:
    config, table = configs_with()[part], TABLES[part]
    assert config["iceberg.tables"] == f"calls.{table.name}"
    assert config["iceberg.tables.default-partition-by"] == f"days({table.day})"
    if table.raw:
        assert config["transforms.place.timestamp.field"] == table.day
    else:
        assert table.day in table.times


@pytest.mark.parametrize("part", ["results", "legs"])
def test_every_time_of_the_schema_becomes_a_timestamp_after_all_else(part: Any) -> None:
    config, table = configs_with()[part], TABLES[part]
    fields = {field["name"]: str(field["type"]) for field in schemas.load(table.topic.schema)["fields"]}
    assert {name for name, kind in fields.items() if "timestamp" in kind} | {"processed_at"} == set(table.times)
    order = config["transforms"].split(",")
    assert order == ["ours", "headers", "numbers", *table.times]
    for name in table.times:
        assert config[f"transforms.{name}.field"] == name
        assert config[f"transforms.{name}.unix.precision"] == "microseconds"
    assert {line.split(".")[1] for line in config if line.startswith("transforms.")} == set(order)


def test_raw_rows_need_no_registry_and_lose_no_byte() -> None:
    config = configs_with()["rows"]
    assert config["topics"] == "cel2crm.cel"
    for converter in ("key.converter", "value.converter"):
        assert config[converter] == "org.apache.kafka.connect.converters.ByteArrayConverter"
    assert not [name for name in config if "registry" in name]


def test_no_secret_is_in_a_configuration() -> None:
    reference = "${file:/etc/cel2crm/connect-secrets.properties:sink.password}"
    for config in configs_with(password="hunter2").values():
        assert config["iceberg.catalog.jdbc.password"] == reference
        assert "hunter2" not in str(config)
    with pytest.raises(SettingsError, match="password_reference of sink iceberg is not a reference"):
        configs_with(password_reference="hunter2")
    with pytest.raises(SettingsError, match="by reference only") as caught:
        configs_with(properties={"iceberg.catalog.s3.secret-access-key": "hunter2"})
    assert "hunter2" not in str(caught.value)
    with pytest.raises(SettingsError, match=r"errors\.tolerance of sink iceberg: cel2crm sets this property itself"):
        configs_with(properties={"errors.tolerance": "all"})
    named = configs_with(properties={"iceberg.catalog.io-impl": "org.apache.iceberg.aws.s3.S3FileIO"})
    assert named["legs"]["iceberg.catalog.io-impl"] == "org.apache.iceberg.aws.s3.S3FileIO"


def test_its_own_clients_log_in_as_connect_does() -> None:
    reference = "${file:/s:kafka}"
    tree = {
        "kafka": {
            "bootstrap_servers": "broker:9093", "security_protocol": "SASL_PLAINTEXT", "sasl_mechanism": "PLAIN",
            "sasl_username": "operator", "sasl_password": "hunter2",
        },
        "connect": {"kafka": {"sasl_username": "connect", "sasl_password_reference": reference}},
        "sinks": [{"engine": "iceberg", "lake": {"warehouse": WAREHOUSE}}],
    }  # fmt: skip
    settings = Settings.model_validate(tree)
    for config in lake_configs(settings, settings.sinks[0]).values():
        assert config["iceberg.kafka.bootstrap.servers"] == "broker:9093"
        assert config["iceberg.kafka.security.protocol"] == "SASL_PLAINTEXT"
        assert reference in config["iceberg.kafka.sasl.jaas.config"] and "hunter2" not in str(config)


def test_a_rest_catalog_has_an_address_and_may_know_its_warehouse() -> None:
    lake = {"catalog": "rest", "url": "https://catalog.example.org/api", "warehouse": None, "namespace": "pbx"}
    token = {"iceberg.catalog.token": "${file:/s:token}"}
    config = configs_with(lake, properties=token)["results"]
    assert config["iceberg.catalog.uri"] == "https://catalog.example.org/api"
    assert (config["iceberg.catalog.type"], config["iceberg.tables"]) == ("rest", "pbx.call_results")
    assert not [name for name in config if "jdbc" in name or "warehouse" in name]


@pytest.mark.parametrize(
    ("sink", "words"),
    [
        ({"engine": "iceberg"}, "lake.warehouse is not set"),
        ({"engine": "iceberg", "lake": {"catalog": "rest"}}, "lake.url is not set"),
        ({"engine": "iceberg", "lake": {"warehouse": "/a"}, "parts": ["deliveries"]}, "iceberg takes no deliveries"),
        ({"engine": "mariadb", "parts": ["rows"]}, "mariadb takes no rows"),
        ({"engine": "mariadb", "lake": {"warehouse": "/a"}}, "these settings are for engine iceberg"),
        ({"engine": "iceberg", "lake": {"catalog": "rest", "url": "https://u:p@host"}}, "url"),
    ],
)
def test_settings_that_cannot_be_meant_are_refused(sink: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=re.escape(words)):
        SinkSettings.model_validate(sink)


def test_rights_of_its_own_clients_are_in_the_acls() -> None:
    settings = settings_with(name="lake")
    allowed = {(acl.resource, acl.name): acl.operations for acl in acls_of(settings, "connect")}
    assert allowed["topic", "cel2crm.iceberg-control"] == ("Read", "Write")
    of_rows = [acl.operations for acl in acls_of(settings, "connect") if acl.name == "cel2crm.cel"]
    assert of_rows == [("Write",), ("Read",)]
    control = {topic.name for topic in declared_topics(settings)}
    for connector in connectors_of(settings, settings.sinks[0]):
        config = connector.config
        assert config["iceberg.control.topic"] in control
        groups = [
            f"connect-{connector.name}",
            f"connect-{connector.name}-coord",
            config["iceberg.control.group-id-prefix"],
        ]
        for group in groups:
            assert group.startswith("connect-cel2crm-sink-lake-") and ("group", "connect-cel2crm-sink-lake-") in allowed
        assert config["iceberg.coordinator.transactional.prefix"].startswith("cel2crm-sink-lake-")
    assert allowed["transactional-id", "cel2crm-sink-lake-"] == ("Write",)
    operator = {(acl.resource, acl.name): acl.operations for acl in acls_of(settings, "operator")}
    assert operator["group", "connect-cel2crm-sink-lake-"] == ("Read",)
    assert not [name for _, name in {(a.resource, a.name) for a in acls_of(Settings(), "connect")} if "iceberg" in name]


def test_a_lake_confirms_what_it_has_committed() -> None:
    assert confirm_seconds(settings_with({"commit_seconds": 60}).sinks[0]) == 60
    assert confirm_seconds(SinkSettings(engine="mariadb")) == 0


def catalog(**present: tuple[str, ...]) -> Any:
    """Answers as PostgreSQL does: the user's rights by table that is there."""

    def run(statement: str, values: Any = ()) -> list[dict[str, Any]]:
        rights = present.get(statement.partition("to_regclass('")[2].partition("'")[0])
        return [{"there": rights is not None, **{each: rights is not None and each in rights for each in ALL}}]

    return run


ALL = ("select", "insert", "update", "delete")


@pytest.mark.parametrize(
    ("run", "told"),
    [
        (catalog(iceberg_tables=ALL, iceberg_namespace_properties=ALL), []),
        (catalog(iceberg_tables=ALL[:2], iceberg_namespace_properties=ALL),
         ["user cel2crm may not update, delete in table iceberg_tables"]),
        (catalog(iceberg_tables=ALL),
         ["there is no table iceberg_namespace_properties, or user cel2crm may not see it"]),
    ],
)  # fmt: skip
def test_what_the_user_lacks_in_the_catalog_is_told(run: Any, told: list[str]) -> None:
    assert jdbc_refusals(settings_with().sinks[0], run) == told


@pytest.mark.parametrize(("status", "refusals"), [(200, 0), (401, 0), (404, 1), (500, 1)])
async def test_a_rest_catalog_is_asked(status: int, refusals: int) -> None:
    async def config(_: web.Request) -> web.Response:
        return web.json_response({}, status=status)

    server = web.Application()
    server.router.add_get("/api/v1/config", config)
    runner = web.AppRunner(server)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    sink = settings_with({"catalog": "rest", "url": f"http://{host}:{port}/api"}).sinks[0]
    told = await lake_refusals(sink)
    await runner.cleanup()
    assert len(told) == refusals
    with pytest.raises(UserError, match="no REST catalog answers at"):
        await lake_refusals(sink)


@pytest.mark.parametrize(
    ("trace", "told"),
    [
        ("java.io.IOException: Mkdirs failed to create file:/proc/nowhere/calls/cel/metadata (exists=false, cwd=/x)",
         "Kafka Connect cannot write to the lake's warehouse: /proc/nowhere/calls/cel/metadata"),
        ('org.apache.hadoop.fs.UnsupportedFileSystemException: No FileSystem for scheme "s3"',
         "Kafka Connect has no jars for a warehouse of kind s3://"),
        ("java.lang.UnsupportedOperationException: getSubject is not supported",
         "the Hadoop jars beside Iceberg's sink do not run on this Java"),
        ("org.apache.iceberg.exceptions.RESTException: Error occurred while processing GET request\n"
         "Caused by: org.apache.hc.client5.http.HttpHostConnectException: Connect to h:9 failed: Connection refused",
         "the lake's REST catalog does not answer, or not as one"),
        ("org.apache.iceberg.connect.channel.NotRunningException: Coordinator unexpectedly terminated on committer x-0",
         "what was written to the lake could not be committed to its tables"),
        ("org.apache.iceberg.jdbc.UncheckedSQLException: Failed to connect: jdbc:postgresql://h:5432/calls\n"
         'Caused by: org.postgresql.util.PSQLException: FATAL: password authentication failed for user "nobody"',
         "the database refuses user nobody: wrong password, or no such user"),
    ],
)  # fmt: skip
def test_failures_are_one_sentence(trace: str, told: str) -> None:
    failure = explain(f"org.apache.kafka.connect.errors.ConnectException: x\nCaused by: {trace}", (), SINK_KNOWN)
    assert failure.reason == told and failure.remedy


def test_the_catalogs_tables_are_printed(tmp_path: Path) -> None:
    file = tmp_path / "cel2crm.yaml"
    file.write_text(f"sinks: [{{engine: iceberg, lake: {{warehouse: '{WAREHOUSE}', namespace: pbx}}}}]\n")
    printed = CliRunner().invoke(app, ["tables", "iceberg", "--settings", str(file)]).output
    assert "values ('cel2crm', 'pbx', 'exists', 'true')" in printed and "iceberg_type varchar(5)" in printed
    file.write_text("sinks: [{engine: iceberg, lake: {catalog: rest, url: 'http://h/api'}}]\n")
    refused = CliRunner().invoke(app, ["tables", "iceberg", "--settings", str(file)])
    assert isinstance(refused.exception, SettingsError) and "REST catalog" in refused.exception.problem
