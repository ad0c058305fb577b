"""Bitrix24: the settings that only it knows (portals[].options)."""

from collections.abc import Mapping
from dataclasses import dataclass, field

LONGEST_LINE = 50
"""Characters of a LINE_NUMBER; longer ones are no numbers of lines."""


@dataclass(frozen=True, slots=True)
class Bitrix24Options:
    """portals[].options of a Bitrix24 portal."""

    crm_source: str = ""
    """CRM_SOURCE of the leads that the portal makes of calls; empty: the portal's own choice."""
    lines: Mapping[str, str] = field(default_factory=dict)
    """Name by LINE_NUMBER: these lines are registered with the portal, and so named there."""
    line_of: Mapping[str, str] = field(default_factory=dict)
    """LINE_NUMBER by DID, or by trunk where no DID is known, as of outgoing calls."""

    @classmethod
    def of(cls, options: Mapping[str, object]) -> "Bitrix24Options":
        """The options of a portal. Raises ValueError that names the option, never its value."""
        known = ("crm_source", "lines", "line_of")
        if unknown := sorted(set(options) - set(known)):
            raise ValueError(f"unknown: {', '.join(unknown)}; known: {', '.join(known)}")
        source = options.get("crm_source", "")
        if not isinstance(source, str):
            raise ValueError("crm_source must be a text: the STATUS_ID of a source, as crm.status.list names it")
        lines, line_of = (_texts(name, options.get(name, {})) for name in ("lines", "line_of"))
        for name, numbers in (("lines", lines), ("line_of", line_of.values())):
            if any(len(number) > LONGEST_LINE for number in numbers):
                raise ValueError(f"{name}: a line's number has at most {LONGEST_LINE} characters")
        return cls(source, lines, line_of)


def check_options(options: Mapping[str, object]) -> None:
    """Raise ValueError for options that are not Bitrix24's (CrmKind.check_options)."""
    Bitrix24Options.of(options)


def _texts(name: str, value: object) -> dict[str, str]:
    """A mapping of texts to texts. Numbers without quotes have lost zeros and plus signs already."""
    if not isinstance(value, Mapping):
        raise ValueError(f"{name} must be a mapping, as in {name}: {{'74951234567': ...}}")
    for key, text in value.items():
        if not isinstance(key, str) or not isinstance(text, str) or not key or not text:
            raise ValueError(f"{name}: write each number and name in quotes, and none of them empty")
    return dict(value)
