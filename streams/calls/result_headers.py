"""Headers of the records on call-results: what is true of a record, and not of the call."""

from collections.abc import Iterable

ORIGIN = "origin"
"""`live`; `backfill` where every row of the call came from a snapshot of the table; `replay` where it was judged anew
from the topic; `erasure` where personal data was taken out of it: no CRM hears of it."""
PROCESSED = "processed_at"
"""Time at which the result was classified (UTC microseconds from 1970, as text)."""

LIVE = "live"
BACKFILL = "backfill"
REPLAY = "replay"
ERASURE = "erasure"


def origin_of(headers: Iterable[tuple[str, bytes | None]]) -> str:
    """The origin in a record's headers; a record without that header is live."""
    return next((value.decode("utf-8", "replace") for name, value in headers if name == ORIGIN and value), LIVE)
