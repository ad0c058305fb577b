"""Spark as a reader, as docs/analytics.md has it: of the topic on a real broker, and of what `export` writes."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import SparkSession

from deploy.local import LocalStack
from deploy.local.download import further_jars
from streams.analysis.export import Export
from streams.analysis.row_files import RowExport
from streams.operations import connection
from tests.connectors.sinking import expected, filled, micros
from tests.docs.pages import blocks

pytestmark = pytest.mark.servers


@pytest.fixture(scope="module")
def stack() -> Iterator[LocalStack]:
    """Kafka and the registry alone."""
    with LocalStack(parts={"kafka", "registry"}) as running:
        yield running


@pytest.fixture(scope="module")
def session() -> Iterator[SparkSession]:
    """Two threads of executors, with what reads topics and Avro; Java as tests/replay/test_spark.py wants it."""
    os.environ["PYSPARK_PYTHON"] = sys.executable
    os.environ.pop("SPARK_HOME", None)
    jars = further_jars("spark", lambda _: None).glob("*.jar")
    made = (
        SparkSession.builder.master("local[2]")
        .config("spark.ui.enabled", "false")
        .config("spark.sql.shuffle.partitions", "3")
        .config("spark.sql.session.timeZone", "UTC")
        .config("spark.jars", ",".join(map(str, jars)))
        .getOrCreate()
    )
    yield made
    made.stop()


async def test_the_recipe_of_the_page_reads_the_truth_of_the_topic(
    stack: LocalStack, session: SparkSession, tmp_path: Path
) -> None:
    at = stack.endpoints
    settings, records = await filled(stack)
    truth = {call_id: record for (call_id, _), record in expected(records, "call-results").items()}

    (recipe,) = blocks("analytics", "### Spark", "python")
    for told, here in (("kafka:9092", at.bootstrap_servers), ("http://registry:8080/apis/ccompat/v7", at.registry_url)):
        assert told in recipe
        recipe = recipe.replace(told, here)
    names: dict[str, Any] = {"spark": session}
    exec(compile(recipe, "docs/analytics.md", "exec"), names)  # noqa: S102
    calls = {row["call_id"]: row for row in names["calls"].toArrow().to_pylist()}
    assert calls.keys() == {call_id for call_id, record in truth.items() if not record["abandoned"]}
    for call_id, row in calls.items():
        fields = {name: micros(value) if hasattr(value, "tzinfo") else value for name, value in row.items()}
        assert fields == {name: truth[call_id][name] for name in fields}

    async with connection.connect(settings) as connected:
        await Export(connected, tmp_path).run(lambda _: None)
        await RowExport(connected, tmp_path).run(lambda _: None)
    exported = session.read.parquet(str(tmp_path / "call_results"))
    kinds = dict(exported.dtypes)
    assert (kinds["started_at"], kinds["talked_with"], kinds["day"]) == ("timestamp", "array<string>", "date")
    counted = {row["call_id"]: row["outcome"] for row in exported.select("call_id", "outcome").collect()}
    assert counted == {call_id: record["outcome"] for call_id, record in truth.items()}
