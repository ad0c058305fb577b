"""Outcomes as a table for people: as many columns as the terminal has room for, and no number ever cut."""

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from rich import box
from rich.cells import cell_len
from rich.text import Text

from streams.calls.result import CallResult
from streams.cli.output import Table, cell
from streams.delivery.eligibility import skip_reason
from streams.printable import printable
from streams.rules import Rules

_LONGEST_NUMBER = 24
"""Places that a number gets on one line; what is longer is no number, and goes on in the next line."""

_LEAST = 6
"""Places that no column goes below."""

_WORDS = 10
"""Places below which words are not squeezed."""


class _Call(NamedTuple):
    """A line of the table: everything that may be shown of a call, made safe for a terminal."""

    linkedid: str
    direction: str
    caller: str
    called: str
    answered: bool
    answered_by: str
    talk: str
    result: str
    result_name: str
    statuses: tuple[str, ...]
    """The status of each CRM, where it gets the call."""
    texts: tuple[str, ...]
    """The same, with the text that goes with it."""


class _Column(NamedTuple):
    """A column, with one or two things of a call, one below the other. `fixed`: never broken nor squeezed."""

    name: str
    lines: Callable[[_Call], tuple[str | Text, ...]]
    fixed: bool = True
    right: bool = False


def _who(call: _Call) -> Text:
    return cell(call.answered_by, "green" if call.answered else "red")


def _by_code(call: _Call) -> str:
    return " ".join(filter(None, (call.result, call.result_name)))


_CALL = _Column("call", lambda call: (call.linkedid, call.direction))
_PARTIES = _Column("from, to", lambda call: (call.caller or "?", call.called or "?"))
_ANSWERED = _Column("answered", lambda call: (_who(call), call.talk))

Layout = tuple[_Column, ...]


def _text_of(crm: int) -> Callable[[_Call], tuple[str]]:
    return lambda call: (call.texts[crm],)


def _layouts(crms: Sequence[str]) -> tuple[Layout, ...]:
    """From the widest to the narrowest, for the CRMs of these titles."""
    in_a_line = [_Column(title, _text_of(place), fixed=False) for place, title in enumerate(crms)]
    one_line = (
        _Column("linkedid", lambda call: (call.linkedid,)),
        _Column("direction", lambda call: (call.direction,)),
        _Column("caller", lambda call: (call.caller,)),
        _Column("called", lambda call: (call.called,)),
        _Column("answered by", lambda call: (_who(call),)),
        _Column("talk", lambda call: (call.talk,), right=True),
        _Column("result", lambda call: (_by_code(call),), fixed=False),
        *in_a_line,
    )
    two_lines = (
        _CALL, _PARTIES, _ANSWERED,
        _Column("result", lambda call: (call.result, call.result_name), fixed=False),
        _Column(", ".join(crms), lambda call: call.texts, fixed=False),
    )  # fmt: skip
    narrow = (
        _CALL, _PARTIES, _ANSWERED,
        _Column("result", lambda call: (call.result,)),
        _Column("CRMs", lambda call: call.statuses),
    )  # fmt: skip
    narrowest = (
        _CALL,
        _Column("from, to, by", lambda call: (call.caller or "?", call.called or "?", _who(call))),
        _Column("result", lambda call: (call.result, call.talk)),
    )
    return one_line, two_lines, narrow, narrowest


def outcome_table(results: Iterator[CallResult], rules: Rules, width: int) -> Table:
    """The table for so many places: in one line a call, in two, or with fewer columns."""
    calls = [_call(result, rules) for result in results]
    layouts = _layouts([each.title for each in rules.tables.values()])
    layout = next((each for each in layouts if _needs(each, calls) <= width), layouts[-1])
    table = Table(header_style="bold", box=box.HEAVY_HEAD)
    if not _is_framed(layout):
        table = Table(header_style="bold", box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0))
    # Rich would squeeze columns by their length; which may not be squeezed is known here alone.
    for column, places in zip(layout, _widths(layout, calls, width), strict=True):
        table.add_column(column.name, justify="right" if column.right else "left", width=places, overflow="fold")
    for call in calls:
        table.add_row(*(Text("\n").join(map(_text, column.lines(call))) for column in layout))
    return table


def _is_framed(layout: Layout) -> bool:
    """Whether it has a line a call, in a frame."""
    return layout[0].name == "linkedid"


def _text(line: str | Text) -> Text:
    return line if isinstance(line, Text) else Text(line)


def _widths(layout: Layout, calls: list[_Call], width: int) -> list[int]:
    """The places of each column: what it needs, and of the places left over those that words need to stay in a line."""
    widths = [_least(column, calls) for column in layout]
    spare = width - _needs(layout, calls)
    while spare < 0 and (widest := max(range(1, len(widths)), key=widths.__getitem__)) and widths[widest] > _LEAST:
        widths[widest] -= 1  # what is longer than a number goes on in the next line
        spare += 1
    wanted = {
        place: max((cell_len(str(line)) for call in calls for line in column.lines(call)), default=0) - widths[place]
        for place, column in enumerate(layout)
        if not column.fixed
    }
    while spare > 0 and (short := [place for place, more in wanted.items() if more > 0]):
        for place in short[:spare]:  # one place for each in turn
            widths[place] += 1
            wanted[place] -= 1
        spare -= len(short[:spare])
    return widths


def _needs(layout: Layout, calls: list[_Call]) -> int:
    """Places without which a layout would cut something: its columns, and what stands between them."""
    columns = sum(_least(column, calls) for column in layout)
    return columns + (3 * len(layout) + 1 if _is_framed(layout) else 2 * (len(layout) - 1))


def _least(column: _Column, calls: list[_Call]) -> int:
    """Places without which the column would cut a number, or break words apart."""
    head = max(map(len, column.name.split())) if not column.fixed else len(column.name)
    lines = (str(line) for call in calls for line in column.lines(call))
    if not column.fixed:
        words = max((cell_len(word) for line in lines for word in line.split()), default=0)
        return max(head, min(_LONGEST_NUMBER, words), _WORDS)
    return max(head, min(_LONGEST_NUMBER, max(map(cell_len, lines), default=0)))


def _call(result: CallResult, rules: Rules) -> _Call:
    skipped = skip_reason(result)
    found = [table.status(result) for table in rules.tables.values()]
    talk = "?" if result.answered and result.talk_seconds is None else f"{result.talk_seconds or 0:.0f} s"
    return _Call(
        linkedid=printable(result.linkedid),
        direction=result.direction,
        caller=printable(result.caller or ""),
        called=printable(result.called or ""),
        answered=result.answered,
        answered_by=printable((result.answered_by or "yes") if result.answered else "nobody"),
        talk=talk,
        result=str(result.result),
        result_name=result.result_name,
        statuses=tuple("" if skipped else printable(str(status.code)) for status in found),
        texts=tuple("" if skipped else printable(f"{status.code} {status.text or ''}".strip()) for status in found),
    )
