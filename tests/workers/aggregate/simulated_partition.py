"""One partition under faults: the broker, and the owners that come and go. Drives the protocol, step by step.

What the broker promises is modelled (fencing by transactional id, commits fenced by the group's generation, atomic
transactions); everything else fails at random: processes die between any two steps, answers get lost after the effect,
owners that were replaced go on acting. In some schedules rows expire unread, or are passed over by hand.
"""

from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from random import Random
from typing import Any

import msgspec

from streams.calls.call import Call, Version, epoch_of
from streams.calls.capture_mark import CaptureMark
from streams.calls.missing_rows import opens_call
from streams.calls.segments import call_of, segment_of
from streams.calls.snapshot import CheckpointedCall, UnreadableSnapshot, checkpointed, is_long
from streams.kafka.committed import Committed
from streams.rows.row import CapturedRow
from streams.workers.aggregate.complete_until import Completeness
from streams.workers.aggregate.marker import Marker
from streams.workers.aggregate.partition_state import PartitionState
from streams.workers.aggregate.restore import restore
from streams.workers.aggregate.steps import (
    AwaitSent,
    CallEnded,
    CallWithheld,
    CheckpointStep,
    Commit,
    Fence,
    GiveWay,
    PassedOver,
    ReadCommitted,
    ReadEnd,
    ReadSnapshots,
    Replay,
    RestoreStep,
    RowEffect,
    WriteSnapshots,
)
from tests.workers.aggregate.scenario import BACKFILLED, LIMITS, START, TWINS, Arrival, arrivals, expected

Classifier = Callable[[Call], bytes]


class Violation(AssertionError):
    """An invariant does not hold."""


class Died(Exception):
    """The process ended hard."""


@dataclass
class Broker:
    """What survives every crash."""

    log: list[CapturedRow] = field(default_factory=list)
    first: int = 0
    """Rows before this offset have expired."""
    told_lost: set[int] = field(default_factory=set)
    """Offsets that the operator was told to be lost, with the backfill that heals them."""
    withheld: set[str] = field(default_factory=set)
    """Calls of which a dead letter says that their rows may be lost."""
    results: dict[str, dict[tuple[int, int], bytes]] = field(default_factory=dict)
    dead: set[int] = field(default_factory=set)
    checkpoints: list[tuple[str, bytes | None]] = field(default_factory=list)
    epoch: int = 0
    generation: int = 0
    committed: Committed | None = None

    def publish(self, message: "Message") -> None:
        """Take a result (call id, version, bytes), or a dead letter: of a row (an offset) or of a call (its id)."""
        if isinstance(message, int):
            self.dead.add(message)
            return
        if isinstance(message, str):
            self.withheld.add(message)
            return
        call_id, version, value = message
        same = self.results.setdefault(call_id, {}).setdefault(version, value) == value
        if not same and not self.told_lost:  # as many other rows: a version does not tell them apart
            raise Violation(f"{call_id}: version {version} was published with different bytes")

    def compact(self) -> None:
        """Keep the last record of each key; tombstones may go too."""
        self.checkpoints = [(key, value) for key, value in dict(self.checkpoints).items() if value is not None]


Message = int | str | tuple[str, tuple[int, int], bytes]


@dataclass
class Rules:
    """What the driver (the worker around the protocol) keeps to. One of them is taken out to show that it is needed."""

    fence: bool = True
    await_sent: bool = True
    confirmed_only: bool = True
    strangers: float = 0.0
    backfilled: float = BACKFILLED
    """Of the schedule: see `arrivals`."""
    twins: float = TWINS
    """How often a call of one PBX has one of the same linkedid on the other."""
    losses: float = 0.3
    """The share of schedules in which rows are lost."""
    loss_chance: float = 0.03
    """How likely that is at each step of such a schedule."""
    new: Callable[..., PartitionState] = PartitionState
    """The protocol's own class, or one with a rule less."""


