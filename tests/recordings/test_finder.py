"""The local step of a recording: there, not yet, never, or not for any CRM; each in one sentence."""

import asyncio
import os
import threading
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from msgspec.structs import replace
from pydantic import SecretStr

from streams.calls.result import CallResult
from streams.clock import MICROS_PER_SECOND, utc_now_us
from streams.crm.shared.recording import FILE, FIND, NAME, RECORDING, URL
from streams.delivery.answers import Answer, Refused, RetryLater, SkipCall, Succeeded
from streams.delivery.record import Delivery, State
from streams.errors import UserError
from streams.recordings import finder as finding
from streams.recordings.finder import RecordingFinder
from streams.settings import PortalSettings, RecordingSettings
from streams.settings.recordings import CallDetailRecordSettings
from tests.crm.calls import call_result

CALL = call_result()
NAMED = f"{CALL.linkedid}.wav"
LONG_AGO = time.time() - 3600
PORTAL = PortalSettings(name="main", crm="kommo")


def view(**fields: Any) -> Delivery:
    base = Delivery(call_id=CALL.call_id, crm="kommo", portal="main", state=State.NEW, step=FIND)
    return replace(base, **fields)


def look(settings: RecordingSettings, result: CallResult = CALL, delivery: Delivery | None = None) -> Answer:
    async def one() -> Answer:
        finder = RecordingFinder([settings])
        try:
            return await finder.prepare(delivery or view(), result)
        finally:
            await finder.close()

    return asyncio.run(one())


def in_folder(folder: Path, **fields: Any) -> RecordingSettings:
    linked = {"link": "https://pbx.example.com/r", "link_key": SecretStr("k" * 40)}
    return RecordingSettings(**{"folder": folder, "file": "{linkedid}.wav", **linked, **fields})


def record(folder: Path, size: int = 1000, changed: float = LONG_AGO) -> Path:
    file = folder / NAMED
    with file.open("wb") as recording:
        recording.truncate(size)
    os.utime(file, (changed, changed))
    return file


def test_a_file_gets_a_signed_link_that_is_always_the_same(tmp_path: Path) -> None:
    record(tmp_path)
    found = look(in_folder(tmp_path))
    assert isinstance(found, Succeeded) and set(found.ids) == {URL, NAME}
    expires = CALL.ended_at // MICROS_PER_SECOND + 365 * 86_400
    assert found.ids[URL].startswith(f"https://pbx.example.com/r/{expires}/") and found.ids[URL].endswith(f"/{NAMED}")
    assert look(in_folder(tmp_path)) == found


def test_the_file_itself_is_named_where_it_is_to_be_sent(tmp_path: Path) -> None:
    file = record(tmp_path)
    found = look(in_folder(tmp_path, send="file"))
    assert isinstance(found, Succeeded) and found.ids[FILE] == str(file.resolve()) and URL in found.ids


@pytest.mark.parametrize(("size", "seconds_ago"), [(0, 3600), (1000, -60)])
def test_a_file_that_is_still_written_is_looked_for_again(size: int, seconds_ago: int, tmp_path: Path) -> None:
    record(tmp_path, size, time.time() - seconds_ago)
    found = look(in_folder(tmp_path))
    assert isinstance(found, RetryLater) and "still written" in found.why and not found.whole_portal


def test_a_missing_file_is_looked_for_more_and_more_rarely(tmp_path: Path) -> None:
    waits = []
    for failures in (0, 1, 4, 50):
        before = utc_now_us()
        found = look(in_folder(tmp_path), delivery=view(failures=failures, queued_at=utc_now_us()))
        assert isinstance(found, RetryLater) and found.not_before is not None
        waits.append(round((found.not_before - before) / MICROS_PER_SECOND))
    assert waits == [5, 10, 300, 3600]


