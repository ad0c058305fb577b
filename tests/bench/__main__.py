"""`python -m tests.bench`: rows per second of one aggregate worker, beside bare aiokafka and an empty Faust agent."""

import argparse
import asyncio
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
from rich.console import Console
from rich.table import Table

from deploy.local import LocalStack
from tests.bench import classify
from tests.bench.subjects import SUBJECTS
from tests.workers.installation import Installation, Row, recorded_rows

Measurement = dict[str, Any]


def main() -> int:
    """Start a broker and a registry of its own, measure, print."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--rows", type=int, default=60_000, help="CEL rows of recorded calls (default: 60000)")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    options = parser.parse_args()
    console = Console(stderr=True)
    with tempfile.TemporaryDirectory() as directory, console.status("measuring: classify"):
        classified = classify.measure(Path(directory), options.rows)
    if not options.json:
        classify.show(classified, options.rows)
    with (
        tempfile.TemporaryDirectory() as directory,
        console.status("starting Kafka and the registry") as status,
        LocalStack(parts={"kafka", "registry"}) as stack,
    ):
        servers, registry = stack.endpoints.bootstrap_servers, stack.endpoints.registry_url
        installation = Installation(servers, registry, Path(directory), "bench", {"flush_seconds": 5.0})
        status.update(f"writing {options.rows} rows")
        asyncio.run(_prepare(installation, options.rows))
        measured = []
        for name in SUBJECTS:
            status.update(f"measuring: {name}")
            measured.append(_measure(name, options.rows, installation))
    _print(measured, as_json=options.json)
    return 0


async def _prepare(installation: Installation, rows: int) -> None:
    async with installation:
        await installation.produce(_many_rows(rows))


def _many_rows(rows: int) -> Iterator[Row]:
    """The recordings, again and again, each time of another PBX (so that every call is one of its own)."""
    written = 0
    while True:
        for row in recorded_rows(f"pbx{written}"):
            if written == rows:
                return
            written += 1
            yield row


def _measure(name: str, rows: int, installation: Installation) -> Measurement:
    settings = installation.directory / "bench.json"
    settings.write_bytes(orjson.dumps(installation.tree))
    command = [sys.executable, "-W", "ignore", "-m", "tests.bench.subjects", name, str(rows), str(settings)]
    ended = subprocess.run(command, capture_output=True, timeout=600, check=False)
    lines = ended.stdout.splitlines()
    if not lines:
        raise SystemExit(f"{name} could not be measured:\n{ended.stderr.decode(errors='replace')[-2000:]}")
    figures: Measurement = orjson.loads(lines[-1])
    return {
        "subject": name,
        **figures,
        "rows_per_second": figures["rows"] / figures["seconds"],
        "rows_per_cpu_second": figures["rows"] / figures["cpu_seconds"],
    }


def _print(measured: list[Measurement], *, as_json: bool) -> None:
    if as_json:
        sys.stdout.buffer.write(orjson.dumps(measured, option=orjson.OPT_INDENT_2) + b"\n")
        return
    empty = next(each for each in measured if each["subject"] == "empty Faust agent")
    table = Table("reader", "rows/s", "rows/CPU s", "of the empty agent", title=f"{measured[0]['rows']} CEL rows")
    for each in measured:
        ratio = each["rows_per_cpu_second"] / empty["rows_per_cpu_second"]
        rates = f"{each['rows_per_second']:,.0f}", f"{each['rows_per_cpu_second']:,.0f}"
        table.add_row(each["subject"], *rates, f"{ratio:.2f}")
    Console().print(table)


if __name__ == "__main__":
    sys.exit(main())
