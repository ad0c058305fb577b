"""A settings file as YAML, where each of its settings stands, and the faults of a file told by line and name."""

import difflib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel
from pydantic_core import ErrorDetails

from streams.errors import SettingsError

Location = Sequence[str | int]
"""The way to a setting: names, and numbers in lists."""
_KEY = "[key]"  # how pydantic says that the key is at fault, not its value


class _Loader(yaml.SafeLoader):
    """YAML 1.1, but for a number with a leading zero, which there is octal: an extension 0101 must not become 65."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in found if tag != "tag:yaml.org,2002:int"]
    for first, found in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:int",
    re.compile(r"^(?:[-+]?(?:0|[1-9][0-9_]*)|0b[01_]+|0x[0-9a-fA-F_]+|[-+]?[1-9][0-9_]*(?::[0-5]?[0-9])+)$"),
    list("-+0123456789"),
)


@dataclass(frozen=True, slots=True)
class SettingsFile:
    """What a file says, and its nodes. No file: neither."""

    path: Path | None = None
    tree: dict[str, Any] | None = None
    root: yaml.Node | None = None

    def line(self, location: Location) -> int | None:
        """Where a setting stands, from 1 on: its own line, or that of what it should be in. None: not in the file."""
        node, line = self.root, None
        for step in location:
            found = _part(node, step)
            if found is None:
                break
            line, node = found
        return line

    def name(self, location: Location) -> str:
        """A setting as people name it: portals by their own names, not by their number."""
        told, node = "", self.root
        for step in location:
            found = _part(node, step) if node is not None else None
            node = found[1] if found else None
            if step == _KEY:
                continue
            own = _part(node, "name") if isinstance(step, int) else None
            if isinstance(step, int):
                told += f"[{own[1].value if own and isinstance(own[1], yaml.ScalarNode) else step}]"
            else:
                told += f".{step}" if told else step
        return told


def read_settings_file(path: Path) -> SettingsFile:
    """Raises SettingsError: it cannot be read, is no YAML, holds no sections, or a name twice."""
    try:
        text = path.read_text(encoding="utf-8")
        root = yaml.compose(text, Loader=_Loader)
        tree = yaml.load(text, Loader=_Loader)  # noqa: S506 - a SafeLoader
    except OSError as error:
        raise SettingsError(f"cannot read the settings file {path}: {error.strerror}") from None
    except yaml.MarkedYAMLError as error:
        # Not the text around it, which yaml would show: it may be a secret.
        where = f"{path}:{error.problem_mark.line + 1}" if error.problem_mark else str(path)
        raise SettingsError(
            f"{where}: not valid YAML: {error.problem or error.context}",
            "What belongs to one section begins in one column, with spaces and no tabs; after a colon comes a space.",
        ) from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise SettingsError(f"{path} is not valid YAML: {error}") from None
    if tree is None:
        return SettingsFile(path, {}, None)
    if not isinstance(tree, dict):
        raise SettingsError(f"{path} must hold sections such as kafka: and database:")
    if twice := list(_named_twice(root)):
        lines = "\n".join(f"  {path}:{line}: {name} stands there a second time" for name, line in twice)
        raise SettingsError(f"settings in {path} cannot be used:\n{lines}", "Only the last one would count: join them.")
    return SettingsFile(path, tree, root)


def told(fault: ErrorDetails, file: SettingsFile, model: type[BaseModel]) -> str:
    """One fault as a line: where it stands, the setting, what is wrong and what is allowed. Never what it holds, which
    may be a secret."""
    location = fault["loc"]
    line = file.line(location)
    where = f"{file.path}:{line}: " if line else ""
    return f"{where}{file.name(location) or 'the settings'}: {_what(fault, model)}"


def _what(fault: ErrorDetails, model: type[BaseModel]) -> str:
    location, kind = fault["loc"], fault["type"]
    if kind == "extra_forbidden":
        return _unknown(str(location[-1]), _known_at(model, location[:-1]))
    if kind in ("tuple_type", "list_type"):
        return f"must be a list, in brackets: {location[-1]}: [..]"
    if kind in ("model_type", "dict_type", "model_attributes_type"):
        return "must hold settings of its own, each a name, a colon and a value"
    if kind == "string_type" and isinstance(fault["input"], int | float):
        return 'must be text: put it in quotes, "..", as YAML takes it for a number or for yes and no'
    if kind == "string_pattern_mismatch":
        return _pattern(str(fault["ctx"]["pattern"]))
    return fault["msg"].removeprefix("Value error, ")


def _unknown(name: str, known: Iterable[str]) -> str:
    names = sorted(known)
    near = difflib.get_close_matches(name, names, 1)
    if near:
        return f"there is no such setting; did you mean {near[0]}?"
    return f"there is no such setting; known here: {', '.join(names)}" if names else "there is no such setting"


def _pattern(pattern: str) -> str:
    """What is allowed, in words where the pattern is one of names."""
    found = re.fullmatch(r"\^\[(a-z0-9|A-Za-z0-9)\]\[(?:a-z0-9|A-Za-z0-9)_-\]\{0,(\d+)\}\$", pattern)
    if found is None:
        return f"must match {pattern}"
    letters = "lower case letters" if found[1] == "a-z0-9" else "letters"
    return f"may have {letters} (a to z), digits, _ and -, at most {int(found[2]) + 1}, and begins with none of _ and -"


def _known_at(model: type[BaseModel], location: Location) -> list[str]:
    """The settings of a section; empty where it is none of ours."""
    here: type[BaseModel] | None = model
    for step in location:
        if isinstance(step, int):
            continue
        field = here.model_fields.get(step) if here else None
        here = _section(field.annotation) if field else None
    return list(here.model_fields) if here else []


def _section(annotation: Any) -> type[BaseModel] | None:
    """The section that a field holds, or holds several of."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for each in getattr(annotation, "__args__", ()) if (found := _section(each))), None)


def _part(node: yaml.Node | None, step: str | int) -> tuple[int, yaml.Node] | None:
    if isinstance(node, yaml.SequenceNode) and isinstance(step, int) and step < len(node.value):
        return node.value[step].start_mark.line + 1, node.value[step]
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            if isinstance(key, yaml.ScalarNode) and key.value == str(step):
                return key.start_mark.line + 1, value
    return None


def _named_twice(node: yaml.Node | None) -> Iterable[tuple[str, int]]:
    if isinstance(node, yaml.SequenceNode):
        for each in node.value:
            yield from _named_twice(each)
    if isinstance(node, yaml.MappingNode):
        seen = set()
        for key, value in node.value:
            if isinstance(key, yaml.ScalarNode) and key.value != "<<":
                if key.value in seen:
                    yield key.value, key.start_mark.line + 1
                seen.add(key.value)
            yield from _named_twice(value)
