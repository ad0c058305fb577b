"""The conclusion: one line, and an exit status. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass

from streams.operations.status.facts import Facts, Unanswered
from streams.operations.status.findings import Finding, findings_of
from streams.settings import Settings

ALL_WELL, STANDS_STILL, CANNOT_TELL = 0, 1, 2

_WORDS = {ALL_WELL: "well", STANDS_STILL: "stands_still", CANNOT_TELL: "cannot_tell"}


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is to be said of an installation."""

    findings: Sequence[Finding]
    unanswered: Sequence[Unanswered]

    @property
    def exit_status(self) -> int:
        """0: all is well; 1: something stands still; 2: nothing is known to, but not everything could be looked at."""
        if self.findings:
            return STANDS_STILL
        return CANNOT_TELL if self.unanswered else ALL_WELL

    @property
    def word(self) -> str:
        """The same for scripts: well, stands_still or cannot_tell."""
        return _WORDS[self.exit_status]

    @property
    def line(self) -> str:
        """The same in one line."""
        if self.findings:
            count, first = len(self.findings), self.findings[0].problem
            more = f" (and {count - 1} more)" if count > 1 else ""
            return f"not all is well: {first}{more}"
        if self.unanswered:
            first = self.unanswered[0].why
            return f"nobody can tell whether all is well: {first}"
        return "all is well"

    def without(self, area: str) -> "Verdict":
        """The verdict without the findings of an area."""
        return Verdict([each for each in self.findings if each.area != area], self.unanswered)


def verdict_of(facts: Facts, settings: Settings) -> Verdict:
    """The verdict on what was seen."""
    return Verdict(findings_of(facts, settings), facts.unanswered)
