"""The words of the report in one language, and figures as people read them."""

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from streams.errors import UserError
from streams.printable import printable


@cache
def texts() -> Mapping[str, Mapping[str, str]]:
    """Every text by language and name."""
    read: dict[str, dict[str, str]] = yaml.safe_load(Path(__file__).with_name("texts.yaml").read_text(encoding="utf-8"))
    return read


def checked_language(language: str) -> str:
    """The language that was named. Raises UserError: the report has no such one."""
    if language not in texts():
        raise UserError(f"--language {language}: there is no such language", f"There are: {', '.join(texts())}.")
    return language


class Words:
    """The texts of one language."""

    def __init__(self, language: str) -> None:
        self.language = language
        self._texts = texts()[language]

    def __getitem__(self, name: str) -> str:
        return self._texts[name]

    def word(self, name: str) -> str:
        """A word for a value of a record; the value itself where it is one of a later release."""
        return self._texts.get(name, printable(name))

    def fill(self, name: str, **values: Any) -> str:
        """A text with its gaps filled."""
        return self._texts[name].format(**values)

    def all(self) -> dict[str, str]:
        """Every text by name."""
        return dict(self._texts)

    def percent(self, value: float | None) -> str:
        """A share: `87 %`; `-` where it is not known."""
        return "-" if value is None else f"{value:.0f} %"

    def seconds(self, value: float | None) -> str:
        """A length in its largest units: `45 s`, `3 min 5 s`, `12 h 30 min`; `-` where it is not known."""
        if value is None:
            return "-"
        whole = round(value)
        units = [("seconds_short", 1)]
        if whole >= 3600:
            units = [("hours_short", 3600), ("minutes_short", 60)]
        elif whole >= 60:
            units = [("minutes_short", 60), ("seconds_short", 1)]
        parts: list[str] = []
        for name, size in units:
            count, whole = divmod(whole, size)
            if count or not parts:
                parts.append(f"{count} {self[name]}")
        return " ".join(parts)
