"""Every command writes through streams.cli.output, and output that finds no place is no traceback."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from deploy.demo.recordings import RECORDINGS
from tests.cli.commands import run

ROOT = Path(__file__).parents[2]
ALLOWED = {
    "streams/cli/output.py": "the one place",
    "streams/cli/main.py": "makes standard output usable and flushes it",
    "streams/cli/command_line.py": "the version",
    "streams/cli/classify/command.py": "lines of JSON made safe one by one",
    "streams/cli/rules/commands.py": "CSV, cell by cell safe",
}


def written_by(path: Path) -> list[str]:
    """Ways to a terminal that a file takes by itself."""
    found = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        text = ast.unparse(node) if isinstance(node, ast.Attribute | ast.ImportFrom) else ""
        if text in ("sys.stdout.write", "sys.stderr.write", "sys.stdout.buffer", "typer.echo", "typer.secho"):
            found.append(text)
        if text.startswith("from rich.table") or (isinstance(node, ast.Call) and ast.unparse(node.func) == "print"):
            found.append(text or "print")
    return found


def test_no_command_goes_around_the_one_place() -> None:
    around = {
        name: found
        for folder in ("cli", "operations", "explain", "cases")
        for path in sorted((ROOT / "streams" / folder).rglob("*.py"))
        if (name := str(path.relative_to(ROOT))) not in ALLOWED and (found := written_by(path))
    }
    assert around == {}


@pytest.mark.slow  # starts processes
@pytest.mark.parametrize(
    "arguments",
    [["classify"], ["classify", "--json"], ["classify", "--json", "--jobs", "2"], ["rules", "show", "matrix"]],
    ids=" ".join,
)
@pytest.mark.parametrize("target", ["full disk", "closed"])
def test_output_that_finds_no_place_is_told_in_one_line(arguments: list[str], target: str) -> None:
    files = [str(RECORDINGS)] if arguments[0] == "classify" else []
    where = ">/dev/full" if target == "full disk" else ">&-"
    command = " ".join([sys.executable, "-m", "streams.cli.main", *arguments, *files, where])
    done = subprocess.run(["sh", "-c", command], capture_output=True, check=False, timeout=60, text=True)
    assert "Traceback" not in done.stderr and "Exception ignored" not in done.stderr
    if target == "full disk":
        assert done.returncode == 2
        assert "the output cannot be written: No space left on device" in done.stderr


@pytest.mark.slow  # starts a process
def test_a_reader_that_leaves_is_no_traceback() -> None:
    command = f"{sys.executable} -m streams.cli.main classify --json {RECORDINGS} | head -n 1"
    done = subprocess.run(["sh", "-c", command], capture_output=True, check=False, timeout=60, text=True)
    assert done.stderr == ""
    assert done.stdout.count("\n") == 1


def test_a_message_may_be_told_twice() -> None:
    """Commands run in one process, as tests do, leave standard output as it was."""
    assert run("rules", "show", "kommo").stdout == run("rules", "show", "kommo").stdout
