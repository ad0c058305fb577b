"""A partition's deliveries with a log in memory and a CRM that says what it is told to."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from schemas import SchemaRegistry, Serializer, own_header
from streams.calls.differences import compared_hash
from streams.calls.result import CallResult
from streams.clock import BootSeconds, utc_now_us
from streams.crm.kommo.plan import PLAN as KOMMO
from streams.crm.shared.client import Pace, Request, unpaced
from streams.crm.shared.recording import RECORDING, URL
from streams.dead_letter_reasons import DeadLetterReason
from streams.delivery.answers import (
    Answer,
    LookupResult,
    NotFound,
    OutcomeUnknown,
    PortalBlocked,
    Refused,
    RetryLater,
    SkipCall,
    Succeeded,
)
from streams.delivery.erasure import is_erased
from streams.delivery.events import Arrived, CommandReceived
from streams.delivery.plan import Plan
from streams.delivery.record import Action, Delivery, OperatorCommand, State
from streams.settings import PortalSettings, RateLimit
from streams.workers.deliver.batched_log import SCHEMA
from streams.workers.deliver.partition import PartitionDeliveries
from streams.workers.deliver.portal_queue import PortalQueue
from streams.workers.deliver.preparations import Preparations, Preparer
from tests.crm.calls import call_result
from tests.faults.fenced_memory import PartitionLog, Writer

CALL = call_result(1)


@dataclass
class Crm:
    """A CRM's client whose every answer is given."""

    answers: list[Answer] = field(default_factory=list)
    lookups: list[LookupResult] = field(default_factory=list)
    sent: list[str] = field(default_factory=list)
    steps: list[str] = field(default_factory=list)
    plan: Plan = KOMMO
    fingerprint: str = ""
    looking: asyncio.Event = field(default_factory=asyncio.Event)
    look: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self.pace: Pace = unpaced

    def request(self, delivery: Delivery, result: CallResult) -> Request:
        return Request(f'{{"phone":"{result.client}"}}', "4", "Success call", step=delivery.step)

    async def send(self, delivery: Delivery, until: BootSeconds) -> Answer:
        self.sent.append(delivery.call_id)
        self.steps.append(delivery.step)
        return self.answers.pop(0)

    async def look_up(self, delivery: Delivery, until: BootSeconds) -> LookupResult:
        self.looking.set()
        await self.look.wait()
        return self.lookups.pop(0)

    async def close(self) -> None:
        pass


class PartitionUnderTest:
    """A partition and its escalation: what goes to the dead letters, which portal is disabled."""

    def __init__(
        self,
        serializer: Serializer,
        crm: Crm,
        log: PartitionLog,
        queue: PortalQueue,
        preparations: Preparations | None = None,
        preparer: Preparer | None = None,
    ) -> None:
        self.crm, self.log, self.queue, self.dead, self.disabled = crm, log, queue, list[str](), list[str]()
        self.preparations = preparations
        self._serializer = serializer
        writer = log.fence()
        self.partition = PartitionDeliveries(
            "log/0",
            KOMMO,
            {queue.portal.name: queue},
            serializer,
            writer,
            self,
            preparations=preparations,
            preparer=preparer,
        )
        writer.scan(self.partition.read)
        self._commands = 0
        self.hanging: list[str] = []

    async def hang(self, delivery: Delivery, until: BootSeconds) -> Answer:
        """In the place of Crm.send: there is no answer."""
        self.hanging.append(delivery.call_id)
        await asyncio.Event().wait()
        raise AssertionError

    async def send_to_dead_letters(self, delivery: Delivery, reason: DeadLetterReason, why: str) -> None:
        self.dead.append(reason.code)

    async def disable_portal(self, queue: PortalQueue, why: str) -> None:
        queue.throttle.disable(why)
        self.disabled.append(why)

    def arrived(self, result: CallResult = CALL, **fields: Any) -> Arrived:
        value = self._serializer.encode("call_result", result.record())
        return Arrived(
            now=1,
            call_id=result.call_id,
            portal="main",
            version=result.version,
            outcome_hash=result.outcome_hash,
            compared_hash=compared_hash(result),
            result=value,
            result_schema=own_header("call_result").decode(),
            call_ended_at=result.ended_at,
            **fields,
        )

    async def command(self, action: Action, call_id: str = CALL.call_id, **fields: Any) -> None:
        self._commands += 1
        event = CommandReceived(2, OperatorCommand(f"c{self._commands}", action, "ann", 2), **fields)
        await self.partition.take_command(self._commands - 1, call_id, event)

    def logged(self, call_id: str = CALL.call_id) -> Delivery | None:
        value = self.log.values.get(call_id.encode())
        return None if value is None else Delivery.from_record(self._serializer.decode(value, SCHEMA))

    async def until(self, reached: Callable[[], bool]) -> None:
        async with asyncio.timeout(5):
            while not reached():  # noqa: ASYNC110
                await asyncio.sleep(0)

    async def until_state(self, state: State) -> Delivery:
        await self.until(lambda: (found := self.logged()) is not None and found.state is state)
        found = self.logged()
        assert found is not None
        return found


