"""Recorded calls, moved to today: the rows as Asterisk wrote them, with the times and ids of calls made now."""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from streams.calls.call import epoch_of
from streams.errors import UserError

RECORDINGS = Path(__file__).parent / "recordings" / "calls.jsonl"
_UNIQUEID = re.compile(r"\b\d{10}\.\d+")


@dataclass(frozen=True, slots=True)
class Case:
    """One recorded case: what was done, the truth about it, and its rows."""

    name: str
    direction: str
    truth: Mapping[str, Any]
    rows: tuple[Mapping[str, str], ...]

    @property
    def linkedids(self) -> tuple[str, ...]:
        """The case's linkedids in the order of their first rows."""
        return tuple(dict.fromkeys(row["linkedid"] for row in self.rows))

    def epoch(self) -> int:
        """The earliest UTC second in its ids."""
        return min(epoch for row in self.rows if (epoch := epoch_of(row["uniqueid"])) is not None)

    def moved(self, start: int) -> "Case":
        """The same case, beginning in the UTC second `start`: ids, times and truth move together."""
        shift = start - self.epoch()

        def move_ids(text: str) -> str:
            return _UNIQUEID.sub(lambda found: _later(found[0], shift), text)

        rows = tuple(
            {
                **row,
                "eventtime": _later_time(row["eventtime"], shift),
                **{column: move_ids(row[column]) for column in ("uniqueid", "linkedid", "extra")},
            }
            for row in self.rows
        )
        calls = [{**call, "linkedid": move_ids(call["linkedid"])} for call in self.truth.get("calls", ())]
        return Case(self.name, self.direction, {**self.truth, "calls": calls}, rows)


def read_recordings(path: Path = RECORDINGS) -> list[Case]:
    """The recorded cases that left rows.

    Raises UserError naming the line of a malformed recording.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise UserError(f"cannot read the recordings {path}: {error.strerror}") from None
    return [case for number, line in enumerate(lines, start=1) if (case := _case(path, number, line)).rows]


def unique_starts(cases: list[Case], first: int) -> Iterator[Case]:
    """The cases moved to begin at `first` or as soon after it as keeps every id unique."""
    taken: set[str] = set()
    for case in cases:
        start = first
        while True:
            moved = case.moved(start)
            ids = {row["uniqueid"] for row in moved.rows}
            if not ids & taken:
                break
            start += 1
        taken |= ids
        yield moved


def _case(path: Path, number: int, line: str) -> Case:
    try:
        recorded = json.loads(line)
        rows = tuple(recorded["cel"])
        for row in rows:
            datetime.fromisoformat(row["eventtime"])
            if missing := {"uniqueid", "linkedid", "extra"} - set(row):
                raise KeyError(*missing)
        return Case(recorded["case"], recorded["direction"], recorded, rows)
    except (json.JSONDecodeError, KeyError, TypeError, ValueError) as error:
        raise UserError(
            f"{path}, line {number}: malformed recording: {error!r}", "Restore the file: git checkout."
        ) from None


def _later(uniqueid: str, seconds: int) -> str:
    epoch, _, counter = uniqueid.partition(".")
    return f"{int(epoch) + seconds}.{counter}"


def _later_time(text: str, seconds: int) -> str:
    # Whole seconds, cut and not rounded, as FreePBX's column keeps them.
    moment = datetime.fromisoformat(text) + timedelta(seconds=seconds)
    return moment.strftime("%Y-%m-%d %H:%M:%S")
