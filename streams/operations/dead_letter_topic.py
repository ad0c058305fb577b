"""The topic of dead letters, read by commands: the letters with their resolutions, and the bytes that they hold."""

from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import replace
from typing import Any

import msgspec

from schemas import MalformedRecord, UnknownSchema, written_as
from streams.dead_letter_reasons import REMEDY, DeadLetterReason
from streams.operations.connection import Connection, schemas_of
from streams.operations.dead_letters import Filter, Letter
from streams.operations.resolutions import ResolutionLog
from streams.topics import DEAD_LETTERS

_EARLIER_MS = 3_600_000
"""A letter is written when it fails; the clocks of worker and broker may be this far apart."""


async def letters_of(
    connection: Connection, wanted: Filter, resolutions: ResolutionLog | None = None
) -> AsyncIterator[tuple[Letter, dict[str, Any]]]:
    """The letters that are meant, each with its record; memory follows the resolutions, not the letters.

    `resolutions`: read on before the letters are, and not meanwhile. Raises UserError: no broker, no topic.
    """
    done = ResolutionLog(connection) if resolutions is None else resolutions
    await done.read_on()
    since_ms = None if wanted.since is None else wanted.since // 1000 - _EARLIER_MS
    partitions = {partition for partition, _ in wanted.places} if wanted.places and not wanted.calls else None
    async for record in connection.topics.read(connection.topic(DEAD_LETTERS), partitions, since_ms=since_ms):
        try:
            fields = await connection.read(record, DEAD_LETTERS.schema)
        except MalformedRecord:
            continue  # not ours: shown by no list, touched by no command
        letter = letter_of(fields, record.partition, record.offset)
        letter = replace(letter, resolved=done.of(letter.place))
        if wanted.fits(letter):
            yield letter, fields


def letter_of(fields: Mapping[str, Any], partition: int, offset: int) -> Letter:
    """The letter of a record of the topic."""
    return Letter(
        partition=partition,
        offset=offset,
        component=fields["component"],
        reason=fields["reason"],
        explanation=fields["explanation"],
        failed_at=fields["failed_at"],
        call_id=fields["call_id"],
        portal=fields["portal"],
        source=(fields["topic"], fields["partition"], fields["offset"]),
        remedy=_remedy(fields),
    )


def _remedy(fields: Mapping[str, Any]) -> str | None:
    """The command in a letter about records that are gone; other letters bear the headers of somebody's record."""
    if fields["reason"] not in (DeadLetterReason.EXPIRED_ROWS.code, DeadLetterReason.EXPIRED_RESULTS.code):
        return None
    found = next((header["value"] for header in fields["headers"] if header["name"] == REMEDY), None)
    return None if found is None else found.decode("utf-8", "replace")


def decoded(fields: Mapping[str, Any], connection: Connection) -> Iterator[tuple[str, Any]]:
    """Key, value and headers of the untouched record, by name, as far as they can be read."""
    headers = [(header["name"], header["value"]) for header in fields["headers"]]
    yield "key", readable(fields["key"])
    schema = schemas_of(connection.settings).get(fields["topic"])
    try:
        if schema is None:
            raise MalformedRecord("not a topic of ours")
        yield "value", connection.serializer.decode_own(fields["value"], schema, written_as(headers))
    except (MalformedRecord, UnknownSchema):
        yield "value", readable(fields["value"])
    for name, value in headers:
        yield f"header {name}", readable(value)


def readable(value: bytes | None) -> Any:
    """Members of JSON; text as text, anything else in hexadecimal."""
    if value is None:
        return None
    try:
        return [msgspec.json.decode(line) for line in value.splitlines()] if value.startswith(b"{") else value.decode()
    except (msgspec.DecodeError, UnicodeDecodeError):
        return value.hex(" ")
