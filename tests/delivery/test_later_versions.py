"""Versions of a call's result that come after its delivery, as `on_revision` wants them."""

from dataclasses import replace as with_
from typing import Any

import pytest

from streams.crm.bitrix24.plan import PLAN as BITRIX24
from streams.crm.kommo.plan import PLAN as KOMMO
from streams.crm.webhook.plan import PLAN as WEBHOOK
from streams.delivery.answers import OutcomeUnknown, Refused, SkipCall, Succeeded
from streams.delivery.events import DeadLetter, Due, Event, LookUp
from streams.delivery.machine import advance, begin
from streams.delivery.record import Delivery, State
from streams.delivery.transitions import Transition
from tests.delivery.test_machine import DELIVERED, OPEN, POLICY, SAME, V1, V2, answered, run

V1_AGAIN = with_(V1, version=3)
NOTE = with_(POLICY, on_revision="note")
NOTED = (Due(9, '{"c":3}', step="comment"), answered(3, Succeeded({"comment": "5"}), 10))
REVISIONS: list[tuple[str, tuple[Event, ...], State, dict[str, Any], tuple[type, ...]]] = [
    (
        "a later version waits to be told, with a deadline of its own",
        (with_(V2, now=9),),
        State.WAITING,
        {"step": "comment", "queued_at": 9, "wait_until": 9, "result": b"two", "sent_version": 1},
        (),
    ),
    ("one with the same outcome does not", (SAME,), State.DELIVERED, {"result": None}, ()),
    ("nor one that is not to be sent", (with_(V2, skip="internal"),), State.SUPERSEDED, {"result": None}, ()),
    (
        "told beside the call, which shows what it showed",
        (V2, *NOTED),
        State.DELIVERED,
        {"sent_version": 2, "sent_hash": "bbb", "sent": '{"b":2}', "status": "304", "result": None},
        (),
    ),
    ("and not again", (V2, *NOTED, with_(V2, version=3)), State.DELIVERED, {"version": 3}, ()),
    ("but a third outcome is", (V2, *NOTED, V1_AGAIN), State.WAITING, {"step": "comment", "version": 3}, ()),
    (
        "overtaken while it is told",
        (V2, NOTED[0], V1_AGAIN, NOTED[1]),
        State.WAITING,
        {"step": "comment", "sent_version": 2, "version": 3},
        (),
    ),
    (
        "of unknown outcome: looked up as a request of its own",
        (V2, NOTED[0], answered(3, OutcomeUnknown("reset"), 10), Due(69)),
        State.UNSURE,
        {"step": "comment", "sent_version": 1},
        (LookUp,),
    ),
    (
        "a person's word: the call stays as it is",
        (V2, NOTED[0], answered(3, SkipCall("a person changed it"))),
        State.SUPERSEDED,
        {"reason": "a person changed it", "sent_version": 1, "result": None},
        (),
    ),
    (
        "refused: to the dead letters, for the version is in no CRM",
        (V2, NOTED[0], answered(3, Refused("no scope"))),
        State.REFUSED,
        {"sent_version": 1, "result": b"two"},
        (DeadLetter,),
    ),
]


@pytest.mark.parametrize(
    ("events", "state", "fields", "effects"), [row[1:] for row in REVISIONS], ids=[row[0] for row in REVISIONS]
)
def test_a_version_after_delivery_that_the_operator_wants_told(
    events: tuple[Event, ...], state: State, fields: dict[str, Any], effects: tuple[type, ...]
) -> None:
    outcome = Transition(run(*DELIVERED).delivery)
    for event in events:
        outcome = advance(outcome.delivery, event, BITRIX24, NOTE)
    assert outcome.delivery.state is state
    assert {name: getattr(outcome.delivery, name) for name in fields} == fields
    assert tuple(type(effect) for effect in outcome.effects) == effects


def test_in_place_of_the_call_the_change_is_what_stands_there() -> None:
    sent = (Due(0, "{}", "4", "Success call"), answered(1, Succeeded({"note": "7"})))
    delivery = run(*sent, plan=KOMMO).delivery
    policy = with_(POLICY, on_revision="update")
    for event in (V2, Due(9, '{"u":1}', "7", "Number busy"), answered(2, Succeeded(), 10)):
        delivery = advance(delivery, event, KOMMO, policy).delivery
    assert (delivery.state, delivery.step, delivery.sent_version) == (State.DELIVERED, "update", 2)
    assert (delivery.sent, delivery.status, delivery.text, delivery.crm_ids) == (
        '{"u":1}',
        "7",
        "Number busy",
        {"note": "7"},
    )


REVISING = with_(POLICY, on_revision="update")


def revised(*events: Event) -> Delivery:
    delivery = begin(V1, WEBHOOK)
    for event in events:
        delivery = advance(delivery, event, WEBHOOK, REVISING).delivery
    return delivery


def test_later_versions_are_sent_where_that_is_wished() -> None:
    posted = (*OPEN, answered(1, Succeeded({"webhook-id": "m1"})))
    late = revised(*posted, with_(V2, now=50))
    assert (late.state, late.step, late.queued_at, late.result) == (State.WAITING, "post", 50, b"two")
    sent = revised(*posted, V2, Due(50, "two"), answered(2, Succeeded({"webhook-id": "m2"}), 51))
    assert (sent.state, sent.sent_version, sent.sent, sent.crm_ids) == (State.DELIVERED, 2, "two", {"webhook-id": "m2"})
    meanwhile = revised(*OPEN, V2, answered(1, Succeeded()))
    assert (meanwhile.state, meanwhile.sent_version, meanwhile.version) == (State.WAITING, 1, 2)
    assert revised(*posted, SAME).state is State.DELIVERED
    gone = revised(*posted, V2, with_(V1, version=3, outcome_hash="ccc", skip="a piece"))
    assert (gone.state, gone.reason, gone.sent_version) == (State.SUPERSEDED, "a piece", 1)
