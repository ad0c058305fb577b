"""A hub: many PBXs on one Kafka, one Connect, one aggregate worker, one CRM's worker and one watch.

Memory and CPU of every process but the PBXs' databases, at rest and in the busy hour of 20 phones a PBX (18 calls an
hour each, 27 rows a call); how long a call's result and its entry in the CRM take from its last row in the database;
and whether every call is there, once, with all its rows.
"""

import asyncio
import json
import re
import statistics
import subprocess
import sys
import threading
import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import psutil
from rich.table import Table

from schemas import written_as
from streams.http.service import schema_registry
from streams.kafka.topic_client import KafkaTopics
from streams.settings import Settings, load_settings
from tests.bench.hub_load import SEED, Load, Written
from tests.bench.hub_servers import CRM, Hub, hub
from tests.bench.usage import cpu_seconds, resident_mb

PHONES = 20
WARM_UP_SECONDS = 30.0
ARRIVAL_SECONDS = 120.0
LOOK_SECONDS = 2.0
COMMANDS = (("connectors", "status"), ("status",))
_PAUSE = re.compile(r"^\[([\d.]+)s\].* Pause .*->(\d+)M\((\d+)M\) ([\d.]+)ms$", re.MULTILINE)

Measurement = dict[str, Any]


def measure(
    directory: Path,
    pbxs: Sequence[int],
    rest: float,
    busy: float,
    connect_heap: int | None,
    say: Callable[[str], None],
) -> list[Measurement]:
    """Each number of PBXs with servers of its own; `connect_heap` in MB."""
    found = []
    for count in pbxs:
        with hub(directory / f"{count}", count, connect_heap, say) as running:
            found.append({"pbxs": count, **_measured(running, rest, busy, say)})
    return found


def _measured(running: Hub, rest: float, busy: float, say: Callable[[str], None]) -> Measurement:
    settings = load_settings(running.pipeline.settings_file)
    say("warming up")
    warm_up = Load(running.servers, PHONES, WARM_UP_SECONDS)
    warm_up.run(SEED)
    _until_arrived(settings, running, warm_up.calls)
    say(f"{rest:.0f} s at rest")
    at_rest = _usage(running, lambda: time.sleep(rest))
    say("commands")
    commands = [_command(running, words) for words in COMMANDS]
    say(f"{busy:.0f} s of the busy hour")
    load = Load(running.servers, PHONES, busy)
    in_busy_hour = _usage(running, lambda: load.run(SEED + len(running.servers)))
    results, entries = _until_arrived(settings, running, load.calls)
    running.pipeline.check()
    return {
        "apply_seconds": running.apply_seconds,
        "calls": len(load.calls),
        "rows": load.rows,
        "seconds": busy,
        "at_rest": at_rest,
        "busy": in_busy_hour,
        "commands": commands,
        "threads": {name: psutil.Process(pid).num_threads() for name, pid in running.processes.items()},
        "result_ms": _delays(load.calls, results),
        "crm_ms": _delays(load.calls, entries),
    }


def _usage(running: Hub, act: Callable[[], None]) -> Measurement:
    """Of each process while something is done: the most memory (MB, resident), CPU (% of a core), share of pauses."""
    watched = {name: psutil.Process(pid) for name, pid in {**running.processes, **running.databases}.items()}
    before = {name: cpu_seconds(process) for name, process in watched.items()}
    most, over = dict.fromkeys(watched, 0.0), threading.Event()

    def look() -> None:
        while not over.wait(LOOK_SECONDS):
            for name, process in watched.items():
                most[name] = max(most[name], resident_mb(process))

    began, looking = time.time(), threading.Thread(target=look, daemon=True)
    looking.start()
    act()
    over.set()
    looking.join()
    ended = time.time()
    took = ended - began
    parts: dict[str, Measurement] = {
        name: {"megabytes": most[name], "percent_of_a_core": (cpu_seconds(process) - before[name]) / took * 100}
        for name, process in watched.items()
    }
    for name, log in running.gc_logs.items():
        parts[name] |= _collections(log, watched[name].create_time(), began, ended)
    return {
        "parts": {name: parts[name] for name in running.processes},
        "databases": {name: parts[name] for name in running.databases},
    }


def _collections(log: Path, started: float, began: float, ended: float) -> Measurement:
    """Of a JVM that `started` then: % of a time in which it stood still to collect garbage, and MB of heap left over.

    The heap is that after the last collection up to the end of that time, which may have been before its beginning.
    """
    told = [
        (started + float(at), int(left), float(long))
        for at, left, _, long in _PAUSE.findall(log.read_text(encoding="utf-8"))
    ]
    before_end = [each for each in told if each[0] <= ended]
    paused = sum(long for at, _, long in before_end if at >= began) / 1000
    return {
        "percent_in_pauses": paused / (ended - began) * 100,
        "heap_after_collection": before_end[-1][1] if before_end else None,
    }


def _command(running: Hub, words: Sequence[str]) -> Measurement:
    """A command of the product's, to its end: seconds, and CPU seconds; its exit status has to be 0."""
    settings = running.pipeline.settings_file
    command = [sys.executable, "-m", "streams.cli.main", *words, "--settings", str(settings)]
    before, began = psutil.Process().cpu_times(), time.monotonic()
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    after, took = psutil.Process().cpu_times(), time.monotonic() - began
    cpu = after.children_user + after.children_system - before.children_user - before.children_system
    told = done.stderr.strip() or done.stdout.strip()
    return {
        "command": " ".join(words), "seconds": took, "cpu_seconds": cpu, "status": done.returncode,
        "told": told[-1000:] if done.returncode else "",
    }  # fmt: skip


