"""Whatever a document links to is there: files, and headings within pages."""

import re
from pathlib import Path

import pytest

from tests.docs.pages import DOCS, ROOT

PAGES = sorted([*ROOT.glob("*.md"), *DOCS.rglob("*.md"), *(ROOT / ".github").rglob("*.md")])
LINK = re.compile(r"\[[^]]*\]\(([^)\s]+)\)")
ELSEWHERE = ("https://", "http://", "mailto:")


def prose(text: str) -> str:
    """A page less its blocks of code, where brackets are no links."""
    return re.sub(r"(?ms)^```.*?^```$", "", text)


def anchors(page: Path) -> set[str]:
    """The headings of a page as links name them: small letters and hyphens, no other signs."""
    headings = re.findall(r"(?m)^#+ (.*)$", prose(page.read_text(encoding="utf-8")))
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def broken(page: Path, text: str) -> list[str]:
    """The links that lead nowhere."""
    missing = []
    for link in LINK.findall(prose(text)):
        if link.startswith(ELSEWHERE):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            missing.append(link)
    return missing


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    assert broken(page, page.read_text(encoding="utf-8")) == []


def test_every_page_is_in_the_index_of_its_folder() -> None:
    for index in (DOCS / "README.md", DOCS / "adr" / "README.md"):
        linked = {link.partition("#")[0] for link in LINK.findall(index.read_text(encoding="utf-8"))}
        assert {page.name for page in index.parent.glob("*.md")} - {"README.md"} <= linked, index


def test_links_that_lead_nowhere_are_found() -> None:
    page = DOCS / "README.md"
    text = "[a](nowhere.md) [b](README.md#nothing) [c](README.md#documentation) [d](https://example.com) [e](adr)"
    assert broken(page, text) == ["nowhere.md", "README.md#nothing"]