@asynccontextmanager
async def partition_under_test(
    crm: Crm, log: PartitionLog | None = None, preparer: Preparer | None = None, called: str = "main", **fields: Any
) -> AsyncIterator[PartitionUnderTest]:
    serializer = Serializer(SchemaRegistry("http://nowhere"))
    serializer.add_schema("call_result", 1)
    serializer.add_schema(SCHEMA, 2)
    portal = PortalSettings(
        name=called, crm="kommo", settle_seconds=0, request_timeout_seconds=0.01,
        rate_limit=RateLimit(burst=1000, per_second=1000), **fields,
    )  # fmt: skip
    queue = PortalQueue(portal, crm)
    preparations = Preparations()
    tested = PartitionUnderTest(serializer, crm, log or PartitionLog(), queue, preparations, preparer)
    tested.partition.restore(1)
    try:
        yield tested
    finally:
        tested.partition.stop_starting()
        await preparations.stop()
        await queue.stop()
        await queue.finish_attempts(1)
        await tested.partition.close()


async def test_what_was_refused_is_sent_again_by_command() -> None:
    async with partition_under_test(Crm([Refused("no such user"), Succeeded({"note": "7"})])) as tested:
        await tested.partition.take_result(0, tested.arrived())
        await tested.until_state(State.REFUSED)
        await tested.command(Action.RETRY)
        delivered = await tested.until_state(State.DELIVERED)
    assert (tested.crm.sent, tested.dead) == ([CALL.call_id] * 2, ["refused"])
    assert [(command.action, command.by) for command in delivered.orders] == [(Action.RETRY, "ann")]


async def test_a_command_counts_as_read_only_when_its_state_is_in_the_log() -> None:
    async with partition_under_test(Crm([Refused("x"), Refused("x")])) as tested:
        await tested.partition.take_result(0, tested.arrived())
        await tested.until_state(State.REFUSED)
        await tested.command(Action.DROP)
        assert (tested.partition.commands.position, tested.partition.commands.durable) == (1, 0)
        await tested.until_state(State.DROPPED)
        await tested.until(lambda: tested.partition.commands.durable == 1)
    assert tested.partition.results.durable == 1


async def test_a_call_that_is_dropped_while_it_is_looked_up_is_followed_to_its_end() -> None:
    crm = Crm([OutcomeUnknown("reset")], [NotFound(), NotFound()])
    async with partition_under_test(crm) as tested:
        await tested.partition.take_result(0, tested.arrived())
        await crm.looking.wait()
        await tested.command(Action.DROP)
        crm.look.set()
        dropped = await tested.until_state(State.DROPPED)
    assert (tested.dead, len(crm.sent)) == ([], 1)
    assert [line.outcome for line in dropped.history] == ["unsure", "not_found"]


async def test_a_call_in_doubt_is_looked_up_however_many_others_come() -> None:
    class Busy(Crm):
        """Whenever it takes a call, another has come."""

        async def send(self, delivery: Delivery, until: BootSeconds) -> Answer:
            self.sent.append(delivery.call_id)
            if len(self.sent) == 1:
                return OutcomeUnknown("reset")
            offset = len(self.sent) + 1
            await tested.partition.take_result(offset, tested.arrived(call_result(offset + 1)))
            return Succeeded()

    async with partition_under_test(Busy(), parallel=1) as tested:
        for offset in range(3):
            await tested.partition.take_result(offset, tested.arrived(call_result(offset + 1)))
        await tested.until(tested.crm.looking.is_set)


async def test_an_erased_call_leaves_no_number_in_the_log() -> None:
    async with partition_under_test(Crm([Succeeded({"note": "7"})])) as tested:
        await tested.partition.take_result(0, tested.arrived())
        sent = await tested.until_state(State.DELIVERED)
        assert str(CALL.client) in str(sent)
        await tested.command(Action.ERASE)
        await tested.until(lambda: (found := tested.logged()) is not None and is_erased(found))
        later = call_result(2)
        await tested.partition.take_result(1, tested.arrived(later))
        await tested.until(lambda: tested.partition.results.durable == 2)
        logged = tested.logged()
    assert logged is not None and is_erased(logged) and str(CALL.client) not in str(logged)
    assert (logged.crm_ids, len(tested.crm.sent)) == ({"note": "7"}, 1)


