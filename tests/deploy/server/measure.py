"""`make bench-server`: what an installed server takes, at rest and with so many phones, in a Debian of its own."""

import argparse
import json
import sys
import tempfile
from pathlib import Path

from rich.console import Console
from rich.table import Table

from tests.deploy.server.container import ROOT, Found, boot, make_root, missing
from tests.deploy.server.machine import ENVIRONMENT
from tests.deploy.server.versions import this_version

PHONES = (5, 20, 100, 400)


def main() -> int:
    """Exit status 0; 2 where a program is missing."""
    parser = argparse.ArgumentParser(prog="python -m tests.deploy.server.measure", description=__doc__)
    parser.add_argument("--phones", type=int, nargs="+", default=PHONES, metavar="N")
    parser.add_argument("--seconds", type=int, default=90, help="of each, and of the rest before (default: 90)")
    parser.add_argument("--json", action="store_true", help="everything that was found")
    arguments = parser.parse_args()
    if absent := missing():
        sys.stderr.write(f"not here: {', '.join(absent)}\n")
        return 2
    with tempfile.TemporaryDirectory(prefix="cel2crm-server-") as name:
        folder = Path(name)
        version = this_version(ROOT, folder / "this")
        make_root(folder / "root", {ENVIRONMENT: version})
        (folder / "out").mkdir()
        words = [f"/jars/{version.servers.name}", str(arguments.seconds), *map(str, arguments.phones)]
        limit = 600 + 2 * arguments.seconds * (1 + len(arguments.phones))
        found = boot(folder / "root", "phones", words, [version.servers], folder / "out", limit)
    if arguments.json:
        sys.stdout.write(json.dumps(found, indent=1) + "\n")
    else:
        Console().print(table(found))
    return 0


def table(found: Found) -> Table:
    """A row for each number of phones: MB and % of a core of each unit, and of all."""
    parts = list(found["measured"][0]["parts"])
    shown = Table("phones", "rows/s", *parts, "all", title="MB (resident, the most) and % of a core")
    for each in found["measured"]:
        cells = [(part["megabytes"], part["percent_of_a_core"]) for part in each["parts"].values()]
        cells.append((sum(mb for mb, _ in cells), sum(share for _, share in cells)))
        told = [f"{mb:.0f}  {share:.1f} %" for mb, share in cells]
        shown.add_row(str(each["phones"] or "at rest"), f"{each['rows_a_second']:.1f}", *told)
    return shown


if __name__ == "__main__":
    sys.exit(main())
