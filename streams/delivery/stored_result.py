"""The result that a delivery's record holds, as it stood on its topic."""

from collections.abc import Callable, Mapping
from typing import Any

from streams.calls.result import CallResult
from streams.delivery.record import Delivery
from streams.topics import CALL_RESULTS

Decode = Callable[[bytes | None, str, bytes | None], Mapping[str, Any]]
"""`Serializer.decode_own`: value, schema's name, schema header."""


def stored_result(delivery: Delivery, decode: Decode) -> CallResult:
    """The result that is to be sent. Raises msgspec.ValidationError, and what `decode` raises."""
    header = delivery.result_schema.encode() or None
    return CallResult.from_record(dict(decode(delivery.result, CALL_RESULTS.schema, header)))


def delivery_in(record: dict[str, Any], decode: Decode) -> Delivery:
    """The delivery in a record of the delivery log, with a result in it that can be read. Raises as `stored_result`."""
    delivery = Delivery.from_record(record)
    if delivery.result is not None:
        stored_result(delivery, decode)
    return delivery
