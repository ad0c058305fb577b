"""The position of a consumer group on a partition."""

from typing import NamedTuple

METADATA_LIMIT = 4000
"""Bytes of metadata in a commit. A broker refuses more than 4096 (`offset.metadata.max.bytes`)."""


class Committed(NamedTuple):
    """A group's committed offset, and the metadata that was committed with it."""

    offset: int
    metadata: str
