"""Every transition of the delivery state machine."""

from dataclasses import replace as with_
from typing import Any

import pytest
from msgspec.structs import replace

import schemas
from streams.crm.bitrix24.plan import PLAN as BITRIX24
from streams.crm.kommo.plan import PLAN as KOMMO
from streams.dead_letter_reasons import DeadLetterReason
from streams.delivery.answers import (
    Answer,
    CallFound,
    FieldRefused,
    LookupResult,
    NotFound,
    NotSent,
    NotYet,
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
from streams.delivery.events import (
    Answered,
    Arrived,
    DeadLetter,
    Due,
    Event,
    LookedUp,
    LookUp,
    Overdue,
    PausePortal,
    PortalBack,
    Recovered,
    Send,
    SlowPortal,
)
from streams.delivery.machine import advance, begin
from streams.delivery.plan import Plan, Policy
from streams.delivery.record import MAX_HISTORY, Attempt, Delivery, Intent, State, with_attempt
from streams.delivery.transitions import Transition

POLICY = Policy(
    request_limit_us=60,
    settle_us=30,
    deadline_us=1000,
    backoff_base_us=4,
    backoff_limit_us=64,
    patience_us=(100, 300, 600),
)
V1 = Arrived(
    now=0,
    call_id="pbx1/1.1",
    portal="main",
    version=1,
    outcome_hash="aaa",
    result=b"one",
    call_ended_at=0,
    source=("results", 3, 7),
)
V2 = with_(V1, version=2, outcome_hash="bbb", result=b"two")
SAME = with_(V1, version=2, result=b"same outcome")


def run(*events: Event, plan: Plan = BITRIX24, first: Arrived = V1) -> Transition:
    """The machine after a sequence of events."""
    outcome = Transition(begin(first, plan))
    for event in events:
        outcome = advance(outcome.delivery, event, plan, POLICY)
    return outcome


def answered(attempt: int, answer: Answer, now: int = 1) -> Answered:
    return Answered(now, attempt, answer)


def looked_up(attempt: int, result: LookupResult, now: int) -> LookedUp:
    return LookedUp(now, attempt, result)


OPEN = (Due(0, '{"a":1}', "304", "missed"),)
REGISTERED = (*OPEN, answered(1, Succeeded({"CALL_ID": "c1"})))
FINISHING = (*REGISTERED, Due(2, '{"b":2}', "304"))
DELIVERED = (*FINISHING, answered(2, Succeeded({"CRM_ACTIVITY_ID": "9"}), 3))
UNSURE = (*FINISHING, answered(2, OutcomeUnknown("reset"), 3))  # its request may take effect until 62
REFUSED = (*OPEN, answered(1, Refused("bad")))
NOT_FOUND = (*UNSURE, Due(62), looked_up(2, NotFound(), 62))

TRANSITIONS: list[tuple[str, tuple[Event, ...], State, dict[str, Any], tuple[object, ...]]] = [
    ("a new call waits for its turn", (), State.NEW, {"step": "register", "due_at": 0}, ()),
    ("its turn opens an intent", OPEN, State.INTENT, {"attempt": 1, "due_at": None}, (Send(1, "register", 60),)),
    ("one open attempt a call", (*OPEN, Due(5)), State.INTENT, {"attempt": 1}, ()),
    ("CALL_ID is kept between the steps", REGISTERED, State.REGISTERED, {"crm_ids": {"CALL_ID": "c1"}}, ()),
    ("the second step", FINISHING, State.INTENT, {"step": "finish", "attempt": 2}, (Send(2, "finish", 62),)),
    (
        "delivered, with what was sent",
        DELIVERED,
        State.DELIVERED,
        {"sent": '{"b":2}', "status": "304", "sent_version": 1, "delivered_at": 3, "result": None, "due_at": None},
        (),
    ),
    ("an answer to no open attempt", (*OPEN, answered(7, Succeeded())), State.INTENT, {"attempt": 1}, ()),
    ("a second answer", (*REGISTERED, answered(1, Refused("x"))), State.REGISTERED, {}, ()),
    (
        "surely without effect: later, with backoff",
        (*OPEN, answered(1, RetryLater("503"), 10)),
        State.WAITING,
        {"wait_until": 12, "failures": 1, "last_error": "503"},
        (),
    ),
    ("not before its time", (*OPEN, answered(1, RetryLater("503"), 10), Due(11)), State.WAITING, {"attempt": 1}, ()),
    (
        "Retry-After goes over backoff and slows the whole portal",
        (*OPEN, answered(1, RetryLater("429", 500, whole_portal=True), 10)),
        State.WAITING,
        {"wait_until": 500},
        (SlowPortal(500, "429"),),
    ),
    ("not sent: again at once", (*OPEN, answered(1, NotSent(), 61)), State.WAITING, {"wait_until": 61}, ()),
    (
        "past its deadline: given up",
        (*OPEN, answered(1, RetryLater("503"), 1000)),
        State.GIVEN_UP,
        {"result": b"one"},
        (DeadLetter(DeadLetterReason.DEADLINE, "not taken before its deadline; last: 503"),),
    ),
    ("refused", REFUSED, State.REFUSED, {"reason": "bad"}, (DeadLetter(DeadLetterReason.REFUSED, "bad"),)),
    ("paused", (*OPEN, answered(1, PortalBlocked("unpaid"))), State.PAUSED, {"due_at": None}, (PausePortal("unpaid"),)),
    ("back from the pause", (*OPEN, answered(1, PortalBlocked("x")), PortalBack(9)),
        State.WAITING, {"wait_until": 9}, ()),
    ("nobody else is brought back", (*REGISTERED, PortalBack(9)), State.REGISTERED, {}, ()),
    ("unsure waits for the request's end", UNSURE, State.UNSURE, {"wait_until": 62}, ()),
    ("not looked up before", (*UNSURE, Due(61)), State.UNSURE, {}, ()),
    ("then looked up", (*UNSURE, Due(62)), State.UNSURE, {}, (LookUp(2, "finish"),)),
    (
        "found: delivered, as that attempt sent it",
        (*UNSURE, Due(62), looked_up(2, CallFound({"CRM_ACTIVITY_ID": "9"}), 63)),
        State.DELIVERED,
        {"sent_version": 1, "sent": '{"b":2}', "doubt": None},
        (),
    ),
    ("not found: looked up again", NOT_FOUND, State.LOOKED_UP, {"wait_until": 92, "not_found_since": 62}, ()),
    ("too early to believe", (*NOT_FOUND, looked_up(2, NotFound(), 80)), State.LOOKED_UP, {"not_found_since": 62}, ()),
    ("not found twice: sent again", (*NOT_FOUND, looked_up(2, NotFound(), 92)), State.WAITING, {"step": "finish"}, ()),
    ("found after all", (*NOT_FOUND, looked_up(2, CallFound(), 92)), State.DELIVERED, {}, ()),
    ("the lookup fails", (*UNSURE, looked_up(2, RetryLater("503"), 62)),
        State.UNSURE, {"wait_until": 64, "failures": 1}, ()),
    (
        "the lookup meets the limit",
        (*UNSURE, looked_up(2, RetryLater("429", 70, whole_portal=True), 62)),
        State.UNSURE,
        {"wait_until": 70},
        (SlowPortal(70, "429"),),
    ),
    ("the lookup is not allowed", (*UNSURE, looked_up(2, PortalBlocked("x"), 62)),
        State.UNSURE, {}, (PausePortal("x"),)),
    (
        "the lookup fails past the deadline",
        (*UNSURE, looked_up(2, RetryLater("503"), 1000)),
        State.GIVEN_UP,
        {},
        (DeadLetter(DeadLetterReason.OUTCOME_UNKNOWN, "the request's outcome is unknown, and the lookup failed: 503"),),
    ),
    ("a lookup of another attempt", (*UNSURE, looked_up(1, CallFound(), 62)), State.UNSURE, {}, ()),
    (
        "an unsure register is sent again",
        (*OPEN, answered(1, OutcomeUnknown("reset")), Due(60)),
        State.INTENT,
        {"attempt": 2},
        (Send(2, "register", 120),),
    ),
    (
        "call not found: looked up at once",
        (*FINISHING, answered(2, PrerequisiteLost("not found"), 3), Due(3)),
        State.LOOKED_UP,
        {"gone": True},
        (LookUp(2, "finish"),),
    ),
    (
        "call not found, but finished: success",
        (*FINISHING, answered(2, PrerequisiteLost("not found"), 3), looked_up(2, CallFound(), 3)),
        State.DELIVERED,
        {"gone": False},
        (),
    ),
    (
        "call not found and not finished: registered anew",
        (*FINISHING, answered(2, PrerequisiteLost("x"), 3), looked_up(2, NotFound(), 3), looked_up(2, NotFound(), 33)),
        State.WAITING,
        {"step": "register", "crm_ids": {}, "steps_done": (), "doubt": None},
        (),
    ),
    (
        "a new owner waits out the request of the old one",
        (*FINISHING, Recovered(40)),
        State.UNSURE,
        {"wait_until": 100, "doubt": run(*FINISHING).delivery.intent},
        (),
    ),
    ("a new owner counts lookups anew", (*NOT_FOUND, Recovered(70)), State.LOOKED_UP, {"not_found_since": None}, ()),
    ("a new owner tries a paused call", (*OPEN, answered(1, PortalBlocked("x")), Recovered(9)), State.WAITING, {}, ()),
    ("a new owner leaves a waiting call", (*REGISTERED, Recovered(9)), State.REGISTERED, {}, ()),
    ("the same version again", (*REGISTERED, V1), State.REGISTERED, {"version": 1}, ()),
    ("a version before sending takes its place", (V2,), State.NEW, {"version": 2, "result": b"two"}, ()),
    ("a version meanwhile waits", (*FINISHING, V2), State.INTENT, {"version": 2, "sent_version": None}, ()),
    (
        "delivered, and overtaken meanwhile",
        (*FINISHING, V2, answered(2, Succeeded())),
        State.SUPERSEDED,
        {"sent_version": 1, "version": 2},
        (),
    ),
    ("overtaken by the same outcome", (*FINISHING, SAME, answered(2, Succeeded())),
        State.DELIVERED, {"version": 2}, ()),
    (
        "the next attempt takes the newest",
        (*FINISHING, V2, answered(2, RetryLater("503"), 3), Due(99)),
        State.INTENT,
        {"intent": Intent(attempt=3, step="finish", version=2, outcome_hash="bbb", started_at=99, deadline=159)},
        (Send(3, "finish", 159),),
    ),
    ("a version after delivery", (*DELIVERED, V2), State.SUPERSEDED, {"sent_version": 1, "result": None}, ()),
    ("the same outcome after delivery", (*DELIVERED, SAME), State.DELIVERED, {"version": 2}, ()),
    ("back to the delivered outcome", (*DELIVERED, V2, with_(V1, version=3)), State.DELIVERED, {"version": 3}, ()),
    ("refused, then a better version", (*REFUSED, V2), State.NEW, {"result": b"two"}, ()),
    ("refused, then the same again", (*REFUSED, SAME), State.REFUSED, {"version": 2}, ()),
    ("not to be sent", (with_(V2, skip="internal"),), State.SKIPPED, {"reason": "internal", "result": None}, ()),
    ("to be sent after all", (with_(V2, skip="x"), with_(V2, version=3)), State.NEW, {"due_at": 0}, ()),
    (
        "no longer to be sent, and it had no effect",
        (*OPEN, with_(V2, skip="internal"), answered(1, RetryLater("503"))),
        State.SKIPPED,
        {},
        (),
    ),
    (
        "no longer to be sent after the first step",
        (*OPEN, with_(V2, skip="internal"), answered(1, Succeeded({"CALL_ID": "c"}))),
        State.SKIPPED,
        {},
        (),
    ),
    (
        "no longer to be sent, but it was",
        (*FINISHING, with_(V2, skip="x"), answered(2, Succeeded())),
        State.SUPERSEDED,
        {},
        (),
    ),
    (
        "asked first: the answer stays, whatever happens later",
        (Due(0, '{"q":1}', step="client"), answered(1, Succeeded({"responsible": "7"})), Due(1, step="register"),
         Recovered(5)),
        State.UNSURE,
        {"step": "register", "crm_ids": {"responsible": "7"}, "steps_done": ("client",)},
        (),
    ),
    (
        "a doubt about a repeated step ends with the step",
        (*OPEN, answered(1, OutcomeUnknown("reset")), Due(60, step="register_finish"),
            answered(2, OutcomeUnknown("reset"), 61)),
        State.UNSURE,
        {"step": "register_finish", "doubt":
            Intent(attempt=2, step="register_finish", version=1, outcome_hash="aaa", started_at=60, deadline=120)},
        (),
    ),
    (
        "nobody in the settings has this extension",
        (Due(0, "{}", no_user="1005"),),
        State.INTENT,
        {"unmatched": ("1005",)},
        (Send(1, "register", 60),),
    ),
    (
        "the CRM knows no such person: at once for another one",
        (*OPEN, answered(1, UserUnknown("user:19", "User is not found"), 7)),
        State.WAITING,
        {"unmatched": ("user:19",), "wait_until": 7, "failures": 0},
        (),
    ),
    (
        "nor the one that stands for all: the settings are wrong, the call is kept",
        (*OPEN, answered(1, UserUnknown("user:19", "x"), 7), Due(7), answered(2, UserUnknown("user:19", "x"), 8)),
        State.PAUSED,
        {"result": b"one"},
        (PausePortal("x: check default_user in the portal's settings"),),
    ),
    (
        "the CRM does not take a field of us: at once without it",
        (*OPEN, answered(1, FieldRefused(("created_by", "uniq"), "no"), 7)),
        State.WAITING,
        {"unmatched": ("field:created_by", "field:uniq"), "wait_until": 7, "failures": 0},
        (),
    ),
    (
        "nor without it: with backoff",
        (*OPEN, answered(1, FieldRefused(("a",), "no"), 7), Due(7), answered(2, FieldRefused(("a",), "no"), 8)),
        State.WAITING,
        {"unmatched": ("field:a",), "wait_until": 10, "failures": 1},
        (),
    ),
    (
        "something in the CRM has to change first: slowly, and no failure",
        (*OPEN, answered(1, NotYet("no contact"), 1), Due(101), answered(2, NotYet("no contact"), 101)),
        State.WAITING,
        {"wait_until": 400, "failures": 0, "reason": "waits for a change in the CRM: no contact", "step": "register"},
        (),
    ),
    (
        "nothing changed before its deadline: given up",
        (*OPEN, answered(1, NotYet("no contact"), 1000)),
        State.GIVEN_UP,
        {},
        (DeadLetter(DeadLetterReason.DEADLINE, "not taken before its deadline; last: no contact"),),
    ),
    (
        "two steps in one request, and only the first took effect",
        (Due(0, "{}", step="register_finish"), answered(1, PartlyDone("register", {"CALL_ID": "c1"}, "busy"))),
        State.REGISTERED,
        {"step": "finish", "crm_ids": {"CALL_ID": "c1"}, "steps_done": ("register",), "sent_version": None},
        (),
    ),
    (
        "two steps in one request",
        (Due(0, "{}", "304", step="register_finish"), answered(1, Succeeded({"CALL_ID": "c1"}))),
        State.DELIVERED,
        {"status": "304", "sent_version": 1},
        (),
    ),
    (
        "not wanted for this client",
        (*OPEN, answered(1, SkipCall("unknown number"))),
        State.SKIPPED,
        {"reason": "unknown number", "result": None},
        (),
    ),
    (
        "a later version asks again",
        (*OPEN, answered(1, SkipCall("unknown number")), V2),
        State.NEW,
        {"skip": None, "due_at": 0},
        (),
    ),
    ("the deadline of one that waits", (Overdue(1000),), State.GIVEN_UP, {}, (
        DeadLetter(DeadLetterReason.DEADLINE, "not taken before its deadline; last: None"),)),
    ("not yet the deadline", (Overdue(999),), State.NEW, {}, ()),
    ("the deadline never cuts an open request", (*OPEN, Overdue(1000)), State.INTENT, {}, ()),
    ("the deadline of one in doubt", (*UNSURE, Overdue(1000)), State.GIVEN_UP, {}, (
        DeadLetter(DeadLetterReason.OUTCOME_UNKNOWN, "its deadline is over, its outcome unknown: reset"),)),
]  # fmt: skip


@pytest.mark.parametrize(
    ("events", "state", "fields", "effects"), [row[1:] for row in TRANSITIONS], ids=[row[0] for row in TRANSITIONS]
)
def test_transition(
    events: tuple[Event, ...], state: State, fields: dict[str, Any], effects: tuple[object, ...]
) -> None:
    outcome = run(*events)
    assert outcome.delivery.state is state
    assert {name: getattr(outcome.delivery, name) for name in fields} == fields
    assert outcome.effects == effects


def test_a_call_that_is_skipped_at_sight_is_recorded() -> None:
    delivery = run(first=with_(V1, skip="internal")).delivery
    assert (delivery.state, delivery.reason, delivery.due_at) == (State.SKIPPED, "internal", None)


def test_kommo_makes_the_contact_first_and_once() -> None:
    detour = (*OPEN, answered(1, PrerequisiteMissing("contact", "not found")))
    assert (run(*detour, plan=KOMMO).delivery.step, run(*detour, plan=KOMMO).delivery.due_at) == ("contact", 1)
    made = (*detour, Due(1), answered(2, Succeeded({"contact": "5"})), Due(2))
    assert run(*made, plan=KOMMO).delivery.step == "call"
    again = run(*made, answered(3, PrerequisiteMissing("contact", "not found"), 3), plan=KOMMO).delivery
    assert (again.step, again.state, again.wait_until) == ("call", State.WAITING, 5)


def test_a_longer_limit_of_the_owner_before_is_waited_out() -> None:
    intent = run(*FINISHING).delivery
    assert intent.intent is not None
    longer = replace(intent, intent=replace(intent.intent, deadline=intent.intent.started_at + 600))
    assert advance(longer, Recovered(40), BITRIX24, POLICY).delivery.wait_until == 640


def test_what_changes_nothing_gives_the_same_object() -> None:
    delivery = run(*DELIVERED).delivery
    for event in (V1, Due(99), Recovered(99), Overdue(9999), PortalBack(99)):
        assert advance(delivery, event, BITRIX24, POLICY).delivery is delivery


def test_backoff_doubles_up_to_its_limit_with_full_jitter() -> None:
    assert [POLICY.backoff_us(failures, 0.5) for failures in (0, 1, 2, 4, 99)] == [2, 4, 8, 32, 32]
    assert POLICY.backoff_us(3, 0.0) == 0


def test_the_history_keeps_the_first_attempt_and_the_latest() -> None:
    history: tuple[Attempt, ...] = ()
    for number in range(1, 100):
        history = with_attempt(
            history, Attempt(attempt=number, step="call", version=1, started_at=0, ended_at=0, outcome="later")
        )
    assert [line.attempt for line in history] == [1, *range(100 - MAX_HISTORY + 1, 100)]


@pytest.mark.parametrize("events", [(), OPEN, REGISTERED, DELIVERED, NOT_FOUND, (*DELIVERED, V2)])
def test_a_state_survives_the_log(events: tuple[Event, ...]) -> None:
    delivery = run(*events).delivery
    encoder = schemas.codec.Encoder(schemas.load("delivery"), 1)
    decoder = schemas.codec.Decoder(schemas.load("delivery"), schemas.load("delivery"))
    value = encoder.encode(delivery.record())
    assert Delivery.from_record(decoder.decode(schemas.codec.unframe(value)[1])) == delivery


@pytest.mark.parametrize(
    ("waited", "wait"), [(0, 100), (1, 100), (99, 100), (100, 300), (399, 100), (400, 600), (1600, 600), (2100, 100)]
)
def test_a_call_that_waits_for_a_change_is_tried_ever_more_seldom(waited: int, wait: int) -> None:
    assert POLICY.patient_wait_us(waited) == wait
