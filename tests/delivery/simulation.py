"""A seeded world around the delivery state machine.

Owners crash, sleep and wake; a CRM loses answers and indexes late; operators retry, deliver and drop. Time is whole
seconds (the machine only adds and compares). One schedule is one seed; `Broken` names what may be left out to show that
the simulation notices.
"""

import heapq
import itertools
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from enum import Enum
from random import Random

import msgspec

from streams.crm.shared.recording import RECORDING
from streams.crm.shared.tasks import CLOSE, MISSED, WAIT, awaited
from streams.delivery.answers import (
    Answer,
    LookupResult,
    NotSent,
    OutcomeUnknown,
    PortalBlocked,
    RetryLater,
    SkipCall,
    Succeeded,
)
from streams.delivery.commands import begin_from_command
from streams.delivery.digest import Digest, digest_of, trusted_digest
from streams.delivery.events import (
    Answered,
    Arrived,
    CommandReceived,
    DeadLetter,
    Due,
    LookedUp,
    LookUp,
    PausePortal,
    PortalBack,
    Prepared,
    Recovered,
    Send,
)
from streams.delivery.follow_ups import due_at_portal, due_to_prepare, follow_up_view
from streams.delivery.machine import advance, begin
from streams.delivery.plan import Policy, UnknownOutcome
from streams.delivery.record import Action, Delivery, OperatorCommand, State
from tests.delivery.simulated_crms import CHANGED_BY_PERSON, CRMS, SETTLE, Receiver

LIMIT = 60
POLICY = Policy(
    request_limit_us=LIMIT,
    settle_us=SETTLE,
    deadline_us=10**9,
    patience_us=(10, 30, 60),
    backoff_base_us=1,
    backoff_limit_us=30,
)
CALLS = 3
NEVER = 10**8
RECORDING_LIMIT = 900
"""How long a recording is waited for."""
LAST_WORD = 2000
"""When operators have their last word: after all trouble."""


class Broken(Enum):
    """A rule that can be left out."""

    FENCE = "the log takes writes of an owner that was replaced"
    INTENT_FIRST = "the request goes out before the intent is durable"
    OWNER_WAIT = "a new owner does not wait out the request of the one before"
    DEADLINE_CHECK = "the request goes out although its time is over"
    SECOND_LOOKUP = "the first lookup that finds nothing is believed"
    LOOKUP = "an unknown outcome is sent again, as its newest version, without looking"
    VERSIONS = "a version that was seen is taken for new"
    DEAD_LETTER_FIRST = "the dead letter comes after the state that goes with it"
    COMMAND_COMMIT = "a command's offset is committed before what it changed is durable"
    FOLLOW_UP_LAST = "what follows a call is sent before it is known to stand in the CRM"
    SECOND_LOOK = "what was on its way to the CRM when a task was made is not looked for"
    LATER_END = "a task that stands does not speak of a later missed call"
    LOOK_FIRST = "what stands in the CRM is delivered again without looking"
    DIGEST_OVER = "a call that something is still to follow is taken over as one that is over"
    DIGEST_VERSION = "the digest of a finished call tells of a later version than its record"


class Fenced(Exception):
    """The log has another owner."""


