"""A client of the schema registry (Confluent's interface): registers what is written, finds how others write.

`SchemaRegistry.register` is for who writes to topics; `SchemaRegistry.reader` is for who only reads them, and leaves
the registry as it is.

Four calls with aiohttp, which is there already: confluent-kafka's AsyncSchemaRegistryClient lets the errors of an HTTP
library of its own out (httpx2, no dependency of ours), and takes a second to import.
"""

import asyncio
import json
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote, urlsplit

import aiohttp

from schemas.codec import Decoder, Encoder, MalformedRecord, Record, UnknownSchema, full_name, unframe
from schemas.source import Schema, load, text
from streams.errors import UserError

COMPATIBILITY = "FULL_TRANSITIVE"
"""Every version reads every other: old readers stay alive, and old records stay readable."""

MEDIA_TYPE = "application/vnd.schemaregistry.v1+json"
NOT_FOUND, CONFLICT, UNPROCESSABLE = 404, 409, 422
NO_SUBJECT = 40401
"""The interface's own code: the registry is there, and the subject is not. Any other 404 is another server's."""

_ATTEMPTS = 20
_ATTEMPT_SECONDS = 0.1


class RegistryRefusal(Exception):
    """The registry answered with an error of its own."""

    def __init__(self, status: int, message: str, code: int | None = None) -> None:
        super().__init__(f"HTTP {status}: {message}")
        self.status = status
        self.message = message
        self.code = code


