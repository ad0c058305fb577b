"""A PBX more in the settings file: its text with another item in the list `pbxs`, all else left as it stands. Pure."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

import yaml

from streams.errors import UserError

_SHORT_FORM = ("pbx", "database", "other_pbxs")
_TOP_LEVEL = re.compile(r"^([A-Za-z_][A-Za-z0-9_]*)\s*:")
_ITEM = re.compile(r"^(\s*)- ")


def with_pbx(text: str, item: Mapping[str, Any]) -> str:
    """The text of a settings file with this PBX in it; the short form for one PBX becomes the list.

    Raises UserError where the file is written in a way that cannot be added to, with what to write by hand.
    """
    tree = yaml.safe_load(text) or {}
    if not isinstance(tree, dict):
        raise UserError("the settings file holds no sections", "Write pbxs: into it by hand.")
    names = [str(each.get("name", "pbx1")) for each in tree.get("pbxs") or [tree.get("pbx") or {}]]
    if item["name"] in names:
        raise UserError(f"PBX {item['name']} is in the settings already", "Change it there.")
    if "pbxs" in tree:
        return _appended(text, item)
    if others := tree.get("other_pbxs"):
        listed = ", ".join(str(each.get("name")) for each in others)
        raise UserError(
            f"other_pbxs names {listed} without a database",
            "Make one installation of them first: write pbxs: by hand, each with its database (docs/settings.md).",
        )
    first = {"name": "pbx1", **(tree.get("pbx") or {})}
    if tree.get("database"):
        first["database"] = tree["database"]
    kept = "".join(_without(text.splitlines(keepends=True), _SHORT_FORM))
    gap = "" if not kept or kept.endswith("\n") else "\n"
    return f"pbxs:\n{_as_item(first, '  ')}{_as_item(item, '  ')}{gap}{kept}"


def _appended(text: str, item: Mapping[str, Any]) -> str:
    lines = text.splitlines(keepends=True)
    at = next(number for number, line in enumerate(lines) if line.startswith("pbxs:"))
    end = _end_of_block(lines, at)
    indents = [found[1] for line in lines[at + 1 : end] if (found := _ITEM.match(line))]
    if not indents:
        raise UserError(
            "pbxs: is not written as a list of lines that begin with a hyphen",
            f"Add this to it by hand:\n{_as_item(item, '  ')}",
        )
    while lines[end - 1].strip() == "" or lines[end - 1].lstrip().startswith("#"):
        end -= 1  # what stands between the list and the next section belongs to that
    if not lines[end - 1].endswith("\n"):
        lines[end - 1] += "\n"
    return "".join([*lines[:end], _as_item(item, min(indents, key=len)), *lines[end:]])


def _without(lines: list[str], sections: tuple[str, ...]) -> Iterator[str]:
    """The lines without these sections."""
    number = 0
    while number < len(lines):
        found = _TOP_LEVEL.match(lines[number])
        if found and found[1] in sections:
            number = _end_of_block(lines, number)
        else:
            yield lines[number]
            number += 1


def _end_of_block(lines: list[str], at: int) -> int:
    """The number of the line behind a section that begins at `at`."""
    for number in range(at + 1, len(lines)):
        line = lines[number]
        if line.strip() and not line.startswith((" ", "\t", "#", "- ")):
            return number
    return len(lines)


def _as_item(item: Mapping[str, Any], indent: str) -> str:
    body = yaml.safe_dump(dict(item), sort_keys=False, allow_unicode=True, default_flow_style=None, width=1000)
    first, *others = body.splitlines()
    return "".join([f"{indent}- {first}\n", *(f"{indent}  {line}\n" for line in others)])
