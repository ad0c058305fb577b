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
    """A number as written, if it can be one: Bitrix24 keeps what it was given."""
    phone = text(value)
    if phone is None or not re.fullmatch(r"[+]?[\d\s()*#;.,-]*\d[\d\s()*#;.,-]*", phone):
        raise TelephonyError("Unsupported phone number format")
    return phone


def start_of_call(value: object, now: float) -> float:
    """CALL_START_DATE as unix seconds; now if it is not given."""
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
    """A text that says something, else None."""
    return str(value) if isinstance(value, str | int | float) and str(value) else None


def whole_number(value: object) -> int | None:
    """A whole number, also written as text, else None."""
    return int(value) if isinstance(value, str | int) and re.fullmatch(r"-?\d+", str(value)) else None


def flag(value: object, *, default: bool) -> bool:
    """0 or 1 as the vendor reads it."""
    return default if value is None else str(value) in {"1", "Y", "True", "true"}
