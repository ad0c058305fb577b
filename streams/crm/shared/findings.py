"""What a check of a portal found, for an operator: a sentence each, and what to do."""

from dataclasses import dataclass
from typing import Literal

Level = Literal["good", "warning", "bad", "unknown"]
"""warning: it works, or cannot be told; bad: calls will be refused, given to nobody or lost to statistics until a
person acts; unknown: the portal could not be asked."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One finding about one portal."""

    what: str
    """The thing that was checked, one word or two: token, telephony, scopes, statistics, users, limits."""
    level: Level
    words: str
    """A sentence without a full stop."""
    remedy: str = ""
    """What to do, or to click; empty where nothing is wrong."""