async def test_a_call_of_a_portal_that_is_served_no_more_is_erased_too() -> None:
    log = PartitionLog()
    async with partition_under_test(Crm([Succeeded({"note": "7"})]), log) as tested:
        await tested.partition.take_result(0, tested.arrived())
        await tested.until_state(State.DELIVERED)
    async with partition_under_test(Crm(), log, called="another") as tested:
        await tested.command(Action.DROP)
        assert (found := tested.logged()) is not None and not is_erased(found), "nobody else's commands"
        await tested.command(Action.ERASE)
        await tested.until(lambda: (found := tested.logged()) is not None and is_erased(found))


async def test_a_command_for_a_call_that_nobody_knows_changes_nothing() -> None:
    async with partition_under_test(Crm()) as tested:
        await tested.command(Action.RETRY, "pbx1/9.9")
        assert tested.partition.commands.durable == 1
    assert tested.log.values == {}


async def test_a_skipped_call_is_delivered_by_command() -> None:
    async with partition_under_test(Crm([Succeeded()])) as tested:
        await tested.partition.take_result(0, tested.arrived(history="backfilled"))
        await tested.until_state(State.SKIPPED)
        await tested.command(Action.DELIVER, arrived=tested.arrived(history="backfilled"))
        await tested.until_state(State.DELIVERED)


@pytest.mark.parametrize("way", ["request", "lookup"])
async def test_a_trial_that_is_cut_off_by_a_rebalance_does_not_keep_its_portal_closed(way: str) -> None:
    crm = Crm([OutcomeUnknown("reset")])
    async with partition_under_test(crm) as tested:
        throttle = tested.queue.throttle
        if way == "request":
            crm.send = tested.hang  # type: ignore[method-assign]
        throttle.pause(0, "unpaid")
        throttle.try_now()
        await tested.partition.take_result(0, tested.arrived())
        await tested.until(lambda: bool(tested.hanging) or crm.looking.is_set())
        if way == "lookup":  # the request was the first trial, and failed; the lookup is the second
            assert throttle.pause_reason is not None
        assert not throttle.admits(utc_now_us())
        tested.partition.stop_starting()
        await tested.queue.finish_attempts(0)
        assert throttle.admits(utc_now_us())


async def test_a_trial_that_is_cut_off_before_its_first_step_does_not_keep_its_portal_closed() -> None:
    async with partition_under_test(Crm()) as tested:
        throttle = tested.queue.throttle
        throttle.pause(0, "unpaid")
        throttle.try_now()
        await tested.partition.take_result(0, tested.arrived())
        await tested.until(lambda: bool(tested.queue._attempts))
        assert not throttle.admits(utc_now_us()) and not tested.crm.sent
        tested.partition.stop_starting()
        await tested.queue.finish_attempts(0)
        assert throttle.admits(utc_now_us())


async def test_a_trial_after_which_a_call_is_given_up_does_not_keep_its_portal_closed() -> None:
    crm = Crm([OutcomeUnknown("reset")], [RetryLater("nobody answers", whole_portal=True)])
    crm.look.set()
    async with partition_under_test(crm) as tested:
        throttle = tested.queue.throttle
        throttle.pause(0, "unpaid")
        throttle.try_now()
        await tested.partition.take_result(0, tested.arrived())  # of 1970: its deadline is over
        await tested.until_state(State.GIVEN_UP)
        await tested.until(lambda: throttle.failures == 2)
        assert throttle.admits(2**62)


async def test_a_shadow_records_and_sends_nothing_and_is_not_sent_later() -> None:
    log = PartitionLog()
    async with partition_under_test(Crm(), log, shadow=True) as tested:
        await tested.partition.take_result(0, tested.arrived())
        shadowed = await tested.until_state(State.SHADOWED)
        assert (shadowed.sent, shadowed.status) == ('{"phone":"+79161234567"}', "4")
        assert tested.partition.open_calls == 0
    async with partition_under_test(Crm([Succeeded()]), log) as real:
        await real.partition.take_result(0, real.arrived())
        await real.partition.take_result(1, real.arrived(call_result(2)))
        await real.until(lambda: len(real.crm.sent) == 1)
        await real.until(lambda: real.partition.open_calls == 0)
    assert real.crm.sent == [call_result(2).call_id]


