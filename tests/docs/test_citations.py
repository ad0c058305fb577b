"""Nothing cites a document, or a file of this repository, that is not there."""

import re
from pathlib import Path

import pytest

from tests.docs.pages import DOCS, ROOT

FOLDERS = ("streams", "connectors", "schemas", "deploy", "tests")
ENDINGS = {".py", ".yaml", ".yml", ".sql", ".avsc", ".toml", ".sh", ".xml"}
HERE = Path(__file__).parent
DOCUMENT = re.compile(r"[\w./-]*\w\.md\b")
CODE = re.compile(r"`((?:streams|connectors|schemas|deploy|tests)/[\w./*-]+)`")
"""A path in a page, in backticks; `*` stands for any name."""


def sources() -> list[Path]:
    """What may cite a document; this folder names some that are not there on purpose."""
    found = [path for folder in FOLDERS for path in (ROOT / folder).rglob("*") if path.suffix in ENDINGS]
    return [*(path for path in found if HERE not in path.parents), ROOT / "pyproject.toml", ROOT / "Makefile"]


def missing_documents(text: str) -> set[str]:
    """The documents that a source names by a path that leads nowhere."""
    return {name for name in DOCUMENT.findall(text) if not (ROOT / name).exists()}


def missing_paths(page: str) -> set[str]:
    """The paths that a page names and that match no file or folder."""
    return {path for path in CODE.findall(page) if not list(ROOT.glob(path.rstrip("/")))}


def test_documents_that_the_code_cites_are_there() -> None:
    missing = {str(path.relative_to(ROOT)): missing_documents(path.read_text(encoding="utf-8")) for path in sources()}
    assert {path: names for path, names in missing.items() if names} == {}


@pytest.mark.parametrize(
    "page", [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(DOCS.rglob("*.md"))], ids=lambda page: page.name
)
def test_files_that_a_page_names_are_there(page: Path) -> None:
    assert missing_paths(page.read_text(encoding="utf-8")) == set()


def test_what_is_missing_is_found() -> None:
    assert missing_documents("see README.md, docs/traps.md (design.md, State) and docs/gone.md") == {
        "design.md",
        "docs/gone.md",
    }
    assert missing_paths("`streams/errors.py`, `streams/gone.py`, `schemas/*.avsc`, `tests/docs/`, `tests/*.gone`") == {
        "streams/gone.py",
        "tests/*.gone",
    }
