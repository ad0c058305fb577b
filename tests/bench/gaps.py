"""`cel2crm gaps` over a large table: seconds and memory of the whole command, on real servers."""

import asyncio
import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pymysql
import yaml
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.structs import OffsetAndMetadata
from rich.table import Table

from connectors.topics import apply_topics
from deploy.local import LocalStack
from schemas import SchemaRegistry, own_headers
from streams.kafka.topic_client import KafkaTopics
from streams.settings import Settings
from streams.workers.aggregate.marker import Marker
from tests.brokers import brokers
from tests.crm.calls import call_result

ROWS_A_CALL = 12
PREFIX = "benchgaps"
_FIRST_SECOND = 1_764_000_000
_COLUMNS = (
    "amaflags, cid_name, cid_num, cid_ani, cid_rdnis, cid_dnid, exten, context, channame, appname, appdata, "
    "accountcode, peer, userdeftype, extra, userfield"
)


def measure(stack: LocalStack, directory: Path, rows: int, say: Callable[[str], None]) -> dict[str, Any]:
    """Fill table, topic and results with as many rows, compare, and tell what it took."""
    at = stack.endpoints
    settings = Settings.model_validate(
        {
            "database": {"host": at.mariadb_host, "port": at.mariadb_port, "user": "root", "name": PREFIX,
                         "password": at.mariadb_root_password},
            "kafka": {"bootstrap_servers": at.bootstrap_servers, "topic_prefix": PREFIX},
            "registry": {"url": at.registry_url},
        }
    )  # fmt: skip
    say(f"writing {rows:,} rows into the table")
    _fill_table(stack, rows)
    say(f"writing {rows:,} rows to the topic, and their results")
    asyncio.run(_fill_topics(settings, rows))
    tree = settings.model_dump(mode="json", include={"database", "kafka", "registry"}, exclude_unset=True)
    tree["database"]["password"] = at.mariadb_root_password
    file = directory / "gaps.yaml"
    file.touch(mode=0o600)
    file.write_text(yaml.safe_dump(tree), encoding="utf-8")
    say("comparing")
    began, before = time.monotonic(), _children()
    command = [sys.executable, "-m", "streams.cli.main", "gaps", "--json", "--settings", str(file)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=900, check=False)
    seconds = time.monotonic() - began
    if done.returncode != 0:
        raise SystemExit(f"gaps ended with {done.returncode}: {done.stdout}{done.stderr}")
    used = _children()
    told = json.loads(done.stdout)
    assert (told["table_rows"], told["topic_rows"]) == (rows, rows), told
    cpu = used.ru_utime + used.ru_stime - before.ru_utime - before.ru_stime
    return {"rows": rows, "seconds": seconds, "cpu_seconds": cpu, "megabytes": used.ru_maxrss / 1024}


def show(measured: dict[str, Any]) -> Table:
    """The figures as a table."""
    table = Table("rows in table and topic", "seconds", "CPU s", "MB at most", title="cel2crm gaps")
    figures = f"{measured['seconds']:.1f}", f"{measured['cpu_seconds']:.1f}", f"{measured['megabytes']:.0f}"
    table.add_row(f"{measured['rows']:,}", *figures)
    return table


def _children() -> resource.struct_rusage:
    return resource.getrusage(resource.RUSAGE_CHILDREN)


def _fill_table(stack: LocalStack, rows: int) -> None:
    at = stack.endpoints
    sql = (Path(__file__).parents[2] / "deploy" / "local" / "freepbx_cel.sql").read_text(encoding="utf-8")
    create = next(each for each in sql.split(";") if "create table" in each.lower())
    create = create[create.lower().index("create table") :].replace("asteriskcdrdb.", "")
    connection = pymysql.connect(
        host=at.mariadb_host, port=at.mariadb_port, user="root", password=at.mariadb_root_password, autocommit=True
    )
    with connection, connection.cursor() as cursor:
        for statement in (f"CREATE DATABASE {PREFIX}", f"USE {PREFIX}", "SET sql_log_bin = 0", create):
            cursor.execute(statement)
        call = f"CONCAT({_FIRST_SECOND} + (seq - 1) DIV {ROWS_A_CALL}, '.', (seq - 1) DIV {ROWS_A_CALL})"
        values = ", ".join(["3", *["''"] * (_COLUMNS.count(","))])
        cursor.execute(
            f"INSERT INTO cel (id, eventtype, eventtime, uniqueid, linkedid, {_COLUMNS}) "  # noqa: S608
            f"SELECT seq, 'CHAN_START', FROM_UNIXTIME({_FIRST_SECOND} + (seq - 1) DIV {ROWS_A_CALL}), {call}, {call}, "
            f"{values} FROM seq_1_to_{rows}"
        )


async def _fill_topics(settings: Settings, rows: int) -> None:
    await apply_topics(settings)
    topic, servers = settings.kafka.topic, settings.kafka.bootstrap_servers
    async with (
        SchemaRegistry(settings.registry.url) as registry,
        KafkaTopics(brokers(servers)) as topics,
    ):
        serializer = registry.reader(["call_result"])
        await serializer.register(topic("call-results"), "call_result")
        producer = AIOKafkaProducer(bootstrap_servers=servers, linger_ms=20, max_batch_size=1 << 19)
        await producer.start()
        try:
            columns = {name.strip(): "" for name in _COLUMNS.split(",")}
            for row_id in range(1, rows + 1):
                call = (row_id - 1) // ROWS_A_CALL
                linkedid = f"{_FIRST_SECOND + call}.{call}"
                row = {
                    **columns, "id": row_id, "eventtype": "CHAN_START", "eventtime": "2025-11-24T16:00:00",
                    "uniqueid": linkedid, "linkedid": linkedid, "context": "from-internal", "channame":
                    f"PJSIP/1001-{row_id:08x}", "extra": '{"hangupcause":16,"hangupsource":"","dialstatus":"ANSWER"}',
                    "__op": "c", "__source_ts_ms": (_FIRST_SECOND + call) * 1000, "__source_snapshot": None,
                    "__source_name": settings.pbx.name,
                }  # fmt: skip
                await producer.send(topic("cel"), orjson.dumps(row), key=linkedid.encode())
            for call in range((rows + ROWS_A_CALL - 1) // ROWS_A_CALL):
                linkedid, last = f"{_FIRST_SECOND + call}.{call}", min(rows, (call + 1) * ROWS_A_CALL)
                count = last - call * ROWS_A_CALL
                result = call_result(
                    call_id=f"{settings.pbx.name}/{linkedid}", pbx=settings.pbx.name, linkedid=linkedid,
                    version=last << 20 | count, version_row_id=last, version_rows=count,
                )  # fmt: skip
                value = serializer.encode("call_result", result.record())
                await producer.send(
                    topic("call-results"), value, key=result.call_id.encode(), headers=list(own_headers("call_result"))
                )
        finally:
            await producer.stop()
        ends = await topics.ends(topic("cel"))
    consumer = AIOKafkaConsumer(bootstrap_servers=servers, group_id=f"{PREFIX}.aggregate", enable_auto_commit=False)
    await consumer.start()
    try:
        consumer.assign([TopicPartition(topic("cel"), number) for number in ends])
        await consumer.commit(
            {
                TopicPartition(topic("cel"), number): OffsetAndMetadata(end, Marker(end, {}).encode())
                for number, end in ends.items()
            }
        )
    finally:
        await consumer.stop()
