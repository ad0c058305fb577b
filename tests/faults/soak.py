"""A long run on real servers: thousands of calls, faults at random, one of two workers killed or stopped.

    make soak                                  # ten minutes, every CRM
    python -m tests.faults.soak --seconds 60 --calls 500 --crm kommo --seed 7

Afterwards the portal works again; then each call must stand there once, with the right status. The exit status is 0
only if none is lost, doubled or wrong.
"""

import argparse
import asyncio
import secrets
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from deploy.local import LocalStack
from tests.faults.soak_report import SoakReport, print_reports
from tests.faults.soak_run import SoakPlan, SoakRun
from tests.faults.ways import WAYS

CRMS = tuple(dict.fromkeys(way.crm for way in WAYS.values()))


async def soak(plan: SoakPlan, crms: Sequence[str], servers: str, registry: str, directory: Path) -> list[SoakReport]:
    """One run at each CRM, all at once."""
    runs = []
    for crm in crms:
        (own := directory / crm).mkdir()
        runs.append(SoakRun(plan, crm, servers, registry, own))
    return list(await asyncio.gather(*(run.run() for run in runs)))


def main() -> int:
    """Start a broker and a registry, soak, print; the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults.soak", description=__doc__)
    parser.add_argument("--seconds", type=float, default=600.0, help="of faults (default: 600)")
    parser.add_argument("--calls", type=int, default=5000, help="at each CRM (default: 5000)")
    parser.add_argument("--kill-every", type=float, default=20.0, help="seconds between two blows (default: 20)")
    parser.add_argument("--crm", nargs="*", choices=CRMS, default=CRMS)
    parser.add_argument("--seed", type=int, default=None, help="of calls, faults and blows (default: a random one)")
    options = parser.parse_args()
    seed = secrets.randbelow(1 << 30) if options.seed is None else options.seed
    console = Console(stderr=True)
    console.print(f"seed {seed}; {options.calls} calls at each of {', '.join(options.crm)} in {options.seconds:.0f} s")
    plan = SoakPlan(options.seconds, options.calls, seed, options.kill_every, write_line=console.print)
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as directory, LocalStack(parts={"kafka", "registry"}) as stack:
        where = stack.endpoints
        reports = asyncio.run(soak(plan, options.crm, where.bootstrap_servers, where.registry_url, Path(directory)))
    print_reports(Console(), reports, seed, time.monotonic() - began)
    return 0 if all(report.passed for report in reports) else 1


if __name__ == "__main__":
    sys.exit(main())
