"""What `cel2crm export` writes, read by Polars."""

from datetime import UTC, datetime
from pathlib import Path

import polars as pl

from tests.operations.memory import Operator
from tests.operations.test_export import call, put


def test_polars_reads_types_and_days(operator: Operator, tmp_path: Path) -> None:
    put(operator, call(1, talked_with=("1001", "1002"), answered_at=None))
    put(operator, call(2, 24))
    operator.told("export", "--to", str(tmp_path))
    calls = pl.scan_parquet(f"{tmp_path}/call_results/*/*.parquet", hive_partitioning=True)
    told = calls.sort("started_at").select("day", "started_at", "answered_at", "talked_with").collect()
    assert calls.collect_schema()["started_at"] == pl.Datetime("us", "UTC")
    assert [str(day) for day in told["day"]] == ["2026-11-25", "2026-11-26"]
    assert told.row(0)[1:] == (datetime(2026, 11, 25, 12, tzinfo=UTC), None, ["1001", "1002"])