def test_a_recording_that_does_not_come_ends_quietly(tmp_path: Path) -> None:
    since = utc_now_us() - int(2.1 * 3600 * MICROS_PER_SECOND)
    found = look(in_folder(tmp_path), delivery=view(queued_at=since))
    assert found == SkipCall("no recording within 2 h: the recording's file is not there")
    still = look(in_folder(tmp_path, give_up_hours=3), delivery=view(queued_at=since))
    assert isinstance(still, RetryLater)


def test_a_recording_of_two_gigabytes_is_told_to_nobody(tmp_path: Path) -> None:
    record(tmp_path, 2 * 1024**3)  # a hole: it takes no room
    assert look(in_folder(tmp_path)) == Refused(
        "the recording has 2048 MB, more than recordings[].largest_megabytes (100)"
    )


def test_a_symbolic_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "secret.wav").write_bytes(b"secret")
    folder = tmp_path / "monitor"
    folder.mkdir()
    (folder / NAMED).symlink_to(tmp_path / "secret.wav")
    found = look(in_folder(folder))
    assert isinstance(found, Refused) and "symbolic link" in found.why


def test_only_answered_calls_of_the_pbx_have_recordings(tmp_path: Path) -> None:
    missed = call_result(answered=False, talk_seconds=None)
    assert set(RecordingFinder([in_folder(tmp_path)]).follow_ups(CALL, PORTAL)) == {RECORDING}
    assert RecordingFinder([in_folder(tmp_path)]).follow_ups(missed, PORTAL) == {}
    assert set(RecordingFinder([in_folder(tmp_path, unanswered=True)]).follow_ups(missed, PORTAL)) == {RECORDING}
    assert RecordingFinder([in_folder(tmp_path, pbxs=("other",))]).follow_ups(CALL, PORTAL) == {}
    assert RecordingFinder([]).follow_ups(CALL, PORTAL) == {}
    left_out = PORTAL.model_copy(update={"recordings": False})
    assert RecordingFinder([in_folder(tmp_path)]).follow_ups(CALL, left_out) == {}
    assert isinstance(look(in_folder(tmp_path, pbxs=("other",))), SkipCall)


def test_an_address_that_is_not_looked_at_is_known_at_once(tmp_path: Path) -> None:
    unchecked = RecordingSettings(address="https://pbx.example.com/{uniqueid}.mp3", check=False)
    address = f"https://pbx.example.com/{CALL.linkedid}.mp3"
    known = RecordingFinder([unchecked]).follow_ups(CALL, PORTAL)[RECORDING]
    assert known == {URL: address, NAME: f"{CALL.linkedid}.mp3"}
    assert look(unchecked, delivery=view(crm_ids=dict(known))) == Succeeded()
    checked = RecordingSettings(address="https://pbx.example.com/{uniqueid}.mp3")
    assert RecordingFinder([checked]).follow_ups(CALL, PORTAL) == {RECORDING: {}}


@asynccontextmanager
async def web_server(status: int, headers: dict[str, str], head_status: int | None = None) -> AsyncIterator[str]:
    async def answer(request: web.Request) -> web.StreamResponse:
        code = head_status if head_status is not None and request.method == "HEAD" else status
        response = web.StreamResponse(status=code, headers=headers)
        await response.prepare(request)
        return response

    application = web.Application()
    application.router.add_get("/{file}", answer)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/{{uniqueid}}.mp3"
    finally:
        await runner.cleanup()


def look_at(status: int, headers: dict[str, str] | None = None, head_status: int | None = None) -> Answer:
    async def one() -> Answer:
        async with web_server(status, headers or {}, head_status) as address:
            finder = RecordingFinder([RecordingSettings(address=address)])
            try:
                return await finder.prepare(view(), CALL)
            finally:
                await finder.close()

    return asyncio.run(one())


def test_an_address_that_answers_is_a_recording() -> None:
    assert isinstance(look_at(200, {"Content-Type": "audio/mpeg"}), Succeeded)
    assert isinstance(look_at(206, {"Content-Range": "bytes 0-0/5000"}, head_status=405), Succeeded)


