"""`cel2crm connectors apply --sink` on real servers: what the topics say stands in the database, whatever happens."""

import asyncio
import contextlib
import json
import shutil
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml
from structlog.testing import capture_logs
from typer.testing import CliRunner, Result

from connectors.client import ConnectClient
from connectors.sinks.apply import apply_sink
from connectors.sinks.connected import connectors_of, open_sink, records_behind, sink_connect_client
from connectors.sinks.jdbc.checks import refusals_now
from connectors.sinks.jdbc.tables import PARTS
from connectors.sinks.report import report_sink
from connectors.sinks.watch import SinkWatcher
from connectors.topics import apply_topics
from connectors.watch import Backoff
from deploy.local import LocalStack
from schemas import own_headers
from streams.cli.connectors import app
from streams.delivery.record import Delivery, State
from streams.errors import SettingsError, UserError
from streams.kafka.topic_client import KafkaTopics, Outgoing
from tests.certificates import Authority
from tests.connectors.sinking import (
    GRANTS,
    PASSWORD,
    PROCESSED,
    USER,
    Run,
    Sent,
    expected,
    mariadb_database,
    micros,
    plain,
    postgresql_database,
    send,
    send_as_0_1_0,
    settings_of,
    tables_of,
    versions,
)
from tests.faults.recorded_results import recorded_calls
from tests.sources import postgresql

pytestmark = pytest.mark.servers

ENGINES = ("postgresql", "mariadb")
FAILED_AT = PROCESSED + 1


class Databases:
    """Both databases, and one installation whose sinks fill them."""

    def __init__(self, stack: LocalStack, runs: dict[str, Run], sinks: list[dict[str, Any]], server: Any) -> None:
        self.stack, self.runs, self.server = stack, runs, server
        self.settings = settings_of(stack, "sinks", sinks)

    async def command(self, *words: str) -> Result:
        """`cel2crm connectors` with these words, in a thread: it has an event loop of its own."""
        tree = self.settings.model_dump(mode="json", exclude={"portals"})
        for sink in tree["sinks"]:
            sink["password"] = PASSWORD
        file = self.stack.endpoints.directory / "sinks.yaml"
        file.touch(mode=0o600)
        file.write_text(yaml.safe_dump(tree), encoding="utf-8")
        return await asyncio.to_thread(lambda: CliRunner().invoke(app, [*words, "--settings", str(file)]))

    def sink(self, engine: str) -> Any:
        return next(sink for sink in self.settings.sinks if sink.engine == engine)

    async def until_taken(self, engines: Sequence[str] = ENGINES, *, failing: bool = False) -> None:
        """Wait until every record is confirmed; `failing`: a connector may have failed meanwhile."""
        async with asyncio.timeout(90):
            for engine in engines:
                async with open_sink(self.settings, self.sink(engine)) as sink:
                    for connector in sink.connectors:
                        while await records_behind(sink, connector):
                            status = await sink.connect.status(connector.name)
                            assert status is not None and (failing or not status.failures), status
                            await asyncio.sleep(0.3)


@pytest.fixture(scope="module")
async def databases(stack: LocalStack) -> AsyncIterator[Databases]:
    if (programs := postgresql.programs()) is None:
        pytest.skip("PostgreSQL is not installed")
    with postgresql_database(programs) as (server, pg_sink, pg_run), mariadb_database(stack) as (my_sink, my_run):
        made = Databases(stack, {"postgresql": pg_run, "mariadb": my_run}, [pg_sink, my_sink], server)
        await apply_topics(made.settings)
        yield made
        async with sink_connect_client(made.settings) as connect:
            for name in await connect.names():
                if name.startswith("sinks-"):
                    await connect.delete(name)


