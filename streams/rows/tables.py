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

    def cells(self, lines: Iterator[str], first: int = 2) -> Iterator[NumberedCells]:
        """The lines that are not empty. `first`: the number of the first line."""
        rest: Iterator[str] | None = lines
        number = first - 1
        while rest is not None:
            again, rest, delimiter = rest, None, self._delimiter
            for line in again:
                number += 1
                if '"' not in line and "\\" not in line:
                    if values := line.rstrip("\r\n"):
                        if values[0] == "(" and is_footer(values):
                            continue
                        yield number, values.split(delimiter)
                    continue
                taken: list[str] = []
                cells = self._quoted(line, again, taken)
                if len(taken) > 1 and (cells is None or len(cells) != self._width):
                    # A quote without its partner took the lines that follow: they are read by themselves.
                    self._refuse(number, line, "a quote without its partner")
                    rest = chain(taken[1:], again)
                    break
                if cells is not None:
                    yield number, cells
                else:
                    self._refuse(number, line, "a quote without its partner, or a cell that is too long")
                number += len(taken) - 1

    def _quoted(self, line: str, more: Iterator[str], taken: list[str]) -> list[str] | None:
        """The cells of a line with quotes, and of those that its quotes span; None where they cannot be told."""
        escaped = "\\" in line and self._escapes(line)

        def lines() -> Iterator[str]:
            for each in chain((line,), more):
                taken.append(each)
                yield _NULL.sub("", each) if escaped else each

        try:
            cells = next(_reader(lines(), self._delimiter, escaped=escaped), None)
        except csv.Error:
            return None
        return cells if escaped or cells is None or "\\" not in line else ["" if c == "\\N" else c for c in cells]

    def _escapes(self, line: str) -> bool:
        if not self._escaped and '\\"' in line:
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
