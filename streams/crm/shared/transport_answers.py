"""Answers for a request that no complete reply came to: what that proves is the same at every CRM."""

from streams.delivery.answers import NotSent, OutcomeUnknown, PortalBlocked, RetryLater
from streams.http.request import NoReply, NothingSent, TooLate


def without_reply(ending: NothingSent | NoReply | TooLate) -> NotSent | RetryLater | PortalBlocked | OutcomeUnknown:
    """The answer to a request that was to have an effect."""
    match ending:
        case TooLate():
            return NotSent()
        case NothingSent():
            return PortalBlocked(ending.why) if ending.needs_a_person else RetryLater(ending.why, whole_portal=True)
    return OutcomeUnknown(ending.why)


def lookup_without_reply(ending: NothingSent | NoReply | TooLate) -> RetryLater:
    """The answer to a request that only asks."""
    return RetryLater("not asked in time" if isinstance(ending, TooLate) else ending.why, whole_portal=True)
