"""Rows that the connector never saw and rows that the worker passed over, on real servers: named, healed, silent."""

import asyncio
import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pymysql
from aiokafka import AIOKafkaConsumer, TopicPartition
from structlog.testing import capture_logs
from typer.testing import CliRunner, Result

from connectors.apply import apply_source, connect_client
from connectors.gap_watch import GapWatch
from connectors.source import connector_name
from streams.cli.command_line import command_line
from streams.gaps.comparison import Since, open_comparison
from streams.gaps.findings import Findings
from streams.gaps.small import SmallComparison
from streams.kafka.topic_client import KafkaTopics
from tests.connectors.capturing import until_state
from tests.connectors.installation import TEXTS, Installation, installed
from tests.operations.test_backfill_servers import aggregating, recorded, settings_file

if TYPE_CHECKING:
    from deploy.demo.recordings import Case
    from deploy.local import LocalStack

import pytest

pytestmark = pytest.mark.servers


def case_of_now(seconds: int) -> "Case":
    """A recorded call that began so many seconds ago: an older one would be a late one."""
    return recorded("inbound_answered_caller_hangs_up").moved(int(time.time()) - seconds)


def write(pbx: Installation, rows: Sequence[Mapping[str, str]], *, in_binlog: bool = True) -> None:
    """Rows as Asterisk wrote them; out of the binlog, no connector ever sees them."""
    at = pbx.stack.endpoints
    names = ("eventtype", "eventtime", "amaflags", "uniqueid", "linkedid", *TEXTS)
    sql = f"INSERT INTO cel ({', '.join(names)}) VALUES ({', '.join(['%s'] * len(names))})"  # noqa: S608 - our names
    connection = pymysql.connect(
        host=at.mariadb_host, port=at.mariadb_port, user="root", password=at.mariadb_root_password, database=pbx.name,
        charset="utf8mb4", autocommit=True,
    )  # fmt: skip
    with connection, connection.cursor() as cursor:
        if not in_binlog:
            cursor.execute("SET sql_log_bin = 0")
        for row in rows:
            cursor.execute(sql, [row.get(name) or "" for name in names])


async def ran(file: Path, *words: str) -> Result:
    return await asyncio.to_thread(CliRunner().invoke, command_line(), [*words, "--settings", str(file)])


async def healed(file: Path, remedy: str) -> None:
    """Give a command that was named."""
    done = await ran(file, *remedy.split()[1:], "--by", "ann")
    assert done.exit_code == 0, (done.output, done.exception)


async def found(file: Path) -> dict[str, Any]:
    done = await ran(file, "gaps", "--json")
    assert done.exit_code in (0, 1) and done.stdout, (done.output, done.exception)
    told: dict[str, Any] = json.loads(done.stdout)
    assert told["gaps"] == bool(done.exit_code)
    return told


async def on_topic(pbx: Installation, rows: int) -> dict[int, int]:
    """Wait until the topic holds so many records; its ends."""
    async with KafkaTopics(pbx.settings.kafka) as topics, asyncio.timeout(60):
        while sum((ends := await topics.ends(pbx.topic)).values()) < rows:  # noqa: ASYNC110
            await asyncio.sleep(0.2)
    return ends


async def set_offsets(pbx: Installation, ends: Mapping[int, int]) -> None:
    """What a person does with Kafka's own tools: the worker's group passes over what stands there."""
    consumer = AIOKafkaConsumer(
        bootstrap_servers=pbx.settings.kafka.bootstrap_servers, group_id=f"{pbx.name}.aggregate",
        enable_auto_commit=False,
    )  # fmt: skip
    await consumer.start()
    try:
        places = {TopicPartition(pbx.topic, number): end for number, end in ends.items()}
        consumer.assign(list(places))
        await consumer.commit(places)
    finally:
        await consumer.stop()


