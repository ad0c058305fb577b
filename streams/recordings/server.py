"""`cel2crm serve-recordings`: recordings of one folder by signed links (links.py), and nothing else.

No folder is listed, no link followed, nothing written. A link that is not signed by us gets one and the same answer
whether the file is there or not; a signature is compared in constant time. Ranges are served, so that people can jump
about in a recording. Links are secrets: the log names files, not links.
"""

import asyncio
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from urllib.parse import quote

import structlog
from aiohttp import web
from yarl import URL

from streams.clock import MICROS_PER_SECOND, utc_now_us
from streams.recordings.files import NotARecording, OpenFile, content_type, open_below
from streams.recordings.links import is_signed

CHUNK = 256 * 1024
"""Bytes read at once."""

_log = structlog.get_logger("recordings")


class RecordingServer:
    """Serves the recordings of one folder."""

    def __init__(
        self, folder: Path, keys: Sequence[bytes], base: str = "", now: Callable[[], int] = utc_now_us
    ) -> None:
        """`base`: the address under which it is reached, of which the path counts; `now`: UTC microseconds."""
        self._folder = folder
        self._keys = keys
        self._path = URL(base).path.rstrip("/")
        self._now = now

    def application(self) -> web.Application:
        """The application; links are the only thing that it answers to, with GET and HEAD."""
        application = web.Application(client_max_size=1024)
        application.router.add_get(
            self._path + r"/{expires:\d{6,12}}/{signature:[A-Za-z0-9_-]{43}}/{file:.+}", self._get
        )
        return application

    async def _get(self, request: web.Request) -> web.StreamResponse:
        file, expires = request.match_info["file"], int(request.match_info["expires"])
        if not is_signed(self._keys, file, expires, request.match_info["signature"]):
            raise web.HTTPForbidden(text="This link is not good.\n")
        if self._now() >= expires * MICROS_PER_SECOND:
            raise web.HTTPGone(text="This link has expired.\n")
        try:
            found = await asyncio.to_thread(open_below, self._folder, file)
        except NotARecording as error:
            _log.warning("a signed link leads to no recording", file=file, why=str(error))
            raise web.HTTPNotFound(text="There is no such recording.\n") from None
        except OSError as error:
            _log.info("recording is not there", file=file, why=error.strerror)
            raise web.HTTPNotFound(text="There is no such recording.\n") from None
        try:
            return await _served(request, file, found)
        finally:
            os.close(found.descriptor)


async def _served(request: web.Request, file: str, found: OpenFile) -> web.StreamResponse:
    tag = f'"{found.size:x}-{int(found.changed * 1_000_000):x}"'
    headers = {
        "Accept-Ranges": "bytes",
        "Cache-Control": "private, max-age=3600",
        "Content-Disposition": f"inline; filename*=UTF-8''{quote(file.rpartition('/')[2], safe='')}",
        "Content-Type": content_type(file) or "application/octet-stream",
        "ETag": tag,
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
    }
    if request.headers.get("If-None-Match") == tag:
        return web.Response(status=304, headers=headers)
    start, end, status = 0, found.size, 200
    if "Range" in request.headers and request.headers.get("If-Range", tag) == tag:
        asked = _range(request, found.size)
        if asked is None:
            none = {**headers, "Content-Range": f"bytes */{found.size}"}
            return web.Response(status=416, headers=none)
        start, end, status = asked
    if status == 206:
        headers["Content-Range"] = f"bytes {start}-{end - 1}/{found.size}"
    response = web.StreamResponse(status=status, headers=headers)
    response.content_length = end - start
    await response.prepare(request)
    if request.method != "HEAD":
        await _send(response, found.descriptor, start, end)
    _log.info("recording served", file=file, status=status, bytes=0 if request.method == "HEAD" else end - start)
    return response


def _range(request: web.Request, size: int) -> tuple[int, int, int] | None:
    """First byte, the one after the last, and the status; None: nothing of the file is asked for.

    A Range that is not understood is as if it were not there (RFC 9110, 14.2).
    """
    try:
        asked = request.http_range
    except ValueError:
        return 0, size, 200
    if asked.start is None and asked.stop is None:
        return 0, size, 200
    start, end, _ = asked.indices(size)
    return (start, end, 206) if start < end else None


async def _send(response: web.StreamResponse, descriptor: int, start: int, end: int) -> None:
    while start < end:
        chunk = await asyncio.to_thread(os.pread, descriptor, min(CHUNK, end - start), start)
        if not chunk:
            raise ConnectionError("the recording became shorter while it was sent")
        await response.write(chunk)
        start += len(chunk)
    await response.write_eof()