async def test_what_waited_when_its_portal_became_a_shadow_is_kept_until_it_is_none() -> None:
    log = PartitionLog()
    async with partition_under_test(Crm(), log, shadow=False) as tested:
        tested.partition.stop_starting()  # ends before it is sent
        await tested.partition.take_result(0, tested.arrived())
    async with partition_under_test(Crm(), log, shadow=True) as shadow:
        await shadow.partition.take_result(1, shadow.arrived())
        assert shadow.partition.open_calls == 1
    assert shadow.crm.sent == []
    async with partition_under_test(Crm([Succeeded()]), log) as real:
        await real.until_state(State.DELIVERED)


async def test_a_portal_that_wants_no_more_is_closed_and_its_calls_are_kept() -> None:
    async with partition_under_test(Crm([PortalBlocked("HTTP 410", for_good=True)]), parallel=1) as tested:
        for number in range(3):
            await tested.partition.take_result(number, tested.arrived(call_result(number + 1)))
        await tested.until(lambda: bool(tested.disabled))
        assert (tested.disabled, len(tested.crm.sent), tested.partition.open_calls) == (["HTTP 410"], 1, 3)
        assert tested.queue.throttle.disabled and not tested.queue.throttle.admits(2**62)


async def test_what_was_about_to_go_out_to_a_portal_that_wants_no_more_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    answered, log_open, write = asyncio.Event(), asyncio.Event(), Writer.write

    async def slow_write(
        self: Writer, records: Sequence[tuple[bytes, bytes | None]], **headers: Any
    ) -> Sequence[int] | None:
        await log_open.wait()
        return await write(self, records, **headers)

    class Slow(Crm):
        async def send(self, delivery: Delivery, until: BootSeconds) -> Answer:
            self.sent.append(delivery.call_id)
            await answered.wait()
            return self.answers.pop(0)

    monkeypatch.setattr(Writer, "write", slow_write)
    log_open.set()
    async with partition_under_test(Slow([PortalBlocked("HTTP 410", for_good=True)]), parallel=2) as tested:
        await tested.partition.take_result(0, tested.arrived())
        await tested.until(lambda: len(tested.crm.sent) == 1)
        log_open.clear()
        await tested.partition.take_result(1, replace(tested.arrived(call_result(2)), now=utc_now_us()))
        await tested.until(lambda: tested.partition.states.open[call_result(2).call_id].state is State.INTENT)
        answered.set()
        await tested.until(lambda: tested.queue.throttle.disabled)
        log_open.set()
        await tested.until(lambda: tested.partition.states.open[call_result(2).call_id].state is State.WAITING)
        assert tested.crm.sent == [CALL.call_id] and tested.disabled == ["HTTP 410"]


@pytest.mark.parametrize("action", list(Action))
async def test_a_command_for_a_portal_that_is_not_served_is_passed_over(action: Action) -> None:
    log = PartitionLog()
    async with partition_under_test(Crm(), log) as tested:
        tested.partition.stop_starting()
        await tested.partition.take_result(0, tested.arrived())
    writer = log.fence()
    tested.partition = PartitionDeliveries("log/0", KOMMO, {}, tested._serializer, writer, tested)
    writer.scan(tested.partition.read)
    tested.partition.restore(1)
    await tested.command(action)
    assert tested.partition.commands.durable == tested.partition.commands.position
    await tested.partition.close()


class Finder:
    """Looks for recordings as it is told to."""

    def __init__(self, *answers: Answer) -> None:
        self.answers = list(answers)
        self.asked: list[str] = []
        self.may_answer = asyncio.Event()
        self.may_answer.set()

    async def prepare(self, delivery: Delivery, result: CallResult) -> Answer:
        self.asked.append(delivery.call_id)
        await self.may_answer.wait()
        return self.answers.pop(0)


FOUND = Succeeded({URL: "https://pbx/1.wav"})
RECORDED = {RECORDING: dict[str, str]()}


async def test_a_recording_follows_its_call_and_the_log_says_so() -> None:
    crm = Crm([Succeeded({"note": "7"}), Succeeded()])
    async with partition_under_test(crm, preparer=Finder(FOUND)) as tested:
        await tested.partition.take_result(0, tested.arrived(follow_ups=RECORDED))
        await tested.until(lambda: (found := tested.logged()) is not None and found.over)
        logged = tested.logged()
        assert logged is not None and crm.steps == ["call", RECORDING]
        assert [each.state for each in logged.follow_ups] == [State.DELIVERED] and logged.result is None
        assert tested.partition.open_calls == tested.partition.followed_calls == 0


