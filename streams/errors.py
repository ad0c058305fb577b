"""The errors that a user can mend, each told in one message without a traceback."""

from dataclasses import dataclass


class UserError(Exception):
    """A mistake or a missing part outside the program: says what is wrong and what to do.

    The command line prints `problem` and `remedy` and ends with exit status 2.
    """

    def __init__(self, problem: str, remedy: str = "") -> None:
        super().__init__(f"{problem}\n{remedy}" if remedy else problem)
        self.problem = problem
        self.remedy = remedy


class SettingsError(UserError):
    """A setting is missing, unknown or has a value that is not allowed; names its path and what is allowed."""


@dataclass(frozen=True, slots=True)
class Fault:
    """A fault in a rule file. `line` None: the whole file."""

    file: str
    line: int | None
    reason: str
    allowed: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.reason}" if self.line else f"{self.file}: {self.reason}"

    @property
    def remedy(self) -> str:
        """The allowed values; empty where they cannot be listed."""
        return f"Allowed: {', '.join(self.allowed)}." if self.allowed else ""


class RulesError(UserError):
    """Rule files cannot be used; names every fault's file, line, reason and allowed values."""

    def __init__(self, *faults: Fault) -> None:
        self.faults = faults
        if len(faults) == 1:
            super().__init__(str(faults[0]), faults[0].remedy)
        else:
            told = "\n".join(f"  {fault}" + (f"\n    {fault.remedy}" if fault.allowed else "") for fault in faults)
            super().__init__(f"{len(faults)} faults in the rules:\n{told}")


class UnreadableRow(Exception):
    """A record on the CEL topic is not a CEL row. The reason says which column is wrong; dead letters hold it."""
