"""Requests as they may be shown: never a secret; numbers, where the settings say so, without their middle digits."""

import re
from typing import Any

import orjson

MASK = "***"

_SECRETS = frozenset({"auth", "access_token", "refresh_token", "client_secret", "authorization", "token", "password"})
_WEBHOOK = re.compile(r"(/rest/\d+/)[^/\s\"']+")
_SIGNED_LINK = re.compile(r"(/\d{6,12}/)[A-Za-z0-9_-]{43}(?=/)")
"""Of a recording (recordings/links.py): whoever has the signature can get it."""
_NUMBER = re.compile(r"(?<![\w./-])(\+?\d{3})(\d{2,})(\d{2})(?![\w/-]|\.\d)")
"""A number of seven digits or more that stands alone: no linkedid, no id inside a word, no time, no extension."""


def masked_text(text: str, *, numbers: bool) -> str:
    """A sentence without secrets, and without numbers that could be called."""
    text = _SIGNED_LINK.sub(rf"\g<1>{MASK}", _WEBHOOK.sub(rf"\g<1>{MASK}", text))
    if not numbers:
        return text
    return _NUMBER.sub(lambda found: found[1] + "*" * len(found[2]) + found[3], text)


def masked(value: Any, *, numbers: bool) -> Any:
    """A JSON value with every text in it masked, and secrets by the name of their member."""
    if isinstance(value, dict):
        return {
            key: MASK if str(key).lower() in _SECRETS else masked(inner, numbers=numbers)
            for key, inner in value.items()
        }
    if isinstance(value, list | tuple):
        return [masked(inner, numbers=numbers) for inner in value]
    return masked_text(value, numbers=numbers) if isinstance(value, str) else value


def masked_fields(sent: str | None, *, numbers: bool) -> Any:
    """The fields of a request in the log, parsed; a text where they are not JSON; None where there are none."""
    if not sent:
        return None
    try:
        return masked(orjson.loads(sent), numbers=numbers)
    except orjson.JSONDecodeError:
        return masked_text(sent, numbers=numbers)
