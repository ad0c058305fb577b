"""The JSON form of a call: the same for `classify --json`, `explain --json` and the webhook's `data`.

The members are the fields of schemas/call_result.avsc; times are ISO 8601 in UTC, to the millisecond (docs/calls.md).
"""

from typing import Any

import msgspec

from streams.calls.result import TIMES, CallResult
from streams.clock import iso_utc

_encode = msgspec.json.Encoder().encode


def json_fields(result: CallResult) -> dict[str, Any]:
    """The members, in the order of the record."""
    fields = result.record()
    for name in TIMES:
        fields[name] = None if fields[name] is None else iso_utc(fields[name])
    return fields


def encode_call(result: CallResult, **changed: object) -> bytes:
    """The same as bytes, in a fraction of the time. `changed`: members that are told otherwise."""
    told, change = msgspec.structs.replace(result), msgspec.structs.force_setattr
    for name in TIMES:
        moment: int | None = getattr(result, name)
        if moment is not None:
            change(told, name, iso_utc(moment))  # the encoder takes whatever stands there
    for name, value in changed.items():
        change(told, name, value)
    return _encode(told)
