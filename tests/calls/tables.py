"""CEL rows written as tables, so that a test reads as rows in, outcome out."""

import re
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from streams.calls.call import Call
from streams.calls.classify import classify
from streams.calls.pbx_profile import PbxProfile
from streams.calls.result import CallResult, Classification
from streams.rows.row import CelRow
from streams.rules import Rules, load_rules

RULES = load_rules()
EPOCH = 1795389780
"""2026-11-22 23:23:00 UTC."""

SHORT = {
    "start": "CHAN_START",
    "end": "CHAN_END",
    "enter": "BRIDGE_ENTER",
    "exit": "BRIDGE_EXIT",
    "over": "LINKEDID_END",
}


def hangup(cause: int, status: str = "", source: str = "") -> str:
    """The `extra` of a HANGUP row."""
    return f'{{"hangupcause":{cause},"hangupsource":"{source}","dialstatus":"{status}"}}'


def cel(table: str, *, linkedid: str = f"{EPOCH}.0", first_id: int = 1) -> list[CelRow]:
    """Rows from lines of `second event channel counter [column=value ..]`.

    The event may be short (start, answer, enter, exit, hangup, end, over); `counter` makes the uniqueid; columns follow
    as `num=`, `exten=`, `context=`, `peer=`, `app=`, `extra=`, with no blanks in them; `cause=16/ANSWER` is a HANGUP's
    extra. `call=2` puts the row into the call that channel 2 began; `"@2"` in `extra` stands for channel 2's uniqueid.
    """
    rows = []
    for number, line in enumerate(filter(str.strip, table.splitlines()), start=first_id):
        second, event, channel, counter, *columns = line.split()
        given = dict(column.split("=", 1) for column in columns)
        if "cause" in given:
            cause, _, status = given.pop("cause").partition("/")
            given["extra"] = hangup(int(cause), status, given.pop("source", ""))
        minutes, seconds = divmod(float(second), 60)
        rows.append(
            CelRow(
                id=number,
                eventtype=SHORT.get(event, event.upper()),
                eventtime=f"2026-11-22 23:{23 + int(minutes):02}:{seconds:09.6f}",
                linkedid=f"@{given.pop('call')}" if "call" in given else given.pop("linkedid", linkedid),
                uniqueid=f"{EPOCH + int(float(second))}.{counter}" if event == "start" else f"@{counter}",
                channame=channel,
                cid_num=given.pop("num", ""),
                appname=given.pop("app", ""),
                **given,
            )
        )
    return _with_uniqueids(rows)


def _with_uniqueids(rows: list[CelRow]) -> list[CelRow]:
    """Rows after a channel's first carry its uniqueid; a channel without CHAN_START gets one of the first second."""
    known: dict[str, str] = {}
    finished = []
    for row in rows:
        counter = row.uniqueid.rpartition("@")[2].rpartition(".")[2]
        if not row.uniqueid.startswith("@"):
            known[counter] = row.uniqueid
        uniqueid = known.setdefault(counter, f"{EPOCH}.{counter}")
        finished.append(msgspec.structs.replace(row, uniqueid=uniqueid))
    return [
        msgspec.structs.replace(
            row,
            linkedid=known[row.linkedid[1:]] if row.linkedid.startswith("@") else row.linkedid,
            extra=re.sub(r'"@(\d+)"', lambda named: f'"{known[named[1]]}"', row.extra),
        )
        for row in finished
    ]


def folded(rows: Iterable[CelRow], pbx: str = "pbx1") -> Call:
    """One call of the rows."""
    rows = list(rows)
    call = Call(pbx, rows[0].linkedid)
    for row in rows:
        call.add(row)
    return call


def classified(
    rows: Sequence[CelRow] | str, *, rules: Rules = RULES, profile: PbxProfile | None = None, **options: Any
) -> Classification:
    """The outcome of one call's rows."""
    return classify(folded(cel(rows) if isinstance(rows, str) else rows), rules, profile or PbxProfile(), **options)


def outcome(
    rows: Sequence[CelRow] | str, *, rules: Rules = RULES, profile: PbxProfile | None = None, **options: Any
) -> CallResult:
    """The result alone."""
    return classified(rows, rules=rules, profile=profile, **options).result
