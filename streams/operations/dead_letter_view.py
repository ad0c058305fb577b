"""Dead letters for people and scripts: as a table, as lines, and as JSON."""

from collections.abc import Iterator
from typing import Any

from streams.clock import format_time
from streams.dead_letter_reasons import Recovery
from streams.operations.dead_letters import Group, Letter
from streams.operations.masking import masked, masked_text
from streams.safe_table import Table

_RECOVERIES = {
    Recovery.RETRY: "retry",
    Recovery.RETURN: "mend, then retry",
    Recovery.BACKFILL: "backfill",
    Recovery.NOTHING: "drop",
}


def table_of(groups: list[Group], *, calls: bool) -> Table:
    """Groups as a table for people."""
    table = Table(header_style="bold")
    names = ("call", "component", "reason", "portal", "letters", "first", "last", "recover by")
    for name in names if calls else names[1:]:
        table.add_column(name, justify="right" if name == "letters" else "left", no_wrap=name == "call")
    for group in groups:
        cells = [group.component, group.reason, group.portal or "", f"{group.count:,}"]
        cells += [format_time(group.first), format_time(group.last), _RECOVERIES[group.recovery]]
        table.add_row(*([next(iter(group.calls), ""), *cells] if calls else cells))
    return table


def group_to_json(group: Group, *, calls: bool, numbers: bool) -> dict[str, Any]:
    """A group as JSON. The members `heals` and `remedy` keep their names: scripts read them."""
    fields: dict[str, Any] = {
        "component": group.component,
        "reason": group.reason,
        "portal": group.portal,
        "letters": group.count,
        "calls": len(group.calls),
        "first": group.first,
        "last": group.last,
        "heals": group.recovery.value,
        "remedy": group.command,
        "explanation": masked_text(group.explanation, numbers=numbers),
    }
    return {"call_id": next(iter(group.calls), None), **fields} if calls else fields


def letter_to_json(letter: Letter) -> dict[str, Any]:
    """A letter as JSON without its bytes. The members `heals` and `remedy` keep their names: scripts read them."""
    topic, partition, offset = letter.source
    return {
        "dead_letter": f"{letter.partition}/{letter.offset}",
        "component": letter.component,
        "reason": letter.reason,
        "explanation": letter.explanation,
        "failed_at": letter.failed_at,
        "call_id": letter.call_id,
        "portal": letter.portal,
        "source": {"topic": topic, "partition": partition, "offset": offset},
        "heals": letter.recovery.value,
        "remedy": letter.command,
        "resolutions": [each.record() for each in letter.resolved],
    }


def letter_lines(letter: Letter, fields: list[tuple[str, Any]], *, numbers: bool) -> Iterator[str]:
    """A letter as lines for people; `fields`: its bytes, decoded."""
    topic, partition, offset = letter.source
    place = f"{letter.partition}/{letter.offset}"
    yield f"dead letter {place}: {letter.component} {letter.reason}, {format_time(letter.failed_at)}"
    yield f"  {masked_text(letter.explanation, numbers=numbers)}"
    if letter.call_id:
        yield f"  call {letter.call_id}" + (f", portal {letter.portal}" if letter.portal else "")
    yield f"  from {topic}, partition {partition}, offset {offset}"
    for done in letter.resolved:
        yield f"  {done.action} by {done.by}, {format_time(done.at)}" + (f": {done.note}" if done.note else "")
    for name, value in fields:
        readable = masked(value, numbers=numbers)
        if isinstance(readable, str | None):
            yield f"  {name}: {readable if readable is not None else '(none)'}"
            continue
        for each in readable if isinstance(readable, list) else [readable]:
            yield f"  {name}:"
            yield from (f"    {member}: {inner}" for member, inner in each.items() if inner not in (None, ""))
    if not letter.resolved:
        yield f"  recover by: {letter.command}"
