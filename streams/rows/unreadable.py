"""Rows that could not be read: where they stood, and whose calls they may be."""

import re
from typing import NamedTuple

_ID = re.compile(r"(?<![\w.-])(?:[\w.]{1,64}-){0,4}\d{9,11}\.\d+")
"""A linkedid or uniqueid: `1795389780.0`, with a system name before it `office-1795389780.0`."""

_MOST_IDS = 1000
_MOST_TEXT = 1 << 20


class UnreadableLine(NamedTuple):
    """A row that was passed over. `linkedids`: the calls that it may belong to; empty where nothing tells."""

    file: str
    line: int
    reason: str
    linkedids: tuple[str, ...] = ()
    is_id: bool = False
    """`line` is the id of the row in a database's table."""

    @property
    def place(self) -> str:
        """For messages."""
        return f"{self.file}, {'row' if self.is_id else 'line'} {self.line}"


def ids_in(text: str) -> tuple[str, ...]:
    """Everything in a damaged line that looks like the id of a call or a channel, each once."""
    return tuple(dict.fromkeys(_ID.findall(text[:_MOST_TEXT])))[:_MOST_IDS]
