"""`cel2crm deliveries` as a person or a script calls it."""

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest
from msgspec.structs import replace

from streams.clock import MICROS_PER_SECOND, format_span, format_time
from streams.crm.bitrix24.plan import PLAN as BITRIX24
from streams.delivery.answers import RetryLater, Succeeded
from streams.delivery.events import Due, Shadowed
from streams.delivery.machine import advance
from streams.delivery.portal_records import PortalState, disabled_key, disabled_state, serving_key
from streams.delivery.record import Delivery, FollowUp, State
from streams.errors import UserError
from streams.kafka.topic_client import Outgoing
from streams.operations import deliveries
from streams.operations.deliveries import overview_of
from streams.operations.labels import STATES
from streams.operations.masking import masked_fields, masked_text
from tests.crm.calls import POLICY as SECONDS
from tests.delivery.test_commands import drop
from tests.delivery.test_machine import DELIVERED, OPEN, UNSURE, answered, run
from tests.operations.memory import Operator

CALL = "pbx1/1.1"


def waiting(call: str, queued_at: int, state: State = State.WAITING, **fields: Any) -> Delivery:
    return Delivery(call_id=call, crm="kommo", portal="sales", state=state, step="call", queued_at=queued_at, **fields)


def test_each_attempt_is_told_with_what_was_sent_and_answered(operator: Operator) -> None:
    events = (
        Due(2 * MICROS_PER_SECOND, '{"PHONE_NUMBER":"+79161234567","SHOW":0}'),
        answered(1, RetryLater("portal overloaded"), 3 * MICROS_PER_SECOND),
        Due(90 * MICROS_PER_SECOND, '{"PHONE_NUMBER":"+79161234567","SHOW":0}'),
        answered(2, Succeeded({"CALL_ID": "ext.7"}), 91 * MICROS_PER_SECOND),
        Due(92 * MICROS_PER_SECOND, '{"CALL_ID":"ext.7","STATUS_CODE":"304"}', "304"),
        answered(3, Succeeded({"CRM_ACTIVITY_ID": "9"}), 94 * MICROS_PER_SECOND),
    )
    delivery = run().delivery
    for event in events:
        delivery = advance(delivery, event, BITRIX24, SECONDS).delivery
    operator.delivery(delivery)
    lines = operator.told("deliveries", "1.1").splitlines()
    assert lines[0] == f"{CALL} at bitrix24 (portal main): delivered"
    assert "  status 304" in lines and "  in the CRM: CALL_ID ext.7, CRM_ACTIVITY_ID 9" in lines
    assert (
        lines[-6:]
        == [
            "    1. 1970-01-01 00:00:02 UTC register, 1 s: no effect; to be repeated (portal overloaded)",
            "         sent: PHONE_NUMBER=+79161234567 SHOW=0",
            "    2. 1970-01-01 00:01:30 UTC register, 1 s: done (CALL_ID ext.7)",
            "    3. 1970-01-01 00:01:32 UTC finish, 2 s: done (CRM_ACTIVITY_ID 9)",
            "         sent: CALL_ID=ext.7 STATUS_CODE=304",
        ]
        or "no more"
    )


def test_what_waits_says_when_it_is_tried_next(operator: Operator) -> None:
    operator.delivery(waiting(CALL, 1, wait_until=4_000_000_000 * MICROS_PER_SECOND))
    assert "next: call, 2096-10-02 07:06:40 UTC" in operator.told("deliveries", CALL)


def test_an_open_request_is_shown_with_its_fields(operator: Operator) -> None:
    operator.delivery(run(*OPEN).delivery)
    told = operator.told("deliveries", CALL)
    assert "a request is out" in told and "register: open, until" in told and "sent: a=1" in told


def test_who_ordered_what_is_told(operator: Operator) -> None:
    operator.delivery(run(drop()).delivery)
    assert "ordered: drop by ann" in operator.told("deliveries", CALL)


