"""Every transition of the delivery state machine."""

from dataclasses import replace as with_
from typing import Any

import pytest
from msgspec.structs import replace

import schemas
from streams.crm.bitrix24.plan import PLAN as BITRIX24
from streams.crm.kommo.plan import PLAN as KOMMO
from streams.crm.webhook.plan import PLAN as WEBHOOK
from streams.dead_letter_reasons import DeadLetterReason
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
from streams.delivery.events import (
    Answered,
    Arrived,
    CommandReceived,
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
from streams.delivery.record import MAX_HISTORY, Action, Attempt, Delivery, Intent, OperatorCommand, State, with_attempt
from streams.delivery.transitions import Transition

POLICY = Policy(request_limit_us=60, settle_us=30, deadline_us=1000, backoff_base_us=4, backoff_limit_us=64)
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


POSTED = (*OPEN, V2, answered(1, OutcomeUnknown("HTTP 500", 70), 3))  # a newer version came meanwhile


def test_a_receiver_in_doubt_gets_the_very_same_again() -> None:
    doubtful = run(*POSTED, plan=WEBHOOK).delivery
    assert (doubtful.state, doubtful.wait_until, doubtful.failures) == (State.UNSURE, 70, 1)
    again = run(*POSTED, Due(70, '{"newer":1}', "408"), plan=WEBHOOK)
    assert again.delivery.intent == Intent(
        attempt=2,
        step="post",
        version=1,
        outcome_hash="aaa",
        started_at=70,
        deadline=130,
        sent='{"a":1}',
        status="304",
        text="missed",
    )
    assert again.effects == (Send(2, "post", 130),)
    limited = (*POSTED, Due(70), answered(2, RetryLater("429", 90), 71), Due(90))
    assert run(*limited, plan=WEBHOOK).delivery.intent == Intent(
        attempt=3,
        step="post",
        version=1,
        outcome_hash="aaa",
        started_at=90,
        deadline=150,
        sent='{"a":1}',
        status="304",
        text="missed",
    )
    paused = (*POSTED, Due(70), answered(2, PortalBlocked("HTTP 404"), 71), PortalBack(90), Due(90))
    assert run(*paused, plan=WEBHOOK).delivery.intent == run(*limited, plan=WEBHOOK).delivery.intent
    done = run(*limited, answered(3, Succeeded({"webhook-id": "m"}), 91), plan=WEBHOOK).delivery
    assert (done.state, done.sent_version, done.version, done.doubt) == (State.SUPERSEDED, 1, 2, None)


RETRIED = CommandReceived(80, OperatorCommand("c1", Action.RETRY, "ann", 80))


def test_a_receiver_that_refuses_what_was_in_doubt_has_settled_it() -> None:
    refused = run(*POSTED, Due(70), answered(2, Refused("HTTP 422"), 71), plan=WEBHOOK)
    assert (refused.delivery.state, refused.delivery.doubt) == (State.REFUSED, None)
    assert refused.effects == (DeadLetter(DeadLetterReason.REFUSED, "HTTP 422"),)
    assert run(
        *POSTED, Due(70), answered(2, Refused("x"), 71), RETRIED, Due(80, "new"), plan=WEBHOOK
    ).delivery.intent == (
        Intent(attempt=3, step="post", version=2, outcome_hash="bbb", started_at=80, deadline=140, sent="new")
    )


def test_what_is_repeated_in_doubt_is_repeated_ever_later_up_to_the_deadline() -> None:
    waits, outcome, now = [], run(*OPEN, plan=WEBHOOK), 0
    for attempt in range(1, 9):
        outcome = advance(outcome.delivery, Answered(now, attempt, OutcomeUnknown("500"), 0.99), WEBHOOK, POLICY)
        assert outcome.delivery.wait_until is not None
        waits.append(outcome.delivery.wait_until - now)
        now = outcome.delivery.wait_until
        outcome = advance(outcome.delivery, Due(now), WEBHOOK, POLICY)
    assert waits == [60, 60, 60, 60, 63, 63, 63, 63]
    over = advance(run(*OPEN, answered(1, OutcomeUnknown("500")), plan=WEBHOOK).delivery, Due(1000), WEBHOOK, POLICY)
    assert over.delivery.state is State.GIVEN_UP and over.delivery.result == b"one"
    assert over.effects == (
        DeadLetter(DeadLetterReason.OUTCOME_UNKNOWN, "its deadline is over, its outcome unknown: 500"),
    )


def test_a_receiver_that_wants_no_more_is_not_even_tried() -> None:
    outcome = run(*OPEN, answered(1, PortalBlocked("HTTP 410", for_good=True)), plan=WEBHOOK)
    assert (outcome.delivery.state, outcome.effects) == (State.PAUSED, (PausePortal("HTTP 410", for_good=True),))


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
