"""The only way of commands to standard output and standard error: what they show is made safe for terminals here."""

import errno
import os
import sys
from collections.abc import Iterable
from typing import Any

import orjson
from rich.console import Console
from rich.table import Table as RichTable
from rich.text import Text

from streams.errors import UserError
from streams.printable import printable, printable_json, printable_lines

_CANNOT_WRITE = frozenset((errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EROFS))


def say(text: str = "") -> None:
    """Words for standard output, and a line feed."""
    sys.stdout.write(printable_lines(text) + "\n")


def say_json(value: Any) -> None:
    """One JSON object on a line of standard output. What orjson does not know is told as text."""
    say_json_line(orjson.dumps(value, default=str))


def say_json_line(encoded: bytes) -> None:
    """Encoded JSON on a line of standard output."""
    sys.stdout.write(printable_json(encoded.rstrip(b"\n")).decode() + "\n")


def say_json_lines(lines: Iterable[bytes]) -> None:
    """Many encoded lines, each with its line feed."""
    sys.stdout.flush()
    sys.stdout.buffer.writelines(map(printable_json, lines))


def remark(text: str) -> None:
    """Words on standard error, after the command's name."""
    sys.stderr.write(f"cel2crm: {printable_lines(text)}\n")


def add_remark(text: str) -> None:
    """More lines on standard error, as they are."""
    sys.stderr.write(printable_lines(text) + "\n")


def cell(value: object, style: str = "") -> Text:
    """A value for a table of Rich: never markup, nothing that a terminal obeys."""
    return Text(printable(value if isinstance(value, str) else str(value)), style=style)


class Table(RichTable):
    """A table of Rich whose texts are shown as they are."""

    def __init__(self, *headers: Any, title: str | None = None, **options: Any) -> None:
        super().__init__(*headers, title=cell(title, "table.title") if title else None, **options)

    def add_row(self, *cells: Any, **options: Any) -> None:
        """Texts are made safe; other renderables are taken as they are."""
        super().add_row(*(cell(each) if isinstance(each, str) else each for each in cells), **options)


def console_of(width: int) -> Console:
    """Standard output as wide as the terminal; `width`: characters where there is none."""
    return Console(width=None if sys.stdout.isatty() else width, highlight=False)


def say_table(table: RichTable, width: int) -> None:
    """A table on standard output, of this width where there is no terminal."""
    console_of(width).print(table)


def lead_nowhere() -> None:
    """Nobody reads standard output any more: the end of the process must not try again to write it."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def cannot_write(error: OSError) -> UserError:
    """The error for output that finds no place (a full disk); other errors are raised as they are."""
    if error.errno not in _CANNOT_WRITE:
        raise error
    lead_nowhere()
    return UserError(f"the output cannot be written: {error.strerror}")
