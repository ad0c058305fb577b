"""What follows a call: never before it, never instead of it, and ended quietly."""

from typing import Any

import pytest
from msgspec.structs import replace

from schemas import SchemaRegistry, Serializer
from streams.crm.bitrix24.plan import PLAN
from streams.crm.kommo.plan import PLAN as KOMMO
from streams.crm.shared.recording import FIND, RECORDING, URL
from streams.delivery.answers import (
    Answer,
    OutcomeUnknown,
    PortalBlocked,
    Refused,
    RetryLater,
    SkipCall,
    Succeeded,
)
from streams.delivery.events import (
    Answered,
    Arrived,
    CommandReceived,
    Due,
    Event,
    PausePortal,
    PortalBack,
    Prepared,
    Recovered,
    Send,
)
from streams.delivery.follow_ups import (
    due_at_portal,
    due_to_prepare,
    follow_up_of,
    follow_up_view,
    is_over,
    waits_for_portal,
)
from streams.delivery.machine import advance, begin
from streams.delivery.plan import Plan, Policy
from streams.delivery.record import Action, Delivery, FollowUp, OperatorCommand, State
from streams.delivery.transitions import Transition

POLICY = Policy(
    request_limit_us=60, settle_us=30, deadline_us=1000, follow_up_us=500, on_revision="update", backoff_base_us=1
)
FOUND = Succeeded({URL: "https://pbx/1.wav"})


def arrived(version: int = 1, outcome: str = "a", **fields: Any) -> Arrived:
    return Arrived(
        now=0, call_id="pbx1/1.1", portal="main", version=version, outcome_hash=outcome, result=b"result",
        call_ended_at=0, **{"follow_ups": {RECORDING: {}}, **fields},
    )  # fmt: skip


def run(delivery: Delivery, *events: Event, plan: Plan = KOMMO, policy: Policy = POLICY) -> Transition:
    transition = Transition(delivery)
    for event in events:
        transition = advance(transition.delivery, event, plan, policy)
    return transition


def delivered(**fields: Any) -> Delivery:
    """A call in Kommo, whose recording is not looked for yet."""
    return run(begin(arrived(**fields), KOMMO), Due(1), Answered(2, 1, Succeeded({"note": "7"}))).delivery


def recording_of(delivery: Delivery) -> FollowUp:
    found = follow_up_of(delivery, RECORDING)
    assert found is not None
    return found


def prepared(answer: Answer, now: int = 3) -> Prepared:
    return Prepared(now, RECORDING, answer)


def asked(now: int = 4) -> Due:
    return Due(now, "{}", follow_up=RECORDING)


def told(answer: Answer, attempt: int = 2, now: int = 5) -> Answered:
    return Answered(now, attempt, answer, follow_up=RECORDING)


def test_the_call_goes_first_and_its_recording_follows() -> None:
    fresh = begin(arrived(), KOMMO)
    assert due_at_portal(fresh, KOMMO) == (0, "") and due_to_prepare(fresh, KOMMO) == (0, RECORDING)
    looked = run(fresh, prepared(FOUND, 1)).delivery
    assert due_at_portal(looked, KOMMO) == (0, ""), "the recording is there, its call is not"
    call = run(looked, Due(1), Answered(2, 1, Succeeded({"note": "7"}))).delivery
    assert (call.state, call.over, call.result) == (State.DELIVERED, False, b"result")
    assert due_at_portal(call, KOMMO) == (0, RECORDING)
    sent = run(call, asked())
    assert sent.effects == (Send(2, RECORDING, 64, RECORDING),)
    done = run(sent.delivery, told(Succeeded())).delivery
    assert (done.state, done.over, done.result) == (State.DELIVERED, True, None)
    assert recording_of(done).state is State.DELIVERED and due_at_portal(done, KOMMO) is None


