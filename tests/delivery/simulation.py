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

from streams.crm.bitrix24.plan import PLAN as BITRIX24
from streams.crm.kommo.plan import PLAN as KOMMO
from streams.crm.webhook.plan import PLAN as WEBHOOK
from streams.delivery.answers import (
    Answer,
    CallFound,
    LookupResult,
    NotFound,
    NotSent,
    OutcomeUnknown,
    PartlyDone,
    PortalBlocked,
    PrerequisiteLost,
    PrerequisiteMissing,
    Refused,
    RetryLater,
    SkipCall,
    Succeeded,
    UserUnknown,
)
from streams.delivery.commands import begin_from_command
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
    Recovered,
    Send,
)
from streams.delivery.machine import advance, begin
from streams.delivery.plan import Plan, Policy, UnknownOutcome
from streams.delivery.record import Action, Delivery, OperatorCommand, State

LIMIT, SETTLE = 60, 30
POLICY = Policy(request_limit_us=LIMIT, settle_us=SETTLE, deadline_us=10**9, backoff_base_us=1, backoff_limit_us=30)
CALLS = 3
BESIDE = ("comment", "text_note")
TOUCHED = -1
"""Stands for a version: what a person wrote."""
LAST_WORD = 2000
"""When operators have their last word: after every bad night."""


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
    LOOK_FIRST = "what stands in the CRM is delivered again without looking"


class Fenced(Exception):
    """The log has another owner."""


@dataclass
class Entry:
    """A call as the CRM's user sees it."""

    call: str
    version: int
    visible_at: int


@dataclass
class Crm:
    """What both CRMs share: entries, and lookups that lag."""

    random: Random
    entries: list[Entry] = field(default_factory=list)
    refuses: set[str] = field(default_factory=set)
    notes: list[Entry] = field(default_factory=list)
    """Later versions, told beside their calls."""
    strangers: set[str] = field(default_factory=set)
    """Calls of a person whom the CRM does not know."""

    def take(self, step: str, delivery: Delivery, version: int, now: int) -> Answer:
        """The effect of a request, and the true answer to it."""
        raise NotImplementedError

    def find(self, step: str, call: str, version: int, now: int) -> LookupResult:
        """A lookup's answer."""
        if step in BESIDE:
            noted = [note for note in self.notes if (note.call, note.version) == (call, version)]
            return CallFound({step: "1"}) if any(note.visible_at <= now for note in noted) else NotFound()
        if step == "update":
            shown = [entry for entry in self.entries if entry.call == call and entry.version == version]
            return CallFound() if shown else NotFound()
        found = [entry for entry in self.entries if entry.call == call and entry.visible_at <= now]
        return CallFound({"entry": "1"}) if found else NotFound()

    def before(self, step: str, delivery: Delivery, version: int, now: int) -> Answer | None:
        """What both CRMs do alike: answer a question, take a note or a change, know no such person."""
        if step == "client":
            return Succeeded({"responsible": "7"})
        if step in BESIDE:
            self.notes.append(Entry(delivery.call_id, version, now + self.random.randint(0, SETTLE)))
            return Succeeded({step: "1"})
        if step == "update":
            return self._update(delivery, version)
        if step in ("register", "register_finish", "call") and delivery.call_id in self.strangers:
            return UserUnknown("user:19", "no such user") if not delivery.unmatched else None
        return None

    def _update(self, delivery: Delivery, version: int) -> Answer:
        entry = next(entry for entry in self.entries if entry.call == delivery.call_id)
        if entry.version not in (version, delivery.sent_version):
            return SkipCall("a person changed the call")
        entry.version = version
        return Succeeded()

    def _show(self, call: str, version: int, now: int) -> None:
        self.entries.append(Entry(call, version, now + self.random.randint(0, SETTLE)))