async def compared_while_stopped(pbx: Installation, rows: Sequence[Mapping[str, str]]) -> Findings:
    """A comparison whose first look finds the connector stopped before these rows; it is resumed for the second."""
    name = connector_name(pbx.settings)
    waiting = asyncio.Event()
    async with connect_client(pbx.settings) as connect, open_comparison(pbx.settings) as comparison:
        await connect.stop(name)
        await until_state(pbx, "STOPPED")
        write(pbx, rows)

        def on_progress(stage: str, _done: int, _total: int) -> None:
            if "connector" in stage:
                waiting.set()

        comparison.on_progress = on_progress
        comparing = asyncio.ensure_future(comparison.run(Since()))
        await asyncio.wait([comparing, asyncio.ensure_future(waiting.wait())], return_when="FIRST_COMPLETED")
        assert not comparing.done(), "the first look must have found rows that are not on the topic"
        await connect.resume(name)
        return await comparing


async def watched(pbx: Installation) -> list[Any]:
    """One comparison of the watcher's, and the lines that it logs."""
    watch = GapWatch(SmallComparison(pbx.settings), "c", pbx.name)
    watch.restarted()
    with capture_logs() as lines:
        async with asyncio.timeout(120):
            while not [line for line in lines if line["event"] in ("rows are missing", "no gaps")]:
                watch.step(running=True)
                await asyncio.sleep(0.1)
            while watch.busy:  # noqa: ASYNC110
                await asyncio.sleep(0.1)
    return lines


async def test_what_never_reached_the_topic_or_the_results_is_named_and_heals(
    stack: "LocalStack", tmp_path: Path
) -> None:
    passed_over, seen, unseen, under_way, later, lost_later = map(case_of_now, (120, 110, 100, 90, 80, 70))
    async with installed(stack) as pbx:
        file = settings_file(pbx, tmp_path)
        await apply_source(pbx.settings, lambda _: None)
        write(pbx, passed_over.rows)
        await set_offsets(pbx, await on_topic(pbx, len(passed_over.rows)))
        write(pbx, seen.rows)
        await on_topic(pbx, len(passed_over.rows) + len(seen.rows))
        write(pbx, unseen.rows, in_binlog=False)

        told = await found(file)
        assert [each["linkedid"] for each in told["calls_without_result"]] == list(passed_over.linkedids)
        (stretch,) = told["stretches"]
        assert (stretch["calls"], stretch["rows"]) == (list(unseen.linkedids), len(unseen.rows))
        assert told["missing_rows"] == len(unseen.rows)
        assert set(told["remedies"]) == {
            f"cel2crm backfill --call {case.linkedids[0]} --pbx {pbx.name}" for case in (passed_over, unseen)
        }
        async with aggregating(file):
            (line,) = [each for each in await watched(pbx) if each["event"] == "rows are missing"]
            assert line["rows"] == len(unseen.rows) and stretch["remedy"] in line["remedy"]
            status = await ran(file, "connectors", "status")
            assert (status.exit_code, "never reached the topic" in status.stdout) == (1, True)
            assert stretch["remedy"] in status.stdout

            for remedy in told["remedies"]:
                await healed(file, remedy)
            assert not (await found(file))["gaps"]
            assert (await watched(pbx))[-1]["event"] == "no gaps"
            status = await ran(file, "connectors", "status", "--json")
            assert (status.exit_code, json.loads(status.stdout)["gaps"]["missing_rows"]) == (0, 0)

            now = await compared_while_stopped(pbx, under_way.rows)
            assert (now.found, now.unsettled) == (False, 0), "rows that are under way are none"

            pbx.root(f"TRUNCATE TABLE {pbx.name}.cel")
            write(pbx, lost_later.rows, in_binlog=False)
            write(pbx, later.rows)
            told = await found(file)
            (stretch,) = told["stretches"]
            assert (stretch["first_id"], stretch["last_id"]) == (1, len(lost_later.rows)), "ids began again"
            assert (stretch["calls"], told["calls_without_result"]) == (list(lost_later.linkedids), [])
            await healed(file, stretch["remedy"])
            assert not (await found(file))["gaps"]


async def test_a_table_without_a_primary_key_is_refused_by_name(stack: "LocalStack", tmp_path: Path) -> None:
    async with installed(stack, topics=False) as pbx:
        pbx.root(f"ALTER TABLE {pbx.name}.cel MODIFY id int NOT NULL, DROP PRIMARY KEY")
        refused = await ran(settings_file(pbx, tmp_path), "gaps")
        assert f"{pbx.name}.cel" in str(refused.exception) and "has no primary key" in str(refused.exception)
