"""`make mutate`: do the tests notice when the code that decides a call's outcome is wrong?

    python -m tests.mutation [--only MODULE ...]     MODULE: calls.direction, numbers; all of them by default

mutmut (pyproject.toml, [tool.mutmut]) changes one operator, constant or argument at a time in a copy of the tree, and
runs the tests that reach it. Mutants that no test kills must stand in survivors.yaml with the reason.
mutmut leaves properties alone, and code outside functions.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import sysconfig
import venv
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

import yaml
from rich.console import Console
from rich.table import Table

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
TOOL = ROOT / ".build" / "mutate"
COPY = ROOT / ".build" / "mutation"
MUTMUT = TOOL / "bin" / "mutmut"

LEAST = 0.9
"""Share of each subject's mutants."""
SURVIVED, NO_TESTS, NOT_RUN = 0, 33, None
ALIVE = (SURVIVED, NO_TESTS)
TIMED_OUT = (-24, 24, 36, 152, 255)
"""Counted as killed, as mutmut does: endless loops. On a machine that is busy otherwise, they may be others."""

Functions = dict[str, list[str]]

FUNCTIONS: Functions = {
    "result table": ["streams.rules.results.*"],
    "CRM tables": ["streams.rules.statuses.*"],
    "result of a call": [
        "streams.calls.hangup.x_hangup_facts*",
        "streams.calls.classify.x_decide*",
        "streams.calls.classify.x__talk_lasted*",
    ],
    "answered": [
        "streams.calls.answered.x_is_answered*", "streams.calls.answered.x_called_by_asterisk*",
        "streams.calls.answered.x_bridges_missing*", "streams.calls.bridges.*",
        *(f"streams.calls.fold.xǁ_RowFolderǁ{name}__mutmut*" for name in (
            "_bridge_row", "_bridge_exit", "_begin_talks", "_part", "_ended", "_transfer", "_calling_left",
        )),
        "streams.calls.calling.x_calling_uniqueid*", "streams.calls.fold.x__close*",
    ],
    "end of a call": [
        "streams.calls.call.xǁCallǁadd*", "streams.calls.call.xǁCallǁknows*",
        "streams.calls.classify.x__completeness*", "streams.calls.offline.*",
        *(f"streams.workers.aggregate.remembered_calls.xǁRememberedCallsǁ{name}__mutmut*" for name in (
            "tick", "_fold", "_end", "_deadline", "_kept_until", "_refused", "_opened_at_ms", "lose",
            "_first_rows_lost",
        )),
        "streams.workers.aggregate.partition_state.xǁPartitionStateǁ_forget__mutmut*",
        "streams.workers.aggregate.steps.xǁLimitsǁwait_ms*", "streams.workers.aggregate.steps.xǁLimitsǁwhole_wait_ms*",
        "streams.workers.aggregate.open_calls.*", "streams.workers.aggregate.deadlines.*",
        "streams.workers.aggregate.lost_rows.*",
        "streams.calls.missing_rows.*",
    ],
    "direction": ["streams.calls.direction.*", "streams.calls.sides.*"],
    "parties": ["streams.calls.participants.*", "streams.calls.calling_party.*", "streams.calls.number_reached.*"],
    "numbers": ["streams.calls.numbers.*"],
}  # fmt: skip
"""What counts, as mutmut names it."""


@dataclass(frozen=True, slots=True)
class Mutant:
    """One change, and what the tests said: a mutmut exit code."""

    subject: str
    name: str
    outcome: int | None

    def describe(self) -> str:
        """Module, function and the lines that the mutant puts in, as survivors.yaml names it."""
        difference = _mutmut("show", self.name, capture=True)
        lines = [
            line[1:].strip() for line in difference.splitlines() if line.startswith("+") and not line.startswith("+++")
        ]
        return f"{self.name.partition('__mutmut_')[0].removeprefix('streams.')}: {' '.join(lines)}"