def live_records() -> list[Sent]:
    """The recorded calls, deliveries and dead letters: two states of one delivery, and the tombstone of another."""
    records = [one for result, legs in recorded_calls() for one in versions(result, legs, result.version, 0)]
    for number in range(3):
        for state in (State.NEW, State.DELIVERED):
            delivery = Delivery(
                call_id=f"pbx1/{number}", crm="kommo", portal="sales", state=state, step="call", version=5,
                queued_at=PROCESSED if state is State.DELIVERED else 0, updated_at=PROCESSED + 1,
                delivered_at=PROCESSED + 2 if state is State.DELIVERED else None,
            )  # fmt: skip
            records.append(("deliveries-kommo", "delivery", delivery.call_id, delivery.record(), {}))
    records.append(("deliveries-kommo", "delivery", "pbx1/2", None, {}))
    letter = {
        "key": b"k", "value": b"\0\xff", "headers": [], "topic": "sinks.cel", "partition": 1, "offset": 7,
        "timestamp": 1_764_000_000_123, "component": "aggregate", "reason": "unreadable_row", "explanation": "'; drop",
        "failed_at": FAILED_AT, "call_id": None, "portal": None,
    }  # fmt: skip
    complete = {
        "pbx": "pbx1", "partition": 0, "partitions": 1, "complete_until": PROCESSED, "captured_until": PROCESSED + 7,
        "held_by": "pbx1/1.1", "results_ends": "[1, 1, 1]", "legs_ends": "[1, 1, 1]",
    }  # fmt: skip
    return [
        *records,
        ("dead-letters", "dead_letter", "k", letter, {}),
        ("complete-until", "complete_until", "pbx1/0", {**complete, "complete_until": PROCESSED - 1}, {}),
        ("complete-until", "complete_until", "pbx1/0", complete, {}),
    ]


def later_records() -> list[Sent]:
    """As a replay publishes: a later version of some calls, a higher correction of others, and an older one, late."""
    records: list[Sent] = []
    for number, (result, legs) in enumerate(recorded_calls()):
        if number % 3 == 0:
            records += versions(result, legs, result.version + 1, 0, result=486, result_name="busy")
        elif number % 3 == 1:
            records += versions(result, legs, result.version, 2, queue="sales", talk_seconds=1.25)
            records += versions(result, legs, result.version, 1, queue="wrong")
    return records


def assert_equal(run: Run, records: list[Sent]) -> None:
    """The views hold what the topics say: call by call, field by field."""
    for view, topic in (("calls", "call-results"), ("legs", "call-legs")):
        truth = expected(records, topic)
        told = {(row["call_id"], row.get("leg")): plain(row) for row in run(f"select * from {view}")}  # noqa: S608
        assert told.keys() == truth.keys()
        for key, row in told.items():
            assert row == {name: truth[key][name] for name in row}


async def refusal(databases: Databases, engine: str) -> str:
    with pytest.raises(UserError) as caught:
        await apply_sink(databases.settings, engine, lambda _: None)
    assert PASSWORD not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("engine", ENGINES)
async def test_apply_names_what_is_missing_before_it_applies_anything(databases: Databases, engine: str) -> None:
    run = databases.runs[engine]
    if engine == "postgresql":
        run(f"grant usage on schema public to {USER}")
    else:
        run(f"grant select on calls.* to {USER}")
    told = await refusal(databases, engine)
    assert "there is no table call_results" in told and "there is no view calls" in told
    assert f"cel2crm connectors tables {engine}" in told
    for statement in tables_of(engine):
        run(statement)
    assert "may not insert, update and select in table" in await refusal(databases, engine) or engine == "postgresql"
    for statement in GRANTS[engine]:
        run(statement)
    run("alter table call_legs rename column number to telephone")
    assert "table call_legs has no column number (text)" in await refusal(databases, engine)
    run("alter table call_legs rename column telephone to number")
    async with sink_connect_client(databases.settings) as connect:
        assert not [name for name in await connect.names() if name.startswith(f"sinks-sink-{engine}")]


