"""Bitrix24's methods of one call: registered, finished, shown, its recording attached."""

from __future__ import annotations

from typing import Any

from deploy.fake_crms.bitrix24.calls import CallStore
from deploy.fake_crms.bitrix24.config import Bitrix24Config
from deploy.fake_crms.bitrix24.recordings import attach_record
from deploy.fake_crms.bitrix24.rest import RestError


def call_method(
    name: str, params: dict[str, Any], calls: CallStore, config: Bitrix24Config, now: float, url: str
) -> object:
    """The result of a method `telephony.externalcall.*`; `url`: the portal's address.

    Raises RestError for one that is not known, and TelephonyError.
    """
    match name.rpartition(".")[2]:
        case "register":
            return calls.register(params, now, config)
        case "finish":
            return calls.finish(params, now, config)
        case "attachrecord":
            return attach_record(params, calls, config, url)
        case "show":
            calls.show(str(params.get("CALL_ID")), int(params.get("USER_ID") or 0), now)
            return True
        case "hide":
            return True
    raise RestError("404")
