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
_CHECKSUM_BYTES = 4
_SIZE = _FIELDS.size + _CHECKSUM_BYTES


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
    return fields + _checksum(fields, key, value)


def trusted_digest(header: bytes, key: bytes, value: bytes) -> Digest | None:
    """The digest in a record's header; None: it is of another layout, damaged, or of another record."""
    fields = header[: _FIELDS.size]
    if len(header) != _SIZE or header[0] != LAYOUT or header[_FIELDS.size :] != _checksum(fields, key, value):
        return None
    return Digest._make(_FIELDS.unpack(fields)[1:])


def _checksum(fields: bytes, key: bytes, value: bytes) -> bytes:
    return crc32(value, crc32(fields + key)).to_bytes(_CHECKSUM_BYTES, "big")
