"""Records in and out: encoded for topics, read with the versions that the product ships or with the registry's."""

from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol

from schemas.codec import FRAME, Decoder, Encoder, MalformedRecord, Record, UnknownSchema, full_name, unframe
from schemas.headers import header_of, own_header
from schemas.source import WRITTEN_BY_0_1_0, Schema, load, released


class Registry(Protocol):
    """The part of registry.py that a serializer needs. Every method raises UserError when there is no registry."""

    async def register_schema(self, topic: str, name: str) -> int:
        """Register schema `name` for a topic's values: its id."""
        ...

    async def versions(self, topic: str) -> list[tuple[int, Schema]]:
        """Id and schema of every version of a topic's values."""
        ...

    async def schema(self, schema_id: int) -> Schema | None:
        """The schema of an id; None: the registry has none."""
        ...


class ChangedId(NamedTuple):
    """An id that stands in records, and that the registry now gives to another schema, or to none."""

    schema_id: int
    written_as: str
    """The schema header of the records: what the id meant when they were written."""
    now: str | None
    """The same of the schema that has the id now, or its full name; None: no schema has it."""


class Serializer:
    """Encodes and decodes records of the schemas that it was given. Only its coroutines ask the registry.

    Records of ours are read by their header (schemas/headers.py) with the versions that the product ships, whatever the
    registry holds: `decode_own`. Records of others are read as they say, by the registry's id: `decode`.
    """

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._encoders: dict[str, Encoder] = {}
        self._readers: dict[str, tuple[str, Schema]] = {}
        self._by_header: dict[bytes, tuple[str, Decoder]] = {}
        self._without_header: dict[str, bytes] = {}
        """By name of the schema, the header that the records of 0.1.0 would have."""
        self._decoders: dict[int, tuple[str, Decoder]] = {}
        self._foreign: dict[int, str] = {}
        self._meanings: dict[int, str] = {}
        """By id, the schema that the registry gave for it: its header, or its full name."""
        self._written: dict[str, tuple[str, int]] = {}
        """By topic, the schema that is registered for it, and its id."""
        self._seen: set[tuple[int, bytes]] = set()
        self._recognised: set[tuple[str, bytes | None, bytes]] = set()
        """Name, header, and the bytes before the body."""
        self._compared: set[tuple[int, bytes]] = set()

    async def register(self, topic: str, name: str) -> None:
        """Register schema `name` under the subject `<topic>-value`, to write its records, and learn what stands there.

        Raises UserError when there is no registry, or when it refuses the schema.
        """
        schema_id = await self._registry.register_schema(topic, name)
        self._written[topic] = name, schema_id
        self.add_schema(name, schema_id)
        for schema_id, writer in await self._registry.versions(topic):
            self.add_version(schema_id, writer)

    def encode(self, name: str, record: Mapping[str, Any]) -> bytes:
        """A record of schema `name`, which was registered, in the Confluent wire format.

        Raises ValueError or TypeError if it does not fit. The record's headers are `own_headers(name)`.
        """
        return self._encoders[name].encode(record)

    def decode_own(self, value: bytes | None, name: str, header: bytes | None) -> Record:
        """The record of ours in `value`, of schema `name`, in our form of it; the registry makes no difference.

        `header`: the record's schema header; None is a record of 0.1.0. Raises MalformedRecord, or UnknownSchema for a
        version that is not shipped with the product (a later release wrote it).
        """
        schema_id, body, header, decoder = self._own(value, name, header)
        record = decoder.decode(body)
        self._seen.add((schema_id, header))
        return record

    def recognise_own(self, value: bytes, name: str, header: bytes | None) -> bool:
        """Whether `decode_own` knows the schema of a record, which counts as read; the body is not looked at."""
        if (name, header, value[:FRAME]) in self._recognised:
            return True
        try:
            schema_id, _, written_as, _ = self._own(value, name, header)
        except (MalformedRecord, UnknownSchema):
            return False
        self._seen.add((schema_id, written_as))
        self._recognised.add((name, header, value[:FRAME]))
        return True

    def decode_own_first(self, value: bytes | None, name: str, header: bytes | None, last: str) -> Record:
        """As `decode_own`, the fields up to `last` alone, as they were written; what stands behind is not looked at."""
        _, body, _, decoder = self._own(value, name, header)
        return decoder.decode_first(body, last)

    def _own(self, value: bytes | None, name: str, header: bytes | None) -> tuple[int, memoryview, bytes, Decoder]:
        """Schema id, body, header and decoder of a record of ours. Raises MalformedRecord or UnknownSchema."""
        schema_id, body = unframe(value)
        if header is None:
            header = self._without_header[name]
        found = self._by_header.get(header)
        if found is None:
            raise UnknownSchema(schema_id, header)
        own_name, decoder = found
        if own_name != name:
            raise MalformedRecord(f"a record of schema {own_name}, where {name} is expected")
        return schema_id, body, header, decoder

    def decode(self, value: bytes | None, name: str | None = None) -> Record:
        """The record in `value` by its id in the registry, in our form of it; with `name`, only of that schema.

        Raises MalformedRecord, and UnknownSchema for an id that came up after the start: then `read` can ask.
        """
        schema_id, body = unframe(value)
        found = self._decoders.get(schema_id)
        if found is None:
            if (why := self._foreign.get(schema_id)) is not None:
                raise MalformedRecord(why)
            raise UnknownSchema(schema_id)
        own_name, decoder = found
        if name is not None and own_name != name:
            raise MalformedRecord(f"a record of schema {own_name}, where {name} is expected")
        return decoder.decode(body)

    async def read(self, value: bytes | None, name: str, header: bytes | None = None) -> Record:
        """As `decode_own`; the registry is asked for what that cannot read.

        A record with a header is read by the schema of its id only where that is the one of the header. One without,
        which 0.1.0 did not write, is another program's, and read by its id. Raises MalformedRecord; UserError when
        there is no registry to ask.
        """
        try:
            return self.decode_own(value, name, header)
        except UnknownSchema as unknown:
            schema_id, why = unknown.schema_id, MalformedRecord(str(unknown))
        except MalformedRecord as malformed:
            if header is not None:
                raise
            (schema_id, _), why = unframe(value), malformed
        if schema_id not in self._meanings:
            writer = await self._registry.schema(schema_id)
            if writer is None:
                # Not remembered: a registry that is being restored may know it later.
                raise MalformedRecord(f"{why}; schema id {schema_id} is not in the registry") from None
            self.add_version(schema_id, writer)
        meaning = self._meanings[schema_id]
        if header is not None and meaning.encode() != header:
            raise MalformedRecord(f"{why} (its id {schema_id} is there {meaning})")
        if header is None and meaning.encode() == self._without_header[name]:
            raise why
        return self.decode(value, name)

    async def changed_ids(self) -> list[ChangedId]:
        """The ids of the records decoded by `decode_own` since the last call that mean something else in the registry.

        Raises UserError when there is no registry.
        """
        changed = []
        for schema_id, header in sorted(self._seen - self._compared):
            if schema_id not in self._meanings:
                writer = await self._registry.schema(schema_id)
                if writer is not None:
                    self.add_version(schema_id, writer)
            now = self._meanings.get(schema_id)
            if now != header.decode():
                changed.append(ChangedId(schema_id, header.decode(), now))
            self._compared.add((schema_id, header))
        return changed

    async def register_again(self) -> list[ChangedId]:
        """Where ids that records are written with mean something else in the registry, or nothing: register anew.

        The ids that changed; none: everything is as it was. Raises UserError when there is no registry, or when it
        refuses a schema; then it is to be called again.
        """
        changed = []
        for name, schema_id in sorted(set(self._written.values())):
            written_as = own_header(name).decode()
            writer = await self._registry.schema(schema_id)
            now = None if writer is None else self._meaning(writer)
            if now != written_as:
                changed.append(ChangedId(schema_id, written_as, now))
        if changed:
            for known in (self._decoders, self._foreign, self._meanings, self._compared):
                known.clear()
            for topic, (name, _) in list(self._written.items()):
                await self.register(topic, name)
        return changed

    def _meaning(self, writer: Schema) -> str:
        full = full_name(writer)
        reader = self._readers.get(full)
        return header_of(reader[0], writer).decode() if reader else full or "a schema without a name"

    def add_schema(self, name: str, schema_id: int) -> None:
        """Take schema `name` up, for writing too, under the id that the registry gave it."""
        self._encoders[name] = Encoder(self.expect(name), schema_id)
        self.add_version(schema_id, load(name))

    def add_version(self, schema_id: int, writer: Schema) -> None:
        """Take up how another version, or another program, wrote the records of an id."""
        full = full_name(writer)
        reader = self._readers.get(full)
        if reader is None:
            self._meanings[schema_id] = full or "a schema without a name"
            self._foreign[schema_id] = f"a record {full or 'without a name'}, which is not one of ours here"
            return
        name, schema = reader
        header = header_of(name, writer)
        self._meanings[schema_id] = header.decode()
        known = self._by_header.get(header) or (name, Decoder(writer, schema))
        self._by_header[header] = self._decoders[schema_id] = known

    def expect(self, name: str) -> Schema:
        """Read records of schema `name` from now on, whichever version wrote them, in our form of it."""
        schema = load(name)
        if name not in self._without_header:
            self._readers[full_name(schema)] = (name, schema)
            versions = released(name)
            for writer in versions.values():
                self._by_header[header_of(name, writer)] = (name, Decoder(writer, schema))
            self._without_header[name] = header_of(name, versions[WRITTEN_BY_0_1_0.get(name, 1)])
        return schema
