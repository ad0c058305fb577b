"""The only way of commands to standard output and standard error: what they show is made safe for terminals here."""

import errno
import os
import sys
from collections.abc import Iterable
from typing import Any

import orjson
from rich.console import Console

from streams.errors import UserError
from streams.printable import printable, printable_json, printable_lines
from streams.safe_table import Table, cell

__all__ = [
    "Table", "add_remark", "cannot_write", "cell", "console_of", "lead_nowhere", "remark", "say", "say_json",
    "say_json_line", "say_json_lines", "say_lines", "say_table",
]  # fmt: skip

_CANNOT_WRITE = frozenset((errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EROFS))


def say(text: str = "") -> None:
    """Words for standard output, and a line feed."""
    sys.stdout.write(printable_lines(text) + "\n")


def say_lines(lines: Iterable[str]) -> None:
    """Lines for standard output; a line feed within one is shown, so that no caller writes lines of their own."""
    for line in lines:
        sys.stdout.write(printable(line) + "\n")


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


def console_of(width: int) -> Console:
    """Standard output as wide as the terminal; `width`: characters where there is none."""
    return Console(width=None if sys.stdout.isatty() else width, highlight=False)


def say_table(table: Table, width: int) -> None:
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