def test_a_call_is_delivered_while_its_recording_is_looked_for() -> None:
    """The answer to the call's request comes after that of the local step, which began later."""
    open_call = run(begin(arrived(), KOMMO), Due(1)).delivery
    looked = run(open_call, prepared(RetryLater("not there yet", 50))).delivery
    assert looked.intent == open_call.intent and looked.attempt == open_call.attempt
    assert run(looked, Answered(4, 1, Succeeded())).delivery.state is State.DELIVERED


def test_a_recording_that_is_not_there_is_looked_for_again() -> None:
    waiting = run(delivered(), prepared(RetryLater("not there yet", 50))).delivery
    assert due_to_prepare(waiting, KOMMO) == (50, RECORDING) and due_at_portal(waiting, KOMMO) is None
    assert due_to_prepare(run(waiting, prepared(FOUND, 50)).delivery, KOMMO) is None


@pytest.mark.parametrize(
    ("answer", "state"),
    [(SkipCall("no recording within 2 h"), State.SKIPPED), (Refused("it has 2048 MB"), State.REFUSED)],
)
def test_it_ends_quietly(answer: Answer, state: State) -> None:
    ended = run(delivered(), prepared(answer))
    assert ended.effects == (), "the call is in the CRM: nothing for the dead letters"
    assert (ended.delivery.state, ended.delivery.over, ended.delivery.result) == (State.DELIVERED, True, None)
    follow_up = recording_of(ended.delivery)
    assert follow_up.state is state and getattr(answer, "why", "") in str(follow_up.reason)


def test_a_refusal_of_the_crm_ends_quietly_too() -> None:
    refused = run(delivered(), prepared(FOUND), asked(), told(Refused("wrong extension")))
    assert refused.effects == () and refused.delivery.over
    assert recording_of(refused.delivery).state is State.REFUSED


def test_an_unknown_outcome_is_sent_again_when_it_can_have_no_more_effect() -> None:
    lost = run(delivered(), prepared(FOUND), asked(), told(OutcomeUnknown("time out"), now=10)).delivery
    follow_up = recording_of(lost)
    assert follow_up.state is State.UNSURE and (follow_up.wait_until or 0) >= 64
    again = run(lost, asked(follow_up.wait_until or 0))
    assert [type(effect) for effect in again.effects] == [Send]
    assert run(again.delivery, told(Succeeded(), 3, 200)).delivery.over


def test_a_new_owner_waits_out_the_request_of_the_one_before() -> None:
    lost = run(delivered(), prepared(FOUND), asked(), Recovered(20)).delivery
    assert recording_of(lost).state is State.UNSURE and recording_of(lost).wait_until == 80
    assert lost.state is State.DELIVERED and not lost.over


def test_a_later_version_waits_for_a_request_that_may_still_write_the_same_note() -> None:
    lost = run(delivered(), prepared(FOUND), asked(), Recovered(20)).delivery
    revised = run(lost, arrived(2, "b")).delivery
    assert (revised.state, revised.step) == (State.WAITING, "update")
    assert due_at_portal(revised, KOMMO) == (80, "")
    plain = run(delivered(), arrived(2, "b")).delivery
    assert due_at_portal(plain, KOMMO) == (0, "")


def test_a_later_version_goes_before_the_recording() -> None:
    found = run(delivered(), prepared(FOUND), arrived(2, "b")).delivery
    assert due_at_portal(found, KOMMO) == (0, "")
    updated = run(found, Due(5), Answered(6, 2, Succeeded())).delivery
    assert due_at_portal(updated, KOMMO) == (0, RECORDING) and updated.result == b"result"


def test_a_paused_portal_keeps_the_recording() -> None:
    paused = run(delivered(), prepared(FOUND), asked(), told(PortalBlocked("licence")))
    assert [type(effect) for effect in paused.effects] == [PausePortal] and waits_for_portal(paused.delivery)
    assert due_at_portal(paused.delivery, KOMMO) is None
    back = run(paused.delivery, PortalBack(9)).delivery
    assert due_at_portal(back, KOMMO) == (9, RECORDING) and not waits_for_portal(back)