def _until_arrived(
    settings: Settings, running: Hub, calls: Mapping[tuple[str, str], Written]
) -> tuple[dict[tuple[str, str], float], dict[tuple[str, str], float]]:
    """When each call's whole result, and its entry in the CRM, were there. Raises SystemExit: not all, or twice."""
    until = time.monotonic() + ARRIVAL_SECONDS
    wanted = {call for call, written in calls.items() if written.in_crm}
    while True:
        results = asyncio.run(_results(settings, calls))
        entries = _entries(running, calls)
        if set(results) == set(calls) and wanted <= set(entries):
            return results, entries
        if time.monotonic() > until:
            running.pipeline.check()
            raise SystemExit(
                f"of {len(calls)} calls {len(results)} have whole results, of {len(wanted)} "
                f"{len(wanted & set(entries))} are in the CRM"
            )
        time.sleep(1.0)


async def _results(settings: Settings, calls: Mapping[tuple[str, str], Written]) -> dict[tuple[str, str], float]:
    """When the first result with all rows of each call was written (Unix seconds)."""
    found: dict[tuple[str, str], float] = {}
    topic = settings.kafka.topic("call-results")
    async with KafkaTopics(settings.kafka) as topics, schema_registry(settings.registry) as registry:
        reader = registry.reader(["call_result"])
        async for record in topics.read(topic):
            told = await reader.read(record.value, "call_result", written_as(record.headers))
            call = (told["pbx"], told["linkedid"])
            if call in calls and told["version_rows"] == calls[call].rows:
                found.setdefault(call, record.timestamp_ms / 1000)
    return found


def _entries(running: Hub, calls: Mapping[tuple[str, str], Written]) -> dict[tuple[str, str], float]:
    """When the CRM took each of these calls (Unix seconds). Raises SystemExit: it has one twice."""
    with urllib.request.urlopen(f"{running.pipeline.portals[CRM]}/_fake/entries", timeout=30) as answer:  # noqa: S310
        told = json.load(answer)
    entries = told["entries"] if isinstance(told, dict) else told
    counted = Counter(each["external_id"] for each in entries)
    if twice := [call for call, times in counted.items() if times > 1]:
        raise SystemExit(f"twice in the CRM: {', '.join(twice[:10])}")
    taken = {
        tuple(each["external_id"].split("/", 1)): datetime.fromisoformat(each["received_at"]).timestamp()
        for each in entries
    }
    return {(pbx, linkedid): at for (pbx, linkedid), at in taken.items() if (pbx, linkedid) in calls}


def _delays(calls: Mapping[tuple[str, str], Written], at: Mapping[tuple[str, str], float]) -> Measurement:
    """Milliseconds from the last row in the database, of those calls that are there."""
    delays = [(moment - calls[call].at) * 1000 for call, moment in at.items()]
    return {"count": len(delays), "p50": statistics.median(delays), "p99": statistics.quantiles(delays, n=100)[98]}


def tables(measured: Sequence[Measurement]) -> list[Table]:
    """Memory and CPU of each part, and what the calls saw, by number of PBXs."""
    usage = Table(
        "PBXs", "part", "MB", "CPU at rest", "MB, busy", "CPU, busy", "in pauses", "heap in use", title="A hub"
    )
    for each in measured:
        rest, busy = each["at_rest"]["parts"], each["busy"]["parts"]
        for part in rest:
            of_java = busy[part]
            java = (
                (f"{of_java['percent_in_pauses']:.2f} %", f"{of_java['heap_after_collection']} MB")
                if "percent_in_pauses" in of_java
                else ()
            )
            usage.add_row(f"{each['pbxs']}", part, *_cells(rest[part]), *_cells(of_java), *java)
        usage.add_row(
            f"{each['pbxs']}", "all", *_cells(_sum(rest)), *_cells(_sum(busy)), style="bold", end_section=True
        )
    told_of = [" ".join(words) for words in COMMANDS]
    calls = Table("PBXs", "calls", "rows/s", "result p50", "p99", "CRM p50", "p99", "apply", *told_of)
    for each in measured:
        delays = [f"{each[which][point]:.0f} ms" for which in ("result_ms", "crm_ms") for point in ("p50", "p99")]
        told = [
            f"{one['seconds']:.1f} s, {one['cpu_seconds']:.1f} s of CPU, {one['status']}" for one in each["commands"]
        ]
        calls.add_row(
            f"{each['pbxs']}", f"{each['calls']:,}", f"{each['rows'] / each['seconds']:.0f}", *delays,
            f"{each['apply_seconds']:.0f} s", *told,
        )  # fmt: skip
    return [usage, calls]


def _sum(parts: Mapping[str, Measurement]) -> Measurement:
    return {name: sum(part[name] for part in parts.values()) for name in ("megabytes", "percent_of_a_core")}


def _cells(part: Measurement) -> tuple[str, str]:
    return f"{part['megabytes']:.0f}", f"{part['percent_of_a_core']:.1f} %"
