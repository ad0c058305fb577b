"""What holds on any machine: ratios within one run, and bytes. Kept in ratios.json, and compared by hand.

make bench-compare                 # exit status 1: one of them is worse than it was
python -m tests.bench --save tests/bench/ratios.json
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import orjson
from rich.console import Console
from rich.table import Table

from tests.bench.classify import ALONE

TOLERANCE = 0.15
"""A ratio moves so much by itself from run to run."""

Ratios = Mapping[str, float]


def of(found: Mapping[str, Any]) -> dict[str, float]:
    """The ratios of the parts that were measured; a name that ends with `bytes` is better when smaller."""
    ratios: dict[str, float] = {}
    for each in found.get("classify", ()):
        if each["reader"] != ALONE:
            ratios[f"{each['reader']} / json.loads"] = each["speed"]
    for each in found.get("remembered", ()):
        ratios[f"{each['what']} call, bytes"] = each["bytes_a_call"]
    for each in found.get("long", {}).get("long", ()):
        name = f"checkpoints / rows of a call of {each['rows']}, bytes"
        ratios[name] = each["checkpoint_bytes"] / each["row_bytes"]
    rates = {each["subject"]: each["rows_per_cpu_second"] for each in found.get("rows", ())}
    for other in ("bare aiokafka", "plain fold", "empty Faust agent"):
        if other in rates:
            ratios[f"aggregate worker / {other}"] = rates["aggregate worker"] / rates[other]
    for each in found.get("live", ()):
        name = f"aiokafka alone / live worker, {each['rows_per_second']} rows a second"
        ratios[name] = each["aiokafka_alone_us_per_row"] / each["cpu_us_per_row"]
    for each in found.get("finished", {}).get("index", ()):
        if each["what"] == "table":
            ratios["finished call, bytes"] = each["bytes_a_call"]
    rates = {each["subject"]: each["rows_per_cpu_second"] for each in found.get("replay", ())}
    ratios |= {
        f"{name} / plain fold": rate / rates["plain fold"] for name, rate in rates.items() if name != "plain fold"
    }
    return ratios


def save(file: Path, ratios: Ratios) -> None:
    """Write ratios; those of parts that were not measured stay as they are."""
    known = orjson.loads(file.read_bytes()) if file.exists() else {}
    file.write_bytes(orjson.dumps(known | dict(ratios), option=orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS) + b"\n")


def compare(file: Path, ratios: Ratios) -> int:
    """Print both; 1 if one is worse than the stored one by more than the tolerance, 2 if nothing is stored."""
    if not file.exists():
        Console(stderr=True).print(f"{file} is not there: write it with --save", markup=False)
        return 2
    known: dict[str, float] = orjson.loads(file.read_bytes())
    table, worse = Table("ratio", "stored", "now", "", title=f"Compared with {file}"), False
    for name, now in ratios.items():
        before = known.get(name)
        verdict = "new"
        if before is not None:
            change = now / before - 1
            is_worse = change > TOLERANCE if name.endswith("bytes") else change < -TOLERANCE
            verdict, worse = ("worse" if is_worse else ""), worse or is_worse
        table.add_row(name, "" if before is None else f"{before:,.2f}", f"{now:,.2f}", verdict)
    Console(width=120).print(table)
    return int(worse)
