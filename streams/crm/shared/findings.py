"""What a check of a portal found, for an operator: a sentence each, and what to do."""

from dataclasses import dataclass
from typing import Literal

Level = Literal["good", "warning", "bad", "unknown"]
"""unknown: it could not be asked, or the answer leaves it open."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One finding about one portal."""

    what: str
    """The thing that was checked, one word or two: telephony, scopes, statistics, users, limits."""
    level: Level
    words: str
    """A sentence without a full stop."""
    remedy: str = ""
    """What to do, or to click; empty where nothing is wrong."""
