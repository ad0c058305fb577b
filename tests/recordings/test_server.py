"""`cel2crm serve-recordings` over HTTP: what a link gets, and everything that gets nothing."""

import asyncio
import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from yarl import URL

from streams.clock import MICROS_PER_SECOND
from streams.recordings.files import NotARecording, open_below
from streams.recordings.links import signature, signed_link
from streams.recordings.server import RecordingServer

KEY = b"k" * 40
NOW, LATER = 1_800_000_000, 1_800_000_060
FILE = "2026/11/22/in-1001.wav"
CONTENT = bytes(range(256)) * 4000


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    inside = tmp_path / "monitor"
    (inside / "2026/11/22").mkdir(parents=True)
    (inside / FILE).write_bytes(CONTENT)
    (inside / "settings.yaml").write_text("secret")
    (tmp_path / "outside.wav").write_bytes(b"secret")
    (inside / "link.wav").symlink_to(tmp_path / "outside.wav")
    (inside / "linked").symlink_to(tmp_path)
    (inside / "folder.wav").mkdir()
    os.mkfifo(inside / "pipe.wav")
    return inside


@asynccontextmanager
async def served(folder: Path, now: int = NOW, base: str = "https://pbx/rec") -> AsyncIterator[URL]:
    application = RecordingServer(folder, [KEY], base, lambda: now * MICROS_PER_SECOND).application()
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield URL(f"http://127.0.0.1:{runner.addresses[0][1]}/rec")
    finally:
        await runner.cleanup()


def fetch(
    folder: Path, path: str, method: str = "GET", headers: dict[str, str] | None = None, now: int = NOW
) -> tuple[int, Mapping[str, str], bytes]:
    async def one() -> tuple[int, Mapping[str, str], bytes]:
        async with served(folder, now) as base, aiohttp.ClientSession(auto_decompress=False) as http:
            url = URL(f"{base}/{path}", encoded=True)
            async with http.request(method, url, headers=headers, allow_redirects=False) as response:
                return response.status, response.headers.copy(), await response.read()

    return asyncio.run(one())


def link(file: str = FILE, expires: int = LATER) -> str:
    return signed_link("", KEY, file, expires).lstrip("/")


def test_a_signed_link_gets_its_recording(folder: Path) -> None:
    status, headers, body = fetch(folder, link())
    assert (status, body) == (200, CONTENT)
    assert headers["Content-Type"] == "audio/wav" and headers["Accept-Ranges"] == "bytes"
    assert headers["X-Content-Type-Options"] == "nosniff" and "in-1001.wav" in headers["Content-Disposition"]


def test_head_tells_the_size_and_sends_nothing(folder: Path) -> None:
    status, headers, body = fetch(folder, link(), "HEAD")
    assert (status, headers["Content-Length"], body) == (200, str(len(CONTENT)), b"")


@pytest.mark.parametrize(
    ("asked", "status", "expected"),
    [
        ("bytes=0-9", 206, CONTENT[:10]),
        ("bytes=1000-", 206, CONTENT[1000:]),
        ("bytes=-16", 206, CONTENT[-16:]),
        (f"bytes=5-{len(CONTENT) * 2}", 206, CONTENT[5:]),
        (f"bytes={len(CONTENT)}-", 416, b""),
        ("bytes=9-5", 200, CONTENT),
        ("bytes=0-1,5-6", 200, CONTENT),
        ("lines=1-2", 200, CONTENT),
    ],
)
def test_ranges(asked: str, status: int, expected: bytes, folder: Path) -> None:
    got, headers, body = fetch(folder, link(), headers={"Range": asked})
    assert (got, body) == (status, expected)
    if status == 206:
        first = len(CONTENT) - 16 if asked == "bytes=-16" else int(asked[6:].partition("-")[0])
        assert headers["Content-Range"] == f"bytes {first}-{first + len(expected) - 1}/{len(CONTENT)}"
    if status == 416:
        assert headers["Content-Range"] == f"bytes */{len(CONTENT)}"


def test_a_range_of_another_version_is_the_whole_file(folder: Path) -> None:
    _, headers, _ = fetch(folder, link(), "HEAD")
    ranged = {"Range": "bytes=0-9", "If-Range": '"other"'}
    assert fetch(folder, link(), headers=ranged)[0] == 200
    assert fetch(folder, link(), headers={**ranged, "If-Range": headers["ETag"]})[0] == 206
    assert fetch(folder, link(), headers={"If-None-Match": headers["ETag"]})[0] == 304


def test_a_link_expires(folder: Path) -> None:
    assert fetch(folder, link(expires=NOW))[0] == 410
    assert fetch(folder, link(expires=NOW), now=NOW - 1)[0] == 200


@pytest.mark.parametrize("missing", [True, False])
def test_a_bad_signature_tells_nothing_of_the_file(missing: bool, folder: Path) -> None:
    file = "missing.wav" if missing else FILE
    bad = f"{LATER}/{signature(b'o' * 40, file, LATER)}/{file}"
    status, _, body = fetch(folder, bad)
    assert (status, body) == (403, b"This link is not good.\n")


def test_a_link_is_good_for_its_own_file_and_time_only(folder: Path) -> None:
    good = link()
    assert fetch(folder, good.replace("in-1001", "in-1002"))[0] == 403
    assert fetch(folder, good.replace(str(LATER), str(LATER + 1)))[0] == 403


@pytest.mark.parametrize(
    "file",
    [
        *("../outside.wav", "2026/../../outside.wav", "link.wav", "linked/outside.wav", "folder.wav", "pipe.wav"),
        *("settings.yaml", "missing.wav", "2026/11/22", "2026/11/22/", "/etc/passwd", "a\0.wav", ""),
    ],
)
def test_even_a_signed_link_gets_recordings_below_the_folder_only(file: str, folder: Path) -> None:
    status, _, body = fetch(folder, link(file))
    assert status in (403, 404) and b"secret" not in body


@pytest.mark.parametrize("path", ["", "2026/", FILE, "..", "%2e%2e/outside.wav", f"{LATER}/x/{FILE}"])
def test_nothing_is_listed_and_nothing_is_served_without_a_link(path: str, folder: Path) -> None:
    status, _, body = fetch(folder, path)
    assert status == 404 and b"in-1001" not in body


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PROPFIND"])
def test_nothing_can_be_written(method: str, folder: Path) -> None:
    assert fetch(folder, link(), method)[0] == 405


@pytest.mark.parametrize("file", ["link.wav", "linked/outside.wav", "folder.wav", "pipe.wav", "../outside.wav"])
def test_what_is_no_recording_is_never_opened(file: str, folder: Path) -> None:
    with pytest.raises(NotARecording) as told:
        open_below(folder, file)
    assert str(folder) not in str(told.value)
