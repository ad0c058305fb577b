"""Who must be called back: clients whose calls nobody answered, and with whom nobody talked since. Pure."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from streams.calls.result import CallResult
from streams.clock import UtcMicros


@dataclass(frozen=True, slots=True)
class WaitingClient:
    """A client and their calls since somebody talked with them last, both ways, oldest first."""

    client: str
    missed: tuple[CallResult, ...]
    """Incoming calls that no person answered, whatever the result; at least one."""
    tries: tuple[CallResult, ...]
    """Calls to the client since the first of those, that the client did not answer."""

    @property
    def since(self) -> UtcMicros:
        """Since when they have waited."""
        return self.missed[0].started_at

    @property
    def last(self) -> CallResult:
        """Their last missed call."""
        return self.missed[-1]


def is_of_client(result: CallResult) -> bool:
    """Whether a call matters here: with an outside party that can be called, and not the piece of another call."""
    return result.client is not None and not result.abandoned


def is_missed(result: CallResult) -> bool:
    """Whether a client called and no person answered."""
    return result.direction == "incoming" and not result.answered


def waiting_clients(results: Iterable[CallResult]) -> list[WaitingClient]:
    """Those who wait, the longest first, of the truth about every call from some time on.

    A contact is a call either way that a person answered; it settles the missed calls that began before it. An attempt
    that the client did not answer settles nothing.
    """
    by_client: dict[str, list[CallResult]] = defaultdict(list)
    for result in results:
        if is_of_client(result):
            by_client[result.client or ""].append(result)
    found = [waiting for client, calls in by_client.items() if (waiting := _waiting(client, calls)) is not None]
    return sorted(found, key=lambda each: (each.since, each.client))


def _waiting(client: str, calls: list[CallResult]) -> WaitingClient | None:
    contact = max((each.started_at for each in calls if each.answered), default=None)
    calls.sort(key=lambda each: (each.started_at, each.call_id))
    missed = tuple(each for each in calls if is_missed(each) and (contact is None or each.started_at >= contact))
    if not missed:
        return None
    tries = tuple(
        each
        for each in calls
        if each.direction == "outgoing" and not each.answered and each.started_at >= missed[0].started_at
    )
    return WaitingClient(client, missed, tries)
