"""What became of each incoming call that nobody answered: whether, when and how its client was talked with. Pure."""

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from streams.analysis.report.calls import ReportCall
from streams.clock import MICROS_PER_SECOND, UtcMicros


class Settled(StrEnum):
    """How a missed call ended; the same contact as in `cel2crm missed` (waiting_clients.py)."""

    CALLED_BACK = "called_back"
    """Somebody called the client, who answered."""
    CALLED_AGAIN = "called_again"
    """The client called again, and a person answered."""
    WAITING = "waiting"
    """Nobody has talked with the client since."""
    NO_NUMBER = "no_number"
    """The client has no number that can be called."""


@dataclass(frozen=True, slots=True)
class Missed:
    """An incoming call that nobody answered."""

    call: ReportCall
    settled: Settled
    after_seconds: int | None = None
    """From its start to that of the first contact; None: none."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """A client with whom nobody talked since, the missed calls of the period, oldest first, and tries since."""

    missed: tuple[ReportCall, ...]
    tries: int


def settled_calls(calls: Iterable[ReportCall], until_now: Iterable[ReportCall]) -> list[Missed]:
    """The missed ones of these calls. `until_now`: every call since the first of them, also after the period."""
    contacts = _contacts(each for each in until_now if each.answered)
    return [_settled(call, contacts) for call in calls if call.missed]


def _contacts(answered: Iterable[ReportCall]) -> dict[str, list[tuple[UtcMicros, str]]]:
    """When each client was talked with, and which way the call went, by time."""
    found: dict[str, list[tuple[UtcMicros, str]]] = defaultdict(list)
    for call in answered:
        if call.client is not None:
            found[call.client].append((call.started_at, call.direction))
    for times in found.values():
        times.sort()
    return found


def _settled(call: ReportCall, contacts: dict[str, list[tuple[UtcMicros, str]]]) -> Missed:
    if call.client is None:
        return Missed(call, Settled.NO_NUMBER)
    times = contacts.get(call.client, [])
    place = bisect_right(times, call.started_at, key=lambda each: each[0])
    if place == len(times):
        return Missed(call, Settled.WAITING)
    at, direction = times[place]
    how = Settled.CALLED_BACK if direction == "outgoing" else Settled.CALLED_AGAIN
    return Missed(call, how, (at - call.started_at) // MICROS_PER_SECOND)


def still_waiting(missed: Iterable[Missed], until_now: Iterable[ReportCall]) -> list[Waiting]:
    """Who waits for a call back, the longest first."""
    by_client: dict[str, list[ReportCall]] = defaultdict(list)
    for each in missed:
        if each.settled is Settled.WAITING:
            by_client[each.call.client or ""].append(each.call)
    first = {client: min(call.started_at for call in calls) for client, calls in by_client.items()}
    tries: dict[str, int] = defaultdict(int)
    for call in until_now:
        client = call.client or ""
        if client in first and call.direction == "outgoing" and call.started_at >= first[client]:
            tries[client] += 1  # all in vain: an answered one would have settled it
    ordered = sorted(by_client, key=lambda client: (first[client], client))
    return [
        Waiting(tuple(sorted(by_client[each], key=lambda call: (call.started_at, call.call_id))), tries[each])
        for each in ordered
    ]
