"""`python -m tests.faults [CELL ..]`: runs cells of the matrix, by the start of their ids, and prints what is wrong.

Without a cell, all of them.
"""

import argparse
import asyncio
import sys

from rich.console import Console

from tests.faults.cells import Cell, cells
from tests.faults.run_cells import AT_ONCE, run_cells


def main() -> int:
    """Run the cells; the exit status is 0 if nothing was wrong."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("cells", nargs="*", help="ids or their beginnings: bitrix24:finish-lost_answer:0")
    parser.add_argument("--list", action="store_true", help="only print the ids")
    parser.add_argument("--at-once", type=int, default=AT_ONCE)
    options = parser.parse_args()
    wanted = [cell for cell in cells() if not options.cells or cell.id.startswith(tuple(options.cells))]
    if options.list:
        sys.stdout.write("\n".join(cell.id for cell in wanted) + "\n")
        return 0
    console = Console(stderr=True)
    done = 0
    with console.status(f"0 of {len(wanted)}") as status:

        def on_result(_: Cell, __: list[str]) -> None:
            nonlocal done
            done += 1
            status.update(f"{done} of {len(wanted)}")

        wrong = asyncio.run(run_cells(wanted, options.at_once, on_result))
    for cell, words in wrong.items():
        sys.stdout.write("\n".join([cell, *words]) + "\n")
    sys.stdout.write(f"{len(wanted)} cells, {len(wrong)} wrong{': ' + ' '.join(wrong) if wrong else ''}\n")
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main())