async def test_views_equal_the_topics_after_replays_and_restarts_too(databases: Databases) -> None:
    await send(databases.settings, live_records())
    await send_as_0_1_0(databases.settings)
    for engine in ENGINES:
        applied = await apply_sink(databases.settings, engine, lambda _: None)
        assert [part.action for part in applied] == ["created"] * len(PARTS)
    await databases.until_taken()
    for run in databases.runs.values():
        assert_equal(run, live_records())
        delivered = run("select * from deliveries order by call_id")
        assert [(row["call_id"], row["state"], micros(row["delivered_at"])) for row in delivered] == [
            (f"pbx1/{number}", "delivered", PROCESSED + 2) for number in range(3)
        ]
        (letter,) = run("select * from dead_letters")
        assert (letter["source_topic"], letter["source_offset"], letter["explanation"]) == ("sinks.cel", 7, "'; drop")
        (complete,) = run("select * from complete_until")
        assert (complete["pbx"], micros(complete["complete_until"])) == ("pbx1", PROCESSED)
        assert (micros(letter["failed_at"]), micros(letter["source_timestamp"])) == (FAILED_AT, 1_764_000_000_123_000)
    async with sink_connect_client(databases.settings) as connect:
        await send(databases.settings, later_records())
        await restart_all(connect)
        # Everything once more, as at-least-once may bring it, in another order.
        await send(databases.settings, [*reversed(live_records()[:400]), *later_records()])
        await databases.until_taken()
        for run in databases.runs.values():
            assert_equal(run, [*live_records(), *later_records()])
            assert len(run("select * from call_deliveries")) == 3
        for name in await connect.names():
            assert PASSWORD not in str(await connect.config(name))
    for engine in ENGINES:
        answer = await databases.command("apply", "--sink", engine)
        assert (answer.exit_code, PASSWORD in answer.output) == (0, False), answer.output
        for part in PARTS:
            line = f"connector sinks-sink-{engine}-{part} RUNNING, task 0 RUNNING, 0 records behind (unchanged)"
            assert line in answer.output
        report = await report_sink(databases.settings, databases.sink(engine))
        assert report.healthy and report.lines()[1:] == [f"  {part}: RUNNING, 0 records behind" for part in PARTS]


async def restart_all(connect: ConnectClient) -> None:
    for name in await connect.names():
        if name.startswith("sinks-"):
            await connect.restart(name, only_failed=False)


@contextlib.asynccontextmanager
async def watched(databases: Databases, engine: str) -> AsyncIterator[list[Any]]:
    """The watchers of a sink's connectors at work, with the lines that they log."""
    with capture_logs() as lines:
        async with sink_connect_client(databases.settings) as connect, asyncio.TaskGroup() as group:
            watchers = [
                SinkWatcher(connect, each.name, "apply", Backoff(0.5, 2), poll_seconds=0.3)
                for each in connectors_of(databases.settings, databases.sink(engine))
            ]
            tasks = [group.create_task(watcher.run()) for watcher in watchers]
            yield lines
            for task in tasks:
                task.cancel()


async def test_a_database_that_is_away_loses_nothing(databases: Databases) -> None:
    sink, run = databases.sink("postgresql"), databases.runs["postgresql"]
    result, legs = recorded_calls()[0]
    databases.server.stop()
    try:
        await send(databases.settings, versions(result, legs, result.version + 7, 0))
        refused = await databases.command("apply", "--sink", "postgresql")
        assert isinstance(refused.exception, UserError) and "no database answers at" in refused.exception.problem
        report = await report_sink(databases.settings, sink)
        lines = report.lines()
        assert not report.healthy and len([line for line in lines if "no database answers at" in line]) == 1, lines
        assert any("1 record behind" in line for line in lines), lines
    finally:
        databases.server.start()
    async with watched(databases, "postgresql") as logged:
        await databases.until_taken(["postgresql"], failing=True)
    assert logged
    (row,) = run(f"select version from calls where call_id = '{result.call_id}'")  # noqa: S608
    assert row["version"] == result.version + 7


@pytest.mark.parametrize("engine", ENGINES)
async def test_a_table_changed_by_hand_is_one_sentence(databases: Databases, engine: str) -> None:
    run = databases.runs[engine]
    result, legs = recorded_calls()[1]
    run("alter table call_legs rename column number to telephone")
    await send(databases.settings, versions(result, legs, result.version + 7 + ENGINES.index(engine), 0))
    async with watched(databases, engine) as logged, asyncio.timeout(60):
        while not (failed := failures_of(logged, "legs")):  # noqa: ASYNC110
            await asyncio.sleep(0.2)
        report = await report_sink(databases.settings, databases.sink(engine))
        run("alter table call_legs rename column telephone to number")
        await databases.until_taken([engine], failing=True)
    assert {line["reason"] for line in failed} == {"table call_legs lacks a column that its records have"}
    assert "cel2crm connectors tables" in failed[0]["remedy"]
    assert "    table call_legs has no column number (text)" in report.lines()


def failures_of(lines: list[Any], part: str) -> list[Any]:
    return [line for line in lines if line["event"] == "sink failed" and line["connector"].endswith(part)]


