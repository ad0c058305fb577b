"""A delivery that is erased: followed to its end where a request is out, then blanked, and never sent again."""

from dataclasses import replace as with_
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from schemas import load
from schemas.reference import records_of
from streams.crm.bitrix24.plan import PLAN as BITRIX24
from streams.crm.kommo.plan import PLAN as KOMMO
from streams.crm.shared.recording import RECORDING, URL
from streams.delivery.answers import CallFound, NotFound, OutcomeUnknown, Refused, RetryLater, Succeeded
from streams.delivery.commands import begin_from_command
from streams.delivery.erasure import blanked, is_erased
from streams.delivery.events import Answered, CommandReceived, Due, Event, Overdue, Prepared, Recovered, Send
from streams.delivery.machine import advance
from streams.delivery.record import Action, Attempt, Delivery, FollowUp, Intent, OperatorCommand, State
from tests.delivery.test_commands import command, deliver, drop, retry
from tests.delivery.test_follow_ups import asked, delivered, prepared, recording_of, told
from tests.delivery.test_follow_ups import run as run_followed
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

NUMBER = "+79161234567"
CLIENT = with_(V1, result=NUMBER.encode())


def erase(now: int = 5, name: str = "c1") -> CommandReceived:
    return command(Action.ERASE, now, name)


ENDS: list[tuple[str, tuple[Event, ...], State]] = [
    ("before it was sent", (erase(),), State.DROPPED),
    ("between the steps", (*REGISTERED, erase()), State.DROPPED),
    ("delivered", (*DELIVERED, erase()), State.DELIVERED),
    ("delivered, with a later version that waits", (*DELIVERED, V2, erase()), State.SUPERSEDED),
    ("refused", (*REFUSED, erase()), State.REFUSED),
    ("dropped", (*REFUSED, drop(), erase(name="c2")), State.DROPPED),
    ("a request that was out had no effect", (*OPEN, erase(), answered(1, RetryLater("503"))), State.DROPPED),
    ("it had its effect", (*FINISHING, erase(), answered(2, Succeeded())), State.DELIVERED),
    ("it was refused", (*OPEN, erase(), answered(1, Refused(f"{NUMBER} is bad"))), State.DROPPED),
    ("one in doubt is found", (*UNSURE, erase(), Due(62), looked_up(2, CallFound(), 62)), State.DELIVERED),
    ("one in doubt is not there",
        (*UNSURE, erase(), Due(62), looked_up(2, NotFound(), 62), looked_up(2, NotFound(), 92)), State.DROPPED),
    ("one in doubt that stays so", (*UNSURE, erase(), Overdue(1000)), State.DROPPED),
    ("a later version comes", (*DELIVERED, erase(), with_(V2, result=NUMBER.encode())), State.SUPERSEDED),
    ("a later version of one that was refused", (*REFUSED, erase(), V2), State.SKIPPED),
    ("ordered again", (*DELIVERED, erase(), deliver(6, name="c2", arrived=V2)), State.DELIVERED),
    ("retried", (*REFUSED, erase(), retry(6, name="c2", arrived=V1)), State.REFUSED),
    ("dropped afterwards", (*DELIVERED, erase(), drop(6, name="c2")), State.DELIVERED),
]  # fmt: skip


@pytest.mark.parametrize(("events", "state"), [row[1:] for row in ENDS], ids=[row[0] for row in ENDS])
def test_in_the_end_nothing_of_it_is_left(events: tuple[Event, ...], state: State) -> None:
    ended = run(*events, first=CLIENT)
    assert (ended.delivery.state, ended.delivery.over) == (State.DROPPED if state is State.SKIPPED else state, True)
    assert is_erased(ended.delivery)
    assert NUMBER not in str(msgspec.to_builtins(ended.delivery)) and ended.delivery.result is None
    assert not [each for each in ended.effects if isinstance(each, Send)]
    assert advance(ended.delivery, Due(5_000), BITRIX24, POLICY).effects == ()


@pytest.mark.parametrize("before", [OPEN, FINISHING, UNSURE], ids=["open", "finishing", "unsure"])
def test_a_request_that_is_out_is_followed_before(before: tuple[Event, ...]) -> None:
    waiting = run(*before, erase(), first=CLIENT).delivery
    assert waiting.result == NUMBER.encode() and not is_erased(waiting), "a lookup needs the number"
    again = advance(waiting, Recovered(100), BITRIX24, POLICY).delivery
    assert again.wish == Action.ERASE and not again.over, "the next owner knows it too"


