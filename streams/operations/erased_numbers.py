"""The topic erased-numbers, read by commands: what replays and exports obey."""

from streams.calls.pbx_profile import PbxProfile
from streams.operations import connection as operations
from streams.operations.connection import Connection
from streams.privacy.erased import ErasedNumbers
from streams.settings import Settings
from streams.topics import ERASED_NUMBERS

ErasedRecord = tuple[bytes | None, bytes | None]
"""Key and value of a record."""


async def erased_records(settings: Settings) -> list[ErasedRecord]:
    """The records of the topic, for who has no connection. Raises UserError: no broker, no such topic."""
    async with operations.connect(settings) as connection:
        topic = connection.topic(ERASED_NUMBERS)
        return [(record.key, record.value) async for record in connection.topics.read(topic)]


async def erased_numbers(connection: Connection, profile: PbxProfile | None = None) -> ErasedNumbers:
    """The numbers that were erased. `profile`: of the settings, where it is at hand.

    Raises UserError: no broker, no such topic, or numbers were erased by a key that the settings do not name.
    """
    settings = connection.settings
    known = ErasedNumbers.of(settings, profile or PbxProfile.of(settings))
    async for record in connection.topics.read(connection.topic(ERASED_NUMBERS)):
        known.take(record.key, record.value)
    return known