def test_a_shadow_tells_what_would_be_sent(operator: Operator) -> None:
    sent = '{"register":{"PHONE_NUMBER":"+79161234567"},"finish":{"STATUS_CODE":"304"}}'
    operator.delivery(run(Shadowed(1, sent, "304")).delivery)
    told = operator.told("deliveries", CALL)
    assert "a shadow: recorded, not sent" in told
    assert 'would be sent: register={"PHONE_NUMBER":"+79161234567"} finish={"STATUS_CODE":"304"}' in told


@pytest.mark.parametrize("tree", [{"logging": {"mask_numbers": True}}])
def test_numbers_are_masked_where_the_settings_say_so(operator: Operator) -> None:
    operator.delivery(
        run(Due(0, '{"PHONE_NUMBER":"+79161234567"}'), answered(1, RetryLater("no +79161234567"))).delivery
    )
    for told in (operator.told("deliveries", CALL), operator.told("deliveries", CALL, "--json")):
        assert "79161234567" not in told
        assert "+791******67" in told


def test_json_holds_the_record_with_the_requests_parsed(operator: Operator) -> None:
    operator.delivery(run(*UNSURE).delivery)
    told = json.loads(operator.told("deliveries", CALL, "--json"))
    assert (told["state"], told["doubt"]["sent"], told["result_held"]) == ("unsure", {"b": 2}, True)
    assert told["history"][0]["sent"] == {"a": 1} and "result" not in told


def test_only_the_last_state_counts(operator: Operator) -> None:
    operator.delivery(run().delivery)
    operator.delivery(run(*DELIVERED).delivery)
    assert operator.told("deliveries", CALL).count(" at bitrix24") == 1
    assert ": delivered" in operator.told("deliveries", CALL)


def test_what_was_forgotten_is_not_counted(operator: Operator) -> None:
    operator.delivery(waiting(CALL, 1))
    operator.topics.put(Outgoing(operator.settings.kafka.topic("deliveries-kommo"), CALL.encode(), None))
    assert operator.told("deliveries") == "no deliveries yet\n"
    assert operator.run("deliveries", CALL).exit_code == 1


def test_what_an_overview_remembers_of_a_portal(operator: Operator, monkeypatch: pytest.MonkeyPatch) -> None:
    topic = operator.settings.kafka.topic("deliveries-kommo")
    place = operator.topics.put(Outgoing(topic, b"pbx1/9.9", b"damaged")).place
    operator.topics.put(Outgoing(topic, CALL.encode(), b"damaged"))
    operator.delivery(waiting(CALL, 50, reason="HTTP 503"))  # replaces what was damaged
    operator.delivery(waiting("pbx1/2.2", 40, reason="HTTP 502"))
    operator.delivery(waiting("pbx1/3.3", 10, State.DELIVERED, delivered_at=70))
    operator.delivery(waiting("pbx1/4.4", 10, State.DELIVERED, delivered_at=60))
    found = asyncio.run(overview_of(asyncio.run(operator.connection()), "kommo"))
    assert (found.unreadable_at, found.unreadable) == ((place,), 1)
    assert (found.oldest["sales"], found.oldest_reason["sales"]) == (("pbx1/2.2", 40), "HTTP 502")
    assert found.last_delivered == {"sales": 70}
    assert "kommo: 1 records of the log cannot be read" in operator.told("deliveries")
    monkeypatch.setattr(deliveries, "THOROUGH_RECORDS", 0)
    assert asyncio.run(overview_of(asyncio.run(operator.connection()), "kommo", thorough=False)) == found


def test_a_call_that_no_log_knows(operator: Operator) -> None:
    done = operator.run("deliveries", "9.9")
    assert (done.exit_code, done.stdout) == (1, "") and "no CRM's log knows call 9.9" in done.stderr


def test_only_one_crm(operator: Operator) -> None:
    operator.delivery(run(*DELIVERED).delivery)
    operator.delivery(waiting(CALL, 1))
    assert operator.told("deliveries", CALL).count(f"{CALL} at ") == 2
    assert operator.told("deliveries", CALL, "--crm", "kommo").count(f"{CALL} at ") == 1
    assert isinstance(operator.run("deliveries", "--crm", "sugar").exception, UserError)


