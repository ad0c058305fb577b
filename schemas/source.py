"""Reads the `.avsc` files beside this module, and those of `released/`: every version that the product ever wrote.

`released/<name>.<n>.avsc` is the n-th version of a schema. None is ever edited or removed: records that it wrote are
still on the topics. A change of a schema adds the next one, a copy of `<name>.avsc`.
"""

import json
from functools import cache
from pathlib import Path
from typing import Any

Schema = dict[str, Any]

FOLDER = Path(__file__).parent
RELEASED = FOLDER / "released"

WRITTEN_BY_0_1_0 = {
    "call_leg": 1,
    "call_result": 2,
    "dead_letter": 1,
    "dead_letter_resolution": 1,
    "delivery": 2,
    "delivery_command": 1,
}
"""The version of each schema by which cel2crm 0.1.0 wrote: its records bear no header that says so."""


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


@cache
def released(name: str) -> dict[int, Schema]:
    """Every version of a schema that was ever written, by its number. Not to be changed by the caller."""
    files = {int(file.stem.rpartition(".")[2]): file for file in RELEASED.glob(f"{name}.*.avsc")}
    return {number: json.loads(files[number].read_text(encoding="utf-8")) for number in sorted(files)}
