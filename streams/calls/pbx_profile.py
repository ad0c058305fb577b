"""The profile of a PBX: its own numbers, trunks and logging, as the settings describe them."""

import hashlib
import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import cached_property, lru_cache
from urllib.parse import unquote

import phonenumbers

from streams.errors import SettingsError
from streams.rules import load_directions
from streams.rules.directions import Directions, Side
from streams.settings import NumberSettings, Settings


@dataclass(frozen=True)
class PbxProfile:
    """The settings that classifying a call needs; a function of the settings file alone."""

    directions: Directions = field(default_factory=load_directions)
    internal_digits: int | None = None
    """Longest extension, where the settings say so; else the direction patterns do."""
    internal_patterns: tuple[re.Pattern[str], ...] = ()
    trunks: tuple[str, ...] = ()
    region: str = "RU"
    rewrite: tuple[tuple[re.Pattern[str], str], ...] = ()
    bridges_logged: bool = True
    two_status_mode: bool = False
    """The operator chose two statuses for every call (`database.column_name_aliases.cel_extra: id`)."""
    timezone_of: Callable[[str], str | None] = field(default=lambda _pbx: None)

    @classmethod
    def of(cls, settings: Settings) -> "PbxProfile":
        """The profile of a settings tree.

        Raises SettingsError for a pattern that is not a regular expression, RulesError for a bad line in the rules.
        """
        numbers = settings.numbers
        return cls(
            directions=load_directions(settings.rules),
            internal_digits=numbers.internal_digits,
            internal_patterns=tuple(_pattern("numbers.internal_patterns", each) for each in numbers.internal_patterns),
            trunks=numbers.trunks,
            region=numbers.region,
            rewrite=_rewrites(numbers),
            bridges_logged=settings.aggregate.bridges_logged,
            two_status_mode=settings.database.column_name_aliases.get("cel_extra") == "id",
            timezone_of=settings.timezone_of,
        )

    @cached_property
    def hash(self) -> str:
        """Changes with everything here that can change a call's outcome, but the PBX's zone: the result names that."""
        classified_by = [
            self.directions.effective(),
            self.internal_digits,
            [pattern.pattern for pattern in self.internal_patterns],
            self.trunks,
            self.region,
            [(pattern.pattern, replacement) for pattern, replacement in self.rewrite],
            self.bridges_logged,
            self.two_status_mode,
        ]
        return hashlib.sha256(json.dumps(classified_by).encode()).hexdigest()[:12]

    def is_trunk(self, endpoint: str) -> bool:
        """Whether the endpoint is one of the configured trunks."""
        return any(fnmatchcase(endpoint, trunk) for trunk in self.trunks)

    # The next five are functions with a memory: they are asked again and again for the same few numbers and contexts.

    @cached_property
    def is_staff(self) -> Callable[[str], bool]:
        """Whether a number belongs to the configured inside numbers, such as mobile phones of staff."""
        return lru_cache(65_536)(lambda number: self._side_of_number(number) == "inside")

    @cached_property
    def is_inside(self) -> Callable[[str], bool]:
        """Whether a number is an extension, or one of staff."""
        return lru_cache(65_536)(lambda number: self.is_extension(number) or self.is_staff(number))

    @cached_property
    def is_outside_number(self) -> Callable[[str], bool]:
        """Whether a number is as long as outside ones are, with or without `+`, and not one of staff."""
        return lru_cache(65_536)(self._is_outside_number)

    @cached_property
    def side_of_context(self) -> Callable[[str], Side | None]:
        """The side that the direction patterns tell of a dialplan context."""
        return lru_cache(4096)(lambda context: getattr(self.directions.of_context(context), "side", None))

    @cached_property
    def normalised_number(self) -> Callable[[str], str | None]:
        """A number as a CRM can use it: E.164 where it is valid in the region, else its digits; None for none.

        Takes the user part of a SIP URI, and applies the configured rewrites first.
        """
        region, rewrite, no_number = self.region, self.rewrite, self.directions.no_number
        return lru_cache(65_536)(lambda number: _normalised(number, region, rewrite, no_number))

    def is_extension(self, number: str) -> bool:
        """Whether a number is as short as extensions are."""
        digits = self.directions.inside_digits
        if self.internal_digits is not None:
            digits = range(1, self.internal_digits + 1)
        return (
            number.isascii()
            and number.isdigit()
            and len(number) in digits
            and self._side_of_number(number) != "outside"
        )

    def _is_outside_number(self, number: str) -> bool:
        digits = number.removeprefix("+")
        long_enough = len(digits) in self.directions.outside_digits  # shorter ones are feature codes
        return digits.isascii() and digits.isdigit() and long_enough and not self.is_inside(number)

    def _side_of_number(self, number: str) -> Side | None:
        if any(pattern.fullmatch(number) for pattern in self.internal_patterns):
            return "inside"
        rule = self.directions.of_number(number)
        return rule.side if rule else None


def _normalised(
    number: str, region: str, rewrite: tuple[tuple[re.Pattern[str], str], ...], no_number: frozenset[str]
) -> str | None:
    if number.lower().startswith(("sip:", "sips:", "tel:")):
        number = number.partition(":")[2]
    number = unquote(number).partition("@")[0].partition(";")[0]
    for pattern, replacement in rewrite:
        number = pattern.sub(replacement, number)
    if number.lower() in no_number:
        return None
    digits = "".join(each for each in number if each in "0123456789")
    if not digits or len(digits) < len(number) / 2 or len(digits) > 20:
        return None
    for spelling, default in ((number, region), (f"+{digits}", None)):
        try:
            parsed = phonenumbers.parse(spelling, default)
        except phonenumbers.NumberParseException:
            continue
        if phonenumbers.is_valid_number(parsed):
            return phonenumbers.format_number(parsed, phonenumbers.PhoneNumberFormat.E164)
    return digits


def _pattern(path: str, text: str) -> re.Pattern[str]:
    try:
        return re.compile(text)
    except re.error as error:
        raise SettingsError(f"{path}: {text!r} is not a regular expression: {error}") from None


def _rewrites(numbers: NumberSettings) -> tuple[tuple[re.Pattern[str], str], ...]:
    return tuple((_pattern("numbers.rewrite", pattern), replacement) for pattern, replacement in numbers.rewrite)
