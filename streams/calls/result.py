"""A call's outcome, as it goes to the topics: the fields of schemas/call_result.avsc and call_leg.avsc."""

from datetime import UTC, datetime, timedelta
from enum import StrEnum
from hashlib import blake2b
from operator import attrgetter
from typing import Any, Literal, NamedTuple

import msgspec

Direction = Literal["incoming", "outgoing", "internal", "unknown"]

_ENCODER = msgspec.msgpack.Encoder()
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
TIMES = frozenset({"started_at", "answered_at", "ended_at"})


_STAMP = ("version", "version_row_id", "version_rows", "outcome_hash")

HASHED = (
    "call_id", "pbx", "linkedid", *_STAMP[:3], "rules_hash", "direction", "answered", "started_at", "ended_at",
    "utc_offset_seconds", "utc_offset_source", "result", "result_name", "rule", "extra_usable", "complete",
    "outcome_hash", "answered_by", "talked_with", "caller", "called", "caller_e164", "called_e164", "client",
    "extension", "rang_last", "did", "trunk", "answered_at", "timezone", "ivr_seconds", "queue_seconds",
    "ringing_seconds", "talk_seconds", "hangup_cause", "dial_status", "hangup_source", "ended_by", "handled_by",
    "transfers", "pickups", "linked_calls", "part_of", "abandoned", "incomplete_reason", "warnings", "why",
)  # fmt: skip
"""The fields that `outcome_hash` covers, those of the stamp as they are before it. Frozen, its order included: a field
that joins the result stays out, or the same call would have another hash than the one that stands in a CRM."""

_COVERED_MAP = b"\xde" + len(HASHED).to_bytes(2, "big")
"""MessagePack's head of a map with as many members (map 16); a result is such a map with the others besides."""
_NOT_COVERED = ("correction", "queue", "outcome")
"""The fields behind HASHED, in their order: they joined results after 0.1.0."""
_not_covered = attrgetter(*_NOT_COVERED)
_NOT_COVERED_NAMES = len(b"".join(map(_ENCODER.encode, _NOT_COVERED)))


class CallWarning(StrEnum):
    """Something that an operator can mend, by a code to count."""

    DIRECTION = "direction_unknown"
    """numbers.trunks, or the contexts, do not tell the caller's side."""
    CALLER = "caller_rows_missing"
    """No row of the channel that began the call is there: who called, and the call's end, are not known."""
    BRIDGES = "no_bridge_rows"
    """cel.conf seems to log no BRIDGE events."""
    ZONE = "zone_disagrees"
    """The PBX's configured zone is not that of its rows."""
    EVENTS = "event_unknown"
    """The table holds numbers for event types, and what one of them means cannot be told."""
    TIME = "time_unreadable"
    """The time of a row cannot be read, or lacks its seconds: talk and waiting may be unknown."""
    ROWS = "rows_unreadable"
    """Rows of the call, or rows that may be of it, could not be read: whatever they told is missing."""
    EXTRA = "extra_unusable"
    """The calling channel's HANGUP row holds no cause: processed with two statuses only."""


class CallLeg(msgspec.Struct, frozen=True):
    """One channel of a call. Times: UTC microseconds from 1970."""

    call_id: str
    version: int
    leg: int
    number: str | None
    channel: str
    started_at: int
    answered_at: int | None
    ended_at: int | None
    ring_seconds: float | None
    talk_seconds: float | None
    hangup_cause: int | None
    outcome: str
    correction: int = 0
    """Of the call's result."""

    def record(self) -> dict[str, Any]:
        """The fields as the Avro codec takes them."""
        return msgspec.structs.asdict(self)


class CallResult(msgspec.Struct, frozen=True):
    """One version of a call's outcome: a function of its rows and the rules alone. Times: UTC microseconds."""

    call_id: str
    pbx: str
    linkedid: str
    version: int
    version_row_id: int
    version_rows: int
    rules_hash: str
    direction: Direction
    answered: bool
    started_at: int
    ended_at: int
    utc_offset_seconds: int
    utc_offset_source: str
    result: int
    result_name: str
    rule: str
    extra_usable: bool
    complete: bool
    outcome_hash: str = ""
    answered_by: str | None = None
    talked_with: tuple[str, ...] = ()
    caller: str | None = None
    called: str | None = None
    caller_e164: str | None = None
    called_e164: str | None = None
    client: str | None = None
    extension: str | None = None
    rang_last: str | None = None
    did: str | None = None
    trunk: str | None = None
    answered_at: int | None = None
    timezone: str | None = None
    ivr_seconds: float | None = None
    queue_seconds: float | None = None
    ringing_seconds: float | None = None
    talk_seconds: float | None = None
    hangup_cause: int | None = None
    dial_status: str | None = None
    hangup_source: str | None = None
    ended_by: str | None = None
    handled_by: str | None = None
    transfers: tuple[str, ...] = ()
    pickups: tuple[str, ...] = ()
    linked_calls: tuple[str, ...] = ()
    part_of: str | None = None
    abandoned: bool = False
    incomplete_reason: str | None = None
    warnings: tuple[str, ...] = ()
    why: tuple[str, ...] = ()
    correction: int = 0
    """0: judged live. Of the records of one version the one with the highest counts."""
    queue: str | None = None
    """The queue that the call was in last."""
    outcome: str | None = None
    """One of streams/calls/outcome.py; None: judged before 0.2.0."""

    def record(self) -> dict[str, Any]:
        """The fields as the Avro codec takes them."""
        fields = msgspec.structs.asdict(self)
        for name in ("talked_with", "transfers", "pickups", "linked_calls", "warnings", "why"):
            fields[name] = list(fields[name])
        return fields

    @classmethod
    def from_record(cls, record: dict[str, Any]) -> "CallResult":
        """The result in a record that the Avro codec read (times come as datetime)."""
        fields = dict(record)
        for name in TIMES:
            if isinstance(fields.get(name), datetime):
                fields[name] = (fields[name] - _EPOCH) // timedelta(microseconds=1)
        return msgspec.convert(fields, cls)

    def stamped(self, version: int, row_id: int, rows: int) -> "CallResult":
        """This result with its version, and with the `outcome_hash` over HASHED.

        Call it once, on a fresh result whose version is 0.
        """
        encoded = _ENCODER.encode(self)
        behind = _ENCODER.encode(_not_covered(self))  # a byte of head, and the values
        covered = _COVERED_MAP + encoded[len(_COVERED_MAP) : 1 - len(behind) - _NOT_COVERED_NAMES]
        outcome_hash = blake2b(covered, digest_size=8).hexdigest()
        for name, value in zip(_STAMP, (version, row_id, rows, outcome_hash), strict=True):
            msgspec.structs.force_setattr(self, name, value)  # nobody has seen it yet
        return self


class Classification(NamedTuple):
    """The outcome of a call: its result, and one leg for each channel."""

    result: CallResult
    legs: tuple[CallLeg, ...]
