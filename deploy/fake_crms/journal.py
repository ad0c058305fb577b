"""The journal of a portal, lines of JSON: a portal killed at any moment has lost nothing that it had answered."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

Event = dict[str, Any]


class DamagedJournalError(Exception):
    """A journal holds a line that no portal wrote: the message names file and line, and says what to do."""


class Journal:
    """An append-only list of events, in memory or also in a file.

    `append` hands the line to the operating system before it returns, so that SIGKILL of the portal loses nothing (a
    power cut may: the portals are for demo and tests). A last line cut short by a kill is dropped: its
    request was not answered.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._file = None
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._drop_torn_tail(path)
            self._file = path.open("ab", buffering=0)

    @staticmethod
    def _drop_torn_tail(path: Path) -> None:
        if not path.exists():
            return
        content = path.read_bytes()
        whole = content.rfind(b"\n") + 1
        if whole < len(content):
            with path.open("r+b") as file:
                file.truncate(whole)

    def replay(self) -> Iterator[Event]:
        """The events of former runs, oldest first. Raises DamagedJournalError."""
        if self._path is None or not self._path.exists():
            return
        with self._path.open("rb") as file:
            for number, line in enumerate(file, 1):
                try:
                    event = json.loads(line)
                except ValueError:
                    event = None
                if not isinstance(event, dict) or "kind" not in event:
                    raise DamagedJournalError(
                        f"{self._path}, line {number} is not an event of a portal; delete the file"
                    )
                yield event

    def append(self, event: Event) -> None:
        """Write one event."""
        if self._file is not None:
            self._file.write(json.dumps(event, ensure_ascii=False).encode() + b"\n")

    def clear(self) -> None:
        """Remove all events."""
        if self._file is not None:
            self._file.truncate(0)

    def close(self) -> None:
        """Close the file; events appended afterwards are an error."""
        if self._file is not None:
            self._file.close()
