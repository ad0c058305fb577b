"""`python -m tests.bench`: what one worker of each kind can do, and what it takes.

Rows per second of an aggregate worker, beside aiokafka alone, a plain fold and an empty Faust agent; what it takes
while rows come one by one; the memory of its calls, and how long their take-over takes; what one long call costs; calls
per second of a delivery worker to each CRM, and its memory while calls wait for a portal that is down; what it costs to
take over finished calls; the bytes on disk of each topic; what one server takes at rest; how long `gaps`, a replay, a
report, `export` and the sinks into databases take; more partitions, and rows of calls without an end.
"""

import argparse
import asyncio
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, get_args

import orjson
from rich.console import Console
from rich.table import Table

from deploy.local import LocalStack
from streams.settings import Settings
from tests.bench import (
    at_rest,
    classify,
    disk,
    export,
    finished,
    gaps,
    growth,
    hub,
    live,
    long_calls,
    partitions,
    portals,
    ratios,
    remembered,
    replay,
    replay_memory,
    report,
    sink,
    unended,
)
from tests.bench.pbx_rows import Mix, pbx_rows
from tests.bench.subjects import SUBJECTS, subject_command
from tests.worker_installation import Installation

Measurement = dict[str, Any]


def main() -> int:
    """Start servers of its own, measure, print; with --compare 1 where a ratio is worse than the stored one."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--only", choices=PARTS, nargs="+", default=ORDINARY, help="leave the other parts out")
    parser.add_argument("--rows", type=int, default=60_000, help="CEL rows of recorded calls (default: 60000)")
    parser.add_argument("--mix", choices=get_args(Mix), default="all", help="which calls (default: all)")
    parser.add_argument("--rates", type=int, nargs="*", default=live.RATES, help="rows a second, one by one")
    parser.add_argument("--seconds", type=float, default=60.0, help="of each rate (default: 60)")
    parser.add_argument("--calls-per-second", type=int, nargs="*", default=[10], help="calls in a real worker: 15 min")
    parser.add_argument("--open-calls", type=int, nargs="*", default=growth.OPEN_CALLS, help="in a real worker")
    parser.add_argument("--partitions", type=int, nargs="+", default=partitions.COUNTS, help="of one worker")
    parser.add_argument("--unended", type=int, default=200_000, help="calls without an end to classify")
    parser.add_argument("--idle", type=float, default=120.0, help="seconds at rest (default: 120)")
    parser.add_argument("--idle-before", type=float, default=0.0, help="seconds at rest before them (default: none)")
    parser.add_argument("--calls", type=int, default=5_000, help="calls to deliver without limits (default: 5000)")
    parser.add_argument("--waiting", type=int, default=100_000, help="calls that wait (default: 100000)")
    parser.add_argument("--finished", type=int, nargs="+", default=finished.CALLS, help="finished calls in the log")
    parser.add_argument("--compared", type=int, default=1_000_000, help="rows that gaps compares (default: 1000000)")
    parser.add_argument("--remembered", type=int, default=20_000, help="calls in memory (default: 20000)")
    parser.add_argument("--replayed", type=int, default=500_000, help="rows that are replayed (default: 500000)")
    parser.add_argument(
        "--replayed-in-memory", type=int, default=1_000_000, help="rows of which a replay's memory is measured"
    )
    parser.add_argument("--sunk", type=int, default=100_000, help="results into databases (default: 100000)")
    parser.add_argument(
        "--exported", type=int, nargs=2, default=(100_000, 500_000), help="calls and raw rows to export"
    )
    parser.add_argument("--reported", type=int, default=100_000, help="calls of a report (default: 100000)")
    parser.add_argument("--written", type=int, default=20_000, help="rows whose bytes are weighed (default: 20000)")
    parser.add_argument("--pbxs", type=int, nargs="+", default=(40,), help="PBXs of a hub (default: 40)")
    parser.add_argument("--busy", type=float, default=120.0, help="seconds of a hub's busy hour (default: 120)")
    parser.add_argument("--connect-heap", type=int, metavar="MB", help="of a hub's Connect, instead of the usual one")
    parser.add_argument("--json", action="store_true", help="print JSON instead of tables")
    parser.add_argument("--compare", type=Path, metavar="FILE", help="compare the ratios with those in FILE")
    parser.add_argument("--save", type=Path, metavar="FILE", help="write the ratios to FILE")
    options = parser.parse_args()
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as directory, Console(stderr=True).status("measuring") as status:
        for part in (each for each in PARTS if each in options.only):
            (own := Path(directory) / part).mkdir()
            status.update(f"measuring: {part}")
            began = time.monotonic()
            found[part] = PARTS[part].measure(own, options, _saying(part, status.update))
            sys.stderr.write(f"{part}: {time.monotonic() - began:.0f} s\n")
            if not options.json:
                for table in PARTS[part].tables(found[part], options):
                    Console(width=None if sys.stdout.isatty() else 120).print(table)
    if options.json:
        sys.stdout.buffer.write(orjson.dumps(found, option=orjson.OPT_INDENT_2) + b"\n")
    if options.save:
        ratios.save(options.save, ratios.of(found))
    return ratios.compare(options.compare, ratios.of(found)) if options.compare else 0


Say = Callable[[str], None]


def _saying(part: str, show: Say) -> Say:
    """Progress on a terminal; elsewhere each step is a line."""

    def line(words: str) -> None:
        sys.stderr.write(f"{part}: {words}\n")

    return show if sys.stderr.isatty() else line


def _classify(directory: Path, options: argparse.Namespace, _: Say) -> Any:
    return classify.measure(directory, options.rows)


def _remembered(_: Path, options: argparse.Namespace, _say: Say) -> Any:
    return remembered.measure(options.remembered)


def _replay_memory(_: Path, options: argparse.Namespace, say: Say) -> Any:
    return replay_memory.measure(options.replayed_in_memory, say)


def _long(_: Path, _options: argparse.Namespace, _say: Say) -> Any:
    return long_calls.measure()


def _rows(directory: Path, options: argparse.Namespace, say: Say) -> Any:
    with LocalStack(parts={"kafka", "registry"}) as stack:
        at = stack.endpoints
        installation = Installation(
            at.bootstrap_servers, at.registry_url, directory, "bench", {"flush_seconds": 5.0, "snapshot_seconds": 60.0}
        )
        say(f"writing {options.rows} rows")
        asyncio.run(_prepare(installation, options.rows, options.mix))
        found = []
        for name in SUBJECTS:
            say(f"measuring: {name}")
            found.append(_measure(name, options.rows, installation))
        return found


def _live(directory: Path, options: argparse.Namespace, say: Say) -> Any:
    with LocalStack(parts={"kafka", "registry"}) as stack:
        at = stack.endpoints
        return live.measure(at.bootstrap_servers, at.registry_url, directory, options.rates, options.seconds, say)


def _deliveries(directory: Path, options: argparse.Namespace, say: Say) -> Any:
    with LocalStack(parts={"kafka", "registry"}) as stack:
        at = stack.endpoints
        calls, waiting = options.calls, options.waiting
        return asyncio.run(portals.measure(at.bootstrap_servers, at.registry_url, directory, calls, waiting, say))


def _finished(directory: Path, options: argparse.Namespace, say: Say) -> Any:
    with LocalStack(parts={"kafka", "registry"}) as stack:
        at = stack.endpoints
        return asyncio.run(finished.measure(at.bootstrap_servers, at.registry_url, directory, options.finished, say))


def _replay(directory: Path, options: argparse.Namespace, say: Say) -> Any:
    with LocalStack(parts={"kafka", "registry"}) as stack:
        at = stack.endpoints
        installation = Installation(at.bootstrap_servers, at.registry_url, directory, "benchreplay")
        say(f"writing {options.replayed} rows")
        asyncio.run(_prepare(installation, options.replayed, options.mix))
        return replay.measure(installation, options.replayed, say)


def _report(_: Path, options: argparse.Namespace, _say: Say) -> Any:
    return report.measure(options.reported)


def _sink(_: Path, options: argparse.Namespace, say: Say) -> Any:
    with LocalStack() as stack:
        return sink.measure(stack, options.sunk, say)


def _export(directory: Path, options: argparse.Namespace, say: Say) -> Any:
    with LocalStack(parts={"kafka", "registry"}) as stack:
        at = stack.endpoints
        kafka = {"bootstrap_servers": at.bootstrap_servers, "topic_prefix": "bench", "partitions": 3}
        settings = Settings.model_validate({"kafka": kafka, "registry": {"url": at.registry_url}})
        calls, rows = options.exported
        return export.measure(settings, directory, calls, rows, say)


def _growth(directory: Path, options: argparse.Namespace, say: Say) -> Any:
    with LocalStack(parts={"kafka", "registry"}) as stack:
        at = stack.endpoints
        rates, calls = options.calls_per_second, options.open_calls
        return growth.measure(at.bootstrap_servers, at.registry_url, directory, rates, calls, say)


def _partitions(directory: Path, options: argparse.Namespace, say: Say) -> Any:
    with LocalStack(parts={"kafka", "registry"}) as stack:
        at = stack.endpoints
        counts, seconds = options.partitions, options.seconds
        return partitions.measure(at.bootstrap_servers, at.registry_url, directory, counts, seconds, say)


def _unended(directory: Path, options: argparse.Namespace, _say: Say) -> Any:
    return unended.measure(directory, options.unended)


def _at_rest(directory: Path, options: argparse.Namespace, say: Say) -> Any:
    return at_rest.measure(directory, options.idle, options.idle_before, say)


def _hub(directory: Path, options: argparse.Namespace, say: Say) -> Any:
    return hub.measure(directory, options.pbxs, options.idle, options.busy, options.connect_heap, say)


def _disk(directory: Path, options: argparse.Namespace, say: Say) -> Any:
    with LocalStack(parts={"kafka", "registry"}) as stack:
        return disk.measure(stack, directory, options.written, say)


def _gaps(directory: Path, options: argparse.Namespace, say: Say) -> Any:
    with LocalStack(parts={"kafka", "registry", "mariadb"}) as stack:
        return gaps.measure(stack, directory, options.compared, say)


async def _prepare(installation: Installation, rows: int, mix: Mix) -> None:
    async with installation:
        await installation.produce(pbx_rows(rows, mix))


def _measure(name: str, rows: int, installation: Installation) -> Measurement:
    settings = installation.directory / "bench.json"
    settings.write_bytes(orjson.dumps(installation.tree))
    ended = subprocess.run(subject_command(name, rows, settings), capture_output=True, timeout=600, check=False)
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


def _rows_table(measured: list[Measurement]) -> Table:
    table = Table("reader", "rows/s", "rows/CPU s", "of the empty agent", title="CEL rows")
    for each in measured:
        empty = next(other for other in measured if other["subject"] == "empty Faust agent")
        ratio = each["rows_per_cpu_second"] / empty["rows_per_cpu_second"]
        rates = f"{each['rows_per_second']:,.0f}", f"{each['rows_per_cpu_second']:,.0f}"
        table.add_row(each["subject"], *rates, f"{ratio:.2f}")
    return table


class Part(NamedTuple):
    """What is measured, and the tables that show it."""

    measure: Callable[[Path, argparse.Namespace, Say], Any]
    tables: Callable[[Any, argparse.Namespace], Sequence[Table]]


PARTS: Mapping[str, Part] = {
    "classify": Part(_classify, lambda figures, options: [classify.show(figures, options.rows)]),
    "remembered": Part(_remembered, lambda figures, _: [remembered.show(figures)]),
    "long": Part(_long, lambda figures, _: long_calls.tables(figures)),
    "rows": Part(_rows, lambda figures, _: [_rows_table(figures)]),
    "live": Part(_live, lambda figures, _: [live.show(figures)]),
    "deliveries": Part(_deliveries, lambda figures, _: [portals.calls_table(figures), portals.waiting_table(figures)]),
    "finished": Part(_finished, lambda figures, _: [finished.index_table(figures), finished.show(figures)]),
    "replay": Part(_replay, lambda figures, _: [replay.show(figures)]),
    "replay_memory": Part(_replay_memory, lambda figures, _: [replay_memory.show(figures)]),
    "report": Part(_report, lambda figures, _: [report.show(figures)]),
    "sink": Part(_sink, lambda figures, _: [sink.show(figures)]),
    "export": Part(_export, lambda figures, _: [export.show(figures)]),
    "growth": Part(_growth, lambda figures, _: growth.tables(figures)),
    "partitions": Part(_partitions, lambda figures, _: [partitions.show(figures)]),
    "unended": Part(_unended, lambda figures, _: [unended.show(figures)]),
    "disk": Part(_disk, lambda figures, _: [disk.show(figures)]),
    "at_rest": Part(_at_rest, lambda figures, _: [at_rest.show(figures)]),
    "gaps": Part(_gaps, lambda figures, _: [gaps.show(figures)]),
    "hub": Part(_hub, lambda figures, _: hub.tables(figures)),
}
ORDINARY = tuple(name for name in PARTS if name != "hub")
"""Measured where nothing else is said: a hub takes ten minutes, and both cores."""


if __name__ == "__main__":
    sys.exit(main())
