"""The delivery after operators' commands."""

from dataclasses import replace as with_
from typing import Any

import pytest

from streams.crm.bitrix24.plan import PLAN as BITRIX24
from streams.crm.kommo.plan import PLAN as KOMMO
from streams.delivery.answers import CallFound, NotFound, OutcomeUnknown, PortalBlocked, Refused, RetryLater, Succeeded
from streams.delivery.commands import begin_from_command
from streams.delivery.events import Arrived, CommandReceived, DeadLetter, Due, Event, LookUp, Overdue, Send, Shadowed
from streams.delivery.machine import advance
from streams.delivery.plan import Plan, Step, UnknownOutcome
from streams.delivery.record import MAX_COMMANDS, Action, Delivery, OperatorCommand, State
from tests.delivery.test_machine import (
    DELIVERED,
    FINISHING,
    OPEN,
    POLICY,
    REFUSED,
    REGISTERED,
    UNSURE,
    V1,
    V2,
    answered,
    looked_up,
    run,
)

OLD = with_(V1, history="backfilled")
INTERNAL = with_(V1, skip="internal")
GIVEN_UP = (*UNSURE, Overdue(1000))  # in doubt


def command(action: Action, now: int = 5, name: str = "c1", **fields: Any) -> CommandReceived:
    return CommandReceived(now, OperatorCommand(name, action, "ann", now), **fields)


def retry(now: int = 5, **fields: Any) -> CommandReceived:
    return command(Action.RETRY, now, **fields)


def deliver(now: int = 5, **fields: Any) -> CommandReceived:
    return command(Action.DELIVER, now, **fields)


def drop(now: int = 5, **fields: Any) -> CommandReceived:
    return command(Action.DROP, now, **fields)


TRANSITIONS: list[tuple[str, Arrived, tuple[Event, ...], State, dict[str, Any]]] = [
    ("retry: refused", V1, (*REFUSED, retry()), State.WAITING, {"queued_at": 5, "due_at": 5, "result": b"one"}),
    ("retry: in doubt, looked up first", V1, (*GIVEN_UP, retry(1001)), State.UNSURE, {"due_at": 1001}),
    ("retry: one that waits, now", V1, (*OPEN, answered(1, RetryLater("503"), 2), retry(3)),
        State.WAITING, {"due_at": 3}),
    ("retry: one that its portal paused", V1, (*OPEN, answered(1, PortalBlocked("x")), retry(3)),
        State.WAITING, {"due_at": 3}),
    ("retry: dropped, the command has the bytes", V1, (*REFUSED, drop(), retry(6, name="c2", arrived=V1)),
        State.WAITING, {"wish": "", "skip": None, "result": b"one"}),
    ("retry: dropped, nobody has the bytes", V1, (*REFUSED, drop(), retry(6, name="c2")), State.DROPPED,
        {"result": None}),
    ("retry: dropped, the command has an older version", V1, (*REFUSED, V2, drop(), retry(6, name="c2", arrived=V1)),
        State.DROPPED, {"version": 2}),
    ("retry: what was skipped stays so", OLD, (retry(arrived=OLD),), State.SKIPPED, {}),
    ("retry: nothing to do for what was delivered", V1, (*DELIVERED, retry()), State.DELIVERED, {}),
    ("retry: an open request is left alone", V1, (*OPEN, retry()), State.INTENT, {"attempt": 1}),
    ("deliver: skipped for its time", OLD, (deliver(arrived=OLD),), State.NEW, {"wish": "deliver", "due_at": 5}),
    ("deliver: a later version does not skip it", OLD, (deliver(arrived=OLD), with_(V2, history="backfilled")),
        State.NEW, {"version": 2}),
    ("deliver: skipped for what it is stays so", INTERNAL, (deliver(arrived=INTERNAL),), State.SKIPPED,
        {"reason": "ordered by ann, but internal"}),
    ("deliver: older than what is remembered, looked up first", OLD, (deliver(arrived=OLD, look_first=True),),
        State.UNSURE, {"step": "finish", "gone": True, "due_at": 5}),
    ("deliver: delivered, looked up first", V1, (*DELIVERED, deliver(arrived=V1)), State.UNSURE, {"due_at": 5}),
    ("deliver: delivered, and nobody has the bytes", V1, (*DELIVERED, deliver()), State.DELIVERED, {}),
    ("deliver: refused", V1, (*REFUSED, deliver()), State.WAITING, {"wish": "deliver"}),
    ("deliver: dropped", V1, (*REFUSED, drop(), deliver(6, name="c2", arrived=V1)), State.WAITING, {}),
    ("deliver: dropped while its request was out", V1, (*OPEN, drop(), deliver(6, name="c2")), State.INTENT,
        {"skip": None, "wish": "deliver"}),
    ("drop: refused", V1, (*REFUSED, drop()), State.DROPPED, {"reason": "dropped by ann", "result": None}),
    ("drop: given up", V1, (*GIVEN_UP, drop(1001)), State.DROPPED, {}),
    ("drop: before it was sent", V1, (drop(),), State.DROPPED, {"due_at": None}),
    ("drop: between the steps", V1, (*REGISTERED, drop()), State.DROPPED, {}),
    ("drop: a later version changes nothing", V1, (*REFUSED, drop(), V2), State.DROPPED, {"version": 2}),
    ("drop: an open request is followed", V1, (*OPEN, drop()), State.INTENT, {}),
    ("drop: and had no effect", V1, (*OPEN, drop(), answered(1, RetryLater("503"))), State.DROPPED, {}),
    ("drop: and had its effect", V1, (*FINISHING, drop(), answered(2, Succeeded())), State.DELIVERED, {}),
    ("drop: and was refused", V1, (*OPEN, drop(), answered(1, Refused("bad"))), State.DROPPED, {}),
    ("drop: between the steps, and ordered after all", V1,
        (*OPEN, drop(), answered(1, Succeeded({"CALL_ID": "c1"})), deliver(6, name="c2", arrived=V1)),
        State.WAITING, {"step": "finish", "steps_done": ("register",)}),
    ("drop: one in doubt is looked up", V1, (*UNSURE, drop(), Due(62), looked_up(2, CallFound(), 62)),
        State.DELIVERED, {}),
    ("drop: one in doubt, not there", V1,
        (*UNSURE, drop(), Due(62), looked_up(2, NotFound(), 62), looked_up(2, NotFound(), 92)), State.DROPPED, {}),
    ("drop: one in doubt that stays so is no dead letter", V1, (*UNSURE, drop(), Overdue(1000)), State.DROPPED,
        {"reason": "dropped by ann; its deadline is over, its outcome unknown: reset"}),
    ("drop: what was delivered stays", V1, (*DELIVERED, drop()), State.DELIVERED, {"wish": ""}),
]  # fmt: skip