async def test_a_call_does_not_wait_for_who_looks_for_its_recording() -> None:
    finder = Finder(FOUND)
    finder.may_answer.clear()
    async with partition_under_test(Crm([Succeeded({"note": "7"}), Succeeded()]), preparer=finder) as tested:
        await tested.partition.take_result(0, tested.arrived(follow_ups=RECORDED))
        delivered = await tested.until_state(State.DELIVERED)
        assert finder.asked == [CALL.call_id] and not delivered.over
        assert (tested.partition.open_calls, tested.partition.followed_calls) == (0, 1)
        finder.may_answer.set()
        await tested.until(lambda: (found := tested.logged()) is not None and found.over)


async def test_a_new_owner_goes_on_with_the_recording() -> None:
    log, lost = PartitionLog(), Finder(FOUND)
    lost.may_answer.clear()
    async with partition_under_test(Crm([Succeeded({"note": "7"})]), log, lost) as tested:
        await tested.partition.take_result(0, tested.arrived(follow_ups=RECORDED))
        await tested.until_state(State.DELIVERED)
    crm, finder = Crm([Succeeded()]), Finder(FOUND)
    async with partition_under_test(crm, log, finder) as tested:
        await tested.until(lambda: (found := tested.logged()) is not None and found.over)
        assert crm.steps == [RECORDING] and finder.asked == [CALL.call_id]


async def test_a_recording_that_is_not_there_costs_the_portal_no_request() -> None:
    later = RetryLater("not there yet", utc_now_us())
    finder, crm = Finder(later, later, SkipCall("no recording within 2 h")), Crm([Succeeded({"note": "7"})])
    async with partition_under_test(crm, preparer=finder) as tested:
        await tested.partition.take_result(0, tested.arrived(follow_ups=RECORDED))
        await tested.until(lambda: (found := tested.logged()) is not None and found.over)
        logged = tested.logged()
        assert logged is not None and logged.state is State.DELIVERED and tested.dead == []
        assert [each.state for each in logged.follow_ups] == [State.SKIPPED] and crm.steps == ["call"]


async def test_all_calls_go_before_any_recording() -> None:
    calls = [call_result(number) for number in range(1, 9)]
    answers: list[Answer] = [Succeeded({"note": "7"})] * (2 * len(calls))
    crm = Crm(answers)
    finder = Finder(*[FOUND] * len(calls))
    async with partition_under_test(crm, preparer=finder, parallel=1) as tested:
        for offset, call in enumerate(calls):
            await tested.partition.take_result(offset, tested.arrived(call, follow_ups=RECORDED))
        await tested.until(lambda: len(crm.steps) == 2 * len(calls))
        assert crm.steps == ["call"] * len(calls) + [RECORDING] * len(calls)


async def test_a_shadow_looks_for_no_recordings() -> None:
    finder = Finder()
    async with partition_under_test(Crm(), preparer=finder, shadow=True) as tested:
        await tested.partition.take_result(0, tested.arrived(follow_ups=RECORDED))
        shadowed = await tested.until_state(State.SHADOWED)
        assert shadowed.over and finder.asked == []


async def test_a_local_step_that_is_cut_off_takes_nobodys_writing_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """A partition is released while what was found is on its way into the log."""
    may_write, write = asyncio.Event(), Writer.write
    may_write.set()

    async def gated(
        self: Writer, records: Sequence[tuple[bytes, bytes | None]], **headers: Any
    ) -> Sequence[int] | None:
        await may_write.wait()
        return await write(self, records, **headers)

    monkeypatch.setattr(Writer, "write", gated)
    finder = Finder(FOUND)
    finder.may_answer.clear()
    async with partition_under_test(Crm([Succeeded({"note": "7"}), Succeeded()]), preparer=finder) as tested:
        await tested.partition.take_result(0, tested.arrived(follow_ups=RECORDED))
        await tested.until_state(State.DELIVERED)
        may_write.clear()
        finder.may_answer.set()
        open_calls = tested.partition.states.open
        await tested.until(lambda: open_calls[CALL.call_id].follow_ups[0].attempt == 1)
        assert tested.preparations is not None
        tested.partition.stop_starting()
        await tested.preparations.drop_partitions(frozenset({tested.partition}))
        may_write.set()
        await tested.until(lambda: (found := tested.logged()) is not None and found.follow_ups[0].attempt == 1)
