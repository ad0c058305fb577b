"""Deliveries to portals without limits, with the vendors' limits, and to one that is down: what the parent does."""

import asyncio
import sys
from collections.abc import Callable, Iterator
from itertools import cycle
from pathlib import Path
from typing import Any

import orjson
from msgspec.structs import replace
from rich.table import Table

from deploy.demo.recordings import read_recordings
from streams.calls.pbx_profile import PbxProfile
from streams.calls.result import CallResult
from streams.cli.classify.truth import classify_case
from streams.clock import MICROS_PER_SECOND, utc_now_us
from streams.rules import load_rules
from tests.calls.hashed import hashed
from tests.workers.deliver.crm_installation import CrmInstallation

CRMS = ("bitrix24", "kommo", "webhook")
LIMITS: dict[str, dict[str, Any]] = {
    "bitrix24": {"bucket_size": 50, "drain_per_second": 2.0},
    "kommo": {"requests_per_second": 7},
    "webhook": {},
}
"""As the vendors have them; a webhook's receiver has none that we know of, and gets 50 a second."""
LIMITED_CALLS = 2500
FAST = {"burst": 100_000, "per_second": 100_000}
SECONDS = 900.0

Figures = dict[str, Any]
Say = Callable[[str], None]


async def measure(servers: str, registry: str, directory: Path, calls: int, waiting: int, say: Say) -> list[Figures]:
    """All subjects of all CRMs, one after the other."""
    measured = []
    for crm in CRMS:
        say(f"delivering {calls} calls to a {crm} without limits")
        installation = _installation(servers, registry, directory, crm, "rate", rate_limit=FAST, parallel=32)
        async with installation:
            await installation.produce_results(many_results(calls))
            measured.append(await run_subject("rate", installation, calls))
        say(f"delivering to a {crm} with its real limits")
        async with _installation(servers, registry, directory, crm, "limited", rate_limit=None) as installation:
            installation.portal.change_settings(**LIMITS[crm])
            await installation.produce_results(many_results(LIMITED_CALLS))
            measured.append(await run_subject("limited", installation, LIMITED_CALLS))
        say(f"letting {waiting} calls wait for a {crm} that is down")
        async with _installation(servers, registry, directory, crm, "waiting", rate_limit=FAST) as installation:
            await installation.portal.go_away()
            await installation.produce_results(many_results(waiting))
            measured.append(await run_subject("waiting", installation, waiting))
            measured.append(await run_subject("taken over", installation, waiting))
    return measured


def calls_table(measured: list[Figures]) -> Table:
    """What a worker delivers, and what a call costs it."""
    table = Table("CRM", "portal", "calls/s", "CPU ms/call", title="Delivery, one worker")
    words = {"rate": "without limits", "limited": "the vendor's limits"}
    for each in measured:
        if each["subject"] in words and each["calls"]:
            rate, cost = each["calls"] / each["seconds"], 1000 * each["cpu_seconds"] / each["calls"]
            table.add_row(each["crm"], words[each["subject"]], f"{rate:,.1f}", f"{cost:.2f}")
    return table


def waiting_table(measured: list[Figures]) -> Table:
    """What calls cost that wait, before and after a restart of their worker."""
    table = Table(
        "CRM", "waiting", "worker", "has them after", "memory", "peak", "then drains", title="A portal is down"
    )
    words = {"waiting": "took them in", "taken over": "restarted"}
    for each in measured:
        if each["subject"] in words:
            sizes = [f"{each[name]:,.0f} MB" for name in ("rss_mb", "peak_mb")]
            drains = f"{each['drained_per_second']:,.0f}/s" if "drained_per_second" in each else ""
            calls, seconds = f"{each['calls']:,}", f"{each['seconds']:.1f} s"
            table.add_row(each["crm"], calls, words[each["subject"]], seconds, *sizes, drains)
    return table


def many_results(count: int) -> Iterator[CallResult]:
    """The outcomes of the recorded calls that a CRM gets, again and again, each a call of its own of an hour ago."""
    rules = load_rules()
    classified = [
        result for case in read_recordings() for result in classify_case({"cel": case.rows}, rules, PbxProfile())
    ]
    recorded = [result for result in classified if result.client is not None and result.direction != "internal"]
    ended = utc_now_us() - 3600 * MICROS_PER_SECOND
    for number, result in zip(range(count), cycle(recorded), strict=False):
        linkedid = f"{ended // MICROS_PER_SECOND - 600}.{number}"
        fields = {"call_id": f"pbx1/{linkedid}", "linkedid": linkedid, "started_at": ended - 600 * MICROS_PER_SECOND}
        yield hashed(replace(result, pbx="pbx1", ended_at=ended, answered_at=None, **fields))


def _installation(servers: str, registry: str, directory: Path, crm: str, name: str, **fields: Any) -> CrmInstallation:
    installation = CrmInstallation(servers, registry, directory / f"{crm}-{name}", f"bench-{crm}-{name}")
    installation.directory.mkdir()
    installation.crm = crm
    installation.portal_fields = {"request_timeout_seconds": 15, **fields}
    return installation


async def run_subject(name: str, installation: CrmInstallation, calls: int) -> Figures:
    """Measure a subject of tests/bench/deliveries.py in a process of its own."""
    settings = installation.directory / "bench.json"
    # Static membership: the group lets it go on where the one before was killed, without a session's wait.
    settings.write_bytes(orjson.dumps({**installation.tree, "worker": {"group_instance_id": "bench"}}))
    command = ["-W", "ignore", "-m", "tests.bench.deliveries", name, installation.crm, str(calls), str(settings)]
    with (installation.directory / f"{name}.log").open("w+b") as log:
        process = await asyncio.create_subprocess_exec(
            sys.executable, *command, stdout=asyncio.subprocess.PIPE, stderr=log
        )
        assert process.stdout is not None
        lines = []
        try:
            async with asyncio.timeout(SECONDS):
                async for line in process.stdout:
                    lines.append(line)
                    if line == b"ready\n":
                        await installation.portal.come_back()
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()
        if process.returncode or not lines:
            log.seek(0)
            words = log.read().decode(errors="replace")[-2000:]
            raise SystemExit(f"{name} of {installation.crm} could not be measured:\n{words}")
    return {"subject": name, "crm": installation.crm, **orjson.loads(lines[-1])}