@pytest.mark.parametrize(
    ("first", "events", "state", "fields"), [row[1:] for row in TRANSITIONS], ids=[row[0] for row in TRANSITIONS]
)
def test_transition(first: Arrived, events: tuple[Event, ...], state: State, fields: dict[str, Any]) -> None:
    delivery = run(*events, first=first).delivery
    assert delivery.state is state
    assert {name: getattr(delivery, name) for name in fields} == fields
    assert [known.by for known in delivery.orders] == ["ann"] * sum(
        isinstance(event, CommandReceived) for event in events
    )


@pytest.mark.parametrize("action", list(Action))
@pytest.mark.parametrize("before", [(), OPEN, UNSURE, REFUSED, DELIVERED, (*REFUSED, drop(4, name="c0"))])
def test_a_command_that_is_read_twice_changes_nothing(before: tuple[Event, ...], action: Action) -> None:
    received = command(action, 1001, arrived=V1)
    once = run(*before, received).delivery
    assert advance(once, with_(received, now=2000), BITRIX24, POLICY).delivery is once


def test_the_last_commands_are_remembered() -> None:
    delivery = run(*DELIVERED, *(retry(name=f"c{number}") for number in range(30))).delivery
    assert [known.id for known in delivery.orders] == [f"c{number}" for number in range(30 - MAX_COMMANDS, 30)]


def test_what_the_crm_lost_is_sent_again_only_when_it_is_not_there() -> None:
    again = (*DELIVERED, deliver(100, arrived=V1), Due(100))
    assert run(*again).effects == (LookUp(2, "finish"),)
    found = run(*again, looked_up(2, CallFound({"CRM_ACTIVITY_ID": "9"}), 101)).delivery
    assert (found.state, found.sent_version) == (State.DELIVERED, 1)
    missing = (*again, looked_up(2, NotFound(), 101), looked_up(2, NotFound(), 140))
    assert (run(*missing).delivery.state, run(*missing).delivery.step) == (State.WAITING, "register")
    assert run(*missing, Due(141)).effects == (Send(3, "register", 201),)


def test_kommo_is_asked_over_the_whole_time_since_the_call() -> None:
    late = with_(OLD, call_ended_at=3)
    delivery = run(deliver(500, arrived=late, look_first=True), first=late, plan=KOMMO).delivery
    assert delivery.doubt is not None and (delivery.doubt.started_at, delivery.doubt.deadline) == (3, 500)
    assert (delivery.step, delivery.gone) == ("call", False)


