"""Calls of a PBX as their rows stand on the CEL topic: recorded ones, with numbers, ids and times of their own."""

import json
import re
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from deploy.demo.recordings import read_recordings

TEMPLATES = {
    "answered": "inbound_answered_caller_hangs_up",
    "missed": "inbound_noanswer_dial_timeout",
    "internal": "internal_noanswer_dial_timeout",
}
_NUMBER = "79161234567"
"""The caller of the recorded calls."""
_UNIQUEID = re.compile(r"\b\d{10}\.\d+")

Row = dict[str, str]


@dataclass(frozen=True, slots=True)
class PlannedCall:
    """A call: what it is called here, what happens in it, its rows in their order."""

    name: str
    template: str
    pbx: str
    rows: tuple[Row, ...]

    @property
    def linkedid(self) -> str:
        """What all its rows share."""
        return self.rows[0]["linkedid"]

    @property
    def call_id(self) -> str:
        """What the product calls it."""
        return f"{self.pbx}/{self.linkedid}"


def planned_call(name: str, template: str, number: int, *, pbx: str = "pbx1", ended_ago: float = 0.0) -> PlannedCall:
    """A call with a number of its own that ended so many seconds ago. `number`: 0 to 9999, each call its own."""
    case = next(case for case in read_recordings() if case.name == TEMPLATES[template])
    lasted = datetime.fromisoformat(case.rows[-1]["eventtime"]) - datetime.fromisoformat(case.rows[0]["eventtime"])
    start = int(time.time() - ended_ago - lasted.total_seconds())
    moved = case.moved(start)
    own_ids = {
        uniqueid: f"{start}.{10 * number + order}"
        for order, uniqueid in enumerate(dict.fromkeys(row["uniqueid"] for row in moved.rows))
    }
    caller = f"7916555{number:04d}"

    def own(text: str) -> str:
        return _UNIQUEID.sub(lambda found: own_ids[found[0]], text.replace(_NUMBER, caller))

    rows = tuple({column: own(text) for column, text in row.items() if column != "id"} for row in moved.rows)
    return PlannedCall(name, template, pbx, rows)


def talking_on(call: PlannedCall, times: int) -> PlannedCall:
    """The same with its parties leaving the bridge and coming back so many times, 4 rows each."""
    at = next(number for number, row in enumerate(call.rows) if row["eventtype"] == "BRIDGE_EXIT")
    entered, left = call.rows[at - 2 : at], call.rows[at : at + 2]
    rows = (*call.rows[:at], *(left + entered) * times, *call.rows[at:])
    return PlannedCall(call.name, call.template, call.pbx, rows)


class Capture:
    """Gives each row its id in the table and what Debezium adds, as key and value of a record."""

    def __init__(self) -> None:
        self._id = 0

    def records(self, rows: Iterable[Mapping[str, str]], pbx: str) -> list[tuple[bytes, bytes, int]]:
        """Key, value, and the record's time in Unix milliseconds."""
        found = []
        for row in rows:
            self._id += 1
            now = time.time_ns() // 1_000_000
            added: dict[str, Any] = {
                "id": self._id,
                "__op": "c",
                "__source_ts_ms": now,
                "__source_snapshot": None,
                "__source_name": pbx,
            }
            found.append((row["linkedid"].encode(), json.dumps({**row, **added}).encode(), now))
        return found
