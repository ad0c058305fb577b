"""Parameters of Bitrix24's telephony methods, read as the vendor reads them."""

from __future__ import annotations

import re
from datetime import datetime


class TelephonyError(Exception):
    """The vendor's refusal of a call method: HTTP 400 with `code` and the message."""

    def __init__(self, message: str, code: str = "ERROR_CORE") -> None:
        super().__init__(message)
        self.code = code


def phone_number(value: object) -> str:
    """A phone number as it was written, since Bitrix24 does not normalise it. Raises TelephonyError."""
    phone = text(value)
    if phone is None or not re.fullmatch(r"[+]?[\d\s()*#;.,-]*\d[\d\s()*#;.,-]*", phone):
        raise TelephonyError("Unsupported phone number format")
    return phone


def start_of_call(value: object, now: float) -> float:
    """CALL_START_DATE as unix seconds; now if it is not given. Raises TelephonyError."""
    written = text(value)
    if written is None:
        return now
    try:
        moment = datetime.fromisoformat(written)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise TelephonyError("CALL_START_DATE should be in the ISO-8601 format")
    return moment.timestamp()


def text(value: object) -> str | None:
    """The value as a text that is not empty, else None."""
    return str(value) if isinstance(value, str | int | float) and str(value) else None


def whole_number(value: object) -> int | None:
    """The value as a whole number, also if written as a text, else None."""
    return int(value) if isinstance(value, str | int) and re.fullmatch(r"-?\d+", str(value)) else None


def flag(value: object, *, default: bool) -> bool:
    """The value as the vendor reads a switch: 1, Y and true are on; `default` if it is not given."""
    return default if value is None else str(value) in {"1", "Y", "True", "true"}
