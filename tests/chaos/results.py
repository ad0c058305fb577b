"""The result file: a JSON line for each fault, appended; and the table of them."""

import hashlib
import json
import shutil
import subprocess
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / ".build" / "chaos" / "results.jsonl"
_PRODUCT = ("streams", "connectors", "schemas")


@dataclass(slots=True)
class Result:
    """What came of one fault. Seconds count from the blow on, `recovery` from the end of its cause."""

    fault: str
    mode: str
    """`alone`, `random` or `short`."""
    seed: str
    product: str
    """See `product_version`."""
    step: int = 0
    commit: str = ""
    """That it ran on; with a plus where files were changed since. Empty outside of a repository."""
    began_at: float = 0.0
    seconds: float = 0.0
    told: str = ""
    told_after: float | None = None
    expected_told: bool = True
    """Whether what was to be said was said."""
    recovery: float | None = None
    """None: not within the fault's patience."""
    all_there: float | None = None
    """Seconds from the end of the cause until no call was missing any more; None: some are."""
    calls: int = 0
    missing_before_remedies: int = 0
    followed: list[str] = field(default_factory=list)
    silent: int = 0
    doubled: int = 0
    wrong: int = 0
    examples: list[str] = field(default_factory=list)
    services_ended: list[str] = field(default_factory=list)
    services_down: list[str] = field(default_factory=list)
    """Those that ended and were not started again, such as one that ended with status 0."""
    failure: str = ""
    """The suite could not do or judge it: the fault counts as failed."""
    load: dict[str, Any] = field(default_factory=dict)

    @property
    def passed(self) -> bool:
        """Nothing silent, doubled or wrong, what was to be said was said, and calls flow again."""
        faultless = not (self.silent or self.doubled or self.wrong or self.failure or self.services_down)
        return faultless and self.expected_told and self.recovery is not None


def product_version() -> str:
    """A digest of the product's code: results of another version are no reason to leave a fault out."""
    digest = hashlib.sha256()
    for folder in _PRODUCT:
        for file in sorted((ROOT / folder).rglob("*")):
            if file.is_file() and "__pycache__" not in file.parts:
                digest.update(str(file.relative_to(ROOT)).encode() + file.read_bytes())
    return digest.hexdigest()[:12]


def commit() -> str:
    """The commit that is checked out, with a plus where files differ from it; empty outside of a repository."""
    git = shutil.which("git")
    if git is None:
        return ""

    def said(*words: str) -> str:
        done = subprocess.run([git, "-C", ROOT, *words], capture_output=True, text=True, check=False)
        return done.stdout.strip()

    return said("rev-parse", "--short=10", "HEAD") + ("+" if said("status", "--porcelain", "-uno") else "")


def append(path: Path, result: Result) -> None:
    """Add a line, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(asdict(result), ensure_ascii=False) + "\n")


def read(path: Path) -> list[Result]:
    """Everything that the file holds; a line that was cut short is left out."""
    if not path.exists():
        return []
    found = []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            found.append(Result(**json.loads(line)))
        except (ValueError, TypeError):
            continue
    return found


def of_run(results: Iterable[Result], mode: str, seed: str, product: str) -> list[Result]:
    """Those of the same run: mode, seed and version of the product."""
    return [each for each in results if (each.mode, each.seed, each.product) == (mode, seed, product)]


def last_of_each(results: Iterable[Result]) -> list[Result]:
    """The last result of each fault, in the order of their names."""
    return [each for _, each in sorted({each.fault: each for each in results}.items())]


def print_table(console: Console, results: Sequence[Result]) -> None:
    """A row for each fault, then what is wrong in words."""
    table = Table(title="Chaos", show_lines=False)
    for name in (
        "fault",
        "verdict",
        "told, first words",
        "after",
        "recovery",
        "all there",
        "calls",
        "healed",
        "silent",
        "doubled",
        "wrong",
    ):
        table.add_column(name, overflow="fold")
    for each in results:
        healed = each.missing_before_remedies - each.silent
        table.add_row(
            each.fault,
            "ok" if each.passed else "FAILED",
            each.told[:90] or "nothing",
            "" if each.told_after is None else f"{each.told_after:.0f} s",
            "never" if each.recovery is None else f"{each.recovery:.0f} s",
            "never" if each.all_there is None else f"{each.all_there:.0f} s",
            *(str(number or "") for number in (each.calls, max(0, healed), each.silent, each.doubled, each.wrong)),
        )
    console.print(table)
    for each in results:
        if not each.passed:
            console.print(f"{each.fault}: {_complaint(each)}", markup=False, highlight=False)


def _complaint(result: Result) -> str:
    parts = []
    if result.failure:
        parts.append(result.failure)
    if result.recovery is None:
        parts.append("calls did not flow again")
    if not result.expected_told:
        parts.append("what was to be said was not said")
    parts += [f"{each} runs no more" for each in result.services_down]
    for name in ("silent", "doubled", "wrong"):
        if number := getattr(result, name):
            parts.append(f"{number} {name}")
    return "; ".join([*parts, *result.examples[:4]])
