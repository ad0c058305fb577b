"""Rows of a real MariaDB on a real Kafka, and what is said when something is missing."""

# ruff: noqa: S608 (the names in the statements are the test's own)

import asyncio
import json
from typing import Any

import pymysql
import pytest
from aiohttp.test_utils import unused_port
from aiokafka import AIOKafkaProducer
from aiokafka.partitioner import DefaultPartitioner

from connectors.apply import connect_client
from connectors.source import connector_name
from deploy.local import LocalStack
from tests.connectors.capturing import applied, looked_at, refusal, until_logged, watching
from tests.connectors.installation import installed
from tests.connectors.marking import marked

pytestmark = pytest.mark.servers


async def test_rows_arrive_with_bare_keys_where_aiokafka_would_put_them(stack: LocalStack) -> None:
    linkedids = [f"17954803{n:02}.{n}" for n in range(25)]
    async with installed(stack) as pbx:
        assert await applied(pbx.settings) == "created"
        pbx.insert(linkedids)
        mark, rows = await marked(pbx)
        assert (len(rows), mark.pbx, sum(mark.ends.values())) == (25, pbx.name, 25)
        again, _ = await marked(pbx)  # without a row
        assert again.until_ms > mark.until_ms and again.ends == mark.ends
        records = await pbx.records(25)
    assert sorted(record.key for record in records) == sorted(linkedid.encode() for linkedid in linkedids)
    partitions = list(range(4))
    assert all(record.partition == DefaultPartitioner()(record.key, partitions, partitions) for record in records)
    row: dict[str, Any] = json.loads(records[0].value)
    assert row["eventtime"] == "2026-11-24T01:02:03Z"
    assert (row["__op"], row["__source_snapshot"], row["__source_name"]) == ("c", None, pbx.name)
    assert row["__source_ts_ms"] > 1_700_000_000_000


async def test_only_inserts_reach_kafka(stack: LocalStack) -> None:
    async with installed(stack) as pbx:
        await applied(pbx.settings)
        pbx.insert(["1795480300.1", "1795480300.2"])
        await looked_at(pbx)
        pbx.root(f"ALTER TABLE {pbx.name}.cel ADD COLUMN site int DEFAULT 7 FIRST")
        pbx.root(f"UPDATE {pbx.name}.cel SET exten = '100'", f"DELETE FROM {pbx.name}.cel", f"TRUNCATE {pbx.name}.cel")
        pbx.insert(["1795480300.3"])
        records = await pbx.records(3)
        await looked_at(pbx)  # ids that begin again after a TRUNCATE are legal
        # The last insert is there, so what was done before it is through: nothing may stand beside the three.
        assert sorted(record.key for record in records) == [b"1795480300.1", b"1795480300.2", b"1795480300.3"]
        rows = {row["linkedid"]: row for row in (json.loads(record.value) for record in records)}
        assert (rows["1795480300.2"].get("site"), rows["1795480300.3"]["site"]) == (None, 7)
        assert rows["1795480300.3"]["eventtype"] == "CHAN_START"


async def test_applying_twice_changes_nothing_and_a_pause_loses_nothing(stack: LocalStack) -> None:
    async with installed(stack) as pbx:
        assert [await applied(pbx.settings), await applied(pbx.settings)] == ["created", "unchanged"]
        async with connect_client(pbx.settings) as connect:
            config = await connect.config(connector_name(pbx.settings))
            assert config is not None
            assert pbx.stack.endpoints.secret("cel.password") not in json.dumps(config)
            assert await connect.delete(connector_name(pbx.settings)) is True
        pbx.insert(["1795480300.1"])
        assert await applied(pbx.settings) == "created"
        assert [record.key for record in await pbx.records(1)] == [b"1795480300.1"]


async def test_an_alias_gives_the_key(stack: LocalStack) -> None:
    async with installed(stack, "callgroup", column_name_aliases={"cel_linkedid": "callgroup"}) as pbx:
        await applied(pbx.settings)
        pbx.insert(["1795480300.7"], column="callgroup")
        assert [record.key for record in await pbx.records(1)] == [b"1795480300.7"]


async def test_a_backfill_brings_every_row_of_each_call(stack: LocalStack) -> None:
    async with installed(stack) as pbx:
        pbx.insert([f"1795480300.{n % 3}" for n in range(12)])
        await applied(pbx.settings)
        signal = {"data-collections": [rf"{pbx.name}.cel"], "type": "INCREMENTAL"}
        producer = AIOKafkaProducer(bootstrap_servers=pbx.settings.kafka.bootstrap_servers)
        await producer.start()
        try:
            value = json.dumps({"type": "execute-snapshot", "data": signal}).encode()
            await producer.send_and_wait(pbx.settings.kafka.topic("signals"), value, key=pbx.name.encode())
        finally:
            await producer.stop()
        records = await pbx.records(12)
    rows = [json.loads(record.value) for record in records]
    assert sorted(row["id"] for row in rows) == list(range(1, 13))
    assert {row["__op"] for row in rows} == {"r"}
    assert all(record.key.decode() == row["linkedid"] for record, row in zip(records, rows, strict=True))


