"""Text from outside made safe to show: numbers, names and files' headers are chosen by callers and strangers.

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
_JSON_CONTROLS = re.compile(
    "[\x7f-\x9f\xad\u0600-\u0605\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]"
)


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
    return _JSON_CONTROLS.sub(lambda found: f"\\u{ord(found[0]):04x}", encoded.decode()).encode()


def csv_cell(value: object) -> object:
    """A value for a CSV cell. Text that a spreadsheet would calculate gets an apostrophe before it."""
    if not isinstance(value, str):
        return value
    shown = printable(value)
    begins = value.lstrip(" ")[:1]
    return f"'{shown}" if begins in _FORMULA and begins and not _NUMBER.fullmatch(value) else shown


def _shown(letter: str) -> str:
    if (letter.isprintable() and letter not in _UNSEEN) or letter in _KEPT:
        return letter
    if letter in "\n\t\r":
        return {"\n": "\\n", "\t": "\\t", "\r": "\\r"}[letter]
    code = ord(letter)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
