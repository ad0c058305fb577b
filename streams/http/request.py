"""One HTTP request to a portal, told apart by what its end proves about its effect.

No secret leaves this module: what it says of a failure never holds an address beyond the host, a header or a body.
"""

import asyncio
import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from email.utils import parsedate_to_datetime
from types import SimpleNamespace
from typing import Any

import aiohttp
import orjson
from aiohttp.abc import AbstractResolver
from yarl import URL

from streams.clock import BootSeconds, boot_seconds
from streams.http.addresses import ForbiddenAddress

LONGEST_BODY = 4 * 1024 * 1024
"""Bytes. A longer answer is none of a CRM's."""

LONGEST_REMARK = 64 * 1024
"""Bytes. So much is read of an answer whose body decides nothing, so that its connection can be used again."""

CONNECT_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Reply:
    """A complete answer. `document` is its body as JSON, None where it is not JSON."""

    status: int
    headers: Mapping[str, str]
    document: Any
    body: bytes = b""

    def retry_after(self, now: int) -> int | None:
        """The time that Retry-After names, UTC microseconds by our clock."""
        value = self.headers.get("Retry-After", "").strip()
        if value.isdigit():
            return now + int(value) * 1_000_000
        moment, sent = _moment(value), self.date
        if moment is None or sent is None:
            return moment
        return now + max(0, moment - sent)

    @property
    def date(self) -> int | None:
        """When it was sent by the portal's clock, UTC microseconds, to the second."""
        return _moment(self.headers.get("Date", ""))


@dataclass(frozen=True, slots=True)
class NothingSent:
    """The request never went out: nobody there, name unknown, no TLS."""

    why: str
    needs_a_person: bool = False
    """A person must act: the certificate is not good, or the address is not one."""


@dataclass(frozen=True, slots=True)
class NoReply:
    """The request went out, or may have, and no complete answer came."""

    why: str


@dataclass(frozen=True, slots=True)
class TooLate:
    """The request's time was over before it went out."""


Ending = Reply | NothingSent | NoReply | TooLate


def session(
    sockets: aiohttp.SocketFactoryType | None = None, resolver: AbstractResolver | None = None
) -> aiohttp.ClientSession:
    """A session as portals want it: no cookies, no proxy or credentials from the environment.

    `sockets` makes its sockets (addresses.guarded), default: to any address; `resolver` finds addresses of names.
    """
    checked = aiohttp.TraceConfig()
    checked.on_connection_create_end.append(_still_in_time)
    checked.on_connection_reuseconn.append(_still_in_time)
    # In spite of its name aiohttp calls it before it writes, without letting go of the event loop in between.
    checked.on_request_chunk_sent.append(_still_in_time)
    return aiohttp.ClientSession(
        trace_configs=[checked],
        connector=aiohttp.TCPConnector(limit=0, ttl_dns_cache=60, socket_factory=sockets, resolver=resolver),
        cookie_jar=aiohttp.DummyCookieJar(),
        trust_env=False,
        headers={"User-Agent": "cel2crm"},
    )


async def _still_in_time(_: object, context: SimpleNamespace, __: object) -> None:
    """When the connection stands, and immediately before the bytes go out: the process may have been stopped."""
    if boot_seconds() >= context.trace_request_ctx:
        raise _OverError


class _OverError(Exception):
    """The request's time was over before its bytes went out."""


async def request(
    http: aiohttp.ClientSession,
    method: str,
    url: URL,
    *,
    until: BootSeconds,
    json: object = None,
    form: Mapping[str, str] | None = None,
    data: bytes | None = None,
    headers: Mapping[str, str] | None = None,
    status_decides: bool = False,
) -> Ending:
    """Send one request, never following a redirect, and end before `until` whatever happens.

    The body is `json`, or `form`, or the JSON in `data` to the byte. `status_decides`: the answer is complete with its
    status; of its body no more is read than a remark's length, and nothing of it proves anything.
    """
    left = until - boot_seconds()
    if left <= 0:
        return TooLate()
    data = orjson.dumps(json) if json is not None else data
    kind = {"Content-Type": "application/json"} if data is not None else {}
    limit = aiohttp.ClientTimeout(total=left, sock_connect=min(CONNECT_SECONDS, left))
    try:
        async with (
            asyncio.timeout(left),
            http.request(
                method,
                url,
                data=form if data is None else data,
                headers={**kind, **(headers or {})},
                allow_redirects=False,
                timeout=limit,
                trace_request_ctx=until,
            ) as response,
        ):
            body = await (_remark(response) if status_decides else _body(response))
            return Reply(response.status, response.headers, _document(body), body)
    except _OverError:
        return TooLate()
    except aiohttp.ClientConnectorCertificateError:
        return NothingSent(f"the certificate of {url.host} is not good", needs_a_person=True)
    except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
        if isinstance(getattr(error, "os_error", None), ForbiddenAddress):
            return NothingSent(f"{url.host} may not be asked: {_words(error)}", needs_a_person=True)
        return NothingSent(f"nobody answers at {url.host}:{url.port} ({_words(error)})")
    except aiohttp.InvalidURL:
        return NothingSent("the address is not a URL", needs_a_person=True)
    except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as error:
        if isinstance(error.__cause__, _OverError):
            return TooLate()
        return NoReply(f"no complete answer ({_words(error)})")


async def _body(response: aiohttp.ClientResponse) -> bytes:
    body = bytearray()
    async for chunk in response.content.iter_any():
        body += chunk
        if len(body) > LONGEST_BODY:
            raise ValueError("the answer is too long")
    return bytes(body)


async def _remark(response: aiohttp.ClientResponse) -> bytes:
    """As much of the body as can be had: the status has said all."""
    body = bytearray()
    with contextlib.suppress(aiohttp.ClientError, OSError, TimeoutError):
        while len(body) < LONGEST_REMARK and (chunk := await response.content.readany()):
            body += chunk
    return bytes(body[:LONGEST_REMARK])


def _document(body: bytes) -> Any:
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        return None


def _words(error: BaseException) -> str:
    if isinstance(error, TimeoutError):
        return "time out"
    cause = getattr(error, "os_error", None) or error
    if isinstance(cause, ForbiddenAddress):
        return str(cause)
    return getattr(cause, "strerror", None) or type(cause).__name__


def _moment(http_date: str) -> int | None:
    try:
        moment = parsedate_to_datetime(http_date) if http_date else None
    except ValueError:
        return None
    if moment is None:
        return None
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return int(moment.timestamp() * 1_000_000)


def as_time(unix_seconds: object) -> int | None:
    """Unix seconds out of an answer as UTC microseconds; None where it is not such a number."""
    if isinstance(unix_seconds, bool) or not isinstance(unix_seconds, int | float):
        return None
    return int(unix_seconds * 1_000_000)


def local_iso(moment: int, utc_offset_seconds: int) -> str:
    """UTC microseconds as ISO 8601 with the zone of the PBX."""
    zone = timezone(timedelta(seconds=utc_offset_seconds))
    return datetime.fromtimestamp(moment // 1_000_000, zone).isoformat()
