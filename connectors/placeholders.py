"""Placeholders in our YAML files: `<kafka.partitions>` stands for the value of that setting. Pure."""

import re
from collections.abc import Mapping
from typing import Any

PLACEHOLDER = re.compile(r"<([a-z][a-z0-9_.-]*)>")

Value = str | int | float | bool


def fill(tree: Any, values: Mapping[str, Value]) -> Any:
    """`tree` (of dictionaries, lists and texts) with each placeholder filled from `values`.

    A text that is nothing but a placeholder takes the value's own type. Keys are left alone.
    Raises LookupError that names a placeholder without a value, and those that there are.
    """
    if isinstance(tree, Mapping):
        return {key: fill(part, values) for key, part in tree.items()}
    if isinstance(tree, list):
        return [fill(part, values) for part in tree]
    if not isinstance(tree, str):
        return tree
    if whole := PLACEHOLDER.fullmatch(tree):
        return _value(whole[1], values)
    return PLACEHOLDER.sub(lambda found: str(_value(found[1], values)), tree)


def _value(name: str, values: Mapping[str, Value]) -> Value:
    if name not in values:
        raise LookupError(
            f"nothing is known as <{name}>; there are {', '.join(f'<{known}>' for known in sorted(values))}"
        )
    return values[name]