async def test_the_capture_user_may_read_and_never_write(stack: LocalStack) -> None:
    async with installed(stack, topics=False) as pbx:
        at = stack.endpoints
        connection = pymysql.connect(
            host=at.mariadb_host, port=at.mariadb_port, user=pbx.name, password=at.secret("cel.password")
        )
        with connection, connection.cursor() as cursor:
            cursor.execute(f"SELECT count(*) FROM {pbx.name}.cel")
            for statement in (
                f"INSERT INTO {pbx.name}.cel () VALUES ()", f"UPDATE {pbx.name}.cel SET exten = ''",
                f"DELETE FROM {pbx.name}.cel", f"CREATE TABLE {pbx.name}.t (id int)",
                f"LOCK TABLES {pbx.name}.cel READ",
            ):  # fmt: skip
                with pytest.raises(pymysql.MySQLError, match="denied"):
                    cursor.execute(statement)


async def test_what_is_missing_is_named(stack: LocalStack) -> None:
    async with installed(stack) as pbx:
        port = unused_port()
        assert "set database.engine: mariadb" in await refusal(pbx.changed("database", engine="mysql"))
        assert "refuses user nobody" in await refusal(pbx.changed("database", user="nobody"))
        assert f"no table {pbx.name}.calls" in await refusal(pbx.changed("database", table="calls"))
        aliases = {"cel_linkedid": "callgroup"}
        assert "no column callgroup" in await refusal(pbx.changed("database", column_name_aliases=aliases))
        assert f"no Kafka Connect at http://127.0.0.1:{port}" in await refusal(
            pbx.changed("connect", url=f"http://127.0.0.1:{port}")
        )
        assert f"no database answers at 127.0.0.1:{port}" in await refusal(pbx.changed("database", port=port))
        assert "cel2crm topics apply" in await refusal(pbx.changed("kafka", topic_prefix="nowhere"))
        wrong = pbx.changed("connect", password_reference=f"${{file:{stack.endpoints.secrets_file}:no.such.key}}")
        assert "connect.password_reference" in await refusal(wrong)
        # Connect may be allowed to read certain files only: then a missing one is no different from an empty one.
        absent = pbx.changed("connect", password_reference="${file:/nowhere/at/all:cel.password}")
        assert "connect.password_reference" in await refusal(absent)


@pytest.mark.parametrize(
    ("variable", "bad", "good"),
    [("binlog_format", "STATEMENT", "ROW"), ("log_bin_compress", "ON", "OFF"), ("binlog_row_image", "MINIMAL", "FULL")],
)
async def test_a_binlog_that_loses_rows_is_refused(stack: LocalStack, variable: str, bad: str, good: str) -> None:
    async with installed(stack, topics=False) as pbx:
        pbx.root(f"SET GLOBAL {variable} = {bad}")
        try:
            assert variable in await refusal(pbx.settings)
        finally:
            pbx.root(f"SET GLOBAL {variable} = {good}")


async def test_watch_brings_a_locked_out_connector_back_and_no_row_is_lost(stack: LocalStack) -> None:
    async with installed(stack) as pbx:
        await applied(pbx.settings)
        async with watching(pbx, silence_seconds=20) as lines:
            pbx.root(f"ALTER USER '{pbx.name}'@'%' ACCOUNT LOCK")
            for (session,) in pbx.root(f"SELECT id FROM information_schema.processlist WHERE user = '{pbx.name}'"):
                pbx.root(f"KILL {session}")
            pbx.insert(["1795480300.1"])
            told = await until_logged(lines, "database cannot be compared")
            assert "account is locked" in told["reason"]
            await until_logged(lines, "no sign of life from the database")
            pbx.root(f"ALTER USER '{pbx.name}'@'%' ACCOUNT UNLOCK")
            assert [record.key for record in await pbx.records(1)] == [b"1795480300.1"]


async def test_a_killed_database_loses_nothing(stack: LocalStack) -> None:
    async with installed(stack) as pbx:
        await applied(pbx.settings)
        pbx.insert(["1795480300.1"])
        await pbx.records(1)
        async with watching(pbx, silence_seconds=30):
            await asyncio.to_thread(stack.kill, "mariadb")
            await asyncio.to_thread(stack.start_part, "mariadb")
            pbx.insert(["1795480300.2"])
            assert sorted(record.key for record in await pbx.records(2)) == [b"1795480300.1", b"1795480300.2"]