@dataclass
class Bitrix24(Crm):
    """Registrations that are finished once; what is not finished is seen by nobody."""

    calls: dict[str, tuple[str, bool]] = field(default_factory=dict)

    def take(self, step: str, delivery: Delivery, version: int, now: int) -> Answer:
        if (other := self.before(step, delivery, version, now)) is not None:
            return other
        if step == "finish":
            return self._finish(delivery.crm_ids["CALL_ID"], delivery, version, now)
        if delivery.call_id in self.refuses:
            return Refused("no such phone number")
        same = [name for name, (call, done) in self.calls.items() if call == delivery.call_id and not done]
        name = same[-1] if same and self.random.random() < 0.5 else f"externalCall.{len(self.calls)}"
        self.calls[name] = (delivery.call_id, False)
        registered = Succeeded({"CALL_ID": name})
        if step == "register":
            return registered
        finished = self._finish(name, delivery, version, now) if self.random.random() < 0.8 else RetryLater("busy")
        if isinstance(finished, Succeeded):
            return Succeeded({**registered.ids, **finished.ids})
        return PartlyDone("register", registered.ids, finished.why)

    def _finish(self, name: str, delivery: Delivery, version: int, now: int) -> Succeeded | PrerequisiteLost:
        if self.random.random() < 0.03:
            self.calls.pop(name, None)  # the portal forgot an old registration
        if name not in self.calls or self.calls[name][1]:
            return PrerequisiteLost("Call is not found")
        self.calls[name] = (delivery.call_id, True)
        self._show(delivery.call_id, version, now)
        return Succeeded({"CRM_ACTIVITY_ID": "7"})


@dataclass
class Kommo(Crm):
    """Every call that it takes is a note; unknown phones need a contact."""

    contacts: list[Entry] = field(default_factory=list)

    def take(self, step: str, delivery: Delivery, version: int, now: int) -> Answer:
        call = delivery.call_id
        if (other := self.before(step, delivery, version, now)) is not None:
            return other
        if step == "contact":
            self.contacts.append(Entry(call, version, now + self.random.randint(0, SETTLE)))
            return Succeeded({"contact": "1"})
        if call in self.refuses:
            return Refused("validation")
        if call.endswith("0") and not any(entry.call == call for entry in self.contacts):
            return PrerequisiteMissing("contact", "Entity not found")
        self._show(call, version, now)
        return Succeeded({"note": "1"})

    def find(self, step: str, call: str, version: int, now: int) -> LookupResult:
        if step == "contact":
            known = any(entry.call == call and entry.visible_at <= now for entry in self.contacts)
            return CallFound({"contact": "1"}) if known else NotFound()
        return super().find(step, call, version, now)


@dataclass
class Receiver(Crm):
    """A receiver of webhooks: takes each id, which is a version of a call, once, and cannot be asked."""

    def take(self, step: str, delivery: Delivery, version: int, now: int) -> Answer:
        if delivery.call_id in self.refuses:
            return Refused("HTTP 422")
        if not any((entry.call, entry.version) == (delivery.call_id, version) for entry in self.entries):
            self.entries.append(Entry(delivery.call_id, version, now))
        return Succeeded()

    def find(self, step: str, call: str, version: int, now: int) -> LookupResult:
        raise AssertionError("a receiver cannot be asked")


