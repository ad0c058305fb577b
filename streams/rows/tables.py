"""Lines of tables split into cells: CSV of databases and spreadsheets, and what mysql and psql draw on a terminal."""

import csv
import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator
from itertools import chain

NumberedCells = tuple[int, list[str]]
"""The number of a line in its file, where the header is the first, and its cells."""

_ESCAPES = {"n": "\n", "t": "\t", "0": "\0", "\\": "\\", "r": "\r"}
_FOOTER = re.compile(r"\(\d+ [^\W\d_]+\)|\d+ rows? in set\b.*|Empty set\b.*|Time: [\d.]+ ms.*")
"""Below what psql and mysql print: `(8 rows)` in any language, `8 rows in set (0.01 sec)`."""
_NULL = re.compile(r"(?<![^,;\t|])\\N(?=[,;\t|\r\n]|$)")
"""How MySQL writes NULL into a file, as a cell of its own."""

csv.field_size_limit(16 * 1024 * 1024)


def is_footer(line: str) -> bool:
    """A line that a database's client prints below a table."""
    return _FOOTER.fullmatch(line.strip()) is not None


class Delimited:
    """CSV lines with any delimiter.

    A line without a quote is split as it is, in a third of the reader's time. `\\"` within quotes is known from the
    first line that can be read no other way (MySQL's INTO OUTFILE); from then on a backslash escapes.
    """

    def __init__(self, delimiter: str, width: int, refuse: Callable[[int, str, str], None]) -> None:
        self._delimiter, self._width, self._refuse = delimiter, width, refuse
        self._escaped = False
        self._lines: Iterator[str] = iter(())
        self._given: list[str] = []
        """The line at hand, until the reader takes it."""
        self._taken: list[str] = []
        """Lines after it that its quotes span."""

    def cells(self, lines: Iterator[str], first: int = 2) -> Iterator[NumberedCells]:
        """The lines that are not empty. `first`: the number of the first line."""
        delimiter, given, taken = self._delimiter, self._given, self._taken
        number, self._lines, rest = first - 1, lines, True
        reader = self._new_reader()
        while rest:
            rest = False
            for line in self._lines:
                number += 1
                if "\\" in line:
                    if self._escapes(line):
                        reader = self._new_reader()
                    line = _NULL.sub("", line)  # noqa: PLW2901
                elif '"' not in line:
                    if values := line.rstrip("\r\n"):
                        if values[0] == "(" and is_footer(values):
                            continue
                        yield number, values.split(delimiter)
                    continue
                given.append(line)
                cells: list[str] | None = None
                try:
                    cells = next(reader)
                except (csv.Error, StopIteration):
                    reader = self._new_reader()
                if taken or cells is None:
                    if cells is None or len(cells) != self._width:
                        # A quote without its partner took the lines that follow: they are read by themselves.
                        self._refuse(number, line, "a quote without its partner, or a cell that is too long")
                        self._lines, rest = chain(tuple(taken), self._lines), True
                        taken.clear()
                        break
                    span = len(taken)
                    taken.clear()
                    yield number, cells
                    number += span
                else:
                    yield number, cells

    def _new_reader(self) -> Iterator[list[str]]:
        return _reader(self._fed(), self._delimiter, escaped=self._escaped)

    def _fed(self) -> Iterator[str]:
        """The line at hand, and as many of those that follow as its quotes span."""
        given, taken = self._given, self._taken
        while True:
            if given:
                yield given.pop()
            elif (line := next(self._lines, None)) is None:
                return
            else:
                taken.append(line)
                yield line

    def _escapes(self, line: str) -> bool:
        """Whether the line shows, and no line did before, that a backslash escapes."""
        if self._escaped or '\\"' not in line:
            return False
        self._escaped = self._fits(line, escaped=True) and not self._fits(line, escaped=False)
        return self._escaped

    def _fits(self, line: str, *, escaped: bool) -> bool:
        try:
            cells = next(_reader([_NULL.sub("", line)], self._delimiter, escaped=escaped, strict=True))
        except (csv.Error, StopIteration):
            return False
        return len(cells) == self._width


def _reader(lines: Iterable[str], delimiter: str, *, escaped: bool, strict: bool = False) -> Iterator[list[str]]:
    return csv.reader(lines, delimiter=delimiter, escapechar="\\" if escaped else None, strict=strict)


def batch_cells(lines: Iterable[str], first: int = 2) -> Iterator[NumberedCells]:
    """`mysql --batch`: tabs, backslash escapes, NULL as a word, no quotes."""
    for number, line in enumerate(lines, start=first):
        if values := line.rstrip("\r\n"):
            yield number, [_plain(value) if "\\" in value or value == "NULL" else value for value in values.split("\t")]


def drawn_cells(lines: Iterable[str], first: int = 2) -> Iterator[NumberedCells]:
    """A table as psql and mysql draw it on a terminal: cells between bars, padded with blanks.

    Cells are cut where the frame has its crossings, so that a bar in a name is no border.
    """
    borders: list[int] = []
    for number, line in enumerate(lines, start=first):
        text = line.rstrip("\r\n")
        if not text.strip("+-| "):
            borders = borders or [place for place, letter in enumerate(text) if letter == "+"]
        elif not is_footer(text):
            yield number, [cell.strip() for cell in _cut(text, borders) or _split(text)]


def _split(text: str) -> list[str]:
    return (text.strip()[1:-1] if text.startswith("|") else text).split("|")


def _cut(text: str, borders: list[int]) -> list[str] | None:
    """The cells between borders; None where the line has no bar at each of them."""
    if not borders:
        return None
    places = list(text)
    if not text.isascii():
        places = []
        for letter in text:  # as many places as the terminal gives it
            if unicodedata.combining(letter):
                places[-1:] = [places[-1] + letter] if places else [letter]
            else:
                places += [letter, ""] if unicodedata.east_asian_width(letter) in "WF" else [letter]
    if any(border >= len(places) or places[border] != "|" for border in borders):
        return None
    framed = borders[0] == 0
    begins = borders[:-1] if framed else [-1, *borders]
    ends = borders[1:] if framed else [*borders, len(places)]
    return ["".join(places[begin + 1 : end]) for begin, end in zip(begins, ends, strict=True)]


def _plain(value: str) -> str:
    if value in ("NULL", "\\N"):
        return ""
    out, escaped = [], False
    for letter in value:
        if escaped:
            out.append(_ESCAPES.get(letter, letter))
            escaped = False
        elif letter == "\\":
            escaped = True
        else:
            out.append(letter)
    return "".join(out)