class SchemaRegistry:
    """A client of one registry, to be closed or used in `async with`.

    Its serializers need it afterwards only in their coroutines.
    """

    def __init__(self, url: str, *, timeout_seconds: float = 10.0) -> None:
        self._url = url.rstrip("/")
        self._timeout = aiohttp.ClientTimeout(total=timeout_seconds)
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections; may be called twice."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def register(self, schemas: Mapping[str, str]) -> "Serializer":
        """A serializer that writes and reads records of `{topic: schema name}`. See Serializer.register."""
        serializer = Serializer(self)
        for topic, name in schemas.items():
            await serializer.register(topic, name)
        return serializer

    async def reader(self, schemas: Mapping[str, str]) -> "Serializer":
        """A serializer that reads records of `{topic: schema name}`; nothing is registered. See Serializer.learn."""
        serializer = Serializer(self)
        for topic, name in schemas.items():
            await serializer.learn(topic, name)
        return serializer

    async def schema(self, schema_id: int) -> Schema | None:
        """The schema of an id, None when the registry has none. Raises UserError when there is no registry."""
        try:
            answer = await self._call("GET", f"/schemas/ids/{schema_id}")
        except RegistryRefusal as refusal:
            if refusal.status == NOT_FOUND:
                return None
            raise self._unusable(refusal) from None
        return _record_schema(answer["schema"])

    async def register_schema(self, topic: str, name: str) -> int:
        """Register schema `name` under the subject `<topic>-value`: its id. Raises UserError."""
        subject = f"{topic}-value"
        try:
            known = await self._set_compatibility(subject)
            answer = await self._call("POST", f"/subjects/{quote(subject, safe='')}/versions", {"schema": text(name)})
            if not known:
                await self._set_compatibility(subject)
        except RegistryRefusal as refusal:
            if refusal.status in (CONFLICT, UNPROCESSABLE):
                raise UserError(
                    f"schema {name} does not fit the versions of {subject} ({COMPATIBILITY}): {refusal.message}",
                    "Readers of older versions would break: add fields with a default only, remove only such fields, "
                    "keep types. An older version of cel2crm against a newer topic is refused the same way.",
                ) from None
            raise self._unusable(refusal) from None
        return int(answer["id"])

    async def _set_compatibility(self, subject: str) -> bool:
        """Set before registering, so that it holds for this version; False: the registry wants the subject first."""
        for attempt in range(_ATTEMPTS):
            try:
                await self._call("PUT", f"/config/{quote(subject, safe='')}", {"compatibility": COMPATIBILITY})
            except RegistryRefusal as refusal:
                if refusal.status == NOT_FOUND:
                    return False
                if refusal.status != CONFLICT or attempt + 1 == _ATTEMPTS:
                    raise
                # Another worker that starts now is setting it: Apicurio refuses one of two at the same moment.
                await asyncio.sleep(_ATTEMPT_SECONDS)
            else:
                break
        return True

    async def versions(self, topic: str) -> list[tuple[int, Schema]]:
        """Id and schema of every version of a topic's values; none where nobody has registered one. Raises UserError.

        With them, records written before an upgrade decode without asking.
        """
        path = f"/subjects/{quote(f'{topic}-value', safe='')}/versions"
        try:
            versions = [await self._call("GET", f"{path}/{number}") for number in await self._call("GET", path)]
        except RegistryRefusal as refusal:
            if refusal.code == NO_SUBJECT:
                return []
            raise self._unusable(refusal) from None
        return [(int(version["id"]), schema) for version in versions if (schema := _record_schema(version["schema"]))]

    async def _call(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        if self._session is None:
            self._session = aiohttp.ClientSession(timeout=self._timeout)
        try:
            async with self._session.request(
                method,
                self._url + path,
                data=None if body is None else json.dumps(body),
                headers={"Content-Type": MEDIA_TYPE, "Accept": f"{MEDIA_TYPE}, application/json"},
            ) as response:
                answer = await response.read()
                status = response.status
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            raise UserError(
                f"no schema registry at {without_password(self._url)} ({str(error) or type(error).__name__})",
                "Start it, or set registry.url to where Confluent's interface is (Apicurio: under /apis/ccompat/v7).",
            ) from None
        try:
            decoded = json.loads(answer) if answer else None
        except ValueError:
            decoded = None
        if status >= 300:
            answered = decoded if isinstance(decoded, dict) else {}
            message = str(answered.get("message") or answer[:200].decode("utf-8", "replace"))
            raise RegistryRefusal(status, message, answered.get("error_code"))
        if decoded is None:
            raise RegistryRefusal(status, "the answer is not JSON")
        return decoded

    def _unusable(self, refusal: RegistryRefusal) -> UserError:
        return UserError(
            f"the schema registry at {without_password(self._url)} answers {refusal}",
            "Check registry.url: it must lead to Confluent's interface (Apicurio has it under /apis/ccompat/v7).",
        )


class Serializer:
    """Encodes and decodes records of the schemas that it was given. Only its coroutines ask the registry."""

    def __init__(self, registry: SchemaRegistry) -> None:
        self._registry = registry
        self._encoders: dict[str, Encoder] = {}
        self._readers: dict[str, tuple[str, Schema]] = {}
        self._decoders: dict[int, tuple[str, Decoder]] = {}
        self._foreign: dict[int, str] = {}

    async def register(self, topic: str, name: str) -> None:
        """Register schema `name` under the subject `<topic>-value`, to write its records, and learn what stands there.

        Raises UserError when there is no registry, or when it refuses the schema.
        """
        self.add_schema(name, await self._registry.register_schema(topic, name))
        await self.learn(topic, name)

    async def learn(self, topic: str, name: str) -> None:
        """Be ready to read a topic's records, of schema `name`, whichever version wrote them. Nothing is registered.

        Raises UserError when there is no registry.
        """
        self._expect(name)
        for schema_id, writer in await self._registry.versions(topic):
            self.add_version(schema_id, writer)

    def encode(self, name: str, record: Mapping[str, Any]) -> bytes:
        """A record of schema `name`, which was registered, in the Confluent wire format.

        Raises ValueError or TypeError if it does not fit.
        """
        return self._encoders[name].encode(record)

    def decode(self, value: bytes | None, name: str | None = None) -> Record:
        """The record in `value`, in our form of it; with `name`, only of that schema.

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

    async def read(self, value: bytes | None, name: str | None = None) -> Record:
        """As `decode`, asking the registry once for a schema id that is not known yet.

        Raises MalformedRecord; UserError when there is no registry to ask.
        """
        try:
            return self.decode(value, name)
        except UnknownSchema as unknown:
            writer = await self._registry.schema(unknown.schema_id)
            if writer is None:
                # Not remembered: a registry that is being restored may know it later.
                raise MalformedRecord(f"schema id {unknown.schema_id} is not in the registry") from None
            self.add_version(unknown.schema_id, writer)
            return self.decode(value, name)

    def add_schema(self, name: str, schema_id: int) -> None:
        """Take schema `name` up, for writing too, under the id that the registry gave it."""
        self._encoders[name] = Encoder(self._expect(name), schema_id)
        self.add_version(schema_id, load(name))

    def add_version(self, schema_id: int, writer: Schema) -> None:
        """Take up how another version, or another program, wrote the records of an id."""
        reader = self._readers.get(full_name(writer))
        if reader is None:
            self._foreign[schema_id] = (
                f"a record {full_name(writer) or 'without a name'}, which is not one of ours here"
            )
        else:
            name, schema = reader
            self._decoders[schema_id] = (name, Decoder(writer, schema))

    def _expect(self, name: str) -> Schema:
        """Read records of schema `name` from now on, in our form of it."""
        schema = load(name)
        self._readers[full_name(schema)] = (name, schema)
        return schema


def without_password(url: str) -> str:
    """An address without the user and password that may stand in it."""
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()


def _record_schema(schema_text: str) -> Schema:
    schema = json.loads(schema_text)
    return schema if isinstance(schema, dict) else {"type": schema}