def test_its_deadline_is_the_calls_and_the_time_that_it_may_be_looked_for() -> None:
    found = run(delivered(), prepared(FOUND)).delivery
    busy = RetryLater("503")
    assert recording_of(run(found, asked(1400), told(busy, now=1402)).delivery).state is State.WAITING
    late = run(found, asked(1600), told(busy, now=1602))
    assert recording_of(late.delivery).state is State.GIVEN_UP and late.effects == ()


@pytest.mark.parametrize("skip", ["an internal call", None])
def test_a_call_that_is_not_sent_has_nothing_to_follow(skip: str | None) -> None:
    call = begin(arrived(skip=skip), KOMMO)
    call = call if skip else run(call, Due(1), Answered(2, 1, Refused("validation"))).delivery
    assert call.final and call.over and due_at_portal(call, KOMMO) is None and due_to_prepare(call, KOMMO) is None


def test_a_version_that_asks_for_none_takes_back_what_has_not_begun() -> None:
    assert run(delivered(), arrived(2, "a", follow_ups={})).delivery.follow_ups == ()
    begun = run(delivered(), prepared(FOUND)).delivery
    assert recording_of(run(begun, arrived(2, "a", follow_ups={})).delivery).ids == FOUND.ids


def test_an_order_tries_again_what_ended_without_success() -> None:
    ended = run(delivered(), prepared(SkipCall("no recording within 2 h"))).delivery
    order = OperatorCommand("o1", Action.DELIVER, "ann", 50)
    again = run(ended, CommandReceived(50, order, arrived())).delivery
    assert again.state is State.UNSURE and due_to_prepare(again, KOMMO) == (50, RECORDING)
    done = run(delivered(), prepared(FOUND), asked(), told(Succeeded())).delivery
    kept = run(done, CommandReceived(50, order, arrived())).delivery
    assert recording_of(kept).state is State.DELIVERED, "it is in the CRM"


def test_an_answer_to_an_earlier_attempt_changes_nothing() -> None:
    sent = run(delivered(), prepared(FOUND), asked()).delivery
    assert run(sent, told(Succeeded(), attempt=1)).delivery is sent
    assert run(sent, Answered(5, 2, Refused("x"))).delivery is sent, "the call's own second attempt is none of its"
    assert run(sent, prepared(FOUND)).delivery is sent, "it is looked for no more"


def test_a_kind_that_the_plan_does_not_know_rests() -> None:
    call = replace(delivered(), follow_ups=(FollowUp(kind="of another release"),))
    assert due_at_portal(call, KOMMO) is None and due_to_prepare(call, KOMMO) is None
    assert run(call, Recovered(5), PortalBack(6)).delivery is call


def test_the_client_sees_the_ids_of_call_and_recording() -> None:
    view = follow_up_view(run(delivered(), prepared(FOUND)).delivery, RECORDING, KOMMO)
    assert view.crm_ids == {"note": "7", **FOUND.ids} and view.step == RECORDING and view.steps_done == (FIND,)


def test_the_record_comes_back_from_the_log_as_it_was() -> None:
    serializer = Serializer(SchemaRegistry("http://127.0.0.1:1"))
    serializer.add_schema("delivery", 1)
    for events in ((), (prepared(FOUND), asked()), (prepared(FOUND), asked(), told(OutcomeUnknown("x"), now=9))):
        delivery = run(delivered(), *events).delivery
        fields = serializer.decode(serializer.encode("delivery", delivery.record()), "delivery")
        assert is_over(fields) == delivery.over
        assert Delivery.from_record(fields) == delivery


def test_every_crm_that_shows_calls_takes_recordings() -> None:
    for plan in (KOMMO, PLAN):
        steps = plan.follow_ups[RECORDING].steps
        assert steps[FIND].is_local and not steps[RECORDING].is_local
