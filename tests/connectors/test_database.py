"""What is refused in a database, and how it is said."""

from dataclasses import replace
from typing import Any

import pymysql
import pytest
from aiohttp.test_utils import unused_port
from pymysql.constants import ER

from connectors.mariadb.checks import (
    DatabaseFacts,
    binlog_refusals,
    check_database,
    connection_error,
    filter_refusals,
    grant_refusals,
    table_refusals,
    table_warnings,
)
from streams.errors import UserError
from streams.rows.row import COLUMNS
from streams.settings import DatabaseSettings

GOOD = {"log_bin": "1", "binlog_format": "ROW", "binlog_row_image": "FULL", "log_bin_compress": "0"}


@pytest.mark.parametrize(
    ("variable", "value", "words"),
    [
        ("log_bin", "0", "writes no binlog"),
        ("binlog_format", "MIXED", "binlog_format is MIXED"),
        ("binlog_format", "STATEMENT", "binlog_format is STATEMENT"),
        ("binlog_row_image", "MINIMAL", "binlog_row_image is MINIMAL"),
        ("log_bin_compress", "1", "log_bin_compress is ON"),
    ],
)
def test_a_binlog_that_loses_rows_is_refused(variable: str, value: str, words: str) -> None:
    assert binlog_refusals(GOOD) == []
    (line,) = binlog_refusals(GOOD | {variable: value})
    assert words in line


@pytest.mark.parametrize(
    ("grants", "lacking"),
    [
        (["GRANT REPLICATION SLAVE, BINLOG MONITOR ON *.* TO `u`@`%`"], 0),
        (["GRANT REPLICATION SLAVE, REPLICATION CLIENT ON *.* TO `u`@`%`"], 0),
        (["GRANT ALL PRIVILEGES ON *.* TO `u`@`%` WITH GRANT OPTION"], 0),
        (["GRANT REPLICATION SLAVE ON *.* TO `u`@`%`"], 1),
        (["GRANT USAGE ON *.* TO `u`@`%`", "GRANT SELECT ON `asteriskcdrdb`.`cel` TO `u`@`%`"], 2),
        (["GRANT ALL PRIVILEGES ON `asteriskcdrdb`.* TO `u`@`%`"], 2),
    ],
)
def test_a_missing_grant_is_named(grants: list[str], lacking: int) -> None:
    assert len(grant_refusals(grants)) == lacking


@pytest.mark.parametrize(
    ("only", "ignored", "words"),
    [
        ("replica_db", "", "binlog-do-db is replica_db: rows of asteriskcdrdb are not in its binlog"),
        ("asterisk,AsteriskCdrDb", "", ""),
        ("", "mysql, asteriskcdrdb", "binlog-ignore-db is mysql, asteriskcdrdb"),
        ("", "mysql", ""),
    ],
)
def test_a_binlog_that_leaves_the_database_out_is_refused(only: str, ignored: str, words: str) -> None:
    lines = filter_refusals(replace(facts(), only_databases=only, ignored_databases=ignored), database())
    assert [words in line for line in lines] == [True] * bool(words)


def facts(columns: tuple[str, ...] = COLUMNS, key: tuple[str, ...] = ("id",)) -> DatabaseFacts:
    return DatabaseFacts(GOOD, (), dict.fromkeys(columns, "varchar(80)"), key)


def database(**settings: Any) -> DatabaseSettings:
    return DatabaseSettings(**settings)


def without(*columns: str) -> tuple[str, ...]:
    return tuple(column for column in COLUMNS if column not in columns)


def test_the_table_of_freepbx_is_fine() -> None:
    assert table_refusals(facts(), database()) == []
    assert table_warnings(facts(), database()) == []


def test_a_missing_table_is_named() -> None:
    (line,) = table_refusals(facts(columns=()), database(table="calls"))
    assert "no table asteriskcdrdb.calls, or user cel2crm may not read it" in line


def test_a_missing_column_is_named_with_the_setting_for_another_name() -> None:
    (line,) = table_refusals(facts(without("linkedid")), database())
    assert "no column linkedid" in line and "database.column_name_aliases.cel_linkedid" in line


def test_an_alias_counts_as_the_column_and_must_be_there() -> None:
    aliased = database(column_name_aliases={"cel_linkedid": "call"})
    assert table_refusals(facts((*without("linkedid"), "call")), aliased) == []
    (line,) = table_refusals(facts(), aliased)
    assert "no column call: check database.column_name_aliases.cel_linkedid" in line


def test_a_table_without_extra_works_the_old_way_with_a_warning() -> None:
    assert table_refusals(facts(without("extra")), database()) == []
    assert "the old way" in table_warnings(facts(without("extra")), database())[-1]


def test_the_old_way_on_purpose_is_reminded_of() -> None:
    assert "as asked for" in table_warnings(facts(), database(column_name_aliases={"cel_extra": "id"}))[0]


@pytest.mark.parametrize("engine", ["MyISAM", "MEMORY"])
def test_a_table_whose_readers_hold_up_asterisk_is_refused_with_advice(engine: str) -> None:
    (line,) = table_refusals(replace(facts(), storage_engine=engine), database())
    assert f"storage engine {engine}" in line and "ALTER TABLE asteriskcdrdb.cel ENGINE=InnoDB" in line


def test_a_table_without_a_primary_key_is_refused() -> None:
    (line,) = table_refusals(facts(key=()), database())
    assert "no primary key" in line


@pytest.mark.parametrize(("engine", "other"), [("mariadb", "mysql"), ("mysql", "mariadb")])
def test_the_wrong_engine_is_told_with_the_right_one(engine: str, other: str) -> None:
    error = pymysql.err.OperationalError(ER.UNKNOWN_SYSTEM_VARIABLE, "Unknown system variable 'gtid_mode'")
    told = connection_error(error, database(engine=engine))
    assert f"set database.engine: {other}" in told.remedy and "gtid_mode" in told.problem


async def test_no_database_is_one_clear_message() -> None:
    port = unused_port()
    with pytest.raises(UserError, match=rf"no database answers at 127\.0\.0\.1:{port}") as caught:
        await check_database(database(port=port, password="hunter2"))
    assert "database.host" in caught.value.remedy
    assert "hunter2" not in str(caught.value)
