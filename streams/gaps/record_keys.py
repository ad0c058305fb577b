"""A record of the `cel` topic as what is compared: id, channel, call. As fast as can be, for there are millions."""

from collections.abc import Callable, Mapping
from typing import Any, Protocol

import msgspec
import orjson

from streams.rows.row import RowDecoder

_TOO_LARGE = 1 << 43


class RecordKeys(Protocol):
    """What is read of a record."""

    id: int
    uniqueid: str
    linkedid: str
    op: str
    pbx: str


def record_keys(aliases: Mapping[str, str], default_pbx: str) -> Callable[[bytes | None], RecordKeys | None]:
    """A function that reads a record's value; None: it is no row of a table.

    A row that the workers cannot read (a dead letter) has reached the topic too, so less is asked here.
    """
    column = RowDecoder(aliases, default_pbx).column
    names = {"id": column("id"), "uniqueid": column("uniqueid"), "linkedid": column("linkedid"),
             "op": "__op", "pbx": "__source_name"}  # fmt: skip
    kind: Any = msgspec.defstruct(
        "Keys",
        [("id", int), ("uniqueid", str, ""), ("linkedid", str, ""), ("op", str, "c"), ("pbx", str, default_pbx)],
        rename=names,
        gc=False,
    )
    fast = msgspec.json.Decoder(kind, strict=False).decode

    def read(value: bytes | None) -> RecordKeys | None:
        if value is None:
            return None
        try:
            keys: RecordKeys = fast(value)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return _leniently(value)
        return keys if 0 <= keys.id < _TOO_LARGE else None

    def _leniently(value: bytes) -> RecordKeys | None:
        try:
            columns = orjson.loads(value)
            row_id = int(str(columns[names["id"]])[:40])
        except (ValueError, TypeError, KeyError, IndexError):
            return None
        if not 0 <= row_id < _TOO_LARGE:
            return None
        texts = {name: str(columns.get(names[name]) or "") for name in ("uniqueid", "linkedid", "op", "pbx")}
        read_keys: RecordKeys = kind(
            row_id, texts["uniqueid"], texts["linkedid"], texts["op"] or "c", texts["pbx"] or default_pbx
        )
        return read_keys

    return read
