"""A client of the schema registry (Confluent's interface): registers what is written, finds how others write.

`SchemaRegistry.register` is for who writes to topics; `SchemaRegistry.reader` is for who only reads them, and leaves
the registry as it is.

Four calls with aiohttp, which is there already: confluent-kafka's AsyncSchemaRegistryClient lets the errors of an HTTP
library of its own out (httpx2, no dependency of ours), and takes a second to import.
"""

import asyncio
import json
import ssl
from collections.abc import Iterable, Mapping
from types import MappingProxyType, TracebackType
from typing import Any, NamedTuple, Self
from urllib.parse import quote, urlsplit

import aiohttp

from schemas.serializer import Serializer
from schemas.source import Schema, text
from streams.errors import UserError
from streams.tls_failures import tls_failure

COMPATIBILITY = "FULL_TRANSITIVE"
"""Every version reads every other: old readers stay alive, and old records stay readable."""

MEDIA_TYPE = "application/vnd.schemaregistry.v1+json"
NOT_FOUND, CONFLICT, UNPROCESSABLE, SERVER_ERROR = 404, 409, 422, 500
LOGIN_REFUSED = (401, 403)
NO_SUBJECT = 40401
"""The interface's own code: the registry is there, and the subject is not. Any other 404 is another server's."""

_ATTEMPTS = 20
_ATTEMPT_SECONDS = 0.1


class HttpAccess(NamedTuple):
    """How a client logs in to a server with an HTTP interface, and whom it trusts."""

    headers: Mapping[str, str] = MappingProxyType({})
    """Of every request; may hold a password."""
    tls: ssl.SSLContext | bool = True
    """True: what the system trusts."""

    def explained(self, error: Exception) -> str:
        """Why no connection was made, or why it ended."""
        words = str(error) or type(error).__name__
        # TLS 1.3 tells who has no certificate only after the handshake, and aiohttp does not hand the alert on.
        if isinstance(self.tls, ssl.SSLContext) and isinstance(
            error, aiohttp.ServerDisconnectedError | ConnectionError
        ):
            words += "; it may want a client's certificate: ssl_certificate_file and ssl_key_file"
        return words

    def session(self, timeout: aiohttp.ClientTimeout) -> aiohttp.ClientSession:
        """A session to that server. Needs the running event loop."""
        return aiohttp.ClientSession(
            timeout=timeout, headers=self.headers, connector=aiohttp.TCPConnector(ssl=self.tls)
        )


class RegistryRefusal(Exception):
    """The registry answered with an error of its own."""

    def __init__(self, status: int, message: str, code: int | None = None) -> None:
        super().__init__(f"HTTP {status}: {message}")
        self.status = status
        self.message = message
        self.code = code


class NoRegistry(UserError):
    """No registry answers, or it cannot serve now: it may later."""


class SchemaRegistry:
    """A client of one registry, to be closed or used in `async with`.

    Its serializers need it afterwards only in their coroutines.
    """

    def __init__(self, url: str, *, access: HttpAccess | None = None, timeout_seconds: float = 10.0) -> None:
        """`access`: how to log in; None: an open registry (streams/http/service.py has it from the settings)."""
        self._url = url.rstrip("/")
        self._access = access or HttpAccess()
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

    async def register(self, schemas: Mapping[str, str]) -> Serializer:
        """A serializer that writes and reads records of `{topic: schema name}`. See Serializer.register."""
        serializer = Serializer(self)
        for topic, name in schemas.items():
            await serializer.register(topic, name)
        return serializer

    def reader(self, names: Iterable[str]) -> Serializer:
        """A serializer that reads records of these schemas; the registry is asked only for what it cannot read."""
        serializer = Serializer(self)
        for name in names:
            serializer.expect(name)
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

    async def require(self) -> None:
        """Raise UserError where no registry answers at its address."""
        try:
            await self._call("GET", "/subjects")
        except RegistryRefusal as refusal:
            raise self._unusable(refusal) from None

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
            self._session = self._access.session(self._timeout)
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
            if failure := tls_failure(error):
                raise UserError(
                    f"the schema registry at {without_password(self._url)} cannot be used: {failure.problem}",
                    f"{failure.remedy} (registry.url and registry.ssl_*)",
                ) from None
            raise NoRegistry(
                f"no schema registry at {without_password(self._url)} ({self._access.explained(error)})",
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
        if refusal.status in LOGIN_REFUSED:
            return UserError(
                f"the schema registry at {without_password(self._url)} refuses the login: {refusal}",
                "Check registry.username and registry.password_file, and what that user may do there.",
            )
        kind = NoRegistry if refusal.status >= SERVER_ERROR else UserError
        return kind(
            f"the schema registry at {without_password(self._url)} answers {refusal}",
            "Check registry.url: it must lead to Confluent's interface (Apicurio has it under /apis/ccompat/v7).",
        )


def without_password(url: str) -> str:
    """An address without the user and password that may stand in it."""
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()


def _record_schema(schema_text: str) -> Schema:
    schema = json.loads(schema_text)
    return schema if isinstance(schema, dict) else {"type": schema}
