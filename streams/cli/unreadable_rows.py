"""What commands say of rows that could not be read."""

from streams.cli.output import add_remark, remark
from streams.rows.unreadable import UnreadableLine

SOME_UNREADABLE = 1
"""Exit status of `classify`: outcomes are told, but rows could not be read."""

_TOLD = 5


class UnreadableRows:
    """Counts them, and tells the first few."""

    def __init__(self) -> None:
        self.count = 0
        self._of_no_call = 0
        self._told: list[str] = []

    def __call__(self, line: UnreadableLine) -> None:
        self.count += 1
        self._of_no_call += not line.linkedids
        if len(self._told) < _TOLD:
            self._told.append(f"  {line.place}: {line.reason}")

    def report(self) -> None:
        """On standard error; nothing where all were read."""
        if not self.count:
            return
        remark(f"{self.count} row{'s' * (self.count != 1)} could not be read; their calls say so: rows_unreadable")
        for line in self._told:
            add_remark(line)
        if self._of_no_call:
            add_remark(
                f"  Of {self._of_no_call} nothing tells the call: those that had not ended there are marked, "
                "and any call of the file may lack them."
            )
