"""The records that stand on Kafka: one `.avsc` file each, the only source of their form.

    serializer = await SchemaRegistry(url).register({topic: "call_result", ...})
    value, headers = serializer.encode("call_result", record), own_headers("call_result")
    record = serializer.decode_own(value, "call_result", written_as(headers))

Who only reads asks for a `reader` instead, which registers nothing. Our own records are read without the registry:
their header says which schema wrote them, and `released/` holds every version that ever did.

Times are plain integers on both sides (the unit is the field's logical type); the registered schema keeps the logical
type for readers that know it.
"""

from schemas.codec import MalformedRecord, UnknownSchema
from schemas.headers import SCHEMA, own_header, own_headers, written_as
from schemas.registry import NoRegistry, SchemaRegistry
from schemas.serializer import Serializer
from schemas.source import load, names, text

__all__ = [
    "SCHEMA",
    "MalformedRecord",
    "NoRegistry",
    "SchemaRegistry",
    "Serializer",
    "UnknownSchema",
    "load",
    "names",
    "own_header",
    "own_headers",
    "text",
    "written_as",
]
