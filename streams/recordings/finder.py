"""The local step of a recording: is it there, and where does a CRM get it?

Nothing of a call waits for this. What is not there yet is looked for again, more and more rarely, until the settings'
limit passes; then the follow-up ends quietly, since most calls have no recording.
"""

import asyncio
import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import aiohttp
import structlog
from yarl import URL

from streams.calls.result import CallResult
from streams.clock import MICROS_PER_DAY, MICROS_PER_SECOND, boot_seconds, utc_now_us
from streams.crm.shared.recording import FILE, NAME, RECORDING
from streams.crm.shared.recording import URL as URL_ID
from streams.delivery.answers import Answer, Refused, RetryLater, SkipCall, Succeeded
from streams.delivery.record import Delivery
from streams.errors import UserError
from streams.http.request import Ending, NothingSent, Reply, request, session
from streams.recordings.cdr import recordingfile
from streams.recordings.files import NotARecording, open_below
from streams.recordings.links import signed_link, signing_keys
from streams.recordings.template import MissingValue, RefusedValue, address_of, file_of, values_of
from streams.settings import PortalSettings, RecordingSettings
from streams.settings.recordings import template_fields

WAITS_SECONDS = (5, 10, 30, 60, 300, 900, 3600)
"""The waits between looks for one recording; the last one again and again."""

STILL_WRITTEN_SECONDS = 2.0
"""A file that changed so lately may still grow."""

REQUEST_SECONDS = 15.0
BLOCKING_SECONDS = 30.0
AT_ONCE = 8
"""Threads for folders and tables."""

Found = TypeVar("Found")

_MEGABYTE = 1024 * 1024

_log = structlog.get_logger("recordings")


class NotThereYet(Exception):
    """The recording is not there, or not all of it. Says why."""


class OutOfTheQuestion(Exception):
    """No CRM is to be told of the recording, now or later. Says why."""


@dataclass(frozen=True, slots=True)
class _Source:
    settings: RecordingSettings
    key: bytes


class RecordingFinder:
    """Looks for recordings as the settings say. See preparations.Preparer."""

    def __init__(self, settings: Sequence[RecordingSettings]) -> None:
        """Raises SettingsError where links cannot be signed."""
        self._sources = [_Source(each, signing_keys(each)[0] if each.link else b"") for each in settings]
        self._http: aiohttp.ClientSession | None = None
        self._threads = ThreadPoolExecutor(AT_ONCE, "recordings")
        self._told = ""

    @property
    def longest_us(self) -> int:
        """So long at most a recording is looked for."""
        hours = max((each.settings.give_up_hours for each in self._sources), default=0)
        return int(hours * 3600 * MICROS_PER_SECOND)

    async def close(self) -> None:
        """Close the connections."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        if self._http is not None:
            await self._http.close()

    def follow_ups(self, result: CallResult, portal: PortalSettings) -> dict[str, Mapping[str, str]]:
        """The follow-ups that the call's recording asks for at a portal, with the ids that are known at once. Pure."""
        source = self._source_of(result) if portal.recordings else None
        if source is None or not (result.answered or source.settings.unanswered):
            return {}
        return {RECORDING: self._known_at_once(source, result)}

    async def prepare(self, delivery: Delivery, result: CallResult) -> Answer:
        """See Preparer."""
        source = self._source_of(result)
        if source is None:
            return SkipCall("its PBX has no recordings in the settings (any more)")
        if URL_ID in delivery.crm_ids and not source.settings.check:
            return Succeeded()
        try:
            ids = await self._found(source, result)
        except NotThereYet as why:
            return _later(delivery, str(why), source.settings)
        except MissingValue as why:
            return SkipCall(str(why))
        except (OutOfTheQuestion, RefusedValue) as why:
            return Refused(str(why))
        return Succeeded(ids)

    def _source_of(self, result: CallResult) -> _Source | None:
        fitting = (each for each in self._sources if not each.settings.pbxs or result.pbx in each.settings.pbxs)
        return next(fitting, None)

    def _known_at_once(self, source: _Source, result: CallResult) -> Mapping[str, str]:
        """The address where nothing has to be looked at: it can go with the call."""
        settings = source.settings
        named = settings.address or settings.file or ""
        if settings.check or settings.send == "file" or "recordingfile" in template_fields(named):
            return {}
        try:
            return self._address(source, result, values_of(result))
        except (MissingValue, RefusedValue):
            return {}  # told when it is looked for

    async def _found(self, source: _Source, result: CallResult) -> Mapping[str, str]:
        """The recording's ids. Raises NotThereYet, OutOfTheQuestion, MissingValue, RefusedValue."""
        settings = source.settings
        named = None
        if settings.cdr is not None and "recordingfile" in template_fields(settings.address or settings.file or ""):
            named = await self._named(settings, result)
        values = values_of(result, named)
        ids = dict(self._address(source, result, values))
        folder = settings.folder
        if settings.file is not None and folder is not None:
            file = file_of(settings.file, values)
            if settings.send == "file" or settings.check:
                path = await self._in_thread(lambda: _checked_file(folder, file, settings))
                if settings.send == "file":
                    return {**ids, FILE: path or "", NAME: file.rpartition("/")[2]}
                if path is not None:
                    return ids
        if settings.check:
            await self._check_address(URL(ids[URL_ID], encoded=True), settings.largest_megabytes)
        return ids

    async def _named(self, settings: RecordingSettings, result: CallResult) -> str:
        try:
            name = await self._in_thread(lambda: recordingfile(settings, result))
        except UserError as error:
            if error.problem != self._told:
                self._told = error.problem
                _log.warning("recordings cannot be looked for", why=error.problem, remedy=error.remedy)
            raise NotThereYet(error.problem) from None
        if not name:
            raise NotThereYet("the table of call detail records names no recording of the call")
        return name

    async def _in_thread(self, blocks: Callable[[], Found]) -> Found:
        """In threads of its own: a folder or table that hangs must not take those that others need, name look-ups too.

        Raises NotThereYet, and what `blocks` raises.
        """
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(BLOCKING_SECONDS):
                return await loop.run_in_executor(self._threads, blocks)
        except TimeoutError:
            raise NotThereYet("where the recording is does not answer in time") from None

    def _address(self, source: _Source, result: CallResult, values: Mapping[str, str | None]) -> Mapping[str, str]:
        """The address, always the same of the same call, and the name; nothing where only files are sent."""
        settings = source.settings
        if settings.address is not None:
            address = address_of(settings.address, values)
            return {URL_ID: address, NAME: address.rpartition("/")[2]}
        if settings.file is None or settings.link is None:
            return {}
        file = file_of(settings.file, values)
        expires = (result.ended_at + int(settings.link_days * MICROS_PER_DAY)) // MICROS_PER_SECOND
        return {URL_ID: signed_link(settings.link, source.key, file, expires), NAME: file.rpartition("/")[2]}

    async def _check_address(self, url: URL, largest_megabytes: int) -> None:
        """Raises NotThereYet or OutOfTheQuestion, unless a recording is there."""
        until = boot_seconds() + REQUEST_SECONDS
        self._http = http = self._http or session()
        ending = await request(http, "HEAD", url, until=until, status_decides=True)
        if isinstance(ending, Reply) and ending.status in (405, 501):
            first = {"Range": "bytes=0-0"}
            ending = await request(http, "GET", url, until=until, headers=first, status_decides=True)
        _check_reply(ending, largest_megabytes)


