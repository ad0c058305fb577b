"""The profile of a PBX: its own numbers, trunks and logging, as the settings describe them; of several, each one's."""

import hashlib
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from functools import cached_property, lru_cache

from streams.calls.numbers import Rewrites, normalised
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
    rewrite: Rewrites = ()
    bridges_logged: bool = True
    two_status_mode: bool = False
    """The operator chose two statuses for every call (`database.column_name_aliases.cel_extra: id`)."""
    timezone_of: Callable[[str], str | None] = field(default=lambda _pbx: None)
    by_pbx: Mapping[str, "PbxProfile"] = field(default_factory=dict)
    """Where the settings list several PBXs: the profile of each, by its name."""

    @classmethod
    def of(cls, settings: Settings) -> "PbxProfile":
        """The profile of a settings tree: of its PBX, and of each in its list.

        Raises SettingsError for a pattern that is not a regular expression, RulesError for a bad line in the rules.
        """
        listed = {each.name: cls._of_one(settings.of_pbx(each.name)) for each in settings.pbxs}
        return replace(cls._of_one(settings), by_pbx=listed)

    def of_pbx(self, name: str) -> "PbxProfile":
        """The profile by which a PBX's calls are judged."""
        return self.by_pbx.get(name, self)

    @classmethod
    def _of_one(cls, settings: Settings) -> "PbxProfile":
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
        """Changes with everything here that can change a call's outcome, but the PBX's zone: the result names that.

        Of several PBXs that differ: with anything of any of them.
        """
        hashes = {name: each.hash for name, each in sorted(self.by_pbx.items())}
        if len(set(hashes.values())) == 1:
            return next(iter(hashes.values()))
        return hashlib.sha256(json.dumps(hashes).encode()).hexdigest()[:12] if hashes else self._own_hash

    @cached_property
    def _own_hash(self) -> str:
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

    # The next six are functions with a memory: they are asked again and again for the same few numbers and contexts.

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
        """A number that a trunk gave or was given, as a CRM can use it: E.164 where valid, else digits, else None."""
        return self._normalising(dialled=False)

    @cached_property
    def dialled_number(self) -> Callable[[str], str | None]:
        """A number that somebody dialled, as a CRM can use it; see `numbers.normalised`."""
        return self._normalising(dialled=True)

    def is_of_no_side(self, number: str) -> bool:
        """Whether a number is longer than extensions are and shorter than outside numbers: it may be either."""
        digits = number.removeprefix("+")
        return (
            self.internal_digits is None
            and digits.isascii()
            and digits.isdigit()
            and self.directions.inside_digits[-1] < len(digits) < self.directions.outside_digits[0]
            and self._side_of_number(number) is None
        )

    def _normalising(self, *, dialled: bool) -> Callable[[str], str | None]:
        region, rewrite, no_number = self.region, self.rewrite, self.directions.no_number
        return lru_cache(65_536)(lambda number: normalised(number, region, rewrite, no_number, dialled=dialled))

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


def _pattern(path: str, text: str) -> re.Pattern[str]:
    try:
        return re.compile(text)
    except re.error as error:
        raise SettingsError(f"{path}: {text!r} is not a regular expression: {error}") from None


def _rewrites(numbers: NumberSettings) -> Rewrites:
    return tuple((_pattern("numbers.rewrite", pattern), replacement) for pattern, replacement in numbers.rewrite)
