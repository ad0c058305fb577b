"""`cel2crm export`: Parquet files by day that others read, whole or not there, and never poorer than before."""

import resource
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import pyarrow.parquet as pq
import pytest
from msgspec.structs import replace

from schemas import load, own_headers
from streams.analysis.day_files import LEGS, RESULTS, path_of
from streams.analysis.export import Export
from streams.calls.result import CallLeg, CallResult
from streams.clock import MICROS_PER_SECOND
from streams.kafka.topic_client import Outgoing, TopicRecord
from streams.topics import CALL_RESULTS
from tests.cli.hostile import HOSTILE
from tests.crm.calls import call_result
from tests.docs.pages import ROOT
from tests.operations.memory import Operator, Readable

DAY = "2026-11-25"
HOUR = 3600 * MICROS_PER_SECOND
PROCESSED_AT = b"1764072123000004"
NOON = int(datetime(2026, 11, 25, 12, tzinfo=UTC).timestamp()) * MICROS_PER_SECOND


def call(number: int, hours: float = 0, **fields: Any) -> CallResult:
    began = NOON + int(hours * HOUR)
    return replace(
        call_result(number), **{"outcome": "answered", "started_at": began, "ended_at": began + 1_500_000, **fields}
    )


def put(operator: Operator, result: CallResult, legs: int = 2, **headers: bytes) -> None:
    operator.put("call-results", "call_result", result.call_id, result.record(),
                 headers=(*own_headers("call_result"), *headers.items()))  # fmt: skip
    for number in range(1, legs + 1):
        leg = CallLeg(result.call_id, result.version, number, "1001", "PJSIP/1001-1", result.started_at, None, None,
                      None, 0.0, None, "no answer", result.correction)  # fmt: skip
        operator.put("call-legs", "call_leg", result.call_id, leg.record())


def sql(query: str, directory: Path) -> list[tuple[Any, ...]]:
    with duckdb.connect() as database:
        database.execute("set timezone = 'UTC'")
        for kind in (RESULTS, LEGS):
            database.execute(f"create view {kind} as from read_parquet('{directory}/{kind}/*/*.parquet')")
        return database.execute(query).fetchall()


def files(directory: Path) -> dict[str, bytes]:
    return {str(each.relative_to(directory)): each.read_bytes() for each in directory.rglob("*.parquet")}


def leftovers(directory: Path) -> list[str]:
    return [str(each) for each in directory.rglob(".*.partial")]


def test_the_truth_about_each_call_and_its_legs(operator: Operator, tmp_path: Path) -> None:
    put(operator, call(1, version=5))
    put(
        operator,
        call(1, version=7, correction=1, result=486),
        legs=3,
        origin=b"backfill",
        processed_at=PROCESSED_AT,
    )
    put(operator, call(1, version=7))
    put(operator, call(1, version=7, correction=1, result=486), legs=3)  # at least once
    put(operator, call(2, 24, client=None, talked_with=("1001", "1002")))
    done = operator.told("export", "--to", str(tmp_path))
    assert f"{DAY}  1 calls, 3 legs\n2026-11-26  1 calls, 2 legs\n2 days, 2 calls" in done
    assert sql("select call_id, version, correction, result, origin from call_results order by all", tmp_path) == [
        (call(1).call_id, 7, 1, 486, "backfill"), (call(2).call_id, call(2).version, 0, 200, "live"),
    ]  # fmt: skip
    assert sql("select call_id, count(*) from call_legs group by all order by all", tmp_path) == [
        (call(1).call_id, 3), (call(2).call_id, 2),
    ]  # fmt: skip


def test_columns_are_typed_and_explained(operator: Operator, tmp_path: Path) -> None:
    put(operator, call(1, answered_at=None, talked_with=("1001", "1002")), processed_at=PROCESSED_AT)
    operator.told("export", "--to", str(tmp_path))
    (row,) = sql(
        "select started_at, ended_at - started_at, answered_at, talked_with, processed_at from call_results", tmp_path
    )
    assert row[0] == datetime(2026, 11, 25, 12, tzinfo=UTC) and row[1].total_seconds() == 1.5
    assert row[2] is None and row[3] == ["1001", "1002"]
    assert row[4] == datetime.fromtimestamp(1764072123, UTC).replace(microsecond=4)
    for kind, name in ((RESULTS, "call_result"), (LEGS, "call_leg")):
        schema = pq.read_schema(path_of(tmp_path, kind, DAY))
        fields = load(name)["fields"]
        assert schema.names[: len(fields)] == [field["name"] for field in fields]
        assert all(schema.field(field["name"]).metadata[b"doc"].decode() == field["doc"] for field in fields)


