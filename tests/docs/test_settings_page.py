"""docs/settings.md has every setting with its default, and no other."""

from collections.abc import Iterator
from typing import Any, Literal, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from streams.settings import Settings
from tests.docs.pages import code, rows

PAGE = {code(cells[0]): cells for cells in rows("settings.md")}


def section_in(annotation: Any) -> type[BaseModel] | None:
    """The section that a field holds: itself, optional, or many of them in a tuple."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for part in get_args(annotation) if (found := section_in(part))), None)


def leaves(model: type[BaseModel], path: str = "") -> Iterator[tuple[str, FieldInfo]]:
    """Every setting that is no section of further ones, by its path; `[]` and `.NAME` stand for each of many."""
    for name, field in model.model_fields.items():
        annotation = field.annotation
        if section := section_in(annotation):
            origin = get_origin(annotation)
            many = "[]" if origin is tuple else ".NAME" if origin is dict else ""
            yield from leaves(section, f"{path}{name}{many}.")
        else:
            yield path + name, field


def default_of(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    value = field.get_default(call_default_factory=True)
    if value is None or value in ((), {}):
        return "none"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    return f"`{value:g}`" if isinstance(value, float) else f"`{value}`"


def choices(annotation: Any) -> list[str]:
    if get_origin(annotation) is Literal:
        return [str(value) for value in get_args(annotation)]
    return [choice for part in get_args(annotation) for choice in choices(part)]


MODEL = dict(leaves(Settings))


def test_every_setting_is_on_the_page_and_no_other() -> None:
    assert sorted(MODEL.keys() - PAGE.keys()) == [], "settings that docs/settings.md lacks"
    assert sorted(PAGE.keys() - MODEL.keys()) == [], "settings of docs/settings.md that are not there (any more)"


def test_sections_within_sections_are_walked() -> None:
    deep = {"kafka.partitions", "other_pbxs[].timezone", "portals[].oauth.client_id", "working_hours.NAME.timezone"}
    assert deep <= MODEL.keys()


def test_defaults_are_those_of_the_model() -> None:
    told = {path: cells[2] for path, cells in PAGE.items()}
    assert told == {path: default_of(field) for path, field in MODEL.items()}


def test_choices_are_named() -> None:
    for path, field in MODEL.items():
        for choice in choices(field.annotation):
            assert f"`{choice}`" in PAGE[path][1], f"{path} may be {choice}: say so in docs/settings.md"


def test_everything_has_a_meaning() -> None:
    assert not [path for path, cells in PAGE.items() if len(cells) != 4 or not cells[3]]
