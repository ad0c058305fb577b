"""Bitrix24: a recording at a finished call. A second one takes the place of the first, so that it may be sent again.

Facts: telephony.externalCall.attachRecord (apidocs.bitrix24.com): RECORD_URL, which the portal fetches itself, or
FILENAME and FILE_CONTENT in base64; wav and mp3 only. RECORD_URL of finish is deprecated.
"""

import asyncio
from base64 import b64encode
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePosixPath
from typing import Any

from streams.crm.bitrix24.errors import error_text, portal_problem
from streams.crm.shared.recording import FILE, NAME, URL, again_or_refused
from streams.crm.shared.transport_answers import without_reply
from streams.delivery.answers import Answer, OutcomeUnknown, Refused, RetryLater, SkipCall, Succeeded
from streams.delivery.record import Delivery
from streams.http.request import Ending, Reply

ENDINGS = (".wav", ".mp3")
FILE_SECONDS = 10.0
_THREADS = ThreadPoolExecutor(2, "recordings")

LARGEST_FILE = 20 * 1024 * 1024
"""Bytes that are sent as a file. The vendor names no limit; one request must do, within its time."""

_LATER = ("is not found in the statistic", "server returns http error", "cannot be downloaded", "can't be downloaded")
"""Words of refusals that may be over soon: the call is not listed yet, the address did not answer the portal."""


def record_fields(delivery: Delivery) -> dict[str, str]:
    """The fields of the request; `file` stands for the content, which is not kept in the delivery."""
    ids = delivery.crm_ids
    fields = {"CALL_ID": ids.get("CALL_ID", ""), "FILENAME": ids.get(NAME, "")}
    return {**fields, "file": ids[FILE]} if FILE in ids else {**fields, "RECORD_URL": ids.get(URL, "")}


def without_request(sent: dict[str, str]) -> Answer | None:
    """The answer that is known before anything is sent; None: send."""
    if not sent["CALL_ID"]:
        return SkipCall("it is not known by which CALL_ID the call stands in the portal")
    if PurePosixPath(sent["FILENAME"]).suffix.lower() not in ENDINGS:
        return Refused("the portal takes recordings that end in .wav or .mp3 only")
    if not sent.get("RECORD_URL") and not sent.get("file"):
        return Refused("there is neither an address nor a file of the recording")
    return None


async def request_body(sent: dict[str, str]) -> dict[str, Any] | Refused | RetryLater:
    """The fields as they go out, with the file's content, which is read in a thread of its own: a folder that hangs
    must keep no call waiting."""
    if "file" not in sent:
        return dict(sent)
    try:
        async with asyncio.timeout(FILE_SECONDS):
            return await asyncio.get_running_loop().run_in_executor(_THREADS, _with_content, sent)
    except TimeoutError:
        return RetryLater("the recording's file cannot be read in time")


def _with_content(sent: dict[str, str]) -> dict[str, Any] | Refused:
    file = Path(sent["file"])
    try:
        with file.open("rb") as recording:
            content = recording.read(LARGEST_FILE + 1)
    except OSError as error:
        return Refused(f"the recording's file cannot be read any more: {error.strerror}")
    if len(content) > LARGEST_FILE:
        largest = LARGEST_FILE // 1024 // 1024
        return Refused(f"the recording has more than {largest} MB, which go as a file: give CRMs its address instead")
    fields = {name: value for name, value in sent.items() if name != "file"}
    return {**fields, "FILE_CONTENT": b64encode(content).decode()}


def record_answer_of(ending: Ending, delivery: Delivery, now: int) -> Answer:
    """The answer that the end of the request proves."""
    if not isinstance(ending, Reply):
        return without_reply(ending)
    document = ending.document if isinstance(ending.document, dict) else {}
    result = document.get("result")
    if ending.status == 200 and isinstance(result, dict):
        if file := result.get("FILE_ID"):
            return Succeeded({"FILE_ID": str(file)})
        return OutcomeUnknown("HTTP 200 without a FILE_ID")
    words = error_text(ending)
    told = words.lower()
    if ending.status < 500 and any(each in told for each in _LATER):
        return again_or_refused(delivery, words, now)
    if "non-public address" in told:
        return Refused(f"{words} Set recordings[].link to a public address, or recordings[].send: file.")
    return portal_problem(ending, now) or Refused(words)
