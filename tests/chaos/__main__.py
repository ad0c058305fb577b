"""`make chaos`: every fault alone; `make chaos MINUTES=60`: faults at random, workers coming and going meanwhile.

    python -m tests.chaos [--only FAULT ..] [--minutes N] [--seed S] [--short] [--again] [--list]
    python -m tests.chaos --table FILE .. [--into docs/reliability.md]

The second prints the tables of result files as Markdown, or puts them into a page.

Results are appended to one file. A run that was broken off goes on where it was: what stands there for the same seed
and the same version of the product is not done again, unless --again says so.
"""

import argparse
import signal
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import FrameType

from rich.console import Console

from deploy.local import end_with_parent
from tests.chaos import page, results
from tests.chaos.catalogue import FAULTS, SHORT
from tests.chaos.suite import Suite


def main() -> int:
    """Exit status 0: every fault passed; 1: one did not; 2: wrong arguments."""
    arguments = _arguments()
    console = Console(stderr=True)
    if arguments.list:
        for fault in FAULTS.values():
            print(f"{fault.name:32} {fault.does}")  # noqa: T201
        return 0
    if arguments.table:
        done = [each for file in arguments.table for each in results.read(file)]
        lines = list(page.tables(done, {fault.name: fault.does for fault in FAULTS.values()}))
        if arguments.into:
            page.put_into(arguments.into, lines)
        else:
            print("\n".join(lines))  # noqa: T201
        return 0
    if unknown := sorted(set(arguments.only) - set(FAULTS)):
        console.print(f"There is no fault {', '.join(unknown)}; see --list.")
        return 2
    signal.signal(signal.SIGTERM, _interrupt)
    end_with_parent()  # whoever kills `make chaos` may well kill make alone
    suite = Suite(arguments.seed, arguments.results, _printed_by(console))
    try:
        done = _done(suite, arguments)
    except KeyboardInterrupt:
        console.print("stopped; what is done stands in the result file")
        return 130
    results.print_table(Console(width=None if sys.stdout.isatty() else 200), done)
    return 0 if done and all(each.passed for each in done) else 1


def _done(suite: Suite, arguments: argparse.Namespace) -> list[results.Result]:
    if arguments.minutes:
        return suite.at_random(arguments.minutes, arguments.only or list(FAULTS), again=arguments.again)
    if arguments.short:
        return suite.short(list(SHORT))
    return suite.each_alone(arguments.only or list(FAULTS), again=arguments.again)


def _printed_by(console: Console) -> Callable[[str], None]:
    """A function that prints a line as it is."""
    return partial(console.print, markup=False, highlight=False, soft_wrap=True)


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make chaos", description="Faults on the real pipeline, each judged.")
    parser.add_argument("--only", nargs="+", default=[], metavar="FAULT", help="only these faults")
    parser.add_argument("--minutes", type=float, default=0.0, help="faults at random for so long")
    parser.add_argument("--seed", default="1", help="of calls and faults (default: 1)")
    parser.add_argument("--short", action="store_true", help="the most telling faults, in two minutes")
    parser.add_argument("--again", action="store_true", help="also what stands in the result file already")
    parser.add_argument("--list", action="store_true", help="name the faults and do nothing")
    parser.add_argument("--table", type=Path, nargs="+", metavar="FILE", help="print result files as Markdown")
    parser.add_argument("--into", type=Path, metavar="PAGE", help="put them into this page, in the place of its own")
    parser.add_argument("--results", type=Path, default=results.RESULTS, help="the result file")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
