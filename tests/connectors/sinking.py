"""A database of a sink's own, with tables and a user as docs/analytics.md has them, and records to send."""

import io
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp
import psycopg
import pymysql
from fastavro import schemaless_writer
from msgspec.structs import replace

from connectors.sinks.jdbc.tables import FOLDER
from connectors.topics import apply_topics
from deploy.local import LocalStack
from schemas import SchemaRegistry, own_headers
from schemas.source import WRITTEN_BY_0_1_0, released
from streams.calls.result import CallLeg, CallResult
from streams.kafka.topic_client import KafkaTopics, Outgoing
from streams.settings import Settings
from tests.faults.recorded_results import recorded_calls
from tests.sources import own_server, postgresql

Run = Callable[[str], list[dict[str, Any]]]
"""Runs a statement as the owner of the database; its rows."""

PASSWORD = "s'nk:p@ss/w\u00f6rd"
USER = "sink_user"
PROCESSED = 1_764_000_000_123_457

Sent = tuple[str, str, str, dict[str, Any] | None, dict[str, str]]
"""Short name of a topic, schema, key, record (None: a tombstone), headers."""


def versions(call: CallResult, legs: Sequence[CallLeg], version: int, correction: int, **changes: Any) -> list[Sent]:
    """A version of a call and its legs, as the aggregate worker (correction 0) or a replay publishes them."""
    headers = {"origin": "replay" if correction else "live", "processed_at": str(PROCESSED + version + correction)}
    told = replace(call, version=version, correction=correction, **changes)
    sent: list[Sent] = [("call-results", "call_result", told.call_id, told.record(), headers)]
    for leg in legs:
        record = replace(leg, version=version, correction=correction).record()
        sent.append(("call-legs", "call_leg", told.call_id, record, headers))
    return sent


async def send(settings: Settings, records: Iterable[Sent]) -> None:
    """Write records to their topics, in this order, with the headers of ours."""
    prefix = settings.kafka.topic
    async with SchemaRegistry(settings.registry.url) as registry, KafkaTopics(settings.kafka) as topics:
        kinds = {prefix(topic): schema for topic, schema, *_ in records}
        serializer = await registry.register(kinds)
        await topics.send(
            [
                Outgoing(
                    prefix(topic),
                    key.encode(),
                    None if record is None else serializer.encode(schema, record),
                    headers=[*own_headers(schema), *((name, value.encode()) for name, value in headers.items())],
                )
                for topic, schema, key, record, headers in records
            ]
        )


async def filled(stack: LocalStack) -> tuple[Settings, list[Sent]]:
    """Topics of the default names, and what was sent to them: every recorded call, fifty of them with a correction."""
    at = stack.endpoints
    kafka = {"bootstrap_servers": at.bootstrap_servers, "partitions": 3}
    settings = Settings.model_validate({"kafka": kafka, "registry": {"url": at.registry_url}})
    await apply_topics(settings)
    records = [one for result, legs in recorded_calls() for one in versions(result, legs, result.version, 0)]
    for result, legs in recorded_calls()[:50]:
        records += versions(result, legs, result.version, 1, result=486, outcome="busy")
    await send(settings, records)
    return settings, records


async def send_as_0_1_0(settings: Settings) -> None:
    """A result as cel2crm 0.1.0 wrote it: its schema in the registry, no header, no correction, plain times."""
    schema, topic = released("call_result")[WRITTEN_BY_0_1_0["call_result"]], settings.kafka.topic("call-results")
    url, asked = f"{settings.registry.url}/subjects/{topic}-value/versions", {"schema": json.dumps(schema)}
    async with aiohttp.ClientSession() as session, session.post(url, json=asked) as answer:
        number = (await answer.json(content_type=None))["id"]
    written = io.BytesIO()
    record = {**recorded_calls()[0][0].record(), "call_id": "pbx1/of-0.1.0"}
    schemaless_writer(written, schema, record)
    async with KafkaTopics(settings.kafka) as topics:
        value = b"\0" + number.to_bytes(4, "big") + written.getvalue()
        await topics.send([Outgoing(topic, b"pbx1/of-0.1.0", value)])


def expected(records: list[Sent], topic: str) -> dict[Any, dict[str, Any]]:
    """The truth about each call (its legs: by number) as the topic says it, headers included."""
    truth: dict[Any, dict[str, Any]] = {}
    for name, _, _, record, headers in records:
        if name == topic and record is not None:
            order, key = (record["version"], record["correction"]), (record["call_id"], record.get("leg"))
            known = truth.get(key)
            if known is None or (known["version"], known["correction"]) <= order:
                truth[key] = {**record, "origin": headers["origin"], "processed_at": int(headers["processed_at"])}
    return truth


