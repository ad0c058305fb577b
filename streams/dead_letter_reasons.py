"""Why records become dead letters, and what recovers each.

The codes stand in records on Kafka and in metric labels: a code that was ever written is never changed or reused
(tests/test_wire_names.py holds them all).
"""

from enum import Enum

REMEDY = "remedy"
"""Header of a dead letter about records that are gone: the command that recovers their calls. Such a letter holds no
record of others, whose headers are data from outside."""


class Recovery(Enum):
    """How the call behind a dead letter gets its place after all."""

    RETRY = "retry"
    """A command to the worker that owns the delivery."""
    RETURN = "return"
    """The untouched bytes go back to the topic that they came from, after the reader that failed has been fixed."""
    BACKFILL = "backfill"
    """The whole call is read from the PBX's table again."""
    NOTHING = "drop"
    """Nothing does: a person can look at the dead letter and drop it."""


class DeadLetterReason(Enum):
    """A reason: its code on the wire, and its recovery."""

    UNREADABLE_ROW = ("unreadable_row", Recovery.RETURN)
    LATE_ROW = ("late_row", Recovery.BACKFILL)
    EXPIRED_ROWS = ("expired_rows", Recovery.BACKFILL)
    ROWS_LOST = ("rows_lost", Recovery.BACKFILL)
    TOO_MANY_ROWS = ("too_many_rows", Recovery.NOTHING)
    NOT_CLASSIFIED = ("not_judged", Recovery.BACKFILL)
    EXPIRED_RESULTS = ("expired_results", Recovery.BACKFILL)
    WRONG_PARTITION = ("wrong_partition", Recovery.NOTHING)
    UNREADABLE_RESULT = ("unreadable_result", Recovery.RETURN)
    UNREADABLE_COMMAND = ("unreadable_command", Recovery.RETURN)
    REFUSED = ("refused", Recovery.RETRY)
    DEADLINE = ("deadline", Recovery.RETRY)
    OUTCOME_UNKNOWN = ("outcome_unknown", Recovery.RETRY)

    def __init__(self, code: str, recovery: Recovery) -> None:
        self.code = code
        self.recovery = recovery

    @classmethod
    def of(cls, code: str) -> "DeadLetterReason | None":
        """The reason with that code; None: this version does not know it (a newer one wrote the record)."""
        return next((reason for reason in cls if reason.code == code), None)