class Owner:
    """A worker process that holds the partition, or believes so."""

    def __init__(
        self, broker: Broker, rng: Random, rules: Rules, classify: Classifier, *, at_leisure: bool = False
    ) -> None:
        """`at_leisure`: calls are copied one by one, those of a few rows are long, and not every checkpoint flushes."""
        self._broker, self._rng, self._rules, self._classify = broker, rng, rules, classify
        self._at_leisure = at_leisure
        broker.generation += 1
        self._generation = broker.generation
        self._epoch = 0
        self._rng_of_form = Random(f"form of {broker.generation}, {len(broker.log)}")
        self._rng_of_marks = Random(f"marks of {broker.generation}, {len(broker.log)}")
        self._flushes = self._rng_of_form.choice((1.0, 0.5)) if at_leisure else 1.0
        """The share of checkpoints that flush; the others commit alone."""
        self._sent: list[Message] = []
        self._refused: set[int] = set()
        self._commits_until_trouble = rng.choice((0, 1, 2, 3, 5, 1000, 1000, 1000))
        """From then on the group's coordinator hardly answers."""
        self._restoring = restore(LIMITS, broker.first, len(broker.log), new=self._new)
        self._first = broker.first
        self._restore_step: RestoreStep = next(self._restoring)
        self._checkpoint: Generator[CheckpointStep, bool, None] | None = None
        self._checkpoint_step: CheckpointStep | None = None
        self.partition: PartitionState | None = None
        self._acknowledged: dict[str, dict[str, bytes]] = {}
        """By call: the records of it that this owner read, or wrote and knows to be there."""
        self._versions: dict[str, Version] = {}
        """Of calls that are not sealed."""
        self._looked_at: dict[tuple[str, tuple[int, int]], int] = {}
        """By call with its LINKEDID_END, and version: the clock when it was seen first with every row read."""
        self.faults = True

    def _new(self, *args: Any) -> PartitionState:
        partition = self._rules.new(*args)
        if self._at_leisure:
            partition.segment_rows = self._rng_of_form.choice((2, 3, 4, 1_000))  # releases may differ in it
            partition.slice = self._rng_of_form.choice((1, 5))
        return partition

    def restore(self) -> None:
        """Do the next step of taking over."""
        step, broker = self._restore_step, self._broker
        answer: object = None
        match step:
            case Fence():
                broker.epoch += 1
                self._epoch = broker.epoch
            case ReadCommitted():
                answer = broker.committed
                if broker.committed is not None:
                    broker.told_lost.update(range(broker.committed.offset, self._first))
            case ReadEnd():
                answer = len(broker.log)
            case PassedOver(start, end):
                broker.told_lost.update(range(start, end))
            case ReadSnapshots():
                snapshots = {key: value for key, value in dict(broker.checkpoints).items() if value is not None}
                self._note_acknowledged(snapshots)
                answer = snapshots if self._rng_of_form.random() < 0.7 else dict(map(_as_before, snapshots.items()))
            case Replay(partition, start, end):
                if start < broker.first:
                    broker.told_lost.update(range(start, min(broker.first, end)))
                    partition.lose(min(broker.first, end))
                for offset in range(max(start, broker.first), end):
                    partition.replay(offset, broker.log[offset])
        try:
            self._restore_step = self._restoring.send(answer)
        except UnreadableSnapshot as unreadable:
            raise Violation(f"the checkpoints cannot be read at {unreadable.key}: {unreadable}") from None
        except StopIteration as restored:
            self.partition = restored.value

    def read(self, rows: int) -> None:
        """Take rows from the log."""
        assert self.partition
        if self.partition.position < self._broker.first:
            self._broker.told_lost.update(range(self.partition.position, self._broker.first))
            self.partition.lose(self._broker.first)
        for offset in range(self.partition.position, min(self.partition.position + rows, len(self._broker.log))):
            effect = self.partition.row(offset, self._broker.log[offset])
            if isinstance(effect, CallEnded):
                self._check_settled(effect.call, None)
                self._check_whole(effect)
            self._send(offset, effect)

    def tick(self, clock: int) -> None:
        """Let the timer run."""
        assert self.partition
        caught_up = self.partition.position >= len(self._broker.log)
        for call in [each.call for each in self.partition.calls.values() if not each.sealed] if caught_up else ():
            if call.linkedid_end:
                seen = self._looked_at.get((call.call_id, call.version), clock)
                self._looked_at[call.call_id, call.version] = min(seen, clock)
        finished = self.partition.tick(clock, len(self._broker.log))
        for each in finished:
            if isinstance(each, CallEnded):
                self._check_settled(each.call, clock if caught_up else None)
                self._check_whole(each)
        for each in finished:
            self._send(0, each)

    def _check_settled(self, call: Call, clock: int | None) -> None:
        """A call with LINKEDID_END is judged a settle time after its last row, by stream time; by the clock (None: rows
        are still to be read) a settle time after it was seen first like that."""
        assert self.partition
        if not call.linkedid_end or self._broker.told_lost:  # which rows told a time then, is not known
            return
        stream, last, known = 0, 0, set()
        for row in self._broker.log[: self.partition.position]:
            if row.pbx == call.pbx:
                stream = max(stream, row.commit_ms)
                if row.linkedid == call.linkedid and row.id not in known and call.knows(row.id):
                    known.add(row.id)
                    last = stream
        by_stream = stream - last >= LIMITS.settle_ms
        first = self._looked_at.get((call.call_id, call.version))
        by_clock = clock is not None and first is not None and clock - first >= LIMITS.settle_ms
        if not by_stream and not by_clock:
            raise Violation(f"{call.call_id}: judged at its LINKEDID_END, while its rows may still be coming")

    def _check_whole(self, ended: CallEnded) -> None:
        """What a CRM shows unasked lacks no row that was lost, unless it came before the call's own beginning."""
        assert self.partition
        call, log = ended.call, self._broker.log
        if ended.backfilled or not self._broker.told_lost:
            return
        own = [at for at, row in enumerate(log[: self.partition.position]) if (row.pbx, row.linkedid) == _name(call)]
        opened = max((at for at in own if opens_call(log[at]) and call.knows(log[at].id)), default=-1)
        lost = self._broker.told_lost - self._broker.dead - self._refused
        lacking = [at for at in own if at in lost and not call.knows(log[at].id) and at > opened]
        if lacking:
            raise Violation(f"{call.call_id}: judged without the rows at {lacking}, which were lost")

    def checkpoint(self, *, flush: bool | None = None) -> None:
        """Begin a checkpoint, or do the next steps of the one under way. `flush`: None is by chance."""
        self._next_step(flush)
        while isinstance(self._checkpoint_step, GiveWay) and self._rng_of_form.random() < 0.7:
            self._next_step(flush)

    def _next_step(self, flush: bool | None) -> None:
        assert self.partition
        answer: bool | None = None
        if self._checkpoint is None:
            by_chance = self._rng_of_form.random() < self._flushes
            self._checkpoint = self.partition.checkpoint(flush=by_chance if flush is None else flush)
        elif self._checkpoint_step is not None:
            answer = self._carry_out(self._checkpoint_step)
        try:
            self._checkpoint_step = self._checkpoint.send(answer)  # type: ignore[arg-type]  # None starts it
        except StopIteration:
            self._checkpoint = self._checkpoint_step = None

    def check_sealed(self) -> None:
        """A sealed call has ended; its rows are all that it had, and those of a snapshot that is known to be there."""
        for key, tracked in self.partition.calls.items() if self.partition else ():
            if not tracked.sealed:
                self._versions[key] = tracked.call.version
                continue
            if not tracked.ended:
                raise Violation(f"{key}: sealed while it is open")
            stored = self._stored(key)
            if stored is None or (tracked.packed, tracked.segments and tracked.segments.packed) != (
                stored.snapshot.newest,
                stored.segments and stored.segments.packed,
            ):
                raise Violation(f"{key}: sealed with rows that no acknowledged snapshot holds")
            known = self._versions.pop(key, None)
            if known is not None and known != stored.restored_call(key).version:
                raise Violation(f"{key}: sealed without all of its rows")

    def check_complete(self) -> None:
        """Until when the calls are said to be complete: each that began before is published, or on its way, or the
        operator was told of rows of it that were lost."""
        assert self.partition
        if self._rng_of_marks.random() > 0.2:
            return
        log, position = self._broker.log, self.partition.position
        completeness = Completeness(0, {})
        for pbx in ("north", "south"):
            completeness.take(CaptureMark(pbx, self._rng_of_marks.randint(START, START + 300_000), {0: position}))
        said = {each.pbx: each.until_ms for each in completeness.due(position, self.partition.first_open_calls())}
        there = self._broker.results.keys() | self._broker.withheld
        there |= {each if isinstance(each, str) else each[0] for each in self._sent if not isinstance(each, int)}
        there |= {f"{log[at].pbx}/{log[at].linkedid}" for at in self._broker.told_lost}
        told = self._broker.dead | self._refused
        for at, row in enumerate(log[:position]):
            epoch, key = epoch_of(row.linkedid), f"{row.pbx}/{row.linkedid}"
            began = row.commit_ms if epoch is None else epoch * 1000
            if at not in told and key not in there and began < said.get(row.pbx, 0):
                raise Violation(f"{key}: began at {began}, has no result, and complete until {said[row.pbx]}")

    def _stored(self, key: str) -> CheckpointedCall | None:
        try:
            return checkpointed(self._acknowledged.get(key, {}))[0].get(key)
        except UnreadableSnapshot as unreadable:
            raise Violation(f"{key}: its checkpoints cannot be read: {unreadable}") from None

    def _note_acknowledged(self, records: Mapping[str, bytes | None]) -> None:
        for key, value in records.items():
            own = self._acknowledged.setdefault(call_of(key), {})
            if value is None:
                own.pop(key, None)
            else:
                own[key] = value

    @property
    def in_checkpoint(self) -> bool:
        """A checkpoint is under way."""
        return self._checkpoint is not None

    def deliver(self, share: float) -> None:
        """Some of what was sent reaches the broker, in any order."""
        waiting = self._sent
        self._sent = []
        for message in waiting:
            if self._rng.random() < share:
                self._broker.publish(message)
            else:
                self._sent.append(message)

    def die(self) -> None:
        """End hard: what was under way arrives or not."""
        self.deliver(self._rng.random())
        self._sent = []

    def _send(self, offset: int, effect: RowEffect | None) -> None:
        if isinstance(effect, CallEnded):
            call = effect.call
            self._sent.append((call.call_id, call.version, self._classify(call)))
        elif isinstance(effect, CallWithheld):
            self._sent.append(effect.call.call_id)
        elif effect is not None:
            self._refused.add(offset)
            self._sent.append(offset)

    def _carry_out(self, step: CheckpointStep) -> bool:
        if isinstance(step, GiveWay):
            return True
        chance = 0.15
        if isinstance(step, Commit):
            chance = 0.1 if self._commits_until_trouble > 0 else 0.95
            self._commits_until_trouble -= 1
        fails = self.faults and self._rng.random() < chance
        lost_answer = fails and self._rng.random() < 0.5
        match step:
            case AwaitSent():
                if not self._rules.await_sent:
                    return True
                if fails:
                    raise Died
                self.deliver(1.0)
                return True
            case WriteSnapshots(records):
                if self._rules.fence and self._epoch != self._broker.epoch:
                    raise Died  # fenced
                if not fails or lost_answer:
                    self._broker.checkpoints += records
                if not fails:
                    self._note_acknowledged(dict(records))
                return not fails
            case Commit(offset, marker):
                if self._generation != self._broker.generation:
                    fails, lost_answer = True, False
                if not fails or lost_answer:
                    self._broker.committed = Committed(offset, marker.encode())
                return not fails or not self._rules.confirmed_only


