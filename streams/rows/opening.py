"""Opening files as people have them: compressed, in UTF-16, with a byte order mark, with the line ends of old Macs."""

import codecs
import gzip
import io
import re
from typing import TYPE_CHECKING, BinaryIO, cast

from streams.errors import UserError

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

_GZIP = b"\x1f\x8b"
_BOMS = ((codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))
_HEAD = 8192

_BINARY = (
    (b"PK\x03\x04", "looks like a zip archive or a spreadsheet (xlsx, ods)", "Unpack it, or save it as CSV."),
    (b"BZh", "is compressed with bzip2", "Give what bzcat FILE prints: bzcat FILE | cel2crm .."),
    (b"\xfd7zXZ", "is compressed with xz", "Give what xzcat FILE prints: xzcat FILE | cel2crm .."),
    (b"\x28\xb5\x2f\xfd", "is compressed with zstd", "Give what zstdcat FILE prints: zstdcat FILE | cel2crm .."),
    (b"SQLite format 3", "is an SQLite database", "Export its table: sqlite3 -csv -header FILE 'select * from cel'."),
    (b"\xd0\xcf\x11\xe0", "looks like an old spreadsheet (xls)", "Save it as CSV."),
    (b"PAR1", "is a Parquet file", "Export it as CSV or JSON Lines."),
    (b"%PDF", "is a PDF document", "Export the table as CSV."),
    (b"\x7fELF", "is a program", "Give a file of CEL rows."),
)  # fmt: skip

_SQL = re.compile(rb"\s*(--|/\*|INSERT |CREATE |DROP |PGDMP|COPY )", re.IGNORECASE)
_QUEUE_LOG = re.compile(rb"\d{10}\|[^|]*\|[^|]*\|[^|]*\|[A-Z]+")


class _Recoded(io.RawIOBase):
    """Text of any encoding as bytes of UTF-8."""

    def __init__(self, text: io.TextIOWrapper) -> None:
        self._text, self._left = text, b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: "WriteableBuffer") -> int:
        view = memoryview(buffer).cast("B")
        if not self._left:
            self._left = self._text.read(len(view)).encode("utf-8", errors="replace")
        size = min(len(view), len(self._left))
        view[:size] = self._left[:size]
        self._left = self._left[size:]
        return size

    def close(self) -> None:
        if not self.closed:
            self._text.close()
        super().close()


def opened(stream: BinaryIO) -> io.BufferedReader:
    """The stream as UTF-8, decompressed, without a byte order mark.

    Damage in what is compressed is raised while it is read: EOFError, zlib.error, OSError.
    """
    file = stream if isinstance(stream, io.BufferedReader) else io.BufferedReader(cast(io.RawIOBase, stream))
    if file.peek(2)[:2] == _GZIP:
        file = io.BufferedReader(cast(io.RawIOBase, gzip.GzipFile(fileobj=file)))
    head = file.peek(_HEAD)[:_HEAD]
    encoding = _encoding(head)
    cr_alone = b"\r" in head and b"\n" not in head
    if encoding == "utf-8-sig" and not cr_alone:
        file.read(len(codecs.BOM_UTF8))
        return file
    if encoding is None and not cr_alone:
        return file
    text = io.TextIOWrapper(file, encoding or "utf-8", errors="replace", newline=None if cr_alone else "")
    return io.BufferedReader(_Recoded(text))


def is_plain(head: bytes) -> bool:
    """Whether a file that begins so is read as it is, line by line, with nothing to unpack or recode."""
    return head[:2] != _GZIP and _encoding(head) in (None, "utf-8-sig") and not (b"\r" in head and b"\n" not in head)


def _encoding(head: bytes) -> str | None:
    """The encoding that the first bytes tell; None: UTF-8, or nothing that could be told apart from it."""
    for mark, encoding in _BOMS:
        if head.startswith(mark):
            return encoding
    if len(head) >= 4 and head[0] and head[2] and not head[1] and not head[3]:
        return "utf-16-le"
    if len(head) >= 4 and head[1] and head[3] and not head[0] and not head[2]:
        return "utf-16-be"
    return None


def refuse_others(name: str, first: bytes) -> None:
    """Refuse what is surely no table of CEL rows by its first line. Raises UserError that says what it looks like."""
    for magic, looks, remedy in _BINARY:
        if first.startswith(magic):
            raise UserError(f"{name} {looks}", remedy)
    if first.lstrip()[:1] == b"<":
        raise UserError(f"{name} looks like HTML or XML", "Export the table cel as CSV or JSON Lines.")
    if _SQL.match(first):
        raise UserError(
            f"{name} looks like an SQL dump",
            "Import it and name the database, or export rows: mysql --batch -e 'select * from cel order by id'.",
        )
    if _QUEUE_LOG.match(first):
        raise UserError(f"{name} looks like Asterisk's queue_log", "cel2crm reads the table cel.")
    if b"\0" in first:
        raise UserError(f"{name} is binary, not text", "Give CSV with a header, or JSON Lines.")