def statements(text: str) -> list[str]:
    bare = "\n".join(line for line in text.splitlines() if not line.startswith("--"))
    return [each for each in bare.split(";\n") if each.strip()]


def tables_of(engine: str) -> list[str]:
    return statements((FOLDER / f"{engine}.sql").read_text(encoding="utf-8"))


@contextmanager
def postgresql_database(programs: Path) -> Iterator[tuple[postgresql.Server, dict[str, Any], Run]]:
    """A server with a database `calls`: the server, a sink's settings for it, and the owner's statements."""
    with postgresql.running(programs) as server:
        quoted = PASSWORD.replace("'", "''")
        server.run(f"create user {USER} password '{quoted}'", "create database calls")

        def run(statement: str) -> list[dict[str, Any]]:
            with psycopg.connect(
                host=server.host, port=server.port, user="postgres", password=own_server.PASSWORD, dbname="calls",
                autocommit=True, row_factory=psycopg.rows.dict_row, options="-c timezone=Asia/Tokyo",
            ) as connection:  # fmt: skip
                cursor = connection.execute(statement.encode())
                return cursor.fetchall() if cursor.description else []

        run("alter database calls set timezone to 'Asia/Tokyo'")  # what is written must not depend on it
        yield server, {"engine": "postgresql", "host": server.host, "port": server.port}, run


@contextmanager
def mariadb_database(stack: LocalStack) -> Iterator[tuple[dict[str, Any], Run]]:
    """A database `calls` on the stack's server."""
    at = stack.endpoints

    def run(statement: str) -> list[dict[str, Any]]:
        connection = pymysql.connect(
            host=at.mariadb_host, port=at.mariadb_port, user="root", password=at.mariadb_root_password, autocommit=True,
            database="calls", cursorclass=pymysql.cursors.DictCursor,
        )  # fmt: skip
        with connection, connection.cursor() as cursor:
            cursor.execute(statement)
            return list(cursor.fetchall())

    owner = pymysql.connect(
        host=at.mariadb_host, port=at.mariadb_port, user="root", password=at.mariadb_root_password, autocommit=True
    )
    with owner, owner.cursor() as cursor:
        cursor.execute("create database calls")
        cursor.execute(f"create user {USER} identified by %s", (PASSWORD,))
        try:
            yield {"engine": "mariadb", "host": at.mariadb_host, "port": at.mariadb_port}, run
        finally:
            cursor.execute("drop database calls")
            cursor.execute(f"drop user {USER}")


GRANTS = {
    "postgresql": [f"grant select, insert, update on all tables in schema public to {USER}"],
    "mariadb": [f"grant select, insert, update, show view on calls.* to {USER}"],
}


def micros(value: datetime | None) -> int | None:
    """UTC microseconds of a column: aware, or naive in UTC."""
    if value is None:
        return None
    aware = value if value.tzinfo else value.replace(tzinfo=UTC)
    return (aware - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)


def plain(row: dict[str, Any]) -> dict[str, Any]:
    """A row with its times as microseconds and its truth values as such."""
    return {name: micros(value) if isinstance(value, datetime) else value for name, value in row.items()}


def settings_of(stack: LocalStack, prefix: str, sinks: Sequence[dict[str, Any]]) -> Settings:
    """An installation of that topic prefix, with sinks that Connect knows the password of by a file of the stack's."""
    at = stack.endpoints
    secrets = at.directory / "sink.properties"
    secrets.touch(mode=0o600)
    # As java.util.Properties reads it: other letters than Latin 1's by their numbers.
    words = "".join(sign if sign.isascii() else f"\\u{ord(sign):04x}" for sign in PASSWORD)
    secrets.write_text(f"sink.password={words}\n", encoding="ascii")
    login = {"user": USER, "password": PASSWORD, "password_reference": f"${{file:{secrets}:sink.password}}"}
    return Settings.model_validate(
        {
            "kafka": {"bootstrap_servers": at.bootstrap_servers, "topic_prefix": prefix, "partitions": 3},
            "connect": {"url": at.connect_url},
            "registry": {"url": at.registry_url},
            "sinks": [{**sink, **login} for sink in sinks],
        }
    )
