"""A request that no complete answer came to: what that proves, the same at every CRM."""

from streams.delivery.answers import NotSent, OutcomeUnknown, PortalBlocked, RetryLater
from streams.http.request import NoReply, NothingSent, TooLate


def unanswered(ending: NothingSent | NoReply | TooLate) -> NotSent | RetryLater | PortalBlocked | OutcomeUnknown:
    """Of a request that was to have an effect."""
    match ending:
        case TooLate():
            return NotSent()
        case NothingSent():
            return PortalBlocked(ending.why) if ending.hopeless else RetryLater(ending.why, whole_portal=True)
    return OutcomeUnknown(ending.why)


def unseen(ending: NothingSent | NoReply | TooLate) -> RetryLater:
    """Of one that only asks."""
    return RetryLater("not asked in time" if isinstance(ending, TooLate) else ending.why, whole_portal=True)
