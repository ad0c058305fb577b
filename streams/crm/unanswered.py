"""A request that no complete answer came to: what that proves, the same at every CRM."""

from streams.crm.events import Later, NotSent, Pause, Unsure
from streams.crm.http import NoReply, NothingSent, TooLate


def unanswered(ending: NothingSent | NoReply | TooLate) -> NotSent | Later | Pause | Unsure:
    """Of a request that was to have an effect."""
    match ending:
        case TooLate():
            return NotSent()
        case NothingSent():
            return Pause(ending.why) if ending.hopeless else Later(ending.why, whole_portal=True)
    return Unsure(ending.why)


def unseen(ending: NothingSent | NoReply | TooLate) -> Later:
    """Of one that only asks."""
    return Later("not asked in time" if isinstance(ending, TooLate) else ending.why, whole_portal=True)
