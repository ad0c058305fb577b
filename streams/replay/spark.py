"""Calls judged anew by Spark, from rows beyond what Kafka holds or one machine reads: the same code, on its executors.

    from streams.replay.spark import results_of
    results_of(spark.read.parquet("s3a://lake/cel"), load_settings()).where("problem is null")

`python -m streams.replay.spark ROWS RESULTS` does it from one directory of Parquet files to another. What a cluster
needs: docs/replay.md. Extra `cel2crm[spark]`; this module is imported without it too.
"""

import argparse
import asyncio
import sys
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from schemas import load
from streams.calls.call import Call
from streams.clock import UtcMillis, utc_now_ms
from streams.errors import UnreadableRow
from streams.operations.erased_numbers import ErasedRecord, erased_records
from streams.privacy.erased import ErasedNumbers
from streams.privacy.hashing import HashKey
from streams.privacy.spellings import Spellings
from streams.replay.control import rule_texts, rules_in
from streams.replay.fold import FoldedCall
from streams.replay.judge import CallJudge, Judged
from streams.replay.ranges import PartitionRange
from streams.settings import Settings, load_settings, secret
from streams.workers.aggregate.record_decoder import RecordDecoder
from streams.workers.aggregate.steps import Limits

if TYPE_CHECKING:
    import pyarrow as pa
    from pyspark.sql import DataFrame

Batches = Iterator["pa.RecordBatch"]

_BATCH_CALLS = 1_000
_START = "CHAN_START"
_UNREADABLE = "unreadable_row"
_DDL = {"string": "string", "int": "int", "long": "bigint", "double": "double", "boolean": "boolean"}


@dataclass(frozen=True)
class Work:
    """What every executor is given: small, and all that judging needs."""

    settings: Settings
    rules: Mapping[str, str]
    """Texts of the rule files: executors have no such files."""
    known_until_ms: UtcMillis
    starts_logged: frozenset[str]
    """PBXs that log the start of channels: by them a call shows that its first rows are missing."""
    erased: tuple[ErasedRecord, ...] = ()
    """As on erased-numbers."""
    hash_key: str = field(default="", repr=False)
    """By which these are hashed; empty: none is set. Sent along, for executors have no such file."""


class _Record(NamedTuple):
    key: bytes
    value: bytes | None
    written_ms: int


def results_of(
    rows: "DataFrame",
    settings: Settings,
    *,
    known_until_ms: UtcMillis | None = None,
    erased: Sequence[ErasedRecord] = (),
) -> "DataFrame":
    """The result of each call, with the columns of `call-results`, its `legs`, and `problem`.

    `rows`: the columns `key` (the linkedid) and `value` (the row as JSON, as it stands on the topic `cel`), texts or
    bytes; and `timestamp`, when it was written, where there is such a column. Rows may come in any order, and twice.
    `problem` is null, or says why a call has no result (docs/replay.md), or that a row could not be read (`call_id` is
    null then). `known_until_ms`: rows written before then are all there (Unix milliseconds; None: now); a call without
    an end that had a row shortly before is still open. Rows are shuffled by their key, and sorted: a task holds one
    call at a time. `erased`: numbers that are left out (operations/erased_numbers.py: `erased_records`; the key of
    privacy.hash_key_file goes to the executors with them). Raises UserError for rules that cannot be read.
    """
    plain = _plain(rows)
    until = utc_now_ms() if known_until_ms is None else known_until_ms
    own = settings.privacy
    key = secret(own.hash_key, own.hash_key_file, "privacy.hash_key") if erased and own.has_key else ""
    starts_logged = starts_logged_in(plain, settings)
    work = Work(settings, rule_texts(settings.rules), until, starts_logged, tuple(erased), key)
    together = plain.repartition("key").sortWithinPartitions("key")
    return together.mapInArrow(partial(judge_batches, work), _ddl())


def starts_logged_in(rows: "DataFrame", settings: Settings) -> frozenset[str]:
    """The PBXs with a row of a channel's start. A pass over the rows, which ends early in each task."""
    found = rows.mapInArrow(partial(_pbxs_with_starts, settings), "pbx string").distinct().collect()
    return frozenset(each.pbx for each in found)


def judge_batches(work: Work, batches: Batches) -> Batches:
    """For DataFrame.mapInArrow, rows sorted by key: the results of their calls."""
    import pyarrow as pa

    columns = _arrow(pa)
    rules, profile = rules_in(work.rules, work.settings)
    known = ErasedNumbers(HashKey(work.hash_key) if work.hash_key else None, Spellings(profile))
    for key, value in work.erased:
        known.take(key, value)
    judge = CallJudge(rules, profile, Limits.of(work.settings.aggregate), "the rows", known)
    decoder = RecordDecoder(work.settings)
    told: list[dict[str, Any]] = []
    for _, records in groupby(_records(batches), key=lambda record: record.key):
        told += _judged(list(records), decoder, judge, work)
        if len(told) >= _BATCH_CALLS:
            yield pa.RecordBatch.from_pylist(told, schema=columns)
            told = []
    yield pa.RecordBatch.from_pylist(told, schema=columns)


