"""Findings in words and as JSON. Pure; linkedids are hostile data, made safe where they are printed."""

from typing import Any

from streams.gaps.findings import CallGap, Findings, Stretch

_MOST_CALLS = 20


def lines_of(found: Findings) -> list[str]:
    """For a person: what is missing, with the command that heals it, then what was compared."""
    lines = [*_missing(found), *_not_shown(found)]
    if lines:
        lines.append(
            "(and --deliver to deliver them to the CRMs; calls that have their results already are left alone)"
        )
    if found.unsettled:
        lines += [
            f"not settled: {found.unsettled:,} rows are not on the topic, and the connector has not passed their place",
            "  See cel2crm connectors status; give gaps again when it runs.",
        ]
    return [*lines, *_compared(found)]


def _missing(found: Findings) -> list[str]:
    if not found.missing_rows:
        return []
    lines = [f"{_count(found.missing_rows, 'row')} of {_count(found.missing_calls, 'call')} never reached the topic"]
    for stretch in found.stretches:
        lines.append(f"  ids {stretch.first_id} to {stretch.last_id}, {_count(stretch.rows, 'row')}{_named(stretch)}")
        if command := stretch.command(found.pbx):
            lines.append(f"    {command}")
        if stretch.strange:
            lines.append(f"    no backfill reads a call with a linkedid such as {stretch.strange!r}")
    return lines


def _named(stretch: Stretch) -> str:
    if not stretch.calls or len(stretch.calls) > 3:
        return ""
    return f" of {', '.join(stretch.calls)}"


def _not_shown(found: Findings) -> list[str]:
    if not found.calls:
        return []
    calls = found.calls
    lines = [f"{_count(len(calls), 'call')} on the topic, of which no result shows all rows"]
    lines += [f"  {call.linkedid}, {_count(call.rows, 'row')}{_gone(call, found)}" for call in calls[:_MOST_CALLS]]
    if len(calls) > _MOST_CALLS:
        lines.append(f"  .. and {len(calls) - _MOST_CALLS:,} more")
    if found.call_command:
        lines.append(f"    {found.call_command}")
    return lines


def _gone(call: CallGap, found: Findings) -> str:
    return ": not in the table any more, nothing brings it back" if call.linkedid in found.purged else ""


def _compared(found: Findings) -> list[str]:
    if found.nothing_kept:
        first = "the topic holds no captured row of this PBX: there is nothing to compare the table with"
    else:
        first = (
            f"compared {found.table_rows:,} rows of the table (ids {found.first_id} to {found.last_id}) and "
            f"{found.topic_rows:,} on the topic, in {found.seconds:.1f} s"
        )
    lines = [first if found.found or found.unsettled or found.nothing_kept else f"no gaps: {first}"]
    if found.before:
        lines.append(f"{_count(found.before, 'row')} are older than what the topic still holds: not compared")
    if found.waiting_rows:
        lines.append(
            f"{_count(found.waiting_rows, 'row')} on the topic wait for the aggregate worker, or were just taken"
        )
    return lines


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def to_json(found: Findings) -> dict[str, Any]:
    """For machines."""
    return {
        "pbx": found.pbx,
        "gaps": found.found,
        "missing_rows": found.missing_rows,
        "missing_calls": found.missing_calls,
        "stretches": [
            {
                "first_id": each.first_id,
                "last_id": each.last_id,
                "rows": each.rows,
                "calls": list(each.calls),
                "remedy": each.command(found.pbx) or None,
            }
            for each in found.stretches
        ],
        "calls_without_result": [
            {
                "linkedid": call.linkedid,
                "first_id": call.first_id,
                "last_id": call.last_id,
                "rows": call.rows,
                "in_table": call.linkedid not in found.purged,
            }
            for call in found.calls
        ],
        "remedies": list(found.remedies),
        "unsettled_rows": found.unsettled,
        "older_rows": found.before,
        "waiting_rows": found.waiting_rows,
        "first_id": found.first_id,
        "last_id": found.last_id,
        "table_rows": found.table_rows,
        "topic_rows": found.topic_rows,
        "seconds": round(found.seconds, 3),
    }