CRMS: dict[str, tuple[Plan, type[Crm]]] = {
    "bitrix24": (BITRIX24, Bitrix24),
    "kommo": (KOMMO, Kommo),
    "webhook": (WEBHOOK, Receiver),
}


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
        self._turns: list[tuple[int, int, Callable[[], None]]] = []
        self._order = itertools.count()
        self.mended: list[str] = []
        self.troubled_until = self.random.randint(0, 600)
        self.results = self._some_results()
        self.arrived = 0
        self.commands = self._some_commands()
        self.ordered = 0
        self.commands_committed = 0

    def _some_results(self) -> list[Arrived]:
        results = []
        for number in range(CALLS):
            call = f"pbx1/{number}"
            if self.random.random() < 0.15:
                self.crm.refuses.add(call)
                if self.random.random() < 0.5:
                    self.mended.append(call)
            if self.random.random() < 0.2:
                self.crm.strangers.add(call)
            for version in range(1, self.random.choice((1, 1, 2, 3)) + 1):
                outcome = f"outcome {number} {self.random.choice((1, version))}"
                results += [
                    Arrived(
                        now=0,
                        call_id=call,
                        portal="main",
                        version=version,
                        outcome_hash=outcome,
                        result=b"result",
                        call_ended_at=0,
                    )
                ] * self.random.choice((1, 1, 2))
        self.random.shuffle(results)
        backfilled = f"pbx1/{self.random.choice((0, 9, 9))}"
        return [replace(each, history="old") if each.call_id == backfilled else each for each in results]

    def _some_commands(self) -> list[tuple[int, str, OperatorCommand]]:
        """When, for which call, what. Of a call that was mended, and of one of old, operators have the last word."""
        commands = []
        for number in range(self.random.choice((0, 0, 1, 3))):
            at, call = self.random.randint(0, 400), f"pbx1/{self.random.randrange(CALLS)}"
            action = self.random.choice(list(Action))
            commands += [(at, call, OperatorCommand(f"c{number}", action, "ann", at))] * self.random.choice((1, 1, 2))
        last_words = dict.fromkeys(self.mended, Action.RETRY)
        last_words |= {result.call_id: Action.DELIVER for result in self.results if result.history}
        for call, action in last_words.items():
            if call in self.mended or self.random.random() < 0.5:
                commands.append((LAST_WORD, call, OperatorCommand(f"last {call}", action, "ann", LAST_WORD)))
        return sorted(commands, key=lambda command: command[0])

    def later(self, seconds: int, turn: Callable[[], None]) -> None:
        """Do something after so many seconds."""
        heapq.heappush(self._turns, (self.now + seconds, next(self._order), turn))

    def trouble(self, probability: float) -> bool:
        """Something goes wrong, as long as the bad night lasts."""
        return self.now < self.troubled_until and self.random.random() < probability

    def run(self) -> None:
        """One schedule, to its end."""
        arrival = 0
        for count in range(1, len(self.results) + 1):
            arrival += self.random.choice((0, 1, 5, 70))
            self.later(arrival, lambda count=count: self._arrive(count))  # type: ignore[misc]
        for count, (at, _, _) in enumerate(self.commands, start=1):
            self.later(at, lambda count=count: self._order_comes(count))  # type: ignore[misc]
        if self.mended:
            self.later(LAST_WORD - 1, self._mend)
        self.later(self.random.randint(0, 300), self._touch)
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
            self.random.choice(self.crm.entries).version = TOUCHED

    def _arrive(self, count: int) -> None:
        self.arrived = count

    def _order_comes(self, count: int) -> None:
        self.ordered = count

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
            recovered = advance(delivery, Recovered(world.now), world.plan, world.policy).delivery
            if world.broken is Broken.OWNER_WAIT and recovered.state is State.UNSURE:
                recovered = advance(_due_now(recovered, world.now), Recovered(world.now), world.plan, world.policy)[0]
            self.deliveries[call] = recovered
            if recovered.final and recovered is not delivery:
                world.log[call] = recovered
        world.later(0, self.guarded(self.tick))

    def guarded(self, turn: Callable[[], None]) -> Callable[[], None]:
        """Nothing is done by the dead; the sleeping do it when they wake; the fenced die."""

        def guarded_turn() -> None:
            world = self.world
            if not self.alive:
                return
            if world.now < self.asleep_until:
                world.later(self.asleep_until - world.now, guarded_turn)
                return
            try:
                turn()
            except Fenced:
                self.alive = False

        return guarded_turn

    def tick(self) -> None:
        """Take up one result, and act for one call that is due."""
        world = self.world
        if self.mishap():
            return
        if self.epoch != world.epoch and world.random.random() < 0.1:
            raise Fenced  # it notices at last that its group went on without it
        if self.position < world.arrived:
            self.fold(world.results[self.position])
            self.position += 1
            if world.random.random() < 0.5 and self.epoch == world.epoch:
                world.committed = self.position
        if self.commands_read < world.ordered:
            self.obey(*world.commands[self.commands_read][1:])
            self.commands_read += 1
            if world.random.random() < 0.5 and self.epoch == world.epoch:
                world.commands_committed = self.commands_read
        ready = sorted(
            call
            for call, delivery in self.deliveries.items()
            if call not in self.busy and delivery.due_at is not None and delivery.due_at <= world.now
        )
        if ready:
            self.act(world.random.choice(ready))
        waiting = any(not delivery.final for delivery in self.deliveries.values())
        if waiting or self.position < len(world.results) or self.commands_read < len(world.commands):
            world.later(world.random.choice((0, 1, 3)) if ready else 3, self.guarded(self.tick))

    def mishap(self) -> bool:
        """Killed, or asleep beyond its session: either way another owner comes."""
        world = self.world
        if not world.trouble(0.03) or self.epoch != world.epoch:
            return False
        if world.random.random() < 0.5:
            self.alive = False
        else:
            self.asleep_until = world.now + world.random.randint(1, 2 * LIMIT)
        world.later(world.random.choice((0, 1, 10, 50)), Owner(world).start)
        if self.alive:
            world.later(0, self.guarded(self.tick))
        return True

    def fold(self, arrived: Arrived) -> None:
        """A result into its call's state, durable before the next one is read."""
        world, known = self.world, self.deliveries.get(arrived.call_id)
        arrived = replace(arrived, now=world.now)
        if world.broken is Broken.VERSIONS:
            known = None
        if known is None:
            self.keep(begin(arrived, world.plan))
        else:
            self.step(known, arrived)

    def obey(self, call: str, command: OperatorCommand) -> None:
        """A command into its call's state."""
        world, known = self.world, self.deliveries.get(call)
        event = CommandReceived(world.now, command, world.newest(call))
        if world.broken is Broken.COMMAND_COMMIT and self.epoch == world.epoch:
            world.commands_committed = self.commands_read + 1
            if world.random.random() < 0.3:
                self.alive = False
                world.later(1, Owner(world).start)
                raise Fenced
        if known is not None:
            self.step(_forgetful(known) if world.broken is Broken.LOOK_FIRST else known, event)
        elif (fresh := begin_from_command(event, world.plan)) is not None:
            self.keep(fresh)

    def act(self, call: str) -> None:
        world, delivery = self.world, self.deliveries[call]
        self.busy.add(call)
        self.step(delivery, Due(world.now, step=self.chosen(delivery)))

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
                    world.later(pause, self.guarded(lambda send=effect: self.send(outcome.delivery, send)))  # type: ignore[misc]
                case LookUp():
                    self.look_up(outcome.delivery, effect)
                case PausePortal():
                    back = lambda: self.step(self.deliveries[delivery.call_id], PortalBack(world.now))  # noqa: E731
                    world.later(20, self.guarded(back))
                case DeadLetter() if late_letters:
                    if world.trouble(0.3):
                        self.alive = False
                        world.later(1, Owner(world).start)
                    else:
                        world.dead_letters.append(delivery.call_id)
        if changed and world.broken is Broken.INTENT_FIRST:
            world.later(2, self.guarded(lambda: self.keep_latest(delivery.call_id, outcome.delivery)))
        requested = any(isinstance(effect, Send | LookUp) for effect in outcome.effects)
        if not requested and not isinstance(event, Arrived | CommandReceived):
            self.busy.discard(delivery.call_id)

    def keep(self, delivery: Delivery) -> None:
        """Make a state durable: a transaction, which a fenced owner cannot commit, and after which one may die."""
        world = self.world
        if self.epoch != world.epoch and world.broken is not Broken.FENCE:
            raise Fenced
        self.deliveries[delivery.call_id] = delivery
        world.log[delivery.call_id] = delivery
        if world.trouble(0.02) and self.epoch == world.epoch:
            self.alive = False
            world.later(1, Owner(world).start)
            raise Fenced

    def keep_latest(self, call: str, delivery: Delivery) -> None:
        self.deliveries.setdefault(call, delivery)
        self.keep(delivery)

    def send(self, delivery: Delivery, send: Send) -> None:
        """The bytes go out; what comes of them is the network's and the CRM's affair."""
        world, call = self.world, delivery.call_id
        if world.now >= send.deadline and world.broken is not Broken.DEADLINE_CHECK:
            return self.answer(call, send.attempt, NotSent())
        version = delivery.intent.version if delivery.intent else delivery.version
        left = max(1, send.deadline - world.now)
        at = world.random.randint(0, left - 1) if world.trouble(0.4) else 0
        luck = world.random.random() if world.now < world.troubled_until else 1.0
        if luck < 0.1:
            reason = "reset before the request was read"
            world.later(at, self.guarded(lambda: self.answer(call, send.attempt, OutcomeUnknown(reason))))
            return None
        if luck < 0.2:
            world.later(at, self.guarded(lambda: self.answer(call, send.attempt, RetryLater("503", whole_portal=True))))
            return None
        if luck < 0.23:
            world.later(at, self.guarded(lambda: self.answer(call, send.attempt, PortalBlocked("licence expired"))))
            return None
        world.later(
            at, lambda: self.effect(delivery, send, version, luck)
        )  # the portal acts, whoever sent it lives or not
        return None

    def effect(self, delivery: Delivery, send: Send, version: int, luck: float) -> None:
        world = self.world
        answer = world.crm.take(send.step, delivery, version, world.now)
        if luck < 0.26 and send.step in ("register", "finish", "post"):
            answer = world.crm.take(send.step, delivery, version, world.now)  # a proxy repeated it
        if luck < 0.45:
            answer = OutcomeUnknown("the answer was lost")
        world.later(0, self.guarded(lambda: self.answer(delivery.call_id, send.attempt, answer)))

    def answer(self, call: str, attempt: int, answer: Answer) -> None:
        world = self.world
        self.step(self.deliveries[call], Answered(world.now, attempt, answer, world.random.random()))
        self.busy.discard(call)

    def found(self, look_up: LookUp, delivery: Delivery) -> LookupResult:
        """What the CRM shows of the doubtful request."""
        version = delivery.doubt.version if delivery.doubt else delivery.version
        return self.world.crm.find(look_up.step, delivery.call_id, version, self.world.now)

    def look_up(self, delivery: Delivery, look_up: LookUp) -> None:
        world, call = self.world, delivery.call_id
        sighting: LookupResult = RetryLater("no answer") if world.trouble(0.2) else self.found(look_up, delivery)
        event = LookedUp(world.now, look_up.attempt, sighting, world.random.random())

        def seen() -> None:
            self.step(self.deliveries[call], replace(event, now=world.now))
            self.busy.discard(call)

        world.later(world.random.choice((0, 2)), self.guarded(seen))