def main() -> int:
    """Run and report; 1 where too few mutants were killed, a survivor is not explained, or a pattern fits nothing."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutation", description="Mutation testing.")
    parser.add_argument("--only", metavar="MODULE", nargs="+", default=[], help="modules, with or without package")
    modules = parser.parse_args().only
    functions = _functions(modules)
    if not functions:
        parser.error(f"no function that counts is in {' or '.join(modules)}")
    _prepare_tool()
    _copy_tree()
    _mutmut("run", *(pattern for patterns in functions.values() for pattern in patterns))
    mutants = _mutants(functions)
    reasons = yaml.safe_load((HERE / "survivors.yaml").read_text(encoding="utf-8"))
    explained = {mutant for reason in reasons for mutant in reason["mutants"]}
    console = Console()
    console.print(_summary(mutants, functions))
    for pattern in (unmatched := _unmatched(mutants, functions)):
        console.print(f"{pattern} names no mutant: was its function renamed?", markup=False)
    alive = [mutant for mutant in mutants if mutant.outcome in ALIVE]
    unexplained = {mutant.name: text for mutant in alive if (text := mutant.describe()) not in explained}
    for name, text in unexplained.items():
        console.print(f"{name}\n  {text}", markup=False, highlight=False, soft_wrap=True)
    low = [subject for subject in functions if _killed(mutants, subject) < LEAST]
    for subject in low:
        console.print(f"{subject}: under {LEAST:.0%}")
    late = sum(mutant.outcome in TIMED_OUT for mutant in mutants)
    console.print(
        f"{_killed(mutants):.1%} of {len(mutants)} mutants killed ({late} by the time limit); "
        f"{len(unexplained)} survivors not explained"
    )
    return int(bool(low or unexplained or unmatched))


def _killed(mutants: list[Mutant], subject: str | None = None) -> float:
    """Share of the mutants that the tests noticed, of one subject or of all."""
    counted = [mutant for mutant in mutants if subject in (None, mutant.subject)]
    return sum(mutant.outcome not in ALIVE for mutant in counted) / (len(counted) or 1)


def _functions(modules: list[str]) -> Functions:
    """What counts of some modules; all of it where none is named."""
    chosen = {
        subject: [each for each in patterns if not modules or any(f".{name}." in each for name in modules)]
        for subject, patterns in FUNCTIONS.items()
    }
    return {subject: patterns for subject, patterns in chosen.items() if patterns}


def _prepare_tool() -> None:
    if not MUTMUT.exists():
        venv.create(TOOL, clear=True, with_pip=True)
        install = [
            "-m",
            "pip",
            "install",
            "--quiet",
            "--disable-pip-version-check",
            "-r",
            str(HERE / "requirements.txt"),
        ]
        subprocess.run([str(TOOL / "bin" / "python"), *install], check=True)
    # What the product and its tests need comes from this environment, after mutmut's own.
    purelib = subprocess.check_output(
        [TOOL / "bin" / "python", "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"], text=True
    )
    (Path(purelib.strip()) / "product.pth").write_text(sysconfig.get_path("purelib") + "\n", encoding="utf-8")


def _copy_tree() -> None:
    shutil.rmtree(COPY, ignore_errors=True)
    tracked = subprocess.check_output(["git", "ls-files", "-z"], cwd=ROOT, text=True)
    for name in filter(None, tracked.split("\0")):
        if (ROOT / name).is_file():
            (COPY / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, COPY / name)


def _mutmut(*arguments: str, capture: bool = False) -> str:
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
    environment.pop("PYTHONPATH", None)  # the mutants are to be imported, not the tree that they were copied from
    done = subprocess.run(
        [MUTMUT, *arguments], cwd=COPY, env=environment, text=True, check=True,
        stdout=subprocess.PIPE if capture else None,
    )  # fmt: skip
    return done.stdout or ""


def _mutants(functions: Functions) -> list[Mutant]:
    found = []
    for file in sorted(COPY.glob("mutants/streams/**/*.meta")):
        for name, outcome in json.loads(file.read_text(encoding="utf-8"))["exit_code_by_key"].items():
            if (subject := _subject(name, functions)) and outcome is not NOT_RUN:
                found.append(Mutant(subject, name, outcome))
    return found


def _unmatched(mutants: list[Mutant], functions: Functions) -> list[str]:
    patterns = [pattern for patterns in functions.values() for pattern in patterns]
    return [pattern for pattern in patterns if not any(fnmatchcase(mutant.name, pattern) for mutant in mutants)]


def _subject(name: str, functions: Functions) -> str | None:
    for subject, patterns in functions.items():
        if any(fnmatchcase(name, pattern) for pattern in patterns):
            return subject
    return None


def _summary(mutants: list[Mutant], functions: Functions) -> Table:
    table = Table("what", "mutants", "killed", "survived", "score", header_style="bold")
    for subject in functions:
        total = sum(mutant.subject == subject for mutant in mutants)
        alive = sum(mutant.subject == subject and mutant.outcome in ALIVE for mutant in mutants)
        table.add_row(subject, str(total), str(total - alive), str(alive), f"{_killed(mutants, subject):.1%}")
    return table


if __name__ == "__main__":
    sys.exit(main())