class Simulation:
    """One seeded schedule."""

    def __init__(self, seed: int, classify: Classifier, rules: Rules) -> None:
        self._rng = Random(seed)
        self._loss_rng = Random(f"losses of {seed}")
        self._losses = self._loss_rng.random() < rules.losses
        self._at_leisure = Random(f"slices of {seed}").random() < 0.6
        self._classify, self._rules = classify, rules
        self._broker = Broker()
        self._clock = START
        self._owner = self._new_owner()
        self._zombies: list[Owner] = []

    def run(self) -> None:
        """Play the schedule and check every invariant. Raises Violation."""
        rng = self._rng
        trouble, arriving = rng.choice((0.02, 0.05, 0.1)), rng.choice((0.1, 0.2, 0.4))
        to_come = arrivals(rng, self._rules.strangers, self._rules.backfilled, self._rules.twins)[::-1]
        while to_come:
            if self._losses and self._loss_rng.random() < self._rules.loss_chance:
                self._lose_rows()
            chance = rng.random()
            if chance < trouble:
                self._replace_owner(zombie=rng.random() < 0.5)
            elif chance < trouble + arriving:
                self._arrive(to_come)
            elif chance < 0.52:
                self._broker.compact()
            elif chance < 0.8 and self._zombies:
                self._zombie_acts()
            else:
                self._act(self._owner)
        self._settle()
        if self._losses:
            self._check_told()
            self._backfill()
            self._check_healed()
        else:
            self._check()
        self._check_memory()

    def _lose_rows(self) -> None:
        """Rows expire, or the group's offset is set or deleted by hand, which Kafka allows while it has no members."""
        broker, rng = self._broker, self._loss_rng
        if rng.random() < 0.6:
            broker.first = rng.randint(broker.first, len(broker.log))
            return
        self._end(self._owner)
        if rng.random() < 0.7:
            broker.committed = Committed(rng.randint(broker.first, len(broker.log)), "by hand")
        else:
            broker.committed = None
        self._replace_owner(zombie=False)

    def _arrive(self, to_come: list[Arrival]) -> None:
        for _ in range(self._rng.choice((1, 1, 2, 6))):
            if to_come:
                arrival = to_come.pop()
                self._clock = max(self._clock, arrival.at)
                self._broker.log.append(arrival.row)

    def _act(self, owner: Owner) -> None:
        """The owner does one of the things that it does concurrently."""
        rng = self._rng
        try:
            if owner.partition is None:
                owner.restore()
                return
            match rng.randrange(7):
                case 0 | 1:
                    owner.read(rng.choice((1, 3, 10)))
                case 2:
                    owner.tick(self._clock + rng.randint(-1_000, 1_000))
                case 3:
                    owner.deliver(rng.random())
                case _:
                    owner.checkpoint()
            owner.check_sealed()
            owner.check_complete()
        except Died:
            self._end(owner)

    def _zombie_acts(self) -> None:
        zombie = self._rng.choice(self._zombies)
        self._act(zombie)
        if self._rng.random() < 0.03 and zombie in self._zombies:
            self._end(zombie)

    def _end(self, owner: Owner) -> None:
        owner.die()
        if owner is self._owner:
            self._owner = self._new_owner()
        else:
            self._zombies.remove(owner)

    def _replace_owner(self, zombie: bool) -> None:
        if zombie:
            self._zombies.append(self._owner)
            self._owner = self._new_owner()
        else:
            self._end(self._owner)

    def _new_owner(self) -> Owner:
        return Owner(self._broker, self._rng, self._rules, self._classify, at_leisure=self._at_leisure)

    def _settle(self) -> None:
        """Faults end; the last owner, sometimes a new one, reads to the end, and time passes."""
        for zombie in list(self._zombies):
            self._end(zombie)
        if self._rng.random() < 0.5:
            self._replace_owner(zombie=False)
        self._catch_up()

    def _catch_up(self) -> None:
        while True:
            self._owner.faults = False
            try:
                while self._owner.partition is None:
                    self._owner.restore()
                self._work_through(self._owner)
            except Died:  # a zombie had fenced it before it ended itself
                self._end(self._owner)
            else:
                return

    def _work_through(self, owner: Owner) -> None:
        clock = self._clock + LIMITS.time_limit_ms + 1_000_000
        owner.read(len(self._broker.log))
        owner.tick(clock)
        owner.tick(clock + max(LIMITS.settle_ms, LIMITS.backfill_grace_ms))
        for _ in range(2):  # one may be under way, with an older copy
            while owner.in_checkpoint:
                owner.checkpoint()
            owner.checkpoint(flush=True)
        while owner.in_checkpoint:
            owner.checkpoint()

    def _check(self) -> None:
        broker, truth = self._broker, expected(self._broker.log)
        if wrongly := broker.dead - truth.dead - truth.may_be_dead:
            raise Violation(f"dead letters of rows that came in time: offsets {sorted(wrongly)}")
        if missing := truth.dead - broker.dead:
            raise Violation(f"rows that came too late are not dead letters: offsets {sorted(missing)}")
        for key, call in truth.calls.items():
            versions = broker.results.get(key)
            if key in broker.withheld and not any(map(opens_call, call.rows)):
                continue  # its first row came too late, or never: told, and not judged from the rest
            if not versions:
                raise Violation(f"{key}: no result")
            if versions[max(versions)] != self._classify(call):
                raise Violation(f"{key}: last result {max(versions)} is not that of its rows, {call.version}")
        committed = broker.committed
        if committed is None or committed.offset != len(broker.log):
            raise Violation(f"committed {committed} at the end of a log of {len(broker.log)} rows")

    def _check_told(self) -> None:
        """A call has the result of all its rows, or the operator was told."""
        broker = self._broker
        for key, call in self._table().items():
            versions = broker.results.get(key, {})
            right = bool(versions) and versions[max(versions)] == self._classify(call)
            rows = {at for at, row in enumerate(broker.log) if (row.pbx, row.linkedid) == _name(call)}
            if not (right or key in broker.withheld or rows & (broker.dead | broker.told_lost)):
                raise Violation(f"{key}: not all of its rows are in a result, and nobody was told")

    def _backfill(self) -> None:
        """Do what the operator is told."""
        at = self._clock + 40_000
        for call in self._table().values():
            rows = {row.id: row for row in self._broker.log if (row.pbx, row.linkedid) == _name(call)}
            for row_id in sorted(rows):
                self._broker.log.append(msgspec.structs.replace(rows[row_id], op="r", commit_ms=at))
        self._clock = at
        self._catch_up()

    def _check_healed(self) -> None:
        for key, call in self._table().items():
            versions = self._broker.results.get(key)
            if not versions or versions[max(versions)] != self._classify(call):
                raise Violation(f"{key}: the backfill did not bring the result of all its rows, {call.version}")

    def _table(self) -> dict[str, Call]:
        """Every call with all its rows."""
        calls: dict[str, Call] = {}
        for row in self._broker.log:
            calls.setdefault(f"{row.pbx}/{row.linkedid}", Call(row.pbx, row.linkedid)).add(row)
        return calls

    def _check_memory(self) -> None:
        """Calls of strangers, long after: everything else is forgotten, in memory and in the checkpoints."""
        assert self._owner.partition
        times = self._owner.partition.times
        strangers = set()
        for pbx in ("north", "south"):
            at = max(self._clock, *times.values()) + 10_000_000
            linkedid = f"{at // 1000}.0"
            opening = {"eventtype": "CHAN_START", "eventtime": "2026-11-23 10:00:00", "uniqueid": linkedid}
            self._broker.log.append(CapturedRow(id=10_000, linkedid=linkedid, pbx=pbx, commit_ms=at, **opening))
            strangers.add(f"{pbx}/{linkedid}")
        for _ in range(3):
            self._catch_up()
        self._broker.compact()
        for place, kept in (
            ("memory", set(self._owner.partition.calls)),
            ("checkpoints", set(dict(self._broker.checkpoints))),
        ):
            if kept != strangers:
                raise Violation(f"{place} still holds {sorted(kept - strangers)}, lacks {sorted(strangers - kept)}")
        decoded = Marker.decode(self._broker.committed.metadata) if self._broker.committed else None
        if decoded is None or decoded.offset != len(self._broker.log):
            raise Violation(f"the marker stands at {decoded}, the log ends at {len(self._broker.log)}")


def _as_before(item: tuple[str, bytes]) -> tuple[str, bytes]:
    """A snapshot as a version wrote it that sealed no calls, and made no segments."""
    key, value = item
    if segment_of(key) is not None or is_long(value):
        return item
    return key, msgspec.msgpack.encode(msgspec.msgpack.decode(value)[:6])


def _name(call: Call) -> tuple[str, str]:
    return call.pbx, call.linkedid


def simulate(seed: int, classify: Classifier, rules: Rules | None = None) -> None:
    """Play one schedule. Raises Violation."""
    Simulation(seed, classify, rules or Rules()).run()