def _due_now(delivery: Delivery, now: int) -> Delivery:
    return msgspec.structs.replace(delivery, wait_until=now)


def _forgetful(delivery: Delivery) -> Delivery:
    if delivery.state not in (State.DELIVERED, State.SUPERSEDED):
        return delivery
    return msgspec.structs.replace(delivery, state=State.SKIPPED)


def violations(world: World) -> list[str]:
    """What a schedule broke: each call once, with a version that it has, nothing lost, and a log that says so."""
    wrong = []
    last_words = {call for at, call, order in world.commands if at == LAST_WORD}
    dropped = {call for _, call, order in world.commands if order.action is Action.DROP} - last_words
    skipped = {result.call_id for result in world.results if result.history}
    skipped -= {call for at, call, order in world.commands if at == LAST_WORD and order.action is Action.DELIVER}
    for call in {result.call_id for result in world.results}:
        delivery = world.log.get(call)
        entries = [entry for entry in world.crm.entries if entry.call == call]
        newest = max(result.version for result in world.results if result.call_id == call)
        if delivery is None:
            wrong.append(f"{call} lost")
        elif (delivery.state is State.DROPPED and call in dropped) or (
            delivery.state is State.SKIPPED and call in skipped
        ):
            if entries and not (isinstance(world.crm, Receiver) and delivery.doubt):
                wrong.append(f"{call} is {delivery.state} and stands in the CRM")
        elif call in world.crm.refuses:
            if entries or delivery.state is not State.REFUSED or call not in world.dead_letters:
                wrong.append(f"{call} refused: {delivery.state}, {len(entries)} entries, {world.dead_letters}")
        elif isinstance(world.crm, Receiver):
            wrong += _of_receiver(world, delivery, [entry.version for entry in entries])
        elif len(entries) != 1:
            wrong.append(f"{call} stands {len(entries)} times in the CRM, {delivery.state}")
        elif delivery.state not in (State.DELIVERED, State.SUPERSEDED):
            wrong.append(f"{call} ended as {delivery.state}")
        elif untold := _untold(world, delivery, entries[0]):
            wrong.append(f"{call}: {untold}")
        elif delivery.version != newest:
            wrong.append(f"{call}: version {newest} came, {delivery.version} is remembered")
    if isinstance(world.crm, Kommo):
        contacts = [entry.call for entry in world.crm.contacts]
        wrong += [f"{call} has several contacts" for call in set(contacts) if contacts.count(call) > 1]
    return wrong