@pytest.mark.parametrize(
    ("window", "days"),
    [
        ((), ["2026-11-24", "2026-11-25", "2026-11-26"]),
        (("--since", "2026-11-25"), ["2026-11-25", "2026-11-26"]),
        (("--until", "2026-11-25"), ["2026-11-24"]),
        (("--since", "2026-11-25", "--until", "2026-11-26"), ["2026-11-25"]),
        (("--since", "2026-11-27"), []),
    ],
)
def test_a_day_is_of_utc_and_whole(
    operator: Operator, tmp_path: Path, window: tuple[str, ...], days: list[str]
) -> None:
    for number, hours in enumerate((-12.001, -12, 11.999, 12)):
        put(operator, call(number, hours))
    told = operator.told("export", "--to", str(tmp_path / "lake"), *window)
    assert sorted(each.name for each in (tmp_path / "lake" / RESULTS).glob("*")) == [f"day={day}" for day in days]
    assert bool(days) == (told != "no calls\n")


def test_given_again_it_writes_what_has_changed(operator: Operator, tmp_path: Path) -> None:
    put(operator, call(1))
    put(operator, call(2, 24))
    operator.told("export", "--to", str(tmp_path))
    before = files(tmp_path)
    told = operator.told("export", "--to", str(tmp_path))
    assert told.count("unchanged") == 2 and files(tmp_path) == before
    put(operator, call(2, 24, version=1 << 40, result=404))
    told = operator.told("export", "--to", str(tmp_path))
    assert f"{DAY}  1 calls, 2 legs: unchanged" in told and told.count("unchanged") == 1
    assert sql("select result from call_results order by started_at", tmp_path) == [(200,), (404,)]
    assert sql("select distinct version from call_legs where version > 1::bigint << 39", tmp_path) == [(1 << 40,)]
    put(operator, call(1))  # once more, and a leg that was not there before
    path_of(tmp_path, LEGS, DAY).unlink()
    assert operator.told("export", "--to", str(tmp_path)).count("unchanged") == 1
    assert sql("select count(*) from call_legs", tmp_path) == [(4,)]


def test_a_leg_that_comes_late_makes_its_day_anew(operator: Operator, tmp_path: Path) -> None:
    put(operator, call(1), legs=1)
    operator.told("export", "--to", str(tmp_path))
    put(operator, call(1), legs=2)
    assert "1 calls, 2 legs\n" in operator.told("export", "--to", str(tmp_path))
    assert sql("select leg from call_legs order by leg", tmp_path) == [(1,), (2,)]


def test_what_the_topic_has_lost_stays_in_the_files(operator: Operator, tmp_path: Path) -> None:
    put(operator, call(1, result=404, version=9))
    put(operator, call(2, version=50))
    operator.told("export", "--to", str(tmp_path))
    operator.topics.logs.clear()
    assert operator.told("export", "--to", str(tmp_path)) == "no calls\n"
    put(operator, call(2, version=49, result=500))  # an older one, of a topic that was restored
    put(operator, call(3))
    told = operator.told("export", "--to", str(tmp_path))
    assert f"{DAY}  3 calls, 6 legs\n" in told
    assert sql("select version, result from call_results order by version", tmp_path) == [
        (9, 404), (50, 200), (call(3).version, 200),
    ]  # fmt: skip
    assert sql("select count(*) from call_legs join call_results using (call_id, version, correction)", tmp_path) == [
        (6,)
    ]


