"""Text from outside made safe to show: numbers, names and files' headers are chosen by people outside.

On a terminal an escape sequence moves the cursor, renames the window or fills the clipboard; a bidirectional override
turns a number round; what has no width hides. In a spreadsheet a cell that begins with `=` is a formula.
"""

import re

_UNSEEN = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u180b\u180c\u180d\u180f\u3164\uffa0")
"""Letters and marks without a shape, which Unicode does not count among the controls."""
_KEPT = frozenset("\u00a0\u202f\u3000")
"""Spaces that names contain."""
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
_NUMBER = re.compile(r"[+-]?\d+(?:\.\d+)?")


def printable(text: str) -> str:
    """The text on one line: control characters, overrides, separators and invisible letters as `\\x1b`, `\\u202e`."""
    if text.isprintable() and _UNSEEN.isdisjoint(text):
        return text
    return "".join(_shown(letter) for letter in text)


def printable_lines(text: str) -> str:
    """The same for words over several lines: line feeds, and those alone, stay."""
    return "\n".join(map(printable, text.split("\n")))


def printable_json(encoded: bytes) -> bytes:
    """JSON with what JSON lets stand (DEL, C1, overrides) escaped as well: to a program it is the same document."""
    if encoded.isascii() and b"\x7f" not in encoded:
        return encoded
    text = encoded.decode()
    if text.rstrip("\n").isprintable() and _UNSEEN.isdisjoint(text):
        return encoded
    return "".join(letter if letter == "\n" or _is_seen(letter) else _escaped(letter) for letter in text).encode()


def csv_cell(value: object) -> object:
    """A value for a CSV cell. Text that a spreadsheet would calculate gets an apostrophe before it."""
    if not isinstance(value, str):
        return value
    shown = printable(value)
    begins = value.lstrip(" ")[:1]
    return f"'{shown}" if begins in _FORMULA and begins and not _NUMBER.fullmatch(value) else shown


def _is_seen(letter: str) -> bool:
    return (letter.isprintable() and letter not in _UNSEEN) or letter in _KEPT


def _shown(letter: str) -> str:
    if _is_seen(letter):
        return letter
    if letter in "\n\t\r":
        return {"\n": "\\n", "\t": "\\t", "\r": "\\r"}[letter]
    code = ord(letter)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def _escaped(letter: str) -> str:
    """A letter within a JSON text, as one or two units of UTF-16."""
    units = letter.encode("utf-16-be", errors="surrogatepass").hex()
    return "".join(f"\\u{units[place : place + 4]}" for place in range(0, len(units), 4))
