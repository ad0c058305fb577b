"""Pages of docs/ as tests read them."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"


def page(name: str) -> str:
    return (DOCS / name).read_text(encoding="utf-8")


def rows(name: str, heading: str = "") -> list[list[str]]:
    """The cells of every table's rows on a page (below one heading, if given), less heads and rules of the tables."""
    text = page(name)
    if heading:
        text = text.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    lines = text.splitlines()
    told = []
    for before, line in zip(["", *lines], lines, strict=False):
        if line.startswith("|") and before.startswith("|") and not is_rule(line):
            told.append([cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]])
    return told


def is_rule(line: str) -> bool:
    return set(line) <= set("|-: ")


def code(cell: str) -> str:
    """What a cell says in backticks, at its beginning."""
    found = re.match(r"`([^`]+)`", cell)
    assert found, f"{cell!r} does not begin with a name in backticks"
    return found[1]


def blocks(name: str, heading: str, language: str) -> list[str]:
    """The code blocks of a language below a heading of a page: what a reader copies from there, for a test to run."""
    text = page(f"{name}.md").partition(f"\n{heading}\n")[2]
    level = heading.partition(" ")[0]
    text = re.split(rf"\n#{{2,{len(level)}}} ", text)[0]
    found = re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    assert found, f"docs/{name}.md has no {language} below {heading!r}"
    return found
