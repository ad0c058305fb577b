"""The digest of a delivery that is over, in a header of its record: all that a worker keeps of it in memory.

A new owner takes finished calls over by their digests, without decoding their records. A digest belongs to one record:
it ends with a checksum of itself, the key and the value. One that does not fit, of another layout, or beside a value
that this version cannot read is not trusted: the record is decoded then, as one without a digest is.

Layout, 37 bytes, big-endian: layout (1 byte, 1), version, correction, updated_at, source_offset (8 bytes each; the
fields of schemas/delivery.avsc), CRC-32 of all that and of the record's key and value (4 bytes).
"""

import struct
from typing import NamedTuple
from zlib import crc32

from streams.clock import UtcMicros
from streams.delivery.record import Delivery

DIGEST = "digest"
"""Name of the header."""

LAYOUT = 1

_FIELDS = struct.Struct(">Bqqqq")
_CHECKED = _FIELDS.size
_ALL = struct.Struct(">BqqqqI")
_SIZE = _ALL.size
_unpack = _ALL.unpack
_make = tuple.__new__
"""Once for each of millions of records: a third of what the class takes by its fields."""


class Digest(NamedTuple):
    """What counts of a delivery that is over; the fields are those of Delivery."""

    version: int
    correction: int
    updated_at: UtcMicros
    source_offset: int


def digest_of(delivery: Delivery, key: bytes, value: bytes) -> bytes | None:
    """The header for a delivery's record; None: the delivery is not over. `key`, `value`: of the record."""
    if not delivery.over:
        return None
    fields = _FIELDS.pack(LAYOUT, delivery.version, delivery.correction, delivery.updated_at, delivery.source_offset)
    return fields + crc32(value, crc32(fields + key)).to_bytes(4, "big")


def trusted_digest(header: bytes, key: bytes, value: bytes) -> Digest | None:
    """The digest in a record's header; None: it is of another layout, damaged, or of another record."""
    if len(header) != _SIZE:
        return None
    layout, version, correction, updated_at, source_offset, checksum = _unpack(header)
    if layout != LAYOUT or crc32(value, crc32(key, crc32(header[:_CHECKED]))) != checksum:
        return None
    return _make(Digest, (version, correction, updated_at, source_offset))
