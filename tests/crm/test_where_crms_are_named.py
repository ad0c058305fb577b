"""A CRM's name stands in its own folder, and elsewhere only where data or a person's choice is named so: this list."""

import re
from pathlib import Path

import pytest

from schemas.source import RELEASED

ROOT = Path(__file__).parents[2]
NAMES = re.compile(r"bitrix24|kommo|amocrm", re.IGNORECASE)

EXAMPLE = r"^\s*(pass show \S+ \| )?cel2crm .*"
"""What a person may type, in a command's help."""

ALLOWED = {
    "streams/crm/registry.py": (r"^BUILT_IN = ", "the list of the built-in folders"),
    "streams/settings/portals.py": (r"^    bitrix24_batch: ", "a setting's name, which stands in operators' files"),
    "streams/settings/__init__.py": (
        r"^    (bitrix24|kommo)_file: ",
        "settings' names: operators have them in their files",
    ),
    "streams/cases/case.py": (
        r'^        "(bitrix24|kommo)": facts',
        "members of recorded cases, whose files are there",
    ),
    "streams/cli/capture.py": (
        rf"^    (bitrix24|kommo): |_check\(|^        \"(bitrix24|kommo)\": |{EXAMPLE}",
        "its options",
    ),
    "streams/cli/dead_letters.py": (EXAMPLE, "examples"),
    "streams/cli/deliver.py": (EXAMPLE, "an example"),
    "streams/cli/deliveries.py": (EXAMPLE, "an example"),
    "streams/cli/portal/authorise.py": (EXAMPLE, "an example"),
    "streams/cli/rules/commands.py": (EXAMPLE, "examples"),
    "schemas/delivery.avsc": (r'"name": "crm"', "a schema is registered with its words: other words, another version"),
    "schemas/delivery_command.avsc": (r'"name": "crm"', "the same"),
    "schemas/portal_state.avsc": (r'"name": "crm"', "the same"),
    "schemas/dead_letter.avsc": (r'"name": "component"', "the same"),
}
"""File: what a line there looks like that may name a CRM, and why."""


def naming_lines() -> dict[str, list[str]]:
    """Every line outside the CRMs' own folders that names one, by file."""
    own = [ROOT / "streams" / "crm" / name for name in ("bitrix24", "kommo", "webhook")]
    found: dict[str, list[str]] = {}
    for folder in ("streams", "connectors", "schemas"):
        for file in sorted((ROOT / folder).rglob("*")):
            if file.suffix == ".pyc" or file.parent == RELEASED or not file.is_file():
                continue  # released schemas are never edited
            if any(file.is_relative_to(each) for each in own):
                continue
            lines = [line for line in file.read_text(encoding="utf-8").splitlines() if NAMES.search(line)]
            if lines:
                found[file.relative_to(ROOT).as_posix()] = lines
    return found


def test_no_crm_is_named_outside_its_folder_but_where_it_must_be() -> None:
    strange = [
        f"{file}: {line.strip()}"
        for file, lines in naming_lines().items()
        for line in lines
        if file not in ALLOWED or not re.search(ALLOWED[file][0], line)
    ]
    assert strange == []


@pytest.mark.parametrize("file", ALLOWED)
def test_what_the_list_allows_is_there(file: str) -> None:
    assert any(re.search(ALLOWED[file][0], line) for line in naming_lines().get(file, [])), "take it out of the list"