@pytest.mark.parametrize("status", [401, 403, 404, 500, 503])
def test_an_address_that_does_not_is_looked_at_again(status: int) -> None:
    found = look_at(status)
    assert isinstance(found, RetryLater) and f"HTTP {status}" in found.why


def test_a_log_in_page_is_no_recording() -> None:
    found = look_at(200, {"Content-Type": "text/html; charset=utf-8"})
    assert isinstance(found, RetryLater) and "web page" in found.why


def test_an_address_that_redirects_is_told_to_nobody() -> None:
    found = look_at(302, {"Location": "https://elsewhere.example/"})
    assert found == Refused(
        "the recording's address leads elsewhere (HTTP 302): set recordings[].address to where it is"
    )


def test_a_large_recording_at_an_address_is_told_to_nobody() -> None:
    found = look_at(200, {"Content-Length": str(2 * 1024**3)}, head_status=200)
    assert isinstance(found, Refused) and "2048 MB" in found.why
    ranged = look_at(206, {"Content-Range": f"bytes 0-0/{2 * 1024**3}"}, head_status=501)
    assert isinstance(ranged, Refused) and "2048 MB" in ranged.why


def test_an_address_where_nobody_is_is_looked_at_again() -> None:
    found = look(RecordingSettings(address="http://127.0.0.1:1/{uniqueid}.mp3"))
    assert isinstance(found, RetryLater) and "does not answer" in found.why


FREEPBX = {"file": "{year}/{recordingfile}", "cdr": CallDetailRecordSettings(password=SecretStr("x"))}


def test_the_table_of_call_detail_records_names_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(finding, "recordingfile", lambda _settings, result: f"in-{result.linkedid}.wav")
    (tmp_path / "2025").mkdir()
    file = record(tmp_path).rename(tmp_path / "2025" / f"in-{CALL.linkedid}.wav")
    found = look(in_folder(tmp_path, **FREEPBX))
    assert isinstance(found, Succeeded) and found.ids[NAME] == file.name
    monkeypatch.setattr(finding, "recordingfile", lambda _settings, _result: None)
    nameless = look(in_folder(tmp_path, **FREEPBX))
    assert isinstance(nameless, RetryLater) and "names no recording" in nameless.why
    monkeypatch.setattr(finding, "recordingfile", lambda _settings, _result: "../../etc/passwd")
    assert isinstance(look(in_folder(tmp_path, **FREEPBX)), Refused)


def test_a_table_that_cannot_be_read_delays_the_recording_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(_settings: RecordingSettings, _result: CallResult) -> str | None:
        raise UserError("the database refuses user x: wrong password", "Check it.")

    monkeypatch.setattr(finding, "recordingfile", refused)
    found = look(in_folder(tmp_path, **FREEPBX))
    assert isinstance(found, RetryLater) and "wrong password" in found.why


def test_a_folder_that_hangs_keeps_nobody_waiting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    release = threading.Event()
    monkeypatch.setattr(finding, "BLOCKING_SECONDS", 0.05)
    monkeypatch.setattr(finding, "open_below", lambda _folder, _file: release.wait(20))
    try:
        found = look(in_folder(tmp_path))
    finally:
        release.set()
    assert isinstance(found, RetryLater) and "does not answer in time" in found.why


def test_where_the_folder_is_not_seen_the_link_is_asked(tmp_path: Path) -> None:
    away = in_folder(tmp_path / "elsewhere", link="http://127.0.0.1:1/r")
    found = look(away)
    assert isinstance(found, RetryLater) and "127.0.0.1:1" in found.why
    unchecked = look(in_folder(tmp_path / "elsewhere", check=False))
    assert isinstance(unchecked, Succeeded) and unchecked.ids[URL].endswith(f"/{NAMED}")
