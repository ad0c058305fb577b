"""Bitrix24's recordings: telephony.externalCall.attachRecord at a finished call.

Source: the vendor's page of the method (2026): texts and codes of its errors, and that a second recording takes the
place of the first. Ours, since no page says it: how the portal tells a non-public address is by the host alone.
"""

from __future__ import annotations

import base64
import binascii
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

from deploy.fake_crms.bitrix24.calls import CallStore
from deploy.fake_crms.bitrix24.config import Bitrix24Config
from deploy.fake_crms.bitrix24.fields import TelephonyError, text

ENDINGS = (".wav", ".mp3")
FIRST_FILE = 9000


def attach_record(params: dict[str, Any], calls: CallStore, config: Bitrix24Config, url: str) -> dict[str, Any]:
    """Attach a recording to a finished call; `url`: the portal's address. Raises TelephonyError."""
    name, address = text(params.get("FILENAME")), text(params.get("RECORD_URL"))
    if name is None and address is None:
        raise TelephonyError(
            "Required parameters are not set. Request should contain either URL or FILENAME parameter", ""
        )
    call = calls.registrations.get(str(params.get("CALL_ID")))
    if call is None or not call.finished:
        raise TelephonyError("Call is not found in the statistic table. It looks like it is not finished yet.", "")
    name = name or str(address).rpartition("/")[2]
    if not name.lower().endswith(ENDINGS):
        raise TelephonyError("Wrong file extension. Only wav and mp3 are allowed")
    if address is not None:
        _fetch(address, config)
    elif "FILE_CONTENT" not in params:
        return {"uploadUrl": f"{url}/rest/upload.json?token=telephony", "fieldName": "file"}
    size = None if address is not None else _size(params["FILE_CONTENT"])
    file_id = FIRST_FILE + len(calls.recordings)
    calls.record("recorded", {"call_id": call.call_id, "id": file_id, "name": name, "address": address, "size": size})
    return {"FILE_ID": file_id}


def _fetch(address: str, config: Bitrix24Config) -> None:
    """The portal fetches the recording once, as if the address answered `recording_status`."""
    host = urlsplit(address).hostname or ""
    if not config.private_recordings and (host == "localhost" or _is_private(host)):
        raise TelephonyError("Record URL resolves to a non-public address and was blocked.", "")
    if config.recording_status != 200:
        raise TelephonyError(f"Server returns HTTP error code {config.recording_status}")


def _is_private(host: str) -> bool:
    try:
        return not ip_address(host).is_global
    except ValueError:
        return False


def _size(content: object) -> int:
    if not content:
        raise TelephonyError("File content is empty.")
    try:
        return len(base64.b64decode(str(content), validate=True))
    except binascii.Error:
        raise TelephonyError("File content is not properly encoded. Base64 encoding is expected.") from None
