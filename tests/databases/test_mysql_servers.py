"""Rows of a real MySQL on a real Kafka, as MariaDB's (tests/connectors/test_capture_servers.py)."""

# ruff: noqa: S608 (the names in the statements are the test's own)

import asyncio
import json
from collections.abc import Iterator

import pymysql
import pytest

from connectors.apply import connect_client
from connectors.source import connector_name
from deploy.local import LocalStack
from streams.kafka.topic_client import KafkaTopics
from streams.operations.backfill import signals_of
from tests.connectors.capturing import (
    applied,
    captured,
    command,
    held_after_reset,
    looked_at,
    refusal,
    started_afresh,
    until_logged,
    until_state,
    watching,
)
from tests.connectors.installation import Installation, installed
from tests.connectors.judging import CASE, decoded, judged
from tests.connectors.marking import marked
from tests.connectors.mysql_installation import installed_in_mysql
from tests.sources import mysql

pytestmark = pytest.mark.servers


@pytest.fixture(scope="module")
def mysql_server() -> Iterator[mysql.Server]:
    if (program := mysql.program()) is None:
        pytest.skip(mysql.ABSENT)
    with mysql.running(program) as running:
        yield running


async def test_a_recorded_call_comes_and_is_judged_as_from_mariadb(
    stack: LocalStack, mysql_server: mysql.Server
) -> None:
    async with installed(stack) as mariadb, installed_in_mysql(stack, mysql_server) as pbx:
        assert await applied(mariadb.settings) == "created"
        assert [await applied(pbx.settings), await applied(pbx.settings)] == ["created", "unchanged"]
        for row in CASE.rows:
            # MySQL rounds to the column's whole second, where MariaDB cuts.
            told = {**row, "eventtime": row["eventtime"][:19]}
            names, marks = ", ".join(told), ", ".join(["%s"] * len(told))
            for each in (mariadb, pbx):
                each.root(f"INSERT INTO {each.name}.cel ({names}) VALUES ({marks})", values=list(told.values()))
        theirs, ours = await decoded(mariadb, len(CASE.rows)), await decoded(pbx, len(CASE.rows))
        assert [(row.id, row.extra, row.eventtype, row.eventtime) for row in ours] == [
            (row.id, row.extra, row.eventtype, row.eventtime) for row in theirs
        ]
        assert {(row.op, row.pbx) for row in ours} == {("c", pbx.name)}
        assert judged(pbx.settings, ours) == judged(mariadb.settings, theirs)
        # Once more, by a backfill: nothing is written to the database for it.
        async with KafkaTopics(pbx.settings.kafka) as topics:
            await topics.send(signals_of(pbx.settings, [CASE.linkedids[0]]))
        again = await decoded(pbx, 2 * len(CASE.rows))
        assert {row.op for row in again} == {"c", "r"}
        assert [row.id for row in again[::2]] == [row.id for row in ours]


async def test_marks_of_capture_gaps_and_a_table_that_changes_meanwhile(
    stack: LocalStack, mysql_server: mysql.Server
) -> None:
    async with installed_in_mysql(stack, mysql_server) as pbx:
        await applied(pbx.settings)
        pbx.insert([f"17954803{n:02}.{n}" for n in range(25)])
        mark, rows = await marked(pbx)
        assert (len(rows), mark.pbx, sum(mark.ends.values())) == (25, pbx.name, 25)
        again, _ = await marked(pbx)  # without a row
        assert again.until_ms > mark.until_ms and again.ends == mark.ends
        await looked_at(pbx)
        pbx.root("SET GLOBAL binlog_transaction_compression = ON", f"ALTER TABLE {pbx.name}.cel ADD COLUMN site int")
        try:
            pbx.insert(["1795480300.1"])
        finally:
            pbx.root("SET GLOBAL binlog_transaction_compression = OFF")
        pbx.root(f"UPDATE {pbx.name}.cel SET exten = '100'", f"DELETE FROM {pbx.name}.cel", f"TRUNCATE {pbx.name}.cel")
        await captured(pbx, "1795480300.2")
        told = [json.loads(record.value) for record in await pbx.records(27)]
        assert {row["__op"] for row in told} == {"c"}
        assert len({row["linkedid"] for row in told}) == 27
        assert sorted(row["linkedid"] for row in told if "site" in row) == ["1795480300.1", "1795480300.2"]
        await looked_at(pbx)  # ids that begin again after a TRUNCATE are legal


