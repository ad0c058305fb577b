"""The JSON form of a call: the same for `classify --json`, `explain --json` and the webhook's `data`.

The members are the fields of schemas/call_result.avsc; times are ISO 8601 in UTC, to the millisecond (docs/calls.md).
"""

from typing import Any

import msgspec

from streams.calls.result import TIMES, CallResult
from streams.clock import iso_utc

_MEMBERS = tuple((name, name.encode()) for name in sorted(TIMES))
_encode = msgspec.json.Encoder().encode


def json_fields(result: CallResult) -> dict[str, Any]:
    """The members, in the order of the record."""
    fields = result.record()
    for name in TIMES:
        fields[name] = None if fields[name] is None else iso_utc(fields[name])
    return fields


def encode_call(result: CallResult) -> bytes:
    """The same as bytes, in a fraction of the time."""
    encoded = _encode(result)
    for name, member in _MEMBERS:
        moment: int | None = getattr(result, name)
        if moment is not None:
            # No text holds these bytes: a quote within one has a backslash before it.
            encoded = encoded.replace(
                b'"%b":%d' % (member, moment), b'"%b":"%b"' % (member, iso_utc(moment).encode()), 1
            )
    return encoded
