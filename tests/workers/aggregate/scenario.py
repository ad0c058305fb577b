"""Rows of invented calls in the order in which they reach the topic, and what must become of them.

The oracle is written apart from the protocol and without its state: it goes over the whole log once.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from random import Random

import msgspec

from streams.calls.call import Call, epoch_of
from streams.rows.row import CapturedRow
from streams.workers.aggregate.steps import Limits

LIMITS = Limits(settle_ms=400, quiet_ms=3_000, time_limit_ms=60_000, grace_ms=20_000, backfill_grace_ms=5_000)
START = 1_795_390_000_000
"""Unix milliseconds at which every scenario begins."""


class Arrival(msgspec.Struct, frozen=True):
    """A row reaches the topic."""

    at: int
    row: CapturedRow


BACKFILLED = 0.12
"""The share of calls that are read from the table again."""


TWINS = 0.3
"""How often a call has one of the same linkedid and channels on the other PBX, at about the same time."""


def arrivals(
    rng: Random, strangers: float = 0.0, backfilled: float = BACKFILLED, twins: float = TWINS
) -> list[Arrival]:
    """A few calls on two PBXs, some of the same linkedid: late, repeated and backfilled rows, ids out of order, calls
    without an end.

    `strangers`: how often calls come long after, so that those before are past their deadlines while rows are left.
    `backfilled`: the share of calls that are read from the table again. `twins`: see TWINS.
    """
    logged: list[tuple[int, CapturedRow]] = []
    for number in range(rng.randint(2, 5)):
        logged += _rows_of_call(rng, number)
    apart = Random()
    apart.setstate(rng.getstate())  # so that schedules without twins are what they were before there were any
    if apart.random() < twins:
        logged += _twin(apart, logged)
    if strangers and rng.random() < strangers:
        logged += _strangers(max(at for at, _ in logged) + 45_000)
    logged.sort(key=lambda entry: entry[0])
    reached: list[Arrival] = []
    for at, row in _with_ids(rng, logged):
        late = rng.choice((0, 0, 0, 0, 0, 0, 0, 2_000, 15_000, 45_000))
        delay = round(rng.random() * late)
        # Delayed by its transaction (the commit is late) or on its way (the commit time is old).
        delayed_commit = msgspec.structs.replace(row, commit_ms=at + delay) if rng.random() < 0.5 else row
        reached.append(Arrival(at + delay, delayed_commit))
        if rng.random() < 0.1:
            reached.append(Arrival(at + delay + rng.randint(0, 40_000), delayed_commit))
    reached += _backfills(rng, reached, backfilled)
    return sorted(reached, key=lambda arrival: arrival.at)


def _strangers(at: int) -> Iterator[tuple[int, CapturedRow]]:
    for number, pbx in enumerate(("north", "south"), 10):
        linkedid = f"{at // 1000}.{number}"
        for later, event in ((0, "CHAN_START"), (100, "CHAN_END"), (200, "LINKEDID_END")):
            yield at + later, _row(pbx, linkedid, number, event, linkedid, at + later)


def _twin(rng: Random, logged: list[tuple[int, CapturedRow]]) -> list[tuple[int, CapturedRow]]:
    """The rows of one of the calls as the other PBX has them."""
    call = rng.choice([row for _, row in logged])
    later, other = rng.choice((0, 50, 3_000)), {"north": "south", "south": "north"}[call.pbx]
    rows = [(at + later, row) for at, row in logged if (row.pbx, row.linkedid) == (call.pbx, call.linkedid)]
    return [(at, msgspec.structs.replace(row, pbx=other, commit_ms=at)) for at, row in rows]


def _rows_of_call(rng: Random, number: int) -> Iterator[tuple[int, CapturedRow]]:
    """(commit time, row) of one call; the ids come later."""
    pbx = rng.choice(("north", "south"))
    at = START + rng.randint(0, 60_000)
    linkedid = f"{at // 1000}.{number}" if rng.random() < 0.95 else f"odd-{number}"
    second = f"{linkedid}1"
    events = [("CHAN_START", linkedid), ("CHAN_START", second), ("ANSWER", second)]
    events += [("HANGUP", second), ("CHAN_END", second), ("HANGUP", linkedid), ("CHAN_END", linkedid)]
    if rng.random() < 0.3:
        events = [event for event in events if event[1] == linkedid]
    if rng.random() < 0.6:
        events.append(("LINKEDID_END", linkedid))
    if rng.random() < 0.15:
        events = events[: rng.randint(1, len(events))]
    if rng.random() < 0.1:  # inserted last row first, in one transaction
        at += 5_000
        for event, uniqueid in reversed(events):
            yield at, _row(pbx, linkedid, number, event, uniqueid, at)
        return
    gaps = (0, 100, 1_000, 4_000) if rng.random() < 0.8 else (0, 1_000, 12_000, 18_000)
    for event, uniqueid in events:
        yield at, _row(pbx, linkedid, number, event, uniqueid, at)
        at += rng.choice(gaps)


def _row(pbx: str, linkedid: str, number: int, event: str, uniqueid: str, at: int) -> CapturedRow:
    return CapturedRow(
        id=0, eventtype=event, eventtime="2026-11-23 10:00:00", linkedid=linkedid, uniqueid=uniqueid,
        channame=f"PJSIP/{'trunk1' if uniqueid == linkedid else '1001'}-0000000{number}", cid_num="74951234567",
        exten="1001", context="from-trunk", pbx=pbx, commit_ms=at,
    )  # fmt: skip


def _with_ids(rng: Random, logged: list[tuple[int, CapturedRow]]) -> list[tuple[int, CapturedRow]]:
    """Number the rows; some ids commit out of order."""
    ids = list(range(1, len(logged) + 1))
    for index in range(len(ids) - 1):
        if rng.random() < 0.1:
            ids[index], ids[index + 1] = ids[index + 1], ids[index]
    return [(at, msgspec.structs.replace(row, id=row_id)) for (at, row), row_id in zip(logged, ids, strict=True)]


def _backfills(rng: Random, reached: list[Arrival], share: float) -> list[Arrival]:
    """Whole calls read from the table again, some time after everything else of them."""
    backfilled: list[Arrival] = []
    for call in sorted({(arrival.row.pbx, arrival.row.linkedid) for arrival in reached}):
        if rng.random() < share:
            rows = {arrival.row.id: arrival for arrival in reached if (arrival.row.pbx, arrival.row.linkedid) == call}
            at = max(arrival.at for arrival in rows.values()) + 40_000 + rng.randint(0, 60_000)
            for row_id in sorted(rows):
                at += rng.choice((0, 10, 500))
                backfilled.append(Arrival(at, msgspec.structs.replace(rows[row_id].row, op="r", commit_ms=at)))
    return backfilled


@dataclass
class Expected:
    """What must become of a log, whoever reads it and however often it crashes."""

    calls: dict[str, Call] = field(default_factory=dict)
    """Every call with the rows that belong into its last result."""
    dead: set[int] = field(default_factory=set)
    """Offsets that must be dead letters."""
    may_be_dead: set[int] = field(default_factory=set)
    """Repeated rows of calls that are past their deadline: known as long as the call is remembered."""


def expected(log: list[CapturedRow]) -> Expected:
    """Go over the log once (rules 1 to 3)."""
    outcome, times, last = Expected(), {"north": 0, "south": 0}, dict[str, int]()
    for offset, row in enumerate(log):
        now = times[row.pbx] = max(times[row.pbx], row.commit_ms)
        key = f"{row.pbx}/{row.linkedid}"
        call = outcome.calls.get(key)
        if row.op == "c" and _too_late(row, call, last.get(key, 0), now):
            (outcome.may_be_dead if call and call.knows(row.id) else outcome.dead).add(offset)
            continue
        call = outcome.calls.setdefault(key, Call(row.pbx, row.linkedid))
        if call.add(row):
            last[key] = now
    return outcome


def _too_late(row: CapturedRow, call: Call | None, last: int, now: int) -> bool:
    if call is None:
        epoch = epoch_of(row.linkedid)
        if epoch is None:
            opens = (row.eventtype, row.uniqueid) == ("CHAN_START", row.linkedid)
            return not opens or now - row.commit_ms > LIMITS.grace_ms
        return now - epoch * 1000 > LIMITS.grace_ms
    wait = LIMITS.settle_ms if call.linkedid_end else LIMITS.quiet_ms if call.channels_ended else LIMITS.time_limit_ms
    return now > last + wait + LIMITS.grace_ms