async def test_a_reset_binlog_is_noticed_though_its_gtids_have_grown_past_the_old_ones(
    stack: LocalStack, mysql_server: mysql.Server
) -> None:
    async with installed_in_mysql(stack, mysql_server) as pbx:
        pbx.root("RESET BINARY LOGS AND GTIDS")
        pbx.insert(["1795480300.0"])
        await applied(pbx.settings)
        await captured(pbx, "1795480300.1")
        await looked_at(pbx)
        await held_after_reset(pbx, "RESET BINARY LOGS AND GTIDS")
        afresh = await command(pbx, "start-afresh", "--yes")
        assert (afresh.exit_code, "cel2crm backfill --since '2026-11-23 21:02:03'" in afresh.stdout) == (0, True)
        await captured(pbx, "1795480300.9")


async def test_a_purged_binlog_is_loud_until_one_command_heals_it(
    stack: LocalStack, mysql_server: mysql.Server
) -> None:
    async with installed_in_mysql(stack, mysql_server) as pbx:
        await applied(pbx.settings)
        await captured(pbx, "1795480300.1")
        await looked_at(pbx)
        async with connect_client(pbx.settings) as connect:
            await connect.stop(connector_name(pbx.settings))
            await until_state(pbx, "STOPPED")
            pbx.insert(["1795480300.2"])
            await pbx.purge_binlogs()
            await connect.resume(connector_name(pbx.settings))
        async with watching(pbx, silence_seconds=30) as lines:
            held = await until_logged(lines, "capture is held")
            await until_state(pbx, "STOPPED")
        assert "the binlog was purged before it was read" in held["reason"]
        assert await started_afresh(pbx.settings) == "2026-11-23 21:02:03"
        async with watching(pbx, silence_seconds=30) as lines:
            await captured(pbx, "1795480300.3")
            await until_logged(lines, "connector runs")
        assert not [line for line in lines if line["log_level"] == "error"]


async def test_a_server_that_is_restarted_loses_nothing(stack: LocalStack, mysql_server: mysql.Server) -> None:
    async with installed_in_mysql(stack, mysql_server) as pbx:
        await applied(pbx.settings)
        await captured(pbx, "1795480300.1")
        await looked_at(pbx)
        async with watching(pbx, silence_seconds=30):
            await asyncio.to_thread(mysql_server.stop)
            await asyncio.to_thread(mysql_server.start)
            pbx.insert(["1795480300.2"])
            assert sorted(record.key for record in await pbx.records(2)) == [b"1795480300.1", b"1795480300.2"]
        await looked_at(pbx)


async def test_what_is_missing_is_named_and_the_user_cannot_write(
    stack: LocalStack, mysql_server: mysql.Server
) -> None:
    async with installed_in_mysql(stack, mysql_server) as pbx:
        assert "set database.engine: mysql" in await refusal(pbx.changed("database", engine="mariadb"))
        assert "refuses user nobody" in await refusal(pbx.changed("database", user="nobody"))
        assert f"no table {pbx.name}.calls" in await refusal(pbx.changed("database", table="calls"))
        for variable, bad, good in (
            ("binlog_row_image", "MINIMAL", "FULL"), ("binlog_format", "STATEMENT", "ROW"),
            ("gtid_mode", "ON_PERMISSIVE", "ON"),
        ):  # fmt: skip
            pbx.root(f"SET GLOBAL {variable} = {bad}")
            try:
                assert f"{variable} is {bad}" in await refusal(pbx.settings)
            finally:
                pbx.root(f"SET GLOBAL {variable} = {good}")
        pbx.root(f"REVOKE REPLICATION CLIENT ON *.* FROM '{pbx.name}'@'%'", f"ALTER TABLE {pbx.name}.cel ENGINE=MyISAM")
        told = await refusal(pbx.settings)
        assert "lacks REPLICATION CLIENT" in told and "connectors/mysql/capture_user.sql" in told
        assert "storage engine MyISAM" in told
        _never_writes(pbx)


def _never_writes(pbx: Installation) -> None:
    at = pbx.settings.database
    connection = pymysql.connect(
        host=at.host, port=at.port, user=pbx.name, password=pbx.stack.endpoints.secret("cel.password")
    )
    with connection, connection.cursor() as cursor:
        cursor.execute(f"SELECT count(*) FROM {pbx.name}.cel")
        for statement in (
            f"INSERT INTO {pbx.name}.cel () VALUES ()", f"UPDATE {pbx.name}.cel SET exten = ''",
            f"DELETE FROM {pbx.name}.cel", f"CREATE TABLE {pbx.name}.t (id int)", f"LOCK TABLES {pbx.name}.cel READ",
        ):  # fmt: skip
            with pytest.raises(pymysql.MySQLError, match="denied"):
                cursor.execute(statement)
