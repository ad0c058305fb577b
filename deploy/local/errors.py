"""Errors of the local stack; each is told in one message, exit status 2."""

from pathlib import Path

from streams.errors import UserError


class StackError(UserError):
    """The local stack cannot be started or reached; says why and what to do."""


class PortInUse(StackError):
    """Another program holds a port that a part was to listen on."""


class PartFailed(StackError):
    """A server of the stack did not come up, or ended. Carries the last lines of its log."""

    def __init__(self, part: str, reason: str, log_tail: str, log: Path) -> None:
        quoted = "\n".join(f"    {line}" for line in log_tail.splitlines()) or "    (its log is empty)"
        super().__init__(
            f"{part} {reason}. The last lines of its log:\n{quoted}",
            f"The whole log: {log}. If it names no cause that you can mend: are 1.5 GB of memory and 1 GB of disk "
            "free? Then try again.",
        )
        self.part = part
        self.log_tail = log_tail
