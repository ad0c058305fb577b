"""`cel2crm connectors apply --sink iceberg` on real servers: pyiceberg and DuckDB read what stands on the topics."""

import asyncio
import contextlib
import json
from collections import Counter
from collections.abc import AsyncIterator, Iterable
from datetime import datetime
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from pyiceberg.catalog.sql import SqlCatalog
from pyiceberg.table import Table
from structlog.testing import capture_logs

from connectors.sinks.apply import apply_sink
from connectors.sinks.connected import connectors_of, sink_connect_client
from connectors.sinks.iceberg.config import CATALOG
from connectors.sinks.iceberg.control import place_groups
from connectors.sinks.report import report_sink
from connectors.sinks.watch import SinkWatcher
from connectors.watch import Backoff
from schemas import load
from streams.clock import utc_now_ms
from streams.errors import UserError
from streams.kafka.topic_client import KafkaTopics, Outgoing, TopicRecord
from streams.replay.control import rule_texts
from streams.replay.spark import Work, judge_batches
from streams.settings import Settings
from tests.connectors.sinking import PASSWORD, USER, Sent, micros, send, send_as_0_1_0, statements, versions
from tests.docs.pages import blocks
from tests.faults.recorded_results import recorded_calls
from tests.lake.conftest import Lake
from tests.worker_installation import recorded_rows

pytestmark = pytest.mark.servers

TABLES = ("call_results", "call_legs", "cel")
PARTS = ("results", "legs", "rows")


def records_of_calls(first: int, end: int, correction: int = 0) -> list[Sent]:
    """Recorded calls with their legs, as the aggregate worker or a replay publishes them."""
    chosen = recorded_calls()[first:end]
    return [one for result, legs in chosen for one in versions(result, legs, result.version, correction)]


async def send_rows(settings: Settings, rows: Iterable[dict[str, Any]]) -> None:
    async with KafkaTopics(settings.kafka) as topics:
        name = settings.kafka.topic("cel")
        await topics.send([Outgoing(name, row["linkedid"].encode(), orjson.dumps(row)) for row in rows])


async def rows_on_topic(settings: Settings) -> list[TopicRecord]:
    async with KafkaTopics(settings.kafka) as topics:
        return [record async for record in topics.read(settings.kafka.topic("cel"))]


def table_of(lake: Lake, name: str) -> Table:
    with contextlib.closing(SqlCatalog(CATALOG, **lake.catalog_properties())) as catalog:
        return catalog.load_table(("calls", name))