def test_a_crm_that_cannot_be_asked_is_sent_to() -> None:
    blind = Plan("blind", "post", {"post": Step(None, UnknownOutcome.RESEND)})
    delivery = run(*OPEN, answered(1, Succeeded()), deliver(arrived=V1), plan=blind).delivery
    assert (delivery.state, delivery.step, delivery.due_at) == (State.NEW, "post", 5)


def first_seen(event: CommandReceived) -> Delivery | None:
    return begin_from_command(event, BITRIX24)


def test_a_call_that_is_not_known_begins_with_the_command() -> None:
    recent = first_seen(deliver(arrived=OLD))
    assert recent is not None and (recent.state, recent.wish, recent.skip) == (State.NEW, "deliver", None)
    assert advance(recent, with_(V1, now=9), BITRIX24, POLICY).delivery is recent, "its result comes after the command"


@pytest.mark.parametrize("event", [retry(arrived=V1), deliver(arrived=OLD, look_first=True)])
def test_a_call_that_was_forgotten_is_looked_up_first(event: CommandReceived) -> None:
    delivery = first_seen(event)
    assert delivery is not None and (delivery.state, delivery.step) == (State.UNSURE, "finish")


@pytest.mark.parametrize("event", [drop(arrived=V1), retry(), deliver()])
def test_without_a_call_or_its_bytes_there_is_nothing_to_do(event: CommandReceived) -> None:
    assert first_seen(event) is None


def test_a_command_does_not_change_what_kind_of_call_it_is() -> None:
    delivery = first_seen(deliver(arrived=INTERNAL))
    assert delivery is not None and (delivery.state, delivery.reason) == (State.SKIPPED, "internal")


# Shadow.

SHADOWED = (Shadowed(1, '{"a":1}', "304", "missed"),)


def test_a_shadow_records_what_would_go_out() -> None:
    outcome = run(*SHADOWED)
    delivery = outcome.delivery
    assert (delivery.state, delivery.sent, delivery.status, delivery.text) == (
        State.SHADOWED, '{"a":1}', "304", "missed"
    )  # fmt: skip
    assert (delivery.final, delivery.result, outcome.effects) == (True, None, ())


def test_what_was_shadowed_is_never_sent_afterwards() -> None:
    for event in (V2, Due(99), Overdue(9999), retry(arrived=V1)):
        assert run(*SHADOWED, event).delivery.state is State.SHADOWED


@pytest.mark.parametrize(("look_first", "state"), [(False, State.NEW), (True, State.UNSURE)])
def test_but_an_operator_may_order_it(look_first: bool, state: State) -> None:
    delivery = run(*SHADOWED, deliver(arrived=V1, look_first=look_first)).delivery
    assert (delivery.state, delivery.sent_version, delivery.sent) == (state, None, None)


@pytest.mark.parametrize("before", [OPEN, REGISTERED, UNSURE, REFUSED, DELIVERED])
def test_what_was_begun_before_is_no_shadow(before: tuple[Event, ...]) -> None:
    delivery = run(*before).delivery
    assert advance(delivery, SHADOWED[0], BITRIX24, POLICY).delivery is delivery


def test_what_was_skipped_for_its_time_is_a_dead_letter_of_nobody() -> None:
    assert not [effect for effect in run(first=OLD).effects if isinstance(effect, DeadLetter)]


# A call whose delivery was lost with its log.

LOST = with_(V1, look_first=True)


def test_a_call_of_a_lost_log_is_looked_up_and_sent_if_it_is_not_there() -> None:
    delivery = run(first=LOST).delivery
    assert (delivery.state, delivery.reason) == (State.UNSURE, "what was known of it is lost: looked up first")
    outcome = run(Due(2), first=LOST)
    assert [type(effect) for effect in outcome.effects] == [LookUp]


def test_but_not_where_it_is_not_wanted() -> None:
    assert run(first=with_(LOST, skip="internal")).delivery.state is State.SKIPPED
    assert run(first=with_(LOST, history="backfilled")).delivery.state is State.SKIPPED


# History.


def test_each_attempt_tells_what_was_sent_and_answered() -> None:
    events = (
        Due(0, "A"), answered(1, RetryLater("503"), 1), Due(99, "A"), answered(2, RetryLater("500"), 100),
        Due(200, "B"), answered(3, Succeeded({"CALL_ID": "c1"}, "note"), 201),
        Due(202, "C"), answered(4, OutcomeUnknown("reset"), 203),
    )  # fmt: skip
    lines = [(line.step, line.sent, line.outcome, line.explanation) for line in run(*events).delivery.history]
    assert lines == [
        ("register", "A", "later", "503"),
        ("register", "", "later", "500"),
        ("register", "B", "done", "note; CALL_ID c1"),
        ("finish", "C", "unsure", "reset"),
    ]
