"""Flink SQL as docs/analytics.md has it: its table reads the topic, its view is the truth, its query answers."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from deploy.local import LocalStack
from deploy.local.download import further_jars
from tests.connectors.sinking import expected, filled
from tests.docs.pages import blocks

pytestmark = pytest.mark.servers

JDK = 17
PROGRAM = Path(__file__).with_name("Sql.java")


@pytest.fixture(scope="module")
def stack() -> Iterator[LocalStack]:
    """Kafka and the registry alone."""
    with LocalStack(parts={"kafka", "registry"}) as running:
        yield running


def run_sql(statements: str, directory: Path) -> list[list[str]]:
    """The rows of the queries among the statements, by a cluster within one process."""
    java = shutil.which("java")
    assert java is not None, f"a JDK of {JDK} or newer is needed"
    jars = further_jars("flink", lambda _: None)
    file = directory / "calls.sql"
    file.write_text(statements, encoding="utf-8")
    opened = [f"--add-opens=java.base/java.{each}=ALL-UNNAMED" for each in ("lang", "util", "time", "nio")]
    command = [java, *opened, "-Xmx512m", "-cp", f"{jars}/*", str(PROGRAM), str(file)]
    environment = {"PATH": os.environ["PATH"]}
    ended = subprocess.run(
        command, capture_output=True, text=True, timeout=240, check=False, cwd=directory, env=environment
    )
    assert ended.returncode == 0, ended.stderr[-4000:]
    return [line.split("\t")[1:] for line in ended.stdout.splitlines() if line.startswith("row\t")]


async def test_the_sql_of_the_page_reads_the_truth_of_the_topic(stack: LocalStack, tmp_path: Path) -> None:
    at = stack.endpoints
    _, records = await filled(stack)
    page = "\n".join(blocks("analytics", "### Flink SQL", "sql"))
    for told, here in (("kafka:9092", at.bootstrap_servers), ("http://registry:8080/apis/ccompat/v7", at.registry_url)):
        assert told in page
        page = page.replace(told, here)
    columns = "call_id, started_at, CAST(started AS STRING), outcome, talk_seconds, CARDINALITY(talked_with)"
    rows = run_sql(f"{page}\nSELECT {columns} FROM calls;\n", tmp_path)
    truth = {call_id: record for (call_id, _), record in expected(records, "call-results").items()}
    calls = {row[0]: row for row in rows if len(row) == 6}
    assert calls.keys() == {call_id for call_id, record in truth.items() if not record["abandoned"]}
    for call_id, (_, started_at, started, outcome, talk, talked_with) in calls.items():
        record = truth[call_id]
        assert int(started_at) == record["started_at"]
        assert started == text_of(record["started_at"])
        assert (outcome, int(talked_with)) == (record["outcome"], len(record["talked_with"]))
        assert None if talk == "null" else float(talk) == record["talk_seconds"]
    answers = {tuple(row[:2]): int(row[2]) for row in rows if len(row) == 4}
    counted: dict[tuple[str, str], int] = {}
    for record in truth.values():
        if not record["abandoned"]:
            key = record["direction"], record["outcome"]
            counted[key] = counted.get(key, 0) + 1
    assert answers == counted


def text_of(micros: int) -> str:
    """A time as Flink writes it, in UTC."""
    at = datetime.fromtimestamp(micros // 1_000_000, UTC)
    return f"{at:%Y-%m-%d %H:%M:%S}.{micros // 1000 % 1000:03d}"
