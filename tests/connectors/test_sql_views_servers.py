"""Tables and views of connectors/sinks/jdbc, in a real PostgreSQL and a real MariaDB: they say what the topic says."""

import random
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pymysql
import pytest
from msgspec.structs import replace

import schemas
from connectors.sinks.jdbc import erasure
from deploy.grafana.dashboards import dashboards
from streams.analysis.report.calls import report_call
from streams.analysis.report.figures import failures_of, figures_of
from streams.analysis.report.settled import settled_calls
from streams.analysis.waiting_clients import waiting_clients
from streams.calls.outcome import outcome_of
from streams.calls.result import CallLeg, CallResult
from streams.clock import MICROS_PER_DAY, MICROS_PER_SECOND, utc_now_us
from streams.rules.results import RESULT_NAMES
from streams.settings import SinkSettings
from tests.crm.calls import call_result
from tests.docs.pages import ROOT
from tests.sources import own_server, postgresql

pytestmark = pytest.mark.servers

FOLDER = Path(__file__).parents[2] / "connectors" / "sinks" / "jdbc"
CLIENTS = [None, *(f"+7916000000{number}" for number in range(40))]
NOW = utc_now_us()
MOMENTS = [datetime.fromtimestamp(NOW // MICROS_PER_SECOND, UTC)] * 3
RECORD_PARTITIONS = 2
"""Of the topics of results and legs."""

Query = Callable[[str], list[dict[str, Any]]]


def versions() -> list[CallResult]:
    """Some versions of each of 150 calls of three days, corrections among them, in no order; some without a word."""
    chance = random.Random(7)
    made = []
    for number in range(150):
        began = NOW - chance.randrange(3 * MICROS_PER_DAY)
        for _ in range(chance.choice((1, 1, 2, 3))):
            answered, result = chance.random() < 0.5, chance.choice(list(RESULT_NAMES))
            made.append(
                replace(
                    call_result(number), version=chance.randrange(1, 3) << 20, correction=chance.choice((0, 0, 1, 2)),
                    started_at=began, ended_at=began + MICROS_PER_SECOND, answered=answered, result=result,
                    direction=chance.choice(("incoming", "incoming", "outgoing", "internal")),
                    client=chance.choice(CLIENTS), abandoned=chance.random() < 0.1, utc_offset_seconds=5 * 3600 + 1800,
                    talk_seconds=chance.choice((None, 20.0, 60.0)) if answered else 0.0,
                    outcome=chance.choice((None, str(outcome_of(answered, result)))),
                    queue=chance.choice((None, "q700", "\u043f\u0440\u043e\u0434\u0430\u0436\u0438")),
                    queue_seconds=chance.choice((None, 5.0)), trunk=chance.choice((None, "trunk1")),
                    did=chance.choice((None, "74951234567")), hangup_cause=chance.choice((None, 16, 34)),
                    answered_at=began + chance.randrange(60) * MICROS_PER_SECOND if answered else None,
                    ivr_seconds=chance.choice((None, 4.0)), ringing_seconds=chance.choice((None, 8.0)),
                    extension=chance.choice((None, "1001")), talked_with=("1001", "a 'quoted', one"),
                )
            )  # fmt: skip
    keyed = {(each.call_id, each.version, each.correction): each for each in made}
    return list(keyed.values())


VERSIONS = versions()
TRUTH: dict[str, CallResult] = {}
for _each in sorted(VERSIONS, key=lambda each: (each.version, each.correction)):
    TRUTH[_each.call_id] = _each
COUNTED = [each for each in TRUTH.values() if not each.abandoned]
LEGS = [
    CallLeg(each.call_id, each.version, number, who, f"PJSIP/{who}-1", each.started_at, None, None,
            None if outcome == "calling" else 3.0, 7.0 * (outcome == "answered"), None, outcome, each.correction)
    for each in VERSIONS
    for number, (who, outcome) in enumerate(
        [("79160000000", "calling"), ("1001", "no answer"), ("1002", "no answer"), ("1002", "answered")], start=1
    )
]  # fmt: skip


def statements(text: str) -> list[str]:
    bare = "\n".join(line for line in text.splitlines() if not line.startswith("--"))
    return [each for each in bare.split(";\n") if each.strip()]


def fill(execute_many: Callable[[str, list[list[Any]]], Any], columns: dict[str, set[str]]) -> None:
    """Rows as the sink writes them: of each record the fields that have a column."""
    tables: list[tuple[str, Sequence[CallResult | CallLeg]]] = [("call_results", VERSIONS), ("call_legs", LEGS)]
    for table, records in tables:
        rows = [
            {name: timed(name, value) for name, value in each.record().items() if name in columns[table]}
            | {"origin": "live", "processed_at": each.started_at + 3 * MICROS_PER_SECOND}
            | {"record_partition": number % RECORD_PARTITIONS, "record_offset": number // RECORD_PARTITIONS}
            for number, each in enumerate(records)
        ]
        names = list(rows[0])
        marks = ", ".join(["%s"] * len(names))
        execute_many(
            f"insert into {table} ({', '.join(names)}) values ({marks})",  # noqa: S608
            [[row[name] for name in names] for row in rows],
        )

    execute_many(
        "insert into call_deliveries (call_id, crm, portal, state, reason, step, version, correction, outcome_hash,"
        " call_ended_at, queued_at, updated_at, attempt, failures, sent_correction, wish)"
        " values (%s, 'kommo', 'main', %s, %s, 'call', 1, 0, 'x', %s, %s, %s, 1, 0, 0, '')",
        [["pbx1/1.1", "delivered", None, *MOMENTS], ["pbx1/1.2", "skipped", "internal", *MOMENTS]],
    )


def timed(name: str, value: Any) -> Any:
    """A time as a datetime of UTC, to the microsecond."""
    if not name.endswith("_at") or value is None:
        return value
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=value)


COLUMNS = "select table_name, column_name, is_nullable from information_schema.columns where table_schema = "


def columns_of(rows: list[dict[str, Any]]) -> dict[str, set[str]]:
    found: dict[str, set[str]] = defaultdict(set)
    for row in rows:
        found[row["table_name"]].add(row["column_name"])
    return found


@pytest.fixture(scope="module", params=["postgresql", "mariadb"])
def query(request: pytest.FixtureRequest) -> Iterator[Query]:
    """Asks a database in which the file was run twice, and which holds every version."""
    text = (FOLDER / f"{request.param}.sql").read_text(encoding="utf-8")
    if request.param == "postgresql":
        if (programs := postgresql.programs()) is None:
            pytest.skip("PostgreSQL is not installed")
        with (
            postgresql.running(programs) as server,
            psycopg.connect(
                host=server.host, port=server.port, user="postgres", password=own_server.PASSWORD, dbname="postgres",
                autocommit=True, row_factory=psycopg.rows.dict_row,
            ) as asked,
        ):  # fmt: skip
            asked.execute("set time zone 'Asia/Tokyo'")  # what views say must not depend on it

            def ask(words: str) -> list[dict[str, Any]]:
                return asked.execute(words.encode()).fetchall()

            for statement in statements(text) * 2:
                asked.execute(statement.encode())
            fill(
                lambda words, rows: asked.cursor().executemany(words.encode(), rows),
                columns_of(ask(COLUMNS + "'public'")),
            )
            yield ask
    else:
        at: Any = request.getfixturevalue("stack").endpoints
        connection = pymysql.connect(
            host=at.mariadb_host, port=at.mariadb_port, user="root", password=at.mariadb_root_password,
            autocommit=True, cursorclass=pymysql.cursors.DictCursor,
        )  # fmt: skip
        with connection, connection.cursor() as cursor:
            cursor.execute("create or replace database sql_views")
            cursor.execute("use sql_views")

            def ask(words: str) -> list[dict[str, Any]]:
                cursor.execute(words)
                return list(cursor.fetchall())

            for statement in statements(text) * 2:
                cursor.execute(statement)
            fill(cursor.executemany, columns_of(ask(COLUMNS + "'sql_views'")))
            yield ask
            cursor.execute("drop database sql_views")


def instant(value: datetime) -> int:
    """UTC microseconds of a column: aware, or naive in UTC."""
    aware = value if value.tzinfo else value.replace(tzinfo=UTC)
    return (aware - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)


def test_calls_are_the_truth(query: Query) -> None:
    told = {row["call_id"]: row for row in query("select * from calls")}
    assert told.keys() == TRUTH.keys()
    for call_id, call in TRUTH.items():
        row = told[call_id]
        assert (row["version"], row["correction"], row["result"]) == (call.version, call.correction, call.result)
        assert instant(row["started_at"]) == call.started_at
        assert row["queue"] == call.queue and bool(row["answered"]) is call.answered
        assert row["outcome"] == outcome_of(call.answered, call.result)


def test_legs_are_those_of_the_truth(query: Query) -> None:
    told = {(row["call_id"], row["version"], row["correction"], row["leg"]) for row in query("select * from legs")}
    assert told == {
        (each.call_id, each.version, each.correction, leg) for each in TRUTH.values() for leg in range(1, 5)
    }


def test_missed_not_called_back_is_what_the_command_says(query: Query) -> None:
    told = {row["client"]: row for row in query("select * from missed_not_called_back")}
    expected = waiting_clients(TRUTH.values())
    assert len(expected) > 3
    assert told.keys() == {each.client for each in expected}
    for each in expected:
        row = told[each.client]
        assert (row["missed"], row["tries"]) == (len(each.missed), len(each.tries))
        assert instant(row["first_missed_at"]) == each.since
        assert instant(row["last_missed_at"]) == each.last.started_at
        waited = (utc_now_us() - each.since) / MICROS_PER_SECOND
        assert waited - 120 < float(row["waiting_seconds"]) <= waited + 1


def counted(calls: list[CallResult]) -> tuple[Any, ...]:
    words = [outcome_of(each.answered, each.result) for each in calls]
    talks = [each.talk_seconds for each in calls if each.answered and each.talk_seconds is not None]
    average = sum(talks) / len(talks) if talks else None
    return (len(calls), *(words.count(word) for word in ("answered", "missed", "busy", "failed")), average)  # type: ignore[arg-type]


def local(call: CallResult) -> datetime:
    at = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=call.started_at, seconds=call.utc_offset_seconds)
    return at.replace(tzinfo=None)


@pytest.mark.parametrize("view", ["calls_by_hour", "by_extension", "by_trunk", "by_queue"])
def test_counts_by_the_clock_of_the_pbx(view: str, query: Query) -> None:
    groups: dict[tuple[Any, ...], list[CallResult]] = defaultdict(list)
    for call in COUNTED:
        at = local(call)
        key = {
            "calls_by_hour": (at.replace(minute=0, second=0, microsecond=0), call.pbx, call.direction),
            "by_extension": (at.date(), call.pbx, call.extension, call.direction),
            "by_trunk": (at.date(), call.pbx, call.trunk, call.direction),
            "by_queue": (at.date(), call.pbx, call.queue),
        }[view]
        if None not in key:
            groups[key].append(call)
    told = query(f"select * from {view}")  # noqa: S608
    width = len(next(iter(groups)))
    assert {tuple(row.values())[:width]: tuple(row.values())[width : width + 6] for row in told} == {
        key: pytest.approx(counted(calls)) for key, calls in groups.items()
    }
    if view == "by_queue":
        assert {float(row["agents_offered"]) for row in told} == {2.0}


def test_every_field_has_its_column(query: Query) -> None:
    for table, name in (("call_results", "call_result"), ("call_legs", "call_leg")):
        (row, *_) = query(f"select * from {table} limit 1")  # noqa: S608
        fields = [field["name"] for field in schemas.load(name)["fields"] if not is_array(field["type"])]
        assert set(fields) <= row.keys(), "a field of the schema has no column: the sink would stop"


def is_array(kind: Any) -> bool:
    return isinstance(kind, dict) and kind["type"] == "array"


def documented() -> dict[str, str]:
    """The queries of docs/analytics.md by their question."""
    text = (ROOT / "docs/analytics.md").read_text(encoding="utf-8")
    section = text.partition("### Questions, and the queries that answer them")[2].partition("\n### ")[0]
    block = section.partition("```sql\n")[2].partition("```")[0]
    return {each.splitlines()[0].removeprefix("-- "): each for each in block.split("\n\n") if each.strip()}


QUESTIONS = documented()


@pytest.mark.parametrize("query", ["postgresql"], indirect=True)
@pytest.mark.parametrize("question", QUESTIONS)
def test_each_question_of_the_documentation_has_an_answer(question: str, query: Query) -> None:
    rows = query(QUESTIONS[question])
    assert rows
    assert [name for name in rows[0] if all(row[name] is None for row in rows)] == []


@pytest.mark.parametrize("query", ["postgresql"], indirect=True)
def test_the_answers_are_those_of_the_report(query: Query) -> None:
    worded = (replace(each, outcome=str(outcome_of(each.answered, each.result))) for each in TRUTH.values())
    known = [made for each in worded if (made := report_call(each))]
    asked = {question.partition(":")[0].partition(",")[0]: words for question, words in QUESTIONS.items()}
    for row in query(asked["How long until a person answers"]):
        chosen = [each for each in known if (each.trunk, each.direction) == (row["trunk"], row["direction"])]
        figures = figures_of(chosen)
        assert row["seconds"] == pytest.approx([figures.wait_median_seconds, figures.wait_90_seconds])
    for row in query(asked["Service level"]):
        calls = [each for each in known if each.queue == row["queue"] and each.direction == "incoming"]
        soon = sum(each.wait_seconds is not None and each.wait_seconds <= 20 for each in calls)
        assert float(row["within_20_seconds_percent"]) == pytest.approx(100 * soon / len(calls))
    settled = {each.call.call_id: each for each in settled_calls(known, known)}
    told = query(asked["How soon was somebody talked with whose call nobody answered?"])
    assert len(told) == sum(each.call.client is not None for each in settled.values()) > 20
    for row in told:
        expected = settled[row["call_id"]].after_seconds
        assert (row["after"] and row["after"] // timedelta(seconds=1)) == expected
    told = query(asked["Which trunk fails"])
    assert len(told) > 5
    assert {(row["trunk"], row["result"], row["hangup_cause"]): row["calls"] for row in told} == {
        (each.trunk, each.result, each.cause): each.calls for each in failures_of(known)
    }


PANELS = {
    f"{name}: {panel['title']}": panel["targets"][0]["rawSql"]
    for name, made in dashboards().items()
    for panel in made["panels"]
}
CHOICES = {name: [each["query"] for each in made["templating"]["list"][1:]] for name, made in dashboards().items()}


def as_grafana_asks(words: str, engine: str) -> str:
    """The query with Grafana's macros and variables filled in, as its data sources do it."""
    begin, end = NOW // MICROS_PER_SECOND - 7 * 86400, NOW // MICROS_PER_SECOND + 60
    if engine == "postgresql":
        at = [f"'{datetime.fromtimestamp(each, UTC):%Y-%m-%dT%H:%M:%SZ}'" for each in (begin, end)]
        group = r'floor(extract(epoch from \1)/3600)*3600 AS "time"'
    else:
        at = [f"FROM_UNIXTIME({each})" for each in (begin, end)]
        group = r'UNIX_TIMESTAMP(\1) DIV 3600 * 3600 AS "time"'
    words = re.sub(r"\$__timeGroupAlias\((\w+), '1h'\)", group, words)
    words = re.sub(r"\$__timeFilter\((\w+)\)", rf"\1 BETWEEN {at[0]} AND {at[1]}", words)
    words = words.replace("$__timeFrom()", at[0]).replace("$__timeTo()", at[1])
    words = words.replace("$pbx", "'pbx1','branch'").replace("$direction", "'incoming','outgoing','internal','unknown'")
    assert "$" not in words
    return words


def test_every_panel_of_the_dashboards_has_something_to_show(query: Query, request: pytest.FixtureRequest) -> None:
    engine = request.node.callspec.params["query"]
    if engine == "mariadb":
        query("set time_zone = '+00:00'")
    asked = {title: words for title, words in PANELS.items() if f"-{engine}.json" in title}
    assert len(asked) == len(PANELS) / 2
    for title, words in asked.items():
        rows = query(as_grafana_asks(words, engine))
        assert rows and any(value is not None for value in rows[0].values()), title
    (counted_calls,) = query(as_grafana_asks(asked[f"calls-{engine}.json: Calls"], engine))
    assert counted_calls["calls"] == len(COUNTED)
    by_hour = query(as_grafana_asks(asked[f"calls-{engine}.json: Outcomes by hour"], engine))
    assert sum(int(row["answered"]) for row in by_hour) == sum(each.answered for each in COUNTED)
    assert {int(row["time"]) for row in by_hour} == {
        each.started_at // MICROS_PER_SECOND // 3600 * 3600 for each in COUNTED
    }
    for name, queries in CHOICES.items():
        if f"-{engine}.json" in name:
            assert all(query(words) for words in queries)


def ends(records: int, more: int = 0) -> str:
    """Where so many records end, and a third partition that is empty; `more`: records that the table lacks."""
    return f"[{(records + 1) // RECORD_PARTITIONS}, {records // RECORD_PARTITIONS + more}, 0]"


def told_complete(query: Query, pbx: str, number: int, minute: int, results: str, legs: str) -> None:
    query(
        "insert into partitions_complete_until (pbx, rows_partition, partitions, complete_until, captured_until, "  # noqa: S608
        f"results_ends, legs_ends) values ('{pbx}', {number}, 2, '2026-11-25 12:{minute:02}:00', "
        f"'2026-11-25 13:00:00', '{results}', '{legs}') returning pbx"
    )


def test_calls_are_complete_until_the_least_of_all_partitions(query: Query) -> None:
    results, legs = ends(len(VERSIONS)), ends(len(LEGS))
    told_complete(query, "whole", 0, 30, results, legs)
    (row,) = query("select * from complete_until where pbx = 'whole'")
    assert (row["complete_until"], row["partitions"], row["partitions_told"]) == (
        None,
        2,
        1,
    )  # the other may be earlier
    told_complete(query, "whole", 1, 10, results, legs)
    (row,) = query("select * from complete_until where pbx = 'whole'")
    (told,) = query("select * from partitions_complete_until where pbx = 'whole' and rows_partition = 1")
    at = instant(told["complete_until"])
    assert instant(row["complete_until"]) == instant(row["results_complete_until"]) == at
    assert row["partitions_behind"] == 0
    assert instant(row["captured_until"]) == at + 50 * 60 * MICROS_PER_SECOND


def test_a_table_that_lacks_records_is_complete_until_no_time(query: Query) -> None:
    """The time may come through before the results that it speaks of."""
    results, legs = ends(len(VERSIONS)), ends(len(LEGS))
    told_complete(query, "lacks-a-leg", 0, 30, results, legs)
    told_complete(query, "lacks-a-leg", 1, 30, results, ends(len(LEGS), more=1))
    (row,) = query("select * from complete_until where pbx = 'lacks-a-leg'")
    assert (row["complete_until"], row["partitions_behind"]) == (None, 1)
    assert row["results_complete_until"] is not None
    told_complete(query, "lacks-a-result", 0, 30, ends(len(VERSIONS), more=1), legs)
    told_complete(query, "lacks-a-result", 1, 30, results, legs)
    (row,) = query("select * from complete_until where pbx = 'lacks-a-result'")
    assert row["complete_until"] is row["results_complete_until"] is None


def test_an_erasures_statements_leave_the_newest_version_alone(query: Query, request: pytest.FixtureRequest) -> None:
    """The last test of each database: rows go."""
    sink = SinkSettings(engine=request.node.callspec.params["query"])
    counts = Counter(each.call_id for each in VERSIONS)
    call_id = next(name for name, count in counts.items() if count > 2)
    newest = max(
        (each for each in VERSIONS if each.call_id == call_id), key=lambda each: (each.version, each.correction)
    )
    kept = len({each.call_id for each in VERSIONS}) + sum(counts.values()) - len(counts) - (counts[call_id] - 1)
    calls = {call_id: erasure.NewVersion(newest.version, newest.correction, has_legs=True)}
    told = list(erasure.statements(sink, calls, [(0, 0)]))
    assert len(told) == 3
    deleted = [
        row for words in told if words.startswith("delete") for row in query(words.rstrip(";") + " returning call_id")
    ]
    assert len(deleted) >= counts[call_id] - 1 and {row["call_id"] for row in deleted} == {call_id}
    (left,) = query(f"select version, correction from call_results where call_id = '{call_id}'")  # noqa: S608
    assert (left["version"], left["correction"]) == (newest.version, newest.correction)
    (all_left,) = query("select count(*) as n from call_results")
    assert all_left["n"] == kept
