"""A CEL row: what Asterisk wrote for one event, decoded from the record that Debezium made of it."""

from collections.abc import Callable, Mapping, Sequence
from operator import itemgetter
from typing import Annotated, Any

import msgspec
import orjson

from streams.errors import UnreadableRow
from streams.rows.event_type import event_name

TEXT_LIMIT = 4096
"""Longest text kept of a column. No PBX has such columns (FreePBX: 512 at most): more is damage or an attack."""

_LONG_RECORD = 16 * 1024
"""Records shorter than this (bytes) are taken as they are: at most a few columns can exceed the limit, by little."""


_TOO_LARGE = 1 << 43  # ids: the version holds them shifted left by 20 bits, in a long
_Count = Annotated[int, msgspec.Meta(ge=0, lt=_TOO_LARGE)]
_Given = Annotated[str, msgspec.Meta(min_length=1)]


class CelRow(msgspec.Struct, frozen=True, gc=False):
    """One row of Asterisk's `cel` table: the columns that the product reads, as logged."""

    id: _Count
    eventtype: _Given
    eventtime: _Given
    linkedid: _Given
    uniqueid: str = ""
    channame: str = ""
    cid_name: str = ""
    cid_num: str = ""
    cid_ani: str = ""
    cid_rdnis: str = ""
    cid_dnid: str = ""
    exten: str = ""
    context: str = ""
    appname: str = ""
    appdata: str = ""
    peer: str = ""
    userdeftype: str = ""
    extra: str = ""


COLUMNS = CelRow.__struct_fields__
"""The columns that the product reads, by the names that Asterisk gives them. Their order is that of checkpoints."""

_LONGEST_NUMBER = 40  # digits: Python refuses to convert thousands of them
_REQUIRED = ("eventtype", "eventtime", "linkedid")
_AFTER_DIGITS = ":"
"""Event types that sort before this begin with a digit: numbers where names should be."""


class CapturedRow(CelRow, frozen=True, gc=False):
    """A CEL row with what the capture says of it."""

    op: _Given = msgspec.field(name="__op", default="c")
    """`c`: streamed from the binlog; `r`: backfilled by a snapshot."""
    commit_ms: _Count = msgspec.field(name="__source_ts_ms", default=0)
    """When the database committed the row (Unix milliseconds)."""
    pbx: _Given = msgspec.field(name="__source_name", default="")
    """Name of the PBX: the connector's topic.prefix."""


def _of_pbx(default_pbx: str) -> type[CapturedRow]:
    """The type of rows that are of this PBX where their record does not say."""

    class NamedRow(CapturedRow, frozen=True, gc=False):
        pbx: _Given = msgspec.field(name="__source_name", default=default_pbx)

    return NamedRow