def encrypt(server: postgresql.Server, run: Run, authority: Authority) -> None:
    """Have PostgreSQL speak TLS beside open connections, with a certificate for localhost and 127.0.0.1."""
    (at,) = run("show data_directory")
    data = Path(at["data_directory"])
    for name, file in zip(("server.crt", "server.key"), authority.issue("postgresql"), strict=True):
        shutil.copy(file, data / name)
        shutil.chown(data / name, data.owner())
        (data / name).chmod(0o600)
    server.run("alter system set ssl = on", "select pg_reload_conf()")


async def test_tls_is_checked_by_the_commands_and_by_connect(databases: Databases, tmp_path: Path) -> None:
    authority, stranger = Authority(tmp_path), Authority(tmp_path, "stranger")
    await asyncio.to_thread(tmp_path.chmod, 0o755)
    plain_sink = databases.sink("postgresql")
    secured = plain_sink.model_copy(update={"ssl": True, "ssl_ca_file": authority.certificate})
    with pytest.raises(UserError, match="it speaks no TLS"):
        await refusals_now(secured)
    maria = databases.sink("mariadb").model_copy(update={"ssl": True, "ssl_ca_file": authority.certificate})
    with pytest.raises(UserError, match="it speaks no TLS"):
        await refusals_now(maria)
    encrypt(databases.server, databases.runs["postgresql"], authority)
    async with asyncio.timeout(10):
        while True:  # the server reads its settings again in its own time
            with contextlib.suppress(UserError):
                assert await refusals_now(secured) == []
                break
            await asyncio.sleep(0.1)
    with pytest.raises(UserError, match="signed by nobody whom ssl_ca_file names"):
        await refusals_now(secured.model_copy(update={"ssl_ca_file": stranger.certificate}))
    with pytest.raises(SettingsError, match="cannot read"):
        await refusals_now(secured.model_copy(update={"ssl_ca_file": tmp_path / "none"}))

    named = secured.model_copy(update={"name": "secured", "parts": ("complete-until",)})
    settings = databases.settings.model_copy(update={"sinks": (named,)})
    run = databases.runs["postgresql"]
    run("delete from partitions_complete_until")
    await apply_sink(settings, "secured", lambda _: None)
    async with asyncio.timeout(30):
        while not run("select * from partitions_complete_until"):  # noqa: ASYNC110
            await asyncio.sleep(0.2)
    (ours,) = run("select count(*) as n from pg_stat_ssl join pg_stat_activity using (pid) "
                  "where ssl and application_name like '%JDBC%'")  # fmt: skip
    assert ours["n"]


async def test_status_and_delete_know_the_sinks(databases: Databases) -> None:
    told = await databases.command("status")
    assert told.exit_code == 1  # nothing is captured here
    assert "sink mariadb (mariadb at " in told.output and "  dead-letters: RUNNING, 0 records behind" in told.output
    deleted = await databases.command("delete", "--sink", "mariadb")
    assert deleted.output.count(": deleted") == len(PARTS)
    told = await databases.command("status", "--json")
    sinks = {sink["name"]: sink for sink in json.loads(told.output.splitlines()[0])["sinks"]}
    assert sinks["postgresql"]["healthy"] and not sinks["mariadb"]["healthy"]
    assert sinks["mariadb"]["connectors"][0]["faults"][0]["remedy"] == "Run: cel2crm connectors apply --sink mariadb"


async def test_a_schema_id_that_the_registry_lost_is_one_sentence(databases: Databases) -> None:
    """The last test: the record stays where it is, and the sink before it."""
    topic = databases.settings.kafka.topic("complete-until")
    async with KafkaTopics(databases.settings.kafka) as topics:
        lost = b"\0" + (999_999).to_bytes(4, "big") + b"\0"
        await topics.send([Outgoing(topic, b"pbx1/0", lost, headers=own_headers("complete_until"))])
    async with asyncio.timeout(60):
        while (report := await report_sink(databases.settings, databases.sink("postgresql"))).healthy:  # noqa: ASYNC110
            await asyncio.sleep(0.3)
    told = [line.strip() for line in report.lines()]
    assert "the registry does not know the schema of a record" in told, told
    assert "complete-until: RUNNING, FAILED, 1 record behind" in told or any("1 record behind" in line for line in told)