def read_by_pyiceberg(lake: Lake, name: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = table_of(lake, name).scan().to_arrow().to_pylist()
    return rows


def read_by_duckdb(lake: Lake, name: str) -> list[dict[str, Any]]:
    with table_of(lake, name).scan().to_duckdb("lake") as database:
        database.execute("set timezone = 'UTC'")
        told = database.execute("select * from lake")
        columns = [each[0] for each in told.description]
        return [dict(zip(columns, row, strict=True)) for row in told.fetchall()]


def plain(row: dict[str, Any], columns: Iterable[str]) -> tuple[Any, ...]:
    """The columns in order, in a form that can be counted."""
    values = (row[name] for name in columns)
    return tuple(
        micros(each) if isinstance(each, datetime) else tuple(each) if isinstance(each, list) else each
        for each in values
    )


def on_topic(records: list[Sent], topic: str, schema: str) -> tuple[list[str], list[tuple[Any, ...]]]:
    """Columns and rows of a table as the topic says them: Connect's times have milliseconds."""
    fields = load(schema)["fields"]
    times = {field["name"] for field in fields if "timestamp-micros" in str(field["type"])} | {"processed_at"}
    columns = [*(field["name"] for field in fields), "origin", "processed_at"]
    rows = []
    for name, _, _, record, headers in records:
        if name == topic and record is not None:
            told = {**record, "origin": headers["origin"], "processed_at": int(headers["processed_at"])}
            cut = {
                key: value // 1000 * 1000 if key in times and value is not None else value
                for key, value in told.items()
            }
            rows.append(plain(cut, columns))
    return columns, rows


def by_text(rows: Iterable[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    return sorted(rows, key=repr)


def assert_equal(lake: Lake, records: list[Sent]) -> None:
    """Both tables hold each record of the topics once, field by field, by either reader."""
    for name, topic, schema in (
        ("call_results", "call-results", "call_result"), ("call_legs", "call-legs", "call_leg"),
    ):  # fmt: skip
        columns, expected = on_topic(records, topic, schema)
        for read in (read_by_pyiceberg, read_by_duckdb):
            rows = read(lake, name)
            assert set(rows[0]) == set(columns)
            assert by_text(plain(row, columns) for row in rows) == by_text(expected)


async def test_apply_names_what_is_missing_before_it_applies_anything(lake: Lake) -> None:
    with pytest.raises(UserError) as caught:
        await apply_sink(lake.settings, "iceberg", lambda _: None)
    told = str(caught.value)
    assert "there is no table iceberg_tables" in told and "cel2crm connectors tables iceberg" in told
    printed = await lake.command("tables", "iceberg")
    lake.server.run(*statements(printed.output), database="calls")
    with pytest.raises(UserError) as caught:
        await apply_sink(lake.settings, "iceberg", lambda _: None)
    told = str(caught.value)
    assert f"user {USER} may not select, insert, update, delete in table iceberg_tables" in told
    assert PASSWORD not in told
    async with sink_connect_client(lake.settings) as connect:
        assert await connect.names() == []
    grant = f"grant select, insert, update, delete on iceberg_tables, iceberg_namespace_properties to {USER}"
    lake.server.run(grant, database="calls")


async def test_readers_find_what_stands_on_the_topics(lake: Lake) -> None:
    await send(lake.settings, records_of_calls(0, 100))
    await send_as_0_1_0(lake.settings)
    await send_rows(lake.settings, recorded_rows())
    answer = await lake.command("apply", "--sink", "iceberg")
    assert answer.exit_code == 0, (answer.output, answer.exception)
    assert PASSWORD not in answer.output and answer.output.count("(created)") == 3
    await lake.until_taken()
    await until_committed(lake, "call_results", 100)
    assert_equal(lake, records_of_calls(0, 100))
    for name, day in zip(TABLES, ("started_at", "started_at", "timestamp"), strict=True):
        (field,) = table_of(lake, name).spec().fields
        assert (str(field.transform), table_of(lake, name).schema().find_column_name(field.source_id)) == ("day", day)
    async with sink_connect_client(lake.settings) as connect:
        for name in await connect.names():
            assert PASSWORD not in str(await connect.config(name))


async def until_committed(lake: Lake, name: str, rows: int) -> None:
    """Records are confirmed a little before the table has them."""
    async with asyncio.timeout(60):
        while len(read_by_pyiceberg(lake, name)) < rows:  # noqa: ASYNC110
            await asyncio.sleep(0.3)


async def test_raw_rows_are_the_topic_and_a_replay_reads_them(lake: Lake) -> None:
    records = await rows_on_topic(lake.settings)
    await until_committed(lake, "cel", len(records))
    columns = ("key", "value", "partition", "offset", "timestamp")
    expected = [(each.key, each.value, each.partition, each.offset, each.timestamp_ms * 1000) for each in records]
    for read in (read_by_pyiceberg, read_by_duckdb):
        assert by_text(plain(row, columns) for row in read(lake, "cel")) == by_text(expected)
    in_lake = table_of(lake, "cel").scan().to_arrow()
    topic = [(each.key, each.value, each.timestamp_ms) for each in records]
    keys, values, times = zip(*topic, strict=True)
    written = pc.cast(in_lake["timestamp"], pa.timestamp("ms", tz="UTC")).cast(pa.int64())
    judged = outcomes(lake.settings, in_lake["key"], in_lake["value"], written)
    assert judged == outcomes(lake.settings, pa.array(keys), pa.array(values), pa.array(times))
    assert len(judged) == len(recorded_calls()) and all(judged.values())


def outcomes(settings: Settings, keys: Any, values: Any, written: Any) -> dict[str, str | None]:
    """The calls judged anew, as Spark's executors do it: from rows sorted by key."""
    rows = pa.table({"key": keys, "value": values, "written_ms": written}).sort_by("key")
    starts = frozenset({settings.pbx.name})
    work = Work(settings, rule_texts(settings.rules), utc_now_ms() + (1 << 40), starts)
    return {
        row["call_id"]: row["outcome_hash"]
        for batch in judge_batches(work, iter(rows.to_batches()))
        for row in batch.to_pylist()
    }


async def test_the_group_that_commits_has_its_place_before_its_first_commit(lake: Lake) -> None:
    """Else files whose first commit failed would be passed over, and their records are confirmed already."""
    topic = TopicPartition(lake.settings.kafka.topic("iceberg-control"), 0)

    async def place() -> tuple[int | None, int]:
        consumer = AIOKafkaConsumer(
            bootstrap_servers=lake.settings.kafka.bootstrap_servers, group_id="connect-new-coord",
            enable_auto_commit=False,
        )  # fmt: skip
        await consumer.start()
        try:
            consumer.assign([topic])
            return await consumer.committed(topic), (await consumer.end_offsets([topic]))[topic]
        finally:
            await consumer.stop()

    assert (await place())[0] is None
    await place_groups(lake.settings, ["new"])
    first, end = await place()
    assert first is not None and 0 < first <= end
    async with asyncio.timeout(30):
        while (await place())[1] == first:  # noqa: ASYNC110 - the lake's own commits go on
            await asyncio.sleep(0.2)
    await place_groups(lake.settings, ["new"])
    assert (await place())[0] == first


@contextlib.asynccontextmanager
async def watched(lake: Lake) -> AsyncIterator[list[Any]]:
    """The watchers of the lake's connectors at work, with the lines that they log."""
    with capture_logs() as lines:
        async with sink_connect_client(lake.settings) as connect, asyncio.TaskGroup() as group:
            watchers = [
                SinkWatcher(connect, each.name, "apply", Backoff(0.5, 2), poll_seconds=0.3)
                for each in connectors_of(lake.settings, lake.sink)
            ]
            tasks = [group.create_task(watcher.run()) for watcher in watchers]
            yield lines
            for task in tasks:
                task.cancel()


async def test_a_catalog_that_is_away_loses_nothing_and_doubles_nothing(lake: Lake) -> None:
    lake.server.stop()
    try:
        await send(lake.settings, records_of_calls(100, 150))
        refused = await lake.command("apply", "--sink", "iceberg")
        assert isinstance(refused.exception, UserError) and "no database answers at" in refused.exception.problem
        async with asyncio.timeout(120):
            while not (failed := await failures(lake)):  # noqa: ASYNC110
                await asyncio.sleep(0.5)
        report = await report_sink(lake.settings, lake.sink)
    finally:
        lake.server.start()
    assert not report.healthy, failed
    async with watched(lake) as logged:
        await lake.until_taken(failing=True)
        await until_committed(lake, "call_results", 150)
    assert [line for line in logged if line["event"] == "sink restarted"]
    assert_equal(lake, [*records_of_calls(0, 100), *records_of_calls(100, 150)])


async def failures(lake: Lake) -> list[str]:
    async with sink_connect_client(lake.settings) as connect:
        statuses = [await connect.status(name) for name in await connect.names()]
        return [failure.reason for status in statuses if status for failure in status.failures]


async def test_the_recipe_of_the_page_counts_calls(lake: Lake) -> None:
    recipe = blocks("analytics", "## Lake", "python")[0].replace("psycopg2", "psycopg")
    for told, here in (
        ("cel2crm:secret@db.example.org:5432/lake", lake.catalog_properties()["uri"].partition("://")[2]),
        ("file:///srv/lake", lake.catalog_properties()["warehouse"]),
        ("2026-11-25T00:00:00", "2000-01-01T00:00:00"),
    ):
        assert told in recipe
        recipe = recipe.replace(told, here)
    names: dict[str, Any] = {}
    exec(compile(recipe, "docs/analytics.md", "exec"), names)  # noqa: S102
    names["database"].close()
    names["catalog"].close()
    calls = Counter(result.outcome for result, _ in recorded_calls()[:150] if not result.abandoned)
    assert names["outcomes"] == sorted(calls.items())


async def test_restarts_and_corrections_stand_beside_one_another(lake: Lake) -> None:
    async with sink_connect_client(lake.settings) as connect:
        await send(lake.settings, records_of_calls(0, 30, correction=2))
        for name in await connect.names():
            await connect.restart(name, only_failed=False)
        await lake.until_taken(failing=True)
    await until_committed(lake, "call_results", 180)
    everything = [*records_of_calls(0, 150), *records_of_calls(0, 30, correction=2)]
    assert_equal(lake, everything)


async def test_status_and_delete_know_the_lake(lake: Lake) -> None:
    told = await lake.command("status", "--json")
    (sink,) = json.loads(told.output.splitlines()[0])["sinks"]
    assert (sink["name"], sink["healthy"]) == ("iceberg", True), sink
    assert [(each["part"], each["behind"]) for each in sink["connectors"]] == [(part, 0) for part in PARTS]
    deleted = await lake.command("delete", "--sink", "iceberg")
    assert deleted.output.count(": deleted") == 3
    # Applied again they go on where they were.
    await send(lake.settings, records_of_calls(150, 160))
    await apply_sink(lake.settings, "iceberg", lambda _: None)
    await until_committed(lake, "call_results", 190)
    assert_equal(lake, [*records_of_calls(0, 160), *records_of_calls(0, 30, correction=2)])
