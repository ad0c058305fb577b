"""Where a call belongs: `portals[].route`, a list of lines; the first that fits a call decides."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, ConfigDict

from streams.settings.section import Section
from streams.settings.values import NumberAsText

CONDITIONS = ("did", "queue", "trunk", "hours")


def _patterns(value: Any) -> Any:
    """One text or several as a tuple. Numbers without quotes have lost zeros and plus signs already."""
    many = tuple(value) if isinstance(value, list | tuple) else (value,)
    for each in many:
        if not isinstance(each, str):
            raise ValueError(f"write {each} in quotes, or a list of texts")
        if not each.strip("*") or "*" in each[:-1]:
            raise ValueError(f"{each!r} fits nothing; allowed: a value, one that ends in *, or a list of them")
    if not many:
        raise ValueError("the list is empty; leave the condition out where anything fits")
    return many


Patterns = Annotated[tuple[str, ...], BeforeValidator(_patterns)]


class RouteSettings(Section):
    """A line: which calls it fits, all of its conditions at once, and what they get.

    Further names are options of the CRM (portals[].options) that the line gives another value
    (CrmKind.route_options).
    """

    model_config = ConfigDict(extra="allow")

    did: Patterns = ()
    """The number that was called, with or without its plus; the end may be *."""
    queue: Patterns = ()
    """The queue that the call was in last, by its name in the dialplan; the end may be *."""
    trunk: Patterns = ()
    """The trunk by which it came or went; the end may be *."""
    hours: Literal["open", "closed"] | None = None
    """Whether it began within the working hours of the schedule, or outside of them."""
    schedule: str | None = None
    """The schedule of working hours that `hours` means; None: the portal's."""
    user: NumberAsText | None = None
    """CRM user id: whose the calls are that nobody else has."""

    @property
    def options(self) -> Mapping[str, Any]:
        """The CRM's options to which the line gives another value."""
        return self.model_extra or {}

    @property
    def conditions(self) -> Mapping[str, str]:
        """What it asks, in words, by the name of the condition."""
        asked = ((name, getattr(self, name)) for name in CONDITIONS)
        return {name: value if isinstance(value, str) else ", ".join(value) for name, value in asked if value}

    def fits(self, *, did: str | None, queue: str | None, trunk: str | None) -> bool:
        """Whether a call has what the line asks, its time aside."""
        number, numbers = (did or "").removeprefix("+"), tuple(each.removeprefix("+") for each in self.did)
        return _any_fits(numbers, number) and _any_fits(self.queue, queue or "") and _any_fits(self.trunk, trunk or "")


def _any_fits(patterns: tuple[str, ...], value: str) -> bool:
    return not patterns or any(
        bool(value) and value.startswith(each[:-1]) if each.endswith("*") else value == each for each in patterns
    )


def check_route(lines: tuple[RouteSettings, ...], options: tuple[str, ...]) -> None:
    """Raise ValueError for a line that could have no effect. `options`: those of CrmKind.route_options."""
    fits_all = 0
    for number, line in enumerate(lines, 1):
        where = f"route: line {number}"
        allowed = ", ".join((*RouteSettings.model_fields, *options))
        if unknown := sorted(set(line.options) - set(options)):
            raise ValueError(f"{where}: unknown: {', '.join(unknown)}; known: {allowed}")
        if not line.user and not line.options:
            gives = " or ".join(("user", *options))
            raise ValueError(f"{where} gives nothing: set {gives}, or take it out")
        if line.schedule is not None and line.hours is None:
            raise ValueError(
                f"{where}: schedule is without effect where hours is not set: hours: open or hours: closed"
            )
        if fits_all:
            raise ValueError(f"{where} is never reached, for line {fits_all} fits every call: put it before that one")
        fits_all = 0 if line.conditions else number