@pytest.mark.parametrize("tree", [{"other_pbxs": [{"name": "south"}]}])
def test_a_bare_linkedid_is_looked_for_at_every_pbx(operator: Operator) -> None:
    operator.delivery(waiting("south/1.1", 1))
    operator.delivery(waiting("pbx1/1.1", 1))
    assert operator.told("deliveries", "1.1").count(" at kommo") == 2
    assert operator.told("deliveries", "south/1.1").count(" at kommo") == 1


def some(operator: Operator) -> None:
    operator.delivery(run(*DELIVERED).delivery)
    operator.delivery(waiting("pbx1/2.2", 50))
    operator.delivery(waiting("pbx1/3.3", 40))
    operator.delivery(waiting("pbx1/4.4", 60, State.PAUSED, reason="the token is not valid"))
    operator.delivery(waiting("portal:sales", 1, State.SERVING))


def test_in_numbers(operator: Operator) -> None:
    some(operator)
    told = operator.told("deliveries")
    assert "kommo sales: pbx1/3.3 has been waiting longest" in told
    assert "kommo sales is paused, a person must act: the token is not valid" in told
    assert "is served" not in told
    lines = [json.loads(line) for line in operator.told("deliveries", "--json").splitlines()]
    assert [(each["crm"], each["deliveries"]) for each in lines] == [
        ("bitrix24", {"delivered": 1}),
        ("kommo", {"paused": 1, "waiting": 2}),
    ]
    assert (lines[1]["oldest_waiting"], lines[1]["waiting_since"]) == ("pbx1/3.3", 40)


def test_a_call_that_waits_for_a_contact_is_not_what_a_portal_is_slow_at(operator: Operator) -> None:
    operator.delivery(waiting("pbx1/1.1", 10, reason="waits for a change in the CRM: no contact has this number"))
    operator.delivery(waiting("pbx1/2.2", 50))
    (line,) = (json.loads(line) for line in operator.told("deliveries", "--json").splitlines() if "kommo" in line)
    assert (line["deliveries"], line["oldest_waiting"]) == ({"waiting": 2}, "pbx1/2.2")


def disabled_before(operator: Operator) -> None:
    """What 0.1 recorded: in the first partition of the log, as if it were a call."""
    record = waiting("disabled:sales", 1, State.DISABLED, reason="HTTP 410")
    operator.put("deliveries-kommo", "delivery", record.call_id, record.record(), partition=0)


def disabled_now(operator: Operator) -> None:
    """What the owners of two partitions recorded."""
    for partition in (0, 3):
        state = disabled_state("kommo", "sales", "its address", "HTTP 410", 1)
        operator.portal_state(disabled_key("kommo", "sales", partition), state)


def disabled_twice(operator: Operator) -> None:
    disabled_before(operator)
    disabled_now(operator)


DISABLED = pytest.mark.parametrize("disabled", [disabled_before, disabled_now, disabled_twice])
Disabled = Callable[[Operator], None]


@DISABLED
def test_a_portal_that_wants_no_more_is_told(operator: Operator, disabled: Disabled) -> None:
    some(operator)
    disabled(operator)
    told = operator.told("deliveries")
    assert "kommo sales is paused, a person must act: HTTP 410" in told
    assert "disabled" not in told
    status = json.loads(operator.run("portal", "status", "sales", "--json").stdout)
    assert (status["paused"], status["needs_a_person"]) == ("HTTP 410", True)