@contextmanager
def room_for(count: int) -> Iterator[None]:
    """Files of this process cannot grow beyond so many bytes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (count, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_no_room(operator: Operator, tmp_path: Path) -> None:
    put(operator, call(1))
    operator.told("export", "--to", str(tmp_path))
    before = files(tmp_path)
    put(operator, call(2))
    with room_for(2_000):
        done = operator.run("export", "--to", str(tmp_path))
    assert "cannot be written: File too large" in str(done.exception)
    assert "give the same command again" in str(done.exception)
    assert files(tmp_path) == before and leftovers(tmp_path) == []
    assert "2 calls" in operator.told("export", "--to", str(tmp_path))


def test_broken_off_at_any_record_nothing_is_half_there(
    operator: Operator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(1, 4):
        put(operator, call(number, 24 * number))
    readable = Readable(operator, monkeypatch)
    for records in range(18):  # 3 results and 6 legs, twice
        readable.left = records
        assert str(operator.run("export", "--to", str(tmp_path)).exception) == "broken off"
        assert files(tmp_path) == {} and leftovers(tmp_path) == []
    readable.left = 18
    assert "3 days, 3 calls" in operator.told("export", "--to", str(tmp_path))


def test_what_a_killed_run_left_does_not_matter(operator: Operator, tmp_path: Path) -> None:
    put(operator, call(1))
    left = path_of(tmp_path, RESULTS, DAY).with_name(".call_results.parquet.partial")
    left.parent.mkdir(parents=True)
    left.write_bytes(b"half a file")
    operator.told("export", "--to", str(tmp_path))
    assert sql("select count(*) from call_results", tmp_path) == [(1,)] and leftovers(tmp_path) == []


def test_a_file_that_is_none_is_named_and_not_replaced(operator: Operator, tmp_path: Path) -> None:
    put(operator, call(1))
    path = path_of(tmp_path, RESULTS, DAY)
    path.parent.mkdir(parents=True)
    path.write_bytes(b"changed by hand")
    done = operator.run("export", "--to", str(tmp_path))
    assert f"{path} cannot be read" in str(done.exception)
    assert path.read_bytes() == b"changed by hand"


def test_two_at_once_are_refused(operator: Operator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(operator, call(1))
    whole = operator.topics.read

    async def meanwhile(topic: str, *arguments: Any, **more: Any) -> AsyncIterator[TopicRecord]:
        monkeypatch.undo()
        with pytest.raises(Exception, match="another export is writing"):
            await Export(await operator.connection(), tmp_path).run(lambda _: None)
        async for record in whole(topic, *arguments, **more):
            yield record

    monkeypatch.setattr(operator.topics, "read", meanwhile)
    operator.told("export", "--to", str(tmp_path))
    assert sql("select count(*) from call_results", tmp_path) == [(1,)]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--since", "2026-11-25T10:00"), "is not a day"),
        (("--since", "2026-11-25", "--until", "2026-11-25"), "there is no day between"),
    ],
)
def test_what_cannot_be_meant_is_refused(
    operator: Operator, tmp_path: Path, arguments: tuple[str, ...], words: str
) -> None:
    done = operator.run("export", "--to", str(tmp_path / "new"), *arguments)
    assert words in str(done.exception) and not (tmp_path / "new").exists()


def test_a_place_that_is_no_directory(operator: Operator, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    done = operator.run("export", "--to", str(tmp_path / "file"))
    assert "cannot be written: File exists" in str(done.exception)


def test_records_that_cannot_be_read_are_told(operator: Operator, tmp_path: Path) -> None:
    put(operator, call(1))
    name = operator.settings.kafka.topic(CALL_RESULTS)
    operator.topics.put(Outgoing(name, b"x", b"\0\0\0\0\1junk", headers=own_headers("call_result")))
    done = operator.run("export", "--to", str(tmp_path))
    assert done.exit_code == 1 and "1 records of the topics cannot be read" in done.stderr
    assert sql("select count(*) from call_results", tmp_path) == [(1,)]


def test_what_callers_chose_is_kept_as_it_is(operator: Operator, tmp_path: Path) -> None:
    texts = list(HOSTILE.values())
    for number, text in enumerate(texts):
        put(operator, call(number, caller=text, queue=text, call_id=f"pbx1/{text}"))
    operator.told("export", "--to", str(tmp_path))
    assert {row[0] for row in sql("select caller from call_results", tmp_path)} == set(texts)


def test_the_queries_of_the_page_answer(operator: Operator, tmp_path: Path) -> None:
    put(operator, call(1, talk_seconds=60.0))
    put(operator, call(2, talk_seconds=20.0))
    put(operator, call(3, 24, answered=False, result=408, outcome="missed", talk_seconds=0.0))
    put(operator, call(4, abandoned=True))
    operator.told("export", "--to", str(tmp_path))
    page = (ROOT / "docs/analytics.md").read_text(encoding="utf-8")
    block = page.partition("```sql\n")[2].partition("```")[0].replace("/srv/calls", str(tmp_path))
    with duckdb.connect() as database:
        answers = [database.execute(each).fetchall() for each in block.split(";") if each.strip()]
    by_day, by_extension, by_number = answers[1:]
    assert [(str(day), word, count) for day, word, count in by_day] == [
        (DAY, "answered", 2), ("2026-11-26", "missed", 1),
    ]  # fmt: skip
    assert by_extension == [("1001", 2, 40.0)]
    assert by_number == []  # no leg rang


def test_pyarrow_reads_a_whole_folder(operator: Operator, tmp_path: Path) -> None:
    put(operator, call(1))
    put(operator, call(2, 24))
    operator.told("export", "--to", str(tmp_path))
    table = pq.read_table(tmp_path / RESULTS)
    assert table.num_rows == 2 and str(table.schema.field("started_at").type) == "timestamp[us, tz=UTC]"
