"""Avro records in the Confluent wire format: a zero byte, the schema's id (4 bytes, big-endian), the Avro body.

Pure: no registry in it. Sources: https://docs.confluent.io/platform/current/schema-registry/fundamentals/serdes-develop/
(wire format), the Avro specification (schema resolution).
"""

import io
import struct
from collections.abc import Mapping
from typing import Any

import fastavro

from schemas.source import Schema

Record = dict[str, Any]

MAGIC = 0
_HEADER = struct.Struct(">bI")
FRAME = _HEADER.size
"""Bytes before the body."""


class MalformedRecord(ValueError):
    """The bytes are not a record of ours; the message says why. A matter for the dead letters."""


class UnknownSchema(LookupError):
    """The schema of a record is not known here; `await Serializer.read(..)` asks the registry for it."""

    def __init__(self, schema_id: int, written_as: bytes | None = None) -> None:
        words = f"schema id {schema_id} is not known here"
        if written_as is not None:
            words = (
                f"schema {written_as.decode(errors='replace')[:80]!r} wrote it, which neither this version of cel2crm "
                "nor the registry holds"
            )
        super().__init__(words)
        self.schema_id = schema_id


def unframe(value: bytes | None) -> tuple[int, memoryview]:
    """The schema's id and the Avro body.

    Raises MalformedRecord.
    """
    if value is None:
        raise MalformedRecord("no value (a tombstone)")
    if len(value) < _HEADER.size:
        raise MalformedRecord(f"{len(value)} bytes are too few for the Confluent wire format")
    magic, schema_id = _HEADER.unpack_from(value)
    if magic != MAGIC:
        raise MalformedRecord(f"begins with byte {value[0]}, where the Confluent wire format has 0")
    return schema_id, memoryview(value)[_HEADER.size :]


class Encoder:
    """Encodes the records of one schema."""

    def __init__(self, schema: Schema, schema_id: int) -> None:
        self._schema = fastavro.parse_schema(without_logical_types(schema))
        self._header = _HEADER.pack(MAGIC, schema_id)
        self.schema_id = schema_id

    def encode(self, record: Mapping[str, Any]) -> bytes:
        """A record in the wire format.

        Raises ValueError or TypeError for a record that does not fit, one with a field that the schema lacks included.
        """
        buffer = io.BytesIO()
        buffer.write(self._header)
        fastavro.schemaless_writer(buffer, self._schema, record, strict_allow_default=True)
        return buffer.getvalue()


class Decoder:
    """Decodes records of one writer's schema into our form of them (Avro schema resolution)."""

    def __init__(self, writer: Schema, reader: Schema) -> None:
        self.record_name = full_name(reader)
        self._bare_writer = without_logical_types(writer)
        self._writer = fastavro.parse_schema(self._bare_writer)
        self._first: dict[str, Any] = {}
        """By name of a field, the writer's schema up to it."""
        bare_reader = without_logical_types(reader)
        # Where both are one, fastavro need not resolve: twice as fast.
        self._reader = None if bare_reader == self._bare_writer else fastavro.parse_schema(bare_reader)

    def decode(self, body: memoryview) -> Record:
        """The record in `body`.

        Raises MalformedRecord, whatever the bytes are.
        """
        buffer = io.BytesIO(body)
        try:
            record = fastavro.schemaless_reader(buffer, self._writer, self._reader)
        except Exception as error:
            # fastavro documents no hierarchy: damaged bytes end in EOFError, IndexError, UnicodeDecodeError and others.
            raise MalformedRecord(f"no {self.record_name}: {type(error).__name__}: {error}") from error
        if buffer.tell() != len(body):
            raise MalformedRecord(f"{len(body) - buffer.tell()} bytes too many behind a {self.record_name}")
        if not isinstance(record, dict):
            raise MalformedRecord(f"no {self.record_name}: a {type(record).__name__}")
        return record

    def decode_first(self, body: memoryview, last: str) -> Record:
        """The writer's fields up to `last`, in a third of the time: Avro writes fields one after the other.

        What stands behind is not looked at. Raises MalformedRecord; KeyError: the writer has no field `last`.
        """
        if last not in self._first:
            names = [field["name"] for field in self._bare_writer["fields"]]
            if last not in names:
                raise KeyError(last)
            fields = self._bare_writer["fields"][: names.index(last) + 1]
            self._first[last] = fastavro.parse_schema({**self._bare_writer, "fields": fields})
        try:
            record: Any = fastavro.schemaless_reader(io.BytesIO(body), self._first[last], None)
        except Exception as error:  # see `decode`
            raise MalformedRecord(f"no {self.record_name}: {type(error).__name__}: {error}") from error
        return dict(record)


def full_name(schema: Schema) -> str:
    """`namespace.name` of a record's schema."""
    name = str(schema.get("name", ""))
    namespace = schema.get("namespace")
    return f"{namespace}.{name}" if namespace and "." not in name else name


def without_logical_types(schema: Any) -> Any:
    """The same wire format without logical types: fastavro would make datetime objects, and our times are integers."""
    if isinstance(schema, list):
        return [without_logical_types(branch) for branch in schema]
    if isinstance(schema, dict):
        bare = {
            key: without_logical_types(part) if key in ("type", "items", "values", "fields") else part
            for key, part in schema.items()
            if key not in ("logicalType", "doc") and not key.startswith("connect.")
        }
        return bare["type"] if set(bare) == {"type"} else bare
    return schema