@DISABLED
def test_a_portal_that_wanted_no_more_is_enabled(operator: Operator, disabled: Disabled) -> None:
    served = PortalState(crm="kommo", portal="sales", serving_since=1)
    operator.portal_state(serving_key("kommo", "sales"), served)
    disabled(operator)
    operator.portal_state(disabled_key("kommo", "other", 0), disabled_state("kommo", "other", "", "HTTP 410", 1))
    assert "sales is enabled (it was not: HTTP 410)\nRestart its worker: cel2crm worker kommo\n" in operator.told(
        "portal", "enable", "sales"
    )
    assert operator.told("portal", "enable", "sales") == "sales is not disabled\n"
    assert isinstance(operator.run("portal", "enable", "nobody").exception, UserError)
    left = {record.key: record.value for record in operator.topics.logs["cel2crm.portal-states", 0]}
    assert {key for key, value in left.items() if value is not None} == {b"kommo/sales", b"kommo/other/0"}


def test_nothing_there(operator: Operator) -> None:
    assert operator.told("deliveries") == "no deliveries yet\n"
    assert operator.told("deliveries", "--json") == ""


def test_every_state_has_words() -> None:
    assert set(STATES) == set(State)


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("+79161234567", "+791******67"),
        ("89161234567 twice: 4951234567.", "891******67 twice: 495*****67."),
        ("extension 1001", "extension 1001"),
        ("pbx1/1795389780.12", "pbx1/1795389780.12"),
        ("1795389780.12", "1795389780.12"),
        ("externalCall.1234567890", "externalCall.1234567890"),
        ("2026-11-25T10:00:00", "2026-11-25T10:00:00"),
        ("https://x.bitrix24.ru/rest/1/secret99/telephony", "https://x.bitrix24.ru/rest/1/***/telephony"),
    ],
)
def test_what_is_masked(text: str, masked: str) -> None:
    assert masked_text(text, numbers=True) == masked


def test_secrets_are_masked_always() -> None:
    assert masked_fields('{"auth":"x","a":[{"access_token":"y"}]}', numbers=False) == {
        "auth": "***",
        "a": [{"access_token": "***"}],
    }
    assert masked_fields("no JSON", numbers=False) == "no JSON"


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0, "0 s"), (59.6, "1 min"), (61, "1 min 1 s"), (7200, "2 h"), (90000, "1 d 1 h"), (-5, "0 s")],
)
def test_lengths_of_time(seconds: float, words: str) -> None:
    assert format_span(seconds * MICROS_PER_SECOND) == words


def test_times() -> None:
    assert (format_time(None), format_time(MICROS_PER_SECOND)) == ("-", "1970-01-01 00:00:01 UTC")


RECORDED = Delivery(
    call_id=CALL, crm="kommo", portal="sales", state=State.DELIVERED, step="call", queued_at=1,
    follow_ups=(
        FollowUp(
            kind="recording", state=State.SKIPPED, step="find_recording",
            reason="no recording within 2 h: the recording's file is not there",
        ),
    ),
)  # fmt: skip


def test_what_followed_a_call_is_told(operator: Operator) -> None:
    operator.delivery(RECORDED)
    lines = operator.told("deliveries", CALL).splitlines()
    at = lines.index("  recording: ended: there is none")
    assert lines[0].endswith(": delivered")
    assert lines[at + 1] == "    no recording within 2 h: the recording's file is not there"


def test_what_followed_calls_is_counted(operator: Operator) -> None:
    waiting_for_it = FollowUp(kind="recording", state=State.WAITING)
    for call, follow_up in (("pbx1/1", RECORDED.follow_ups[0]), ("pbx1/2", waiting_for_it), ("pbx1/3", waiting_for_it)):
        operator.delivery(replace(RECORDED, call_id=call, follow_ups=(follow_up,)))
    told = operator.told("deliveries", "--crm", "kommo")
    assert "recording: ended: there is none" in told and "recording: waits to be tried again" in told
    counted = json.loads(operator.told("deliveries", "--crm", "kommo", "--json"))
    assert counted["follow_ups"] == {"recording:skipped": 1, "recording:waiting": 2}


def test_a_signed_link_is_shown_without_its_signature() -> None:
    link = f"https://pbx.example.com/recordings/1827025970/{'x' * 43}/2026/11/22/in-1001.wav"
    assert masked_text(link, numbers=True) == "https://pbx.example.com/recordings/1827025970/***/2026/11/22/in-1001.wav"
