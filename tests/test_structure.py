"""The house keeps its order: no circle of imports, no import from a lower room to a higher one, no file that grew long.

ROOMS is the order of the rooms, from the ground up. A module may import its own room and those above it in this list.
"""

import ast
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

ROOMS = (
    (
        "streams.errors",
        "streams.clock",
        "streams.topics",
        "streams.dead_letter_reasons",
        "streams.printable",
        "streams.tls_failures",
    ),
    ("streams.safe_table",),
    ("schemas",),
    ("streams.rows",),
    ("streams.crm",),  # the contract and the registry; what all CRMs share stands in streams.crm.shared
    ("streams.settings",),
    ("streams.rules",),
    ("streams.calls",),
    ("streams.privacy",),
    ("streams.explain",),
    ("streams.cases",),
    ("streams.delivery",),
    ("streams.http",),
    ("streams.kafka",),
    ("connectors",),
    ("streams.crm.shared",),
    ("streams.crm.bitrix24", "streams.crm.kommo", "streams.crm.webhook"),
    ("streams.credentials",),
    ("streams.sources",),
    ("streams.recordings",),
    ("streams.operations",),
    ("streams.workers.aggregate", "streams.workers.deliver"),
    ("streams.gaps",),
    ("streams.replay",),
    ("streams.analysis",),
    ("streams.erasure",),
    ("streams.cli",),
    ("deploy",),
)

LONG_FILES: Mapping[str, str] = {}
"""Files over 300 lines, and why each is one file."""

RIDDLES = (
    r"\b(Desk|Office|Lane|Gate|Held|Teller|Story|Cautions?|Takeover|Outbox|PortalStanding|Sighting|Judgement|Judges|Healing)\b"
    r"|\b(same_house|untold|hurried|crowded|trouble_of|sighting_of|words_of|TELLING_APPS|strangers|peerless|born_here)\b"
    r"|\b(root_sent_on|root_left_row|root_moved_row|root_reached|old_way)\b"
)
"""Words of earlier versions that nobody understood without a glossary, as identifiers."""


def modules() -> Iterator[tuple[str, Path]]:
    """Each module of the product by its dotted name."""
    for folder in ("streams", "connectors", "schemas", "deploy"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            yield ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"), path


MODULES = dict(modules())


def imports_of(path: Path) -> Iterator[str]:
    """The product's modules that a file imports, wherever in it, those for type checking included."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in MODULES)
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                yield from (name for name in (inner if inner in MODULES else node.module,) if name in MODULES)


IMPORTS = {name: set(imports_of(path)) - {name} for name, path in MODULES.items()}


def room_of(module: str) -> tuple[int, str]:
    """How high a module's room is, and its name: the longest prefix in ROOMS."""
    fitting = [
        (len(room), height, room)
        for height, rooms in enumerate(ROOMS)
        for room in rooms
        if module == room or module.startswith(f"{room}.")
    ]
    assert fitting, f"{module} has no room in ROOMS"
    _, height, room = max(fitting)
    return height, room


def test_no_import_goes_up() -> None:
    wrong = [
        f"{module} -> {imported}"
        for module, others in IMPORTS.items()
        if module != "streams"
        for imported in others - {"streams"}
        if room_of(module)[1] != room_of(imported)[1] and room_of(module)[0] <= room_of(imported)[0]
    ]
    assert wrong == []


def test_no_circle_of_imports() -> None:
    done: set[str] = set()

    def visit(module: str, path: tuple[str, ...]) -> None:
        assert module not in path, " -> ".join((*path[path.index(module) :], module))
        if module not in done:
            for imported in IMPORTS[module]:
                visit(imported, (*path, module))
            done.add(module)

    for module in IMPORTS:
        visit(module, ())


def test_long_files_are_few_and_have_a_reason() -> None:
    long = {name for name, path in MODULES.items() if len(path.read_text(encoding="utf-8").splitlines()) > 300}
    assert long == set(LONG_FILES)
    assert len(LONG_FILES) <= 4


@pytest.mark.parametrize("folder", ["streams", "connectors", "schemas", "deploy"])
def test_no_riddle_is_an_identifier(folder: str) -> None:
    found = [
        f"{path.relative_to(ROOT)}:{number}: {match[0]}"
        for path in sorted((ROOT / folder).rglob("*.py"))
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if (match := re.search(RIDDLES, line))
    ]
    assert found == []
