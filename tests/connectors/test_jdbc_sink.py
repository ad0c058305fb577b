"""The files of connectors/sinks/jdbc fit each other and the schemas: a field without a column would stop the sink."""

import json
import re
from typing import Any

import pytest

import schemas
from tests.connectors.test_sql_views_servers import FOLDER, is_array

KINDS = {"cel2crm-sql-results": ("call_results", "call_result"), "cel2crm-sql-legs": ("call_legs", "call_leg")}
CASES = [(database, name) for database in ("postgresql", "mariadb") for name in KINDS]


def columns(database: str, table: str) -> tuple[dict[str, str], str]:
    """The columns of a table, with their types, and its primary key."""
    text = (FOLDER / f"{database}.sql").read_text(encoding="utf-8")
    body = text.partition(f"create table if not exists {table} (\n")[2].partition("\n)")[0]
    *lines, key = [line.strip().rstrip(",") for line in body.splitlines()]
    return dict(line.split(" ", 1) for line in lines), re.sub(r"primary key \((.*)\)", r"\1", key)


@pytest.mark.parametrize(("database", "name"), CASES)
def test_a_connector_fits_its_table_and_topic(database: str, name: str) -> None:
    configuration = json.loads((FOLDER / f"{database}.json").read_text(encoding="utf-8"))[name]
    table, schema = KINDS[name]
    told, key = columns(database, table)
    assert configuration["collection.name.format"] == table
    assert configuration["primary.key.fields"].split(",") == key.split(", ")
    fields = {field["name"]: field for field in schemas.load(schema)["fields"]}
    left_out = {each.partition(":") for each in configuration.get("field.exclude.list", "").split(",") if each}
    assert {topic for topic, _, _ in left_out} <= {configuration["topics"]}
    assert told.keys() == fields.keys() - {field for _, _, field in left_out}
    for field_name in told:
        kind = fields[field_name]["type"]
        assert ("not null" in told[field_name]) is not isinstance(kind, list), field_name
        assert told[field_name].startswith("text[]") is is_array(kind)


@pytest.mark.parametrize(("database", "name"), CASES)
def test_no_secret_is_in_a_configuration(database: str, name: str) -> None:
    configuration: dict[str, Any] = json.loads((FOLDER / f"{database}.json").read_text(encoding="utf-8"))[name]
    assert configuration["connection.password"].startswith("${file:")
    assert "@" not in configuration["connection.url"] and "password" not in configuration["connection.url"]