def test_what_may_follow_is_given_up_and_what_is_out_is_awaited() -> None:
    looked = run_followed(delivered(), prepared(Succeeded({URL: f"https://pbx/{NUMBER}.wav"}))).delivery
    erased = run_followed(looked, erase()).delivery
    assert (recording_of(erased).state, recording_of(erased).ids, is_erased(erased)) == (State.SKIPPED, {}, True)
    out = run_followed(looked, asked(), erase()).delivery
    assert recording_of(out).state is State.INTENT and not is_erased(out)
    ended = run_followed(out, told(OutcomeUnknown("reset"))).delivery
    assert not is_erased(ended), "it is looked up, or ends, before"
    assert is_erased(run_followed(out, told(Succeeded())).delivery)
    assert is_erased(run_followed(out, told(RetryLater("503"))).delivery)


def test_what_is_not_known_is_not_begun() -> None:
    order = OperatorCommand("c1", Action.ERASE, "ann", 5)
    assert begin_from_command(CommandReceived(5, order, CLIENT), KOMMO) is None


KEPT = {"call_id", "crm_ids", "ids", "by"}
"""Personal fields that stay: ids of calls and of the CRM's entries, and which operator ordered what."""


def test_every_field_that_holds_personal_data_is_blanked() -> None:
    intent = Intent(
        attempt=1, step="finish", version=1, outcome_hash="h", compared_hash="h", started_at=1, deadline=2, sent=NUMBER,
        text=NUMBER,
    )  # fmt: skip
    line = Attempt(
        attempt=1, step="finish", version=1, started_at=1, ended_at=2, outcome="done", explanation=NUMBER, sent=NUMBER
    )
    follow_up = FollowUp(
        kind=RECORDING, state=State.DELIVERED, reason=NUMBER, ids={"FILE_ID": "7", URL: f"https://pbx/{NUMBER}.wav"},
        last_error=NUMBER, history=(line,), intent=intent, doubt=intent,
    )  # fmt: skip
    full = Delivery(
        call_id="pbx1/1.1", crm="kommo", portal="main", state=State.DELIVERED, reason=NUMBER, outcome_hash="h",
        result=NUMBER.encode(), result_schema="x", intent=intent, doubt=intent, crm_ids={"note": "5"}, sent_hash="h",
        sent=NUMBER, text=NUMBER, skip=NUMBER, last_error=NUMBER, unmatched=(NUMBER,), history=(line,),
        compared_hash="h", sent_compared_hash="h", follow_ups=(follow_up,), sent_version=1,
        orders=(OperatorCommand("c", Action.DELIVER, "ann", 1, NUMBER),),
    )  # fmt: skip
    after = blanked(full)
    record: dict[str, Any] = after.record()
    assert NUMBER not in str(msgspec.to_builtins(after))
    assert '"h"' not in msgspec.json.encode(record | {"result": None}).decode(), "a digest tells it too"
    assert (after.crm_ids, after.follow_ups[0].ids) == ({"note": "5"}, {"FILE_ID": "7"})
    assert blanked(after) == after
    personal = {each["name"] for part in records_of(load("delivery")) for each in part["fields"] if "personal" in each}
    filled = {name for part in (full, intent, line, follow_up, full.orders[0]) for name in part.__struct_fields__}
    assert personal <= filled, "a field that joins is blanked too, and filled here"
    parts = [
        (full, after),
        (follow_up, after.follow_ups[0]),
        (line, after.history[0]),
        (full.orders[0], after.orders[0]),
    ]
    differing = {
        name
        for old, new in parts
        for name in old.__struct_fields__
        if getattr(old, name) != getattr(new, name)
    }  # fmt: skip
    gone_whole = {name for part in (intent,) for name in part.__struct_fields__}
    assert personal - KEPT <= differing | gone_whole


def test_a_record_that_was_erased_goes_through_the_codec() -> None:
    ended = run(*DELIVERED, erase(), first=CLIENT).delivery
    assert Delivery.from_record(ended.record()) == ended
    assert replace(ended, wish="") != ended


def test_an_answer_to_a_local_step_that_comes_late_changes_nothing() -> None:
    erased = run_followed(delivered(), erase()).delivery
    assert is_erased(erased)
    late = run_followed(
        erased, Prepared(9, RECORDING, Succeeded({URL: f"https://pbx/{NUMBER}.wav"})), Answered(9, 2, Succeeded())
    )
    assert is_erased(late.delivery)