def _of_receiver(world: World, delivery: Delivery, versions: list[int]) -> list[str]:
    """Versions come in their order, each once: one of them, unless later ones are wished or an operator wants it."""
    call = delivery.call_id
    outcomes = {result.version: result.outcome_hash for result in world.results if result.call_id == call}
    orders = {order.action for _, each, order in world.commands if each == call}
    wrong = []
    if delivery.state not in (State.DELIVERED, State.SUPERSEDED):
        wrong.append(f"{call} ended as {delivery.state}")
    last = [delivery.sent_version, delivery.doubt.version if delivery.doubt else None]
    if not versions or versions != sorted(set(versions)) or versions[-1] not in last:
        wrong.append(f"{call}: versions came as {versions}, the log says {delivery.sent_version}")
    elif world.policy.on_revision == "keep" and len(versions) > 1 and Action.DELIVER not in orders:
        wrong.append(f"{call}: versions {versions} came, one is enough")
    elif (
        world.policy.on_revision == "update"
        and Action.DROP not in orders
        and outcomes[versions[-1]] != outcomes[max(outcomes)]
    ):
        wrong.append(f"{call}: {versions} came, the newest is {max(outcomes)}")
    return wrong


def _untold(world: World, delivery: Delivery, entry: Entry) -> str:
    """What is wrong with the version that the CRM shows, and with what was told of a later one."""
    notes = [note.version for note in world.crm.notes if note.call == delivery.call_id]
    if len(notes) != len(set(notes)):
        return f"the same version was noted twice: {notes}"
    if entry.version == TOUCHED:
        return ""
    if delivery.sent_version not in (entry.version, *notes[-1:]):
        return f"log says version {delivery.sent_version}, CRM has {entry.version} and notes {notes}"
    kept = world.policy.on_revision == "keep" or delivery.skip is not None
    return "" if kept or delivery.state is State.DELIVERED else "a later version was not told"


def simulate(seed: int, crm: str = "bitrix24", broken: Broken | None = None) -> list[str]:
    """Run one schedule; what it broke."""
    world = World(seed, crm, broken)
    world.run()
    return violations(world)