@dataclass
class World:
    """The log with its fence, the results to be delivered, the CRM, and the clock."""

    seed: int
    crm_name: str = "bitrix24"
    broken: Broken | None = None
    now: int = 0
    epoch: int = 0
    committed: int = 0
    log: dict[str, Delivery] = field(default_factory=dict)
    dead_letters: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.random = Random(self.seed)
        self.plan, crm = CRMS[self.crm_name]
        self.crm = crm(self.random)
        self.policy = replace(POLICY, on_revision=self.random.choice(("keep", *self.plan.revisions)))
        if self.broken is Broken.SECOND_LOOKUP:
            self.policy = replace(self.policy, settle_us=0)
        if self.broken is Broken.LOOKUP:
            steps = {
                name: replace(step, unknown_outcome=UnknownOutcome.RESEND) for name, step in self.plan.steps.items()
            }
            self.plan = replace(self.plan, steps=steps)
        if self.broken is Broken.SECOND_LOOK and MISSED in self.plan.follow_ups:
            task = self.plan.follow_ups[MISSED]
            task = replace(task, steps={**task.steps, MISSED: replace(task.steps[MISSED], then=None)})
            self.plan = replace(self.plan, follow_ups={**self.plan.follow_ups, MISSED: task})
        self.crm.keeps_texts = self.broken is Broken.LATER_END
        self._turns: list[tuple[int, int, Callable[[], None]]] = []
        self._sequence = itertools.count()
        self.mended: list[str] = []
        self.troubled_until = self.random.randint(0, 600)
        self.recorded_at: dict[str, int] = {}
        """When a call's recording is there."""
        self.results = self._draw_results()
        self.arrived = 0
        self.commands = self._draw_commands()
        self.commands_come = 0
        self.commands_committed = 0

    def _draw_results(self) -> list[Arrived]:
        results = []
        for number in range(CALLS):
            call = f"pbx1/{number}"
            if self.random.random() < 0.15:
                self.crm.refuses.add(call)
                if self.random.random() < 0.5:
                    self.mended.append(call)
            if self.random.random() < 0.2:
                self.crm.unknown_users.add(call)
            follow_ups: dict[str, dict[str, str]] = {}
            if self.random.random() < 0.5:
                follow_ups[RECORDING] = {}
            if MISSED in self.plan.follow_ups and self.random.random() < 0.8:
                reached = self.random.random() < 0.4
                follow_ups[CLOSE if reached else MISSED] = {}
                self.crm.talks |= {call} if reached else set()
            self.recorded_at[call] = self.random.choice((0, 10, 300, NEVER))
            for version in range(1, self.random.choice((1, 1, 2, 3)) + 1):
                outcome = f"outcome {number} {self.random.choice((1, version))}"
                results += [
                    Arrived(
                        now=0,
                        call_id=call,
                        portal="main",
                        version=version,
                        outcome_hash=outcome,
                        compared_hash=outcome if number % 2 else "",
                        result=b"result",
                        call_ended_at=0,
                        follow_ups=follow_ups,
                    )
                ] * self.random.choice((1, 1, 2))
        self.random.shuffle(results)
        backfilled = f"pbx1/{self.random.choice((0, 9, 9))}"
        return [replace(each, history="old") if each.call_id == backfilled else each for each in results]

    def _draw_commands(self) -> list[tuple[int, str, OperatorCommand]]:
        """When, for which call, what. Of a call that was mended, and of one of old, operators have the last word."""
        commands = []
        for number in range(self.random.choice((0, 0, 1, 3))):
            at, call = self.random.randint(0, 400), f"pbx1/{self.random.randrange(CALLS)}"
            action = self.random.choice((Action.RETRY, Action.DELIVER, Action.DROP))
            commands += [(at, call, OperatorCommand(f"c{number}", action, "ann", at))] * self.random.choice((1, 1, 2))
        if self.random.random() < 0.1:
            at, call = self.random.randint(0, 400), f"pbx1/{self.random.randrange(CALLS)}"
            commands.append((at, call, OperatorCommand("erase", Action.ERASE, "ann", at)))
        last_words = dict.fromkeys(self.mended, Action.RETRY)
        last_words |= {result.call_id: Action.DELIVER for result in self.results if result.history}
        for call, action in last_words.items():
            if call in self.mended or self.random.random() < 0.5:
                commands.append((LAST_WORD, call, OperatorCommand(f"last {call}", action, "ann", LAST_WORD)))
        return sorted(commands, key=lambda command: command[0])

    def schedule(self, seconds: int, turn: Callable[[], None]) -> None:
        """Do something after so many seconds."""
        heapq.heappush(self._turns, (self.now + seconds, next(self._sequence), turn))

    def trouble(self, probability: float) -> bool:
        """Whether something goes wrong now; not after `troubled_until`."""
        return self.now < self.troubled_until and self.random.random() < probability

    def run(self) -> None:
        """One schedule, to its end."""
        arrival = 0
        for count in range(1, len(self.results) + 1):
            arrival += self.random.choice((0, 1, 5, 70))
            self.schedule(arrival, lambda count=count: self._arrive(count))  # type: ignore[misc]
        for count, (at, _, _) in enumerate(self.commands, start=1):
            self.schedule(at, lambda count=count: self._command_comes(count))  # type: ignore[misc]
        if self.mended:
            self.schedule(LAST_WORD - 1, self._mend)
        self.schedule(self.random.randint(0, 300), self._touch)
        Owner(self).start()
        for _ in range(20_000):
            if not self._turns:
                return
            self.now, _, turn = heapq.heappop(self._turns)
            turn()
        raise AssertionError(f"seed {self.seed}: no end")

    def _touch(self) -> None:
        """A person changes a call in the CRM."""
        if self.crm.entries and self.random.random() < 0.5 and not isinstance(self.crm, Receiver):
            self.random.choice(self.crm.entries).version = CHANGED_BY_PERSON

    def _arrive(self, count: int) -> None:
        self.arrived = count

    def _command_comes(self, count: int) -> None:
        self.commands_come = count

    def _mend(self) -> None:
        """A person puts right what the CRM refused."""
        self.crm.refuses -= set(self.mended)

    def newest(self, call: str) -> Arrived | None:
        """The newest result of a call that is on its topic."""
        results = [result for result in self.results[: self.arrived] if result.call_id == call]
        return max(results, key=lambda result: result.version, default=None)