def _judged(
    records: Sequence[_Record], decoder: RecordDecoder, judge: CallJudge, work: Work
) -> Iterator[dict[str, Any]]:
    """The calls of one key: PBXs may have given the same linkedid."""
    calls: dict[tuple[str, str], FoldedCall] = {}
    for record in records:
        try:
            row = decoder.decode(record.value, record.written_ms)
        except UnreadableRow as error:
            yield {"call_id": None, "problem": f"{_UNREADABLE}: {error}"}
            continue
        key = row.pbx, row.linkedid
        folded = calls.get(key)
        if folded is None:
            folded = calls[key] = FoldedCall(Call(*key), 0, record.written_ms)
        if folded.call.full and row.eventtype != "LINKEDID_END":
            continue
        folded.call.add(row)
        folded.last_commit_ms = max(folded.last_commit_ms, row.commit_ms)
    place = PartitionRange(0, 0, 0, 0, len(records), len(records), work.known_until_ms)
    for folded in calls.values():
        told = judge.judge(folded, place, work.starts_logged, None)
        if isinstance(told, Judged):
            legs = [leg.record() for leg in told.outcome.legs]
            yield {**told.outcome.result.record(), "legs": legs, "problem": None}
        elif told is not None:
            yield {"call_id": told.call_id, "problem": f"{told.why}: {told.words}"}


def _records(batches: Batches) -> Iterator[_Record]:
    for batch in batches:
        for key, value, written in zip(*(column.to_pylist() for column in batch.columns), strict=True):
            yield _Record(key or b"", value, -1 if written is None else written)


def _pbxs_with_starts(settings: Settings, batches: Batches) -> Batches:
    import pyarrow as pa

    decoder, found = RecordDecoder(settings), set[str]()
    known = {each.name for each in (settings.pbx, *settings.other_pbxs)}
    for record in _records(batches):
        if _START.encode() not in (record.value or b""):
            continue
        try:
            row = decoder.decode(record.value, record.written_ms)
        except UnreadableRow:
            continue
        if row.eventtype == _START:
            found.add(row.pbx)
            if found >= known:
                break
    yield pa.RecordBatch.from_pydict({"pbx": sorted(found)}, schema=pa.schema([("pbx", pa.string())]))


# Columns.


def _plain(rows: "DataFrame") -> "DataFrame":
    written = "cast(null as bigint)"
    if "timestamp" in rows.columns:
        written = "unix_millis(cast(timestamp as timestamp))"
    return rows.selectExpr("cast(key as binary) as key", "cast(value as binary) as value", f"{written} as written_ms")


def _kinds(name: str) -> Iterator[tuple[str, str]]:
    """The fields of a schema, and their types in Spark's words."""
    for each in load(name)["fields"]:
        kind = each["type"]
        if isinstance(kind, list):
            (kind,) = (branch for branch in kind if branch != "null")
        if isinstance(kind, str):
            yield each["name"], _DDL[kind]
        elif kind["type"] == "array":
            yield each["name"], f"array<{_DDL[kind['items']]}>"
        else:
            yield each["name"], "timestamp"


def _ddl() -> str:
    legs = ", ".join(f"{name}: {kind}" for name, kind in _kinds("call_leg"))
    results = ", ".join(f"{name} {kind}" for name, kind in _kinds("call_result"))
    return f"{results}, legs array<struct<{legs}>>, problem string"


def _arrow(pa: Any) -> "pa.Schema":
    plain = {
        "string": pa.string(), "int": pa.int32(), "bigint": pa.int64(), "double": pa.float64(), "boolean": pa.bool_(),
        "timestamp": pa.timestamp("us", tz="UTC"), "array<string>": pa.list_(pa.string()),
    }  # fmt: skip
    legs = pa.struct([(name, plain[kind]) for name, kind in _kinds("call_leg")])
    results = [(name, plain[kind]) for name, kind in _kinds("call_result")]
    return pa.schema([*results, ("legs", pa.list_(legs)), ("problem", pa.string())])


def main(arguments: Collection[str] | None = None) -> int:
    """From one directory of Parquet files to another; 1 where a call has no result, or a row could not be read."""
    from pyspark.sql import SparkSession

    parser = argparse.ArgumentParser(prog="python -m streams.replay.spark", description=main.__doc__)
    parser.add_argument("rows", help="Parquet files with the columns key and value, as they stand on the topic cel")
    parser.add_argument("results", help="the directory that is made for the results")
    parser.add_argument("--settings", type=Path, help="the product's settings (default: as for cel2crm)")
    options = parser.parse_args(None if arguments is None else list(arguments))
    settings = load_settings(options.settings)
    spark = SparkSession.builder.appName("cel2crm replay").getOrCreate()
    erased = asyncio.run(erased_records(settings)) if settings.privacy.has_key else []
    found = results_of(spark.read.parquet(options.rows), settings, erased=erased)
    found.write.parquet(options.results)
    written = spark.read.parquet(options.results)
    problems = written.where("problem is not null").count()
    sys.stdout.write(f"{written.count() - problems} calls judged; {problems} calls and rows not: column `problem`\n")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
