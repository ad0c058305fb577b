"""The records that stand on Kafka: one `.avsc` file each, the only source of their form.

    serializer = await SchemaRegistry(url).register({topic: "call_result", ...})
    value = serializer.encode("call_result", record)
    record = serializer.decode(value)

Who only reads asks for a `reader` instead, which registers nothing.

Times are plain integers on both sides (the unit is the field's logical type); the registered schema keeps the logical
type for readers that know it.
"""

from schemas.codec import MalformedRecord, UnknownSchema
from schemas.registry import SchemaRegistry, Serializer
from schemas.source import load, names, text

__all__ = ["MalformedRecord", "SchemaRegistry", "Serializer", "UnknownSchema", "load", "names", "text"]
