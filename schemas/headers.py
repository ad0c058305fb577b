"""The header that says which schema wrote a record of ours: `schema: call_result/1f3c9a5d7e2b4680`.

The name of the schema, a slash, and the CRC-64-AVRO fingerprint of its parsing canonical form in hexadecimal, its bytes
in the order of Avro's single-object encoding (https://avro.apache.org/docs/1.12.0/specification/, *Schema
fingerprints*). With it the product reads its own records though the registry has lost its schemas, or gives their ids
to others (docs/topics.md).
"""

from collections.abc import Iterable
from functools import cache

from fastavro.schema import fingerprint, to_parsing_canonical_form

from schemas.source import Schema, load

SCHEMA = "schema"
"""Name of the header."""

Headers = tuple[tuple[str, bytes], ...]


def header_of(name: str, schema: Schema) -> bytes:
    """The header's value for records that `schema`, a version of the schema `name`, wrote."""
    return f"{name}/{fingerprint(to_parsing_canonical_form(schema), 'CRC-64-AVRO')}".encode()


@cache
def own_header(name: str) -> bytes:
    """The header's value for what this version of the product writes.

    Raises LookupError for a name that has no file.
    """
    return header_of(name, load(name))


@cache
def own_headers(name: str) -> Headers:
    """`own_header` as the headers of a record."""
    return ((SCHEMA, own_header(name)),)


def written_as(headers: Iterable[tuple[str, bytes | None]]) -> bytes | None:
    """The header's value among a record's headers; None: the record has none, as those of 0.1.0."""
    for name, value in headers:
        if name == SCHEMA:
            return value
    return None
