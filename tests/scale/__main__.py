"""`make test-scale`: workers added and removed, brokers killed and restarted, under load on three brokers.

python -m tests.scale [--only PHASE ..] [--calls N] [--rate N] [--seed S] [--json FILE] [--markdown FILE]
"""

import argparse
import shutil
import sys
from functools import partial
from pathlib import Path

from rich.console import Console

from deploy.local import end_with_parent
from tests.chaos.oracle import Oracle
from tests.scale import report
from tests.scale.installation import CRMS, KINDS, installation
from tests.scale.phases import PHASES, USUAL
from tests.scale.run import PhaseResult, run_phase

FAILED = Path(__file__).parents[2] / ".build" / "scale"


def main() -> int:
    """Exit status 0: every phase passed; 1: one did not."""
    arguments = _arguments()
    console = Console(stderr=True)
    say = partial(console.print, markup=False, highlight=False, soft_wrap=True)
    end_with_parent()
    results: list[PhaseResult] = []
    with installation(arguments.seed, arguments.rate, dict.fromkeys(KINDS, USUAL)) as made:
        oracle = Oracle(made.settings, CRMS)
        for name in arguments.only or PHASES:
            results.append(run_phase(made, oracle, PHASES[name], arguments.calls, say))
            if not results[-1].passed:
                shutil.copytree(made.cluster.log("kafka").parent, FAILED / name, dirs_exist_ok=True)
                say(f"  failed; logs are kept in {FAILED / name}")
                break  # what comes next would be judged with it
    Console(width=None if sys.stdout.isatty() else 220).print(report.table(results))
    report.print_complaints(console, results)
    if arguments.json:
        report.write_json(arguments.json, results)
    if arguments.markdown:
        arguments.markdown.write_text(report.markdown(results) + "\n", encoding="utf-8")
    return 0 if all(each.passed for each in results) else 1


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make test-scale", description="Scale and life on three brokers.")
    parser.add_argument("--only", nargs="+", choices=list(PHASES), default=[], help="only these phases")
    parser.add_argument("--calls", type=int, default=25, help="calls while something is as it is (default: 25)")
    parser.add_argument("--rate", type=float, default=6.0, help="calls a second, without their own length (default: 6)")
    parser.add_argument("--seed", default="1", help="of the calls (default: 1)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write everything that was measured")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="write the table for a page")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
