"""`python -m tests.bench`: what one worker of each kind can do, and what it takes.

Rows per second of an aggregate worker, beside bare aiokafka and an empty Faust agent; what it takes while rows come one
by one; the memory of its calls, and how
long their take-over takes; calls per second of a delivery worker to each CRM, and its memory while calls wait for a
portal that is down; how long `gaps` and a replay take.
"""

import argparse
import asyncio
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, get_args

import orjson
from rich.console import Console
from rich.status import Status
from rich.table import Table

from deploy.local import LocalStack
from tests.bench import classify, gaps, live, portals, remembered, replay
from tests.bench.pbx_rows import Mix, pbx_rows
from tests.bench.subjects import SUBJECTS
from tests.worker_installation import Installation

Measurement = dict[str, Any]


PARTS = ("classify", "remembered", "rows", "live", "deliveries", "replay", "gaps")


def main() -> int:
    """Start a broker and a registry of its own, measure, print."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--only", choices=PARTS, help="leave the other parts out")
    parser.add_argument("--rows", type=int, default=60_000, help="CEL rows of recorded calls (default: 60000)")
    parser.add_argument("--mix", choices=get_args(Mix), default="all", help="which calls (default: all)")
    parser.add_argument("--rates", type=int, nargs="*", default=live.RATES, help="rows a second, one by one")
    parser.add_argument("--seconds", type=float, default=60.0, help="of each rate (default: 60)")
    parser.add_argument("--calls", type=int, default=5_000, help="calls to deliver without limits (default: 5000)")
    parser.add_argument("--waiting", type=int, default=100_000, help="calls that wait (default: 100000)")
    parser.add_argument("--compared", type=int, default=1_000_000, help="rows that gaps compares (default: 1000000)")
    parser.add_argument("--remembered", type=int, default=20_000, help="calls in memory (default: 20000)")
    parser.add_argument("--replayed", type=int, default=500_000, help="rows that are replayed (default: 500000)")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    options = parser.parse_args()
    parts = (options.only,) if options.only else PARTS
    console = Console(stderr=True)
    if "classify" in parts:
        with tempfile.TemporaryDirectory() as directory, console.status("measuring: classify"):
            classified = classify.measure(Path(directory), options.rows)
        if not options.json:
            classify.show(classified, options.rows)
    if "remembered" in parts:
        with console.status("measuring: calls in memory"):
            kept = remembered.measure(options.remembered)
        if options.json:
            sys.stdout.buffer.write(orjson.dumps({"remembered": kept}, option=orjson.OPT_INDENT_2) + b"\n")
        else:
            Console().print(remembered.show(kept))
    if "gaps" in parts:
        with (
            tempfile.TemporaryDirectory() as directory,
            console.status("starting Kafka, the registry and MariaDB") as status,
            LocalStack(parts={"kafka", "registry", "mariadb"}) as stack,
        ):
            compared = gaps.measure(stack, Path(directory), options.compared, status.update)
        console.print(gaps.show(compared))
    if "replay" in parts:
        with (
            tempfile.TemporaryDirectory() as directory,
            console.status("starting Kafka and the registry") as status,
            LocalStack(parts={"kafka", "registry"}) as stack,
        ):
            at = stack.endpoints
            installation = Installation(at.bootstrap_servers, at.registry_url, Path(directory), "benchreplay")
            status.update(f"writing {options.replayed} rows")
            asyncio.run(_prepare(installation, options.replayed, options.mix))
            replayed = replay.measure(installation, options.replayed, status.update)
        console.print(replay.show(replayed))
    if "live" in parts:
        with (
            tempfile.TemporaryDirectory() as directory,
            console.status("starting Kafka and the registry") as status,
            LocalStack(parts={"kafka", "registry"}) as stack,
        ):
            at = stack.endpoints
            servers, seconds = at.bootstrap_servers, options.seconds
            lived = live.measure(servers, at.registry_url, Path(directory), options.rates, seconds, status.update)
        if options.json:
            sys.stdout.buffer.write(orjson.dumps({"live": lived}, option=orjson.OPT_INDENT_2) + b"\n")
        else:
            Console().print(live.show(lived))
    if {"rows", "deliveries"} & set(parts):
        with (
            tempfile.TemporaryDirectory() as directory,
            console.status("starting Kafka and the registry") as status,
            LocalStack(parts={"kafka", "registry"}) as stack,
        ):
            rows, deliveries = _with_kafka(stack, Path(directory), parts, options, status)
        _print(rows, deliveries, as_json=options.json)
    return 0


def _with_kafka(
    stack: LocalStack, directory: Path, parts: Sequence[str], options: argparse.Namespace, status: Status
) -> tuple[list[Measurement], list[Measurement]]:
    servers, registry = stack.endpoints.bootstrap_servers, stack.endpoints.registry_url
    rows, deliveries = [], []
    if "rows" in parts:
        installation = Installation(servers, registry, directory, "bench", {"flush_seconds": 5.0})
        status.update(f"writing {options.rows} rows")
        asyncio.run(_prepare(installation, options.rows, options.mix))
        for name in SUBJECTS:
            status.update(f"measuring: {name}")
            rows.append(_measure(name, options.rows, installation))
    if "deliveries" in parts:
        measuring = portals.measure(servers, registry, directory, options.calls, options.waiting, status.update)
        deliveries = asyncio.run(measuring)
    return rows, deliveries


async def _prepare(installation: Installation, rows: int, mix: Mix) -> None:
    async with installation:
        await installation.produce(pbx_rows(rows, mix))


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


def _print(rows: list[Measurement], deliveries: list[Measurement], *, as_json: bool) -> None:
    if as_json:
        found = {"rows": rows, "deliveries": deliveries}
        sys.stdout.buffer.write(orjson.dumps(found, option=orjson.OPT_INDENT_2) + b"\n")
        return
    for table in (_rows_table(rows), portals.calls_table(deliveries), portals.waiting_table(deliveries)):
        if table.row_count:
            Console(width=None if sys.stdout.isatty() else 120).print(table)


def _rows_table(measured: list[Measurement]) -> Table:
    table = Table("reader", "rows/s", "rows/CPU s", "of the empty agent", title="CEL rows")
    for each in measured:
        empty = next(other for other in measured if other["subject"] == "empty Faust agent")
        ratio = each["rows_per_cpu_second"] / empty["rows_per_cpu_second"]
        rates = f"{each['rows_per_second']:,.0f}", f"{each['rows_per_cpu_second']:,.0f}"
        table.add_row(each["subject"], *rates, f"{ratio:.2f}")
    return table


if __name__ == "__main__":
    sys.exit(main())