class Owner:
    """A delivery worker that owns the log's partition, until it is replaced, and for a while after."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.alive = True
        self.deliveries: dict[str, Delivery] = {}
        self.finished: dict[str, tuple[Digest, Delivery]] = {}
        """Calls that were over when this owner came: their digests, and what stands in the log at their offsets."""
        self.busy: set[str] = set()
        self.asleep_until = 0

    def start(self) -> None:
        """Fence the owner before, read the log to its end, take up what it left."""
        world = self.world
        world.epoch += 1
        self.epoch = world.epoch
        self.position = world.committed
        self.commands_read = world.commands_committed
        for call, delivery in world.log.items():
            if (digest := self.digest(delivery)) is not None:
                self.finished[call] = digest, delivery
                continue
            recovered = advance(delivery, Recovered(world.now), world.plan, world.policy).delivery
            if world.broken is Broken.OWNER_WAIT and recovered.state is State.UNSURE:
                recovered = advance(_due_now(recovered, world.now), Recovered(world.now), world.plan, world.policy)[0]
            self.deliveries[call] = recovered
            if recovered.over and recovered is not delivery:
                world.log[call] = recovered
        world.schedule(0, self.guarded(self.tick))

    def digest(self, delivery: Delivery) -> Digest | None:
        """What a new owner reads beside a call's record; None: the record is to be decoded."""
        broken, key, over = self.world.broken, delivery.call_id.encode(), delivery
        if broken is Broken.DIGEST_OVER and delivery.final:
            over = msgspec.structs.replace(delivery, follow_ups=())
        if broken is Broken.DIGEST_VERSION:
            over = msgspec.structs.replace(delivery, version=delivery.version + 1)
        header = digest_of(over, key, b"record")
        return None if header is None else trusted_digest(header, key, b"record")

    def known(self, call: str) -> Delivery | None:
        """A call's state, read from the log where it was over when this owner came."""
        return self.deliveries.get(call) or self.finished.get(call, (None, None))[1]

    def guarded(self, turn: Callable[[], None]) -> Callable[[], None]:
        """A turn that a dead owner leaves out, a sleeping one takes when it wakes, and a fenced one dies of."""

        def guarded_turn() -> None:
            world = self.world
            if not self.alive:
                return
            if world.now < self.asleep_until:
                world.schedule(self.asleep_until - world.now, guarded_turn)
                return
            try:
                turn()
            except Fenced:
                self.alive = False

        return guarded_turn

    def tick(self) -> None:
        """Take up one result, and act for one call that is due."""
        world = self.world
        if self.interrupted():
            return
        if self.epoch != world.epoch and world.random.random() < 0.1:
            raise Fenced  # it notices at last that its group went on without it
        if self.position < world.arrived:
            self.take_result(world.results[self.position])
            self.position += 1
            if world.random.random() < 0.5 and self.epoch == world.epoch:
                world.committed = self.position
        if self.commands_read < world.commands_come:
            self.take_command(*world.commands[self.commands_read][1:])
            self.commands_read += 1
            if world.random.random() < 0.5 and self.epoch == world.epoch:
                world.commands_committed = self.commands_read
        self.prepare()
        ready = sorted(
            call
            for call, delivery in self.deliveries.items()
            if call not in self.busy and self.due_part(delivery) is not None
        )
        if ready:
            self.act(world.random.choice(ready))
        waiting = any(not delivery.over for delivery in self.deliveries.values())
        if waiting or self.position < len(world.results) or self.commands_read < len(world.commands):
            world.schedule(world.random.choice((0, 1, 3)) if ready else 3, self.guarded(self.tick))

    def due_part(self, delivery: Delivery) -> str | None:
        """The part of a call that a request is due for: empty for the call itself; None: none."""
        if self.world.broken is Broken.FOLLOW_UP_LAST and not delivery.final:
            delivery = msgspec.structs.replace(delivery, state=State.DELIVERED)
        due = due_at_portal(delivery, self.world.plan)
        return None if due is None or due[0] > self.world.now else due[1]

    def prepare(self) -> None:
        """Take the local steps that are due, beside what goes on for the same calls."""
        world = self.world
        for call, delivery in sorted(self.deliveries.items()):
            due = due_to_prepare(delivery, world.plan)
            if due is None or due[0] > world.now or world.random.random() < 0.3:
                continue
            assert delivery.result is not None, f"{call} is followed up without its result"
            view = follow_up_view(delivery, due[1], world.plan)
            if view.step == WAIT:
                answer: Answer = awaited(view, SETTLE, world.now)
                self.step(delivery, Prepared(world.now, due[1], answer, world.random.random()))
                continue
            waited = world.now - (view.queued_at or world.now)
            if world.now >= world.recorded_at[call]:
                answer = Succeeded({"recording_url": f"https://pbx/{call}"})
            elif waited > RECORDING_LIMIT:
                answer = SkipCall("no recording")
            else:
                answer = RetryLater("not there yet", world.now + 20)
            self.step(delivery, Prepared(world.now, due[1], answer, world.random.random()))

    def interrupted(self) -> bool:
        """Whether the owner is killed now, or sleeps beyond its session: either way another owner comes."""
        world = self.world
        if not world.trouble(0.03) or self.epoch != world.epoch:
            return False
        if world.random.random() < 0.5:
            self.alive = False
        else:
            self.asleep_until = world.now + world.random.randint(1, 2 * LIMIT)
        world.schedule(world.random.choice((0, 1, 10, 50)), Owner(world).start)
        if self.alive:
            world.schedule(0, self.guarded(self.tick))
        return True

    def take_result(self, arrived: Arrived) -> None:
        """A result into its call's state, durable before the next one is read."""
        world, (digest, _) = self.world, self.finished.get(arrived.call_id, (None, None))
        ended = (0, 0) if digest is None or world.broken is Broken.VERSIONS else digest[:2]
        if ended >= (arrived.version, arrived.correction):
            return
        known = self.known(arrived.call_id)
        arrived = replace(arrived, now=world.now)
        if world.broken is Broken.VERSIONS:
            known = None
        if known is None:
            self.keep(begin(arrived, world.plan))
        else:
            self.step(known, arrived)

    def take_command(self, call: str, command: OperatorCommand) -> None:
        """A command into its call's state."""
        world, known = self.world, self.known(call)
        event = CommandReceived(world.now, command, world.newest(call))
        if world.broken is Broken.COMMAND_COMMIT and self.epoch == world.epoch:
            world.commands_committed = self.commands_read + 1
            if world.random.random() < 0.3:
                self.alive = False
                world.schedule(1, Owner(world).start)
                raise Fenced
        if known is not None:
            self.step(_as_if_skipped(known) if world.broken is Broken.LOOK_FIRST else known, event)
        elif (fresh := begin_from_command(event, world.plan)) is not None:
            self.keep(fresh)

    def act(self, call: str) -> None:
        world, delivery = self.world, self.deliveries[call]
        self.busy.add(call)
        part = self.due_part(delivery) or ""
        assert not part or delivery.result is not None, f"{call} is followed up without its result"
        self.step(delivery, Due(world.now, follow_up=part) if part else Due(world.now, step=self.chosen(delivery)))

    def chosen(self, delivery: Delivery) -> str:
        """The client may ask first, and do two steps at once."""
        random, step = self.world.random.random(), delivery.step
        may_ask = step == self.world.plan.first and "client" in self.world.plan.steps
        if may_ask and "client" not in delivery.steps_done and random < 0.2:
            return "client"
        return self.world.plan.when_many_wait.get(step, step) if random < 0.5 else step

    def step(self, delivery: Delivery, event: object) -> None:
        """One event through the machine, its effects in the promised order."""
        world = self.world
        outcome = advance(delivery, event, world.plan, world.policy)  # type: ignore[arg-type]
        letters = [effect for effect in outcome.effects if isinstance(effect, DeadLetter)]
        late_letters = world.broken is Broken.DEAD_LETTER_FIRST
        if not late_letters:
            world.dead_letters += [delivery.call_id for _ in letters]
        changed = outcome.delivery is not delivery
        if changed and world.broken is not Broken.INTENT_FIRST:
            self.keep(outcome.delivery)
        for effect in outcome.effects:
            match effect:
                case Send():
                    pause = world.random.choice((0, 0, 0, 1, LIMIT)) if world.trouble(0.3) else 0
                    world.schedule(pause, self.guarded(lambda send=effect: self.send(outcome.delivery, send)))  # type: ignore[misc]
                case LookUp():
                    self.look_up(outcome.delivery, effect)
                case PausePortal():
                    back = lambda: self.step(self.deliveries[delivery.call_id], PortalBack(world.now))  # noqa: E731
                    world.schedule(20, self.guarded(back))
                case DeadLetter() if late_letters:
                    if world.trouble(0.3):
                        self.alive = False
                        world.schedule(1, Owner(world).start)
                    else:
                        world.dead_letters.append(delivery.call_id)
        if changed and world.broken is Broken.INTENT_FIRST:
            world.schedule(2, self.guarded(lambda: self.keep_latest(delivery.call_id, outcome.delivery)))
        requested = any(isinstance(effect, Send | LookUp) for effect in outcome.effects)
        if not requested and not isinstance(event, Arrived | CommandReceived | Prepared):
            self.busy.discard(delivery.call_id)

    def keep(self, delivery: Delivery) -> None:
        """Make a state durable: a transaction, which a fenced owner cannot commit, and after which one may die."""
        world = self.world
        if self.epoch != world.epoch and world.broken is not Broken.FENCE:
            raise Fenced
        self.deliveries[delivery.call_id] = delivery
        self.finished.pop(delivery.call_id, None)
        world.log[delivery.call_id] = delivery
        if world.trouble(0.02) and self.epoch == world.epoch:
            self.alive = False
            world.schedule(1, Owner(world).start)
            raise Fenced

    def keep_latest(self, call: str, delivery: Delivery) -> None:
        self.deliveries.setdefault(call, delivery)
        self.keep(delivery)

    def send(self, delivery: Delivery, send: Send) -> None:
        """The bytes go out; what comes of them is the network's and the CRM's affair."""
        world, call = self.world, delivery.call_id
        if world.now >= send.deadline and world.broken is not Broken.DEADLINE_CHECK:
            return self.answer(call, send, NotSent())
        if send.follow_up:
            delivery = follow_up_view(delivery, send.follow_up, world.plan)
        version = delivery.intent.version if delivery.intent else delivery.version
        left = max(1, send.deadline - world.now)
        at = world.random.randint(0, left - 1) if world.trouble(0.4) else 0
        luck = world.random.random() if world.now < world.troubled_until else 1.0
        if luck < 0.1:
            reason = "reset before the request was read"
            world.schedule(at, self.guarded(lambda: self.answer(call, send, OutcomeUnknown(reason))))
            return None
        if luck < 0.2:
            world.schedule(at, self.guarded(lambda: self.answer(call, send, RetryLater("503", whole_portal=True))))
            return None
        if luck < 0.23:
            world.schedule(at, self.guarded(lambda: self.answer(call, send, PortalBlocked("licence expired"))))
            return None
        world.schedule(
            at, lambda: self.effect(delivery, send, version, luck)
        )  # the portal acts, whoever sent it lives or not
        return None

    def effect(self, delivery: Delivery, send: Send, version: int, luck: float) -> None:
        world = self.world
        answer = world.crm.take(send.step, delivery, version, world.now)
        if luck < 0.26 and send.step in ("register", "finish", "post", MISSED):
            world.crm.repeating = True
            answer = world.crm.take(send.step, delivery, version, world.now)  # a proxy repeated it
            world.crm.repeating = False
        if luck < 0.45:
            answer = OutcomeUnknown("the answer was lost")
        world.schedule(0, self.guarded(lambda: self.answer(delivery.call_id, send, answer)))

    def answer(self, call: str, send: Send, answer: Answer) -> None:
        world = self.world
        answered = Answered(world.now, send.attempt, answer, world.random.random(), send.follow_up)
        self.step(self.deliveries[call], answered)
        self.busy.discard(call)

    def found(self, look_up: LookUp, delivery: Delivery) -> LookupResult:
        """The CRM's answer about the doubtful request."""
        if look_up.follow_up:
            delivery = follow_up_view(delivery, look_up.follow_up, self.world.plan)
        version = delivery.doubt.version if delivery.doubt else delivery.version
        return self.world.crm.find(look_up.step, delivery.call_id, version, self.world.now)

    def look_up(self, delivery: Delivery, look_up: LookUp) -> None:
        world, call = self.world, delivery.call_id
        sighting: LookupResult = RetryLater("no answer") if world.trouble(0.2) else self.found(look_up, delivery)
        event = LookedUp(world.now, look_up.attempt, sighting, world.random.random(), look_up.follow_up)

        def seen() -> None:
            self.step(self.deliveries[call], replace(event, now=world.now))
            self.busy.discard(call)

        world.schedule(world.random.choice((0, 2)), self.guarded(seen))


def _due_now(delivery: Delivery, now: int) -> Delivery:
    return msgspec.structs.replace(delivery, wait_until=now)


def _as_if_skipped(delivery: Delivery) -> Delivery:
    if delivery.state not in (State.DELIVERED, State.SUPERSEDED):
        return delivery
    return msgspec.structs.replace(delivery, state=State.SKIPPED)
