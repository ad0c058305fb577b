"""`cel2crm export --rows`: the topic's records bytes for bytes, each once, whole files, never poorer than before."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from streams.analysis.row_files import ROWS
from streams.clock import utc_now_ms
from streams.kafka.topic_client import Outgoing, TopicRecord
from streams.replay.control import rule_texts
from streams.replay.spark import Work, judge_batches
from streams.topics import CEL
from tests.operations.memory import Operator, Readable
from tests.operations.test_export import files, leftovers, room_for
from tests.worker_installation import recorded_rows

NOON_MS = int(datetime(2026, 11, 25, 12, tzinfo=UTC).timestamp()) * 1000
DAY_MS = 86_400_000


def put(operator: Operator, key: bytes | None, value: bytes | None, days: float = 0) -> TopicRecord:
    """A record that was written that many days after noon of 2026-11-25."""
    topic = operator.settings.kafka.topic(CEL)
    record = operator.topics.put(Outgoing(topic, key, value))
    log = operator.topics.logs[topic, record.partition]
    log[-1] = record._replace(timestamp_ms=NOON_MS + int(days * DAY_MS))
    return log[-1]


def sql(query: str, directory: Path) -> list[tuple[Any, ...]]:
    with duckdb.connect() as database:
        database.execute("set timezone = 'UTC'")
        database.execute(f"create view rows as from read_parquet('{directory}/{ROWS}/*/*.parquet')")
        return database.execute(query).fetchall()


def in_files(directory: Path) -> list[tuple[Any, ...]]:
    return sql('select key, value, "partition", "offset", epoch_ms(timestamp) from rows order by all', directory)


def places(*records: TopicRecord) -> list[tuple[Any, ...]]:
    return sorted(
        ((each.key, each.value, each.partition, each.offset, each.timestamp_ms) for each in records),
        key=lambda row: (row[0] is None, row[0], row[1] is None, row[1], *row[2:]),
    )


def test_records_stand_in_files_as_on_the_topic(operator: Operator, tmp_path: Path) -> None:
    records = [
        put(operator, b"1.1", b'{"linkedid": "1.1"}'), put(operator, b"1.1", b"\xff no row \x00"),
        put(operator, b"1.2", None, 1), put(operator, b"1.3", b"{}", 1), put(operator, b"\xfe", b"{}", 1),
    ]  # fmt: skip
    told = operator.told("export", "--rows", "--to", str(tmp_path))
    assert "2026-11-25  2 rows, 2 of them new\n2026-11-26  3 rows, 3 of them new\n2 days, 5 rows" in told
    assert in_files(tmp_path) == places(*records)
    assert {path.parts[1] for path in map(Path, files(tmp_path))} == {"day=2026-11-25", "day=2026-11-26"}


def test_a_replay_reads_them(operator: Operator, tmp_path: Path) -> None:
    rows = recorded_rows()
    for row in rows:
        put(operator, row["linkedid"].encode(), orjson.dumps(row))
    operator.told("export", "--rows", "--to", str(tmp_path))
    table = pq.read_table(tmp_path / ROWS).sort_by("key")
    written = table["timestamp"].cast(pa.timestamp("ms", tz="UTC")).cast(pa.int64())
    batches = pa.table({"key": table["key"], "value": table["value"], "written_ms": written}).to_batches()
    work = Work(operator.settings, rule_texts(operator.settings.rules), utc_now_ms() + 10 * DAY_MS, frozenset({"pbx1"}))
    judged = [row for batch in judge_batches(work, iter(batches)) for row in batch.to_pylist()]
    assert {row["problem"] for row in judged} == {None}
    assert {row["call_id"] for row in judged} == {f"pbx1/{row['linkedid']}" for row in rows}


def test_given_again_it_adds_what_is_new_and_leaves_the_rest(operator: Operator, tmp_path: Path) -> None:
    first = [put(operator, b"1.1", b"a"), put(operator, b"1.1", b"b", 1)]
    operator.told("export", "--rows", "--to", str(tmp_path))
    before = files(tmp_path)
    assert operator.told("export", "--rows", "--to", str(tmp_path)).count(": unchanged") == 2
    assert files(tmp_path) == before
    later = [put(operator, b"1.1", b"c", 1), put(operator, b"1.1", b"late", 0)]
    told = operator.told("export", "--rows", "--to", str(tmp_path))
    assert "2026-11-25  2 rows, 1 of them new\n2026-11-26  2 rows, 1 of them new\n" in told
    assert in_files(tmp_path) == places(*first, *later)


def test_times_in_any_order_and_days_far_apart(operator: Operator, tmp_path: Path) -> None:
    days = [0, 1, 2, 3, 4, 0, 9, 2, 0, 5, 6, 7, 0]
    records = [put(operator, b"1.1", b"%d" % number, day) for number, day in enumerate(days)]
    told = operator.told("export", "--rows", "--to", str(tmp_path))
    assert in_files(tmp_path) == places(*records) and "2026-11-25  4 rows, 4 of them new\n" in told


def test_what_the_topic_has_lost_stays_and_a_topic_made_again_is_no_other(operator: Operator, tmp_path: Path) -> None:
    old = [put(operator, b"1.1", b"a"), put(operator, b"1.1", b"b")]
    operator.told("export", "--rows", "--to", str(tmp_path))
    operator.topics.logs.clear()
    assert operator.told("export", "--rows", "--to", str(tmp_path)) == "no rows\n"
    again = put(operator, b"1.1", b"of the topic made again", 0.1)
    assert again.offset == old[0].offset
    operator.told("export", "--rows", "--to", str(tmp_path))
    assert in_files(tmp_path) == places(*old, again)


@pytest.mark.parametrize(
    ("window", "values"),
    [(("--since", "2026-11-25"), [b"b", b"c"]), (("--until", "2026-11-26"), [b"a", b"b"])],
)
def test_a_day_is_of_utc_and_whole(
    operator: Operator, tmp_path: Path, window: tuple[str, ...], values: list[bytes]
) -> None:
    for value, days in ((b"a", -0.5 - 1 / DAY_MS), (b"b", -0.5), (b"c", 0.5)):
        put(operator, b"1.1", value, days)
    operator.told("export", "--rows", "--to", str(tmp_path), *window)
    assert [row[1] for row in in_files(tmp_path)] == values


def test_no_room(operator: Operator, tmp_path: Path) -> None:
    put(operator, b"1.1", b"a")
    operator.told("export", "--rows", "--to", str(tmp_path))
    before = files(tmp_path)
    put(operator, b"1.1", b"b")
    with room_for(300):
        done = operator.run("export", "--rows", "--to", str(tmp_path))
    assert "cannot be written: File too large" in str(done.exception)
    assert files(tmp_path) == before and leftovers(tmp_path) == []
    assert "2 rows, 1 of them new" in operator.told("export", "--rows", "--to", str(tmp_path))


def test_broken_off_at_any_record_nothing_is_half_there(
    operator: Operator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    records = [put(operator, b"1.%d" % (number % 2), b"%d" % number, number) for number in range(8)]
    readable = Readable(operator, monkeypatch)
    for number in range(len(records)):
        readable.left = number
        assert str(operator.run("export", "--rows", "--to", str(tmp_path)).exception) == "broken off"
        assert leftovers(tmp_path) == []
        assert not files(tmp_path) or set(in_files(tmp_path)) <= set(places(*records))
    readable.left = len(records)
    operator.told("export", "--rows", "--to", str(tmp_path))
    assert in_files(tmp_path) == places(*records)


def test_a_file_that_is_none_is_named_and_not_replaced(operator: Operator, tmp_path: Path) -> None:
    record = put(operator, b"1.1", b"a")
    path = tmp_path / ROWS / "day=2026-11-25" / f"{ROWS}-{record.partition}.parquet"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"changed by hand")
    done = operator.run("export", "--rows", "--to", str(tmp_path))
    assert f"{path} cannot be read" in str(done.exception) and path.read_bytes() == b"changed by hand"
    pq.write_table(pa.table({"offset": pa.array([5]), "timestamp": pa.array([7])}), path)
    before = path.read_bytes()
    done = operator.run("export", "--rows", "--to", str(tmp_path))
    assert f"{path} cannot be read" in str(done.exception) and path.read_bytes() == before