def _check_reply(ending: Ending, largest_megabytes: int) -> None:
    if not isinstance(ending, Reply):
        if isinstance(ending, NothingSent) and ending.needs_a_person:
            raise OutOfTheQuestion(f"the recording's address cannot be asked: {ending.why}")
        raise NotThereYet(f"the recording's address does not answer: {getattr(ending, 'why', 'time out')}")
    if 300 <= ending.status < 400:
        raise OutOfTheQuestion(
            f"the recording's address leads elsewhere (HTTP {ending.status}): set recordings[].address to where it is"
        )
    if not 200 <= ending.status < 300:
        raise NotThereYet(f"the recording's address answers HTTP {ending.status}")
    if ending.headers.get("Content-Type", "").lower().startswith("text/html"):
        raise NotThereYet("the recording's address answers with a web page")
    size = ending.headers.get("Content-Range", "").rpartition("/")[2] or ending.headers.get("Content-Length", "")
    if size.isascii() and size.isdigit():
        _check_size(int(size), largest_megabytes)


def _checked_file(folder: Path, file: str, settings: RecordingSettings) -> str | None:
    """The path of a file that is all there; None: this machine has no such folder, and the file need not be read here.

    Raises NotThereYet or OutOfTheQuestion.
    """
    if settings.send != "file" and not folder.is_dir():
        return None
    try:
        found = open_below(folder, file)
    except FileNotFoundError:
        raise NotThereYet("the recording's file is not there") from None
    except NotARecording as error:
        raise OutOfTheQuestion(f"the recording is not read: {error}") from None
    except OSError as error:
        raise NotThereYet(f"the recording's file cannot be read: {error.strerror}") from None
    os.close(found.descriptor)
    _check_size(found.size, settings.largest_megabytes)
    if found.size == 0 or utc_now_us() / MICROS_PER_SECOND - found.changed < STILL_WRITTEN_SECONDS:
        raise NotThereYet("the recording's file is still written")
    return str(folder.resolve() / file)


def _check_size(size: int, largest_megabytes: int) -> None:
    if size > largest_megabytes * _MEGABYTE:
        raise OutOfTheQuestion(
            f"the recording has {-(-size // _MEGABYTE)} MB, more than recordings[].largest_megabytes"
            f" ({largest_megabytes})"
        )


def _later(delivery: Delivery, why: str, settings: RecordingSettings) -> Answer:
    now = utc_now_us()
    since = delivery.queued_at or now
    if now - since >= settings.give_up_hours * 3600 * MICROS_PER_SECOND:
        return SkipCall(f"no recording within {settings.give_up_hours:g} h: {why}")
    wait = WAITS_SECONDS[min(delivery.failures, len(WAITS_SECONDS) - 1)]
    return RetryLater(why, now + wait * MICROS_PER_SECOND)
