"""Reads the `.avsc` files beside this module."""

import json
from functools import cache
from pathlib import Path
from typing import Any

Schema = dict[str, Any]

FOLDER = Path(__file__).parent


def names() -> tuple[str, ...]:
    """The names that `load` takes, such as `call_result`."""
    return tuple(sorted(file.stem for file in FOLDER.glob("*.avsc")))


@cache
def text(name: str) -> str:
    """A schema as it is registered: the file without its line breaks and indents.

    Raises LookupError for a name that has no file.
    """
    file = FOLDER / f"{name}.avsc"
    if not file.is_file():
        raise LookupError(f"no schema {name!r}; there are {', '.join(names())}")
    return json.dumps(json.loads(file.read_text(encoding="utf-8")), separators=(",", ":"), ensure_ascii=False)


def load(name: str) -> Schema:
    """A schema as plain dictionaries and lists, the caller's own copy.

    Raises LookupError for a name that has no file.
    """
    schema: Schema = json.loads(text(name))
    return schema
