"""The outcome of a call in one of four words, for reports: from `answered` and the result (docs/call-status.md)."""

from enum import StrEnum


class Outcome(StrEnum):
    """Whether the call was answered, and if not, whose doing that was."""

    ANSWERED = "answered"
    """A person on the other side talked."""
    MISSED = "missed"
    """Whoever was called did not take it, or the caller gave up before."""
    BUSY = "busy"
    """Whoever was called was on the phone, or declined: they know of the call."""
    FAILED = "failed"
    """It reached nobody: a wrong number, a carrier's error, telephones that were off."""


_NOT_ANSWERED = {
    0: Outcome.MISSED,
    200: Outcome.MISSED,
    404: Outcome.FAILED,
    405: Outcome.FAILED,
    408: Outcome.MISSED,
    480: Outcome.MISSED,
    484: Outcome.FAILED,
    486: Outcome.BUSY,
    488: Outcome.FAILED,
    500: Outcome.FAILED,
    603: Outcome.BUSY,
}
"""By result, of a call that no person answered. 0 has two statuses only: answered and missed."""


def outcome_of(answered: bool, result: int) -> Outcome:
    """The word for a call. A result that this version does not know, of a later release, is a failure."""
    return Outcome.ANSWERED if answered else _NOT_ANSWERED.get(result, Outcome.FAILED)
