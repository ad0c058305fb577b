"""Warnings of results that an operator can mend: each is counted, and logged once."""

from collections.abc import Sequence

import structlog

from streams.calls.result import CallResult, CallWarning
from streams.workers.aggregate import metrics

MAX_REPORTED = 200
"""Different warnings that one process logs: numbers and names from outside must not fill the log."""

_log = structlog.get_logger("aggregate")


class WarningReporter:
    """Counts the warnings of this process's results, and logs each distinct one once."""

    def __init__(self) -> None:
        self._reported: set[tuple[str, str]] = set()

    def report(self, result: CallResult) -> None:
        """Count the warnings of a result; log what is new."""
        for code in result.warnings:
            metrics.WARNINGS.labels(code).inc()
            detail = _detail(code, result)
            if (code, detail) in self._reported or len(self._reported) >= MAX_REPORTED:
                continue
            self._reported.add((code, detail))
            _log.warning(_WORDS[code], first_call=result.call_id, detail=detail)


_WORDS: dict[str, str] = {
    CallWarning.DIRECTION: "the direction of calls is unknown: name the trunk in numbers.trunks, or its context",
    CallWarning.CALLER: "calls have no row of the channel that began them: the database refused them (a name in "
    "letters that the table's character set lacks?) or lost them",
    CallWarning.BRIDGES: "calls with dial status ANSWER show no BRIDGE rows: turn BRIDGE_ENTER and BRIDGE_EXIT on in "
    "cel.conf, or set aggregate.bridges_logged: false",
    CallWarning.ZONE: "the PBX's configured time zone is not that of its rows, which were believed: set pbx.timezone",
    CallWarning.EVENTS: "the column eventtype holds numbers, and what some of them mean cannot be told: such rows do "
    "not count; make it a text column, and check that the table has the columns extra and userdeftype",
    CallWarning.TIME: "times of rows cannot be read, or have no seconds: talk and waiting of such calls are "
    "unknown; set dateformat in cel.conf to %F %T",
    CallWarning.ROWS: "rows of calls could not be read: their results may lack what these rows told",
    CallWarning.EXTRA: "the column extra holds no hangup cause: such calls get two statuses only; check that the table "
    "has the column, long enough (varchar(512)), or name it in database.column_name_aliases.cel_extra",
}


def _detail(code: str, result: CallResult) -> str:
    if code == CallWarning.DIRECTION:
        return result.why[0]
    return f"{result.pbx}, UTC offset {result.utc_offset_seconds} s" if code == CallWarning.ZONE else result.pbx


def warn_of_two_statuses(pbxs: Sequence[str]) -> None:
    """Count and log that calls of these PBXs are processed with two statuses only, as their operator chose."""
    metrics.TWO_STATUS_MODE.set(bool(pbxs))
    if pbxs:
        _log.warning(
            "database.column_name_aliases.cel_extra is `id`: every call is processed in two-status mode, and why a "
            "call was not answered is given away",
            pbxs=pbxs,
        )
