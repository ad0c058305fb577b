"""Rows of a real PostgreSQL on a real Kafka, as MariaDB's. What is longer: tests/databases."""

# ruff: noqa: S608 (the names in the statements are the test's own)

import os
import subprocess
from collections.abc import Iterator

import psycopg
import pytest

from deploy.local import LocalStack
from deploy.server.capture_user import capture_user
from streams.kafka.topic_client import KafkaTopics
from streams.operations.backfill import signals_of
from streams.settings import Settings
from tests.connectors.capturing import (
    applied,
    refusal,
)
from tests.connectors.installation import installed
from tests.connectors.judging import CASE, decoded, judged
from tests.connectors.postgresql_installation import CEL_PGSQL, LOGICAL, installed_in_postgresql
from tests.sources import own_server, postgresql

pytestmark = pytest.mark.servers


@pytest.fixture(scope="module")
def server() -> Iterator[postgresql.Server]:
    if (programs := postgresql.programs()) is None:
        pytest.skip("PostgreSQL is not installed")
    with postgresql.running(programs, *LOGICAL) as running:
        yield running


async def test_a_recorded_call_comes_and_is_judged_as_from_mariadb(
    stack: LocalStack, server: postgresql.Server
) -> None:
    async with installed(stack) as mariadb, installed_in_postgresql(stack, server) as pbx:
        assert await applied(mariadb.settings) == "created"
        assert await applied(pbx.settings) == "created"
        for row in CASE.rows:
            names = ", ".join(row)
            marks = ", ".join(["%s"] * len(row))
            mariadb.root(f"INSERT INTO {mariadb.name}.cel ({names}) VALUES ({marks})", values=list(row.values()))
            pbx.insert_row({**row, "eventtime": row["eventtime"][:19]})  # as MariaDB's column cuts it
        theirs, ours = await decoded(mariadb, len(CASE.rows)), await decoded(pbx, len(CASE.rows))
        assert [(row.id, row.extra, row.eventtype) for row in ours] == [
            (row.id, row.extra, row.eventtype) for row in theirs
        ]
        assert {(row.op, row.pbx) for row in ours} == {("c", pbx.name)}
        assert judged(pbx.settings, ours) == judged(mariadb.settings, theirs)
        # Once more, by a backfill: nothing is written to the database for it.
        async with KafkaTopics(pbx.settings.kafka) as topics:
            await topics.send(signals_of(pbx.settings, [CASE.linkedids[0]]))
        again = (await decoded(pbx, 2 * len(CASE.rows)))[::2]
        assert {row.op for row in await decoded(pbx, 2 * len(CASE.rows))} == {"c", "r"}
        assert [row.id for row in again] == [row.id for row in ours]


async def test_what_is_missing_is_named_and_the_user_cannot_write(stack: LocalStack, server: postgresql.Server) -> None:
    async with installed_in_postgresql(stack, server) as pbx:
        assert "no replication slot elsewhere" in await refusal(pbx.changed("database", slot="elsewhere"))
        assert "no publication elsewhere" in await refusal(pbx.changed("database", publication="elsewhere"))
        assert "no table public.calls" in await refusal(pbx.changed("database", table="calls"))
        assert "refuses user nobody" in await refusal(pbx.changed("database", user="nobody"))
        pbx.root("DROP PUBLICATION cel2crm", "ALTER TABLE cel SET UNLOGGED")  # which one that is published cannot be
        assert "is unlogged" in await refusal(pbx.settings)
        password = stack.endpoints.secret("cel.password")
        with psycopg.connect(
            host=server.host, port=server.port, user=pbx.name, password=password, dbname=pbx.name, autocommit=True
        ) as connection:
            connection.execute("SELECT count(*) FROM cel")
            for statement in ("INSERT INTO cel (id) VALUES (1)", "DELETE FROM cel", "UPDATE cel SET exten = ''"):
                with pytest.raises(psycopg.errors.InsufficientPrivilege):
                    connection.execute(statement.encode())
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute("CREATE TABLE t (id int)")


def test_the_file_of_the_installer_makes_a_user_who_logs_in_with_the_password(server: postgresql.Server) -> None:
    password = "it's \\ of 'one' server"
    settings = Settings.model_validate(
        {
            "pbx": {"name": "installed"},
            "database": {
                "engine": "postgresql", "host": server.host, "port": server.port, "user": "reader", "name": "installed",
                "publication": "events", "password": password,
            },
        }
    )  # fmt: skip
    server.run("CREATE DATABASE installed")
    server.run(CEL_PGSQL, database="installed")
    made = capture_user(settings)
    programs = postgresql.programs()
    assert programs is not None and made.command.startswith("psql ")
    command = [*made.command.split()[:-1], "-h", server.host, "-p", str(server.port), "-U", "postgres", "-q", "-X"]
    done = subprocess.run(
        command, input=made.statements, text=True, capture_output=True, check=False,
        env={**os.environ, "PATH": f"{programs}:{os.environ['PATH']}", "PGPASSWORD": own_server.PASSWORD},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    with psycopg.connect(
        host=server.host, port=server.port, user="reader", password=password, dbname="installed"
    ) as connection:
        assert connection.execute("SELECT count(*) FROM cel").fetchone() == (0,)
    slots = server.rows("SELECT slot_name FROM pg_replication_slots WHERE database = 'installed'")
    assert slots == [("cel2crm_installed",)]
    server.run("SELECT pg_drop_replication_slot('cel2crm_installed')")