class RowDecoder:
    """Decodes records of the CEL topic.

    `aliases` maps `cel_<column>` to the name that the column has in this PBX's table (`database.column_name_aliases`).
    `others`: the decoders of PBXs whose tables have other names, by the PBX's name, for a topic with rows of several.
    """

    def __init__(
        self,
        aliases: Mapping[str, str] | None = None,
        default_pbx: str = "pbx1",
        others: "Mapping[str, RowDecoder] | None" = None,
    ) -> None:
        self._others = others or {}
        self._aliases = {column: (aliases or {}).get(f"cel_{column}", column) for column in COLUMNS}
        self._aliased = any(column != name for column, name in self._aliases.items())
        self._default_pbx = default_pbx
        self._row_type = _of_pbx(default_pbx)
        self._fast = msgspec.json.Decoder(self._row_type, strict=False)

    def column(self, name: str) -> str:
        """The name that a column has in this PBX's table."""
        return self._aliases[name]

    def decode(self, value: bytes | None) -> CapturedRow:
        """The row in a record's value.

        Raises UnreadableRow, which names the column that is missing or wrong.
        """
        if value is None:
            raise UnreadableRow("the record has no value (a tombstone)")
        if not self._aliased and len(value) < _LONG_RECORD:
            try:
                row = self._fast.decode(value)
            except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
                pass  # the slow way knows more spellings, or names what is wrong
            else:
                if row.uniqueid and row.eventtype >= _AFTER_DIGITS and row.pbx not in self._others:
                    return row
        try:
            columns = orjson.loads(value)
        except orjson.JSONDecodeError as error:
            raise UnreadableRow(f"not JSON: {error}") from None
        if not isinstance(columns, dict):
            raise UnreadableRow(f"not a JSON object but {type(columns).__name__}")
        decoder = self._others.get(str(columns.get("__source_name"))) if self._others else None
        return (decoder or self).from_columns(columns)

    def from_short_cells(self, header: Sequence[str]) -> Callable[[list[str]], CapturedRow]:
        """A function that makes a row of the cells of one line of a table with this header, none over TEXT_LIMIT.

        What is wrong with a row is named by `from_columns`.
        """
        places = {name: place for place, name in enumerate(header)}
        id_place, *others = (places.get(self._aliases[column], -1) for column in COLUMNS)
        picked, make = itemgetter(*others), self._row_type

        def row(values: list[str]) -> CapturedRow:
            values.append("")  # at -1: what a missing column holds
            row_id, texts = values[id_place], picked(values)
            is_named = texts[0] >= _AFTER_DIGITS and texts[1] and texts[2] and texts[3]
            if is_named and row_id.isdecimal() and row_id.isascii() and len(row_id) < 13:
                return make(int(row_id), *texts)  # positions are COLUMNS
            values.pop()
            return from_columns(values)

        def from_columns(values: list[str]) -> CapturedRow:
            return self.from_columns(dict(zip(header, values, strict=True)))

        return from_columns if any(name.startswith("__") for name in header) else row

    def from_columns(self, columns: Mapping[str, Any], row_id: int | None = None) -> CapturedRow:
        """The row in a mapping of column names to values. `row_id` stands in for an id that the source lacks."""
        texts = {column: _text(column, columns.get(name)) for column, name in self._aliases.items() if column != "id"}
        for column in _REQUIRED:
            if not texts[column]:
                raise UnreadableRow(f"column {self._aliases[column]} is missing or empty")
        if texts["eventtype"] < _AFTER_DIGITS:
            told = {column: texts[column] for column in ("userdeftype", "extra", "peer")}
            texts["eventtype"] = event_name(texts["eventtype"], **told)
        id_value = columns.get(self._aliases["id"], row_id)
        return CapturedRow(
            id=_integer(self._aliases["id"], id_value),
            op=str(columns.get("__op") or "c"),
            commit_ms=_integer("__source_ts_ms", columns.get("__source_ts_ms") or 0),
            pbx=str(columns.get("__source_name") or self._default_pbx),
            **(texts | {"uniqueid": texts["uniqueid"] or texts["linkedid"]}),
        )


def _text(column: str, value: object) -> str:
    if isinstance(value, str):
        return value if len(value) <= TEXT_LIMIT else value[:TEXT_LIMIT]
    if value is None:
        return ""
    if isinstance(value, bool | int | float):
        return str(value)
    if column == "extra":  # a JSON column, delivered as a value instead of text
        return _json_text(value)[:TEXT_LIMIT]
    raise UnreadableRow(f"column {column} holds {type(value).__name__}, not text")


def _json_text(value: object) -> str:
    try:
        return orjson.dumps(value).decode()
    except TypeError:  # nested deeper than any extra is
        return ""


def _whole_number(text: str) -> int | None:
    """Digits, or a number of JSON's that is whole ("1.0", "1E2"): as rows that are decoded at once have it."""
    if text.isascii() and text.isdigit() and len(text) < _LONGEST_NUMBER:
        return int(text)
    try:
        return msgspec.convert(text, int, strict=False)
    except msgspec.ValidationError:
        return None


def _integer(column: str, value: object) -> int:
    number = value
    if isinstance(value, float) and value.is_integer():
        number = int(value)
    if isinstance(value, str):
        number = _whole_number(value.strip())
    if not isinstance(number, int) or isinstance(number, bool):
        raise UnreadableRow(f"column {column} is missing or not a whole number: {str(value)[:40]!r}")
    if not 0 <= number < _TOO_LARGE:
        raise UnreadableRow(f"column {column} is out of range: {number}")
    return number
