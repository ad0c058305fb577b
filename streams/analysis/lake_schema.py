"""The columns of exported files: the fields of a record, with the types that readers of Parquet know."""

from typing import Any

import pyarrow as pa

from schemas import load

TIME = pa.timestamp("us", tz="UTC")

_TYPES = {
    "string": pa.string(),
    "int": pa.int32(),
    "long": pa.int64(),
    "double": pa.float64(),
    "boolean": pa.bool_(),
}

OF_RECORDS = (pa.field("origin", pa.string(), nullable=False), pa.field("processed_at", TIME))
"""Columns of results beside their fields: what headers say of the record."""


def columns_of(name: str, *beside: pa.Field) -> pa.Schema:
    """The columns of the records of a schema. What a field means stands in its metadata, under `doc`."""
    fields = []
    for field in load(name)["fields"]:
        kind, nullable = _plain(field["type"])
        fields.append(pa.field(field["name"], _arrow(kind), nullable, metadata={"doc": field["doc"]}))
    return pa.schema([*fields, *beside])


def _plain(kind: Any) -> tuple[Any, bool]:
    """The one type of a union with null, and whether it is one."""
    if isinstance(kind, list):
        (inner,) = (branch for branch in kind if branch != "null")
        return inner, True
    return kind, False


def _arrow(kind: Any) -> pa.DataType:
    if isinstance(kind, str):
        return _TYPES[kind]
    if kind.get("logicalType") == "timestamp-micros":
        return TIME
    if kind["type"] == "array":
        return pa.list_(pa.field("element", _arrow(kind["items"]), nullable=False))
    raise TypeError(f"no column for the type {kind}")
