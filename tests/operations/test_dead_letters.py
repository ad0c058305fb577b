"""`cel2crm dead-letters` as a person or a script calls it."""

import asyncio
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from schemas import own_header
from streams.cli import dead_letters
from streams.clock import MICROS_PER_SECOND
from streams.dead_letter_reasons import Recovery
from streams.delivery.record import Action
from streams.errors import UserError
from streams.kafka.topic_client import Outgoing, TopicRecord, partition_of
from streams.operations.dead_letter_commands import CarriedOut, carry_out
from streams.operations.dead_letter_commands import Operator as By
from streams.operations.dead_letter_topic import letter_of
from streams.operations.dead_letters import Filter, moment, places_of
from streams.operations.recovery_plan import RecoveryPlan, plan_recovery
from tests.crm.calls import call_result
from tests.operations.memory import PARTITIONS, Operator

RESULT = call_result(1)
CALL = RESULT.call_id
ROW = b'{"id":7,"eventtype":"CHAN_END","linkedid":"1795389780.12","cid_num":"+79161234567"}'


def letter(operator: Operator, component: str, reason: str, call: str | None, **fields: Any) -> TopicRecord:
    """A dead letter as a worker writes it."""
    record = {
        "key": b"k", "value": ROW, "headers": [{"name": "h", "value": b"1"}], "topic": "cel2crm.cel", "partition": 2,
        "offset": 5, "timestamp": None, "component": component, "reason": reason, "explanation": f"why {reason}",
        "failed_at": 10 * MICROS_PER_SECOND, "call_id": call, "portal": None, **fields,
    }  # fmt: skip
    return operator.put("dead-letters", "dead_letter", call or "k", record)


def refused(operator: Operator, number: int = 1, **fields: Any) -> TopicRecord:
    result = call_result(number)
    value = operator.serializer.encode("call_result", result.record())
    source = {"topic": "cel2crm.call-results", "partition": 1, "offset": number}
    headers = [{"name": "schema", "value": own_header("call_result")}]
    told = {"portal": "main", "value": value, "headers": headers, **source, **fields}
    return letter(operator, "bitrix24", told.pop("reason", "refused"), result.call_id, **told)


def late(operator: Operator, call: str = "pbx1/1795389780.12", **fields: Any) -> TopicRecord:
    return letter(operator, "aggregate", "late_row", call, **fields)


def place(record: TopicRecord) -> str:
    return f"{record.partition}/{record.offset}"


def groups(operator: Operator, *arguments: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in operator.told("dead-letters", "list", "--json", *arguments).splitlines()]


async def retried(operator: Operator, call: str) -> CarriedOut:
    """What another operator does, in a process of their own."""
    connection = await operator.connection()
    plan = await plan_recovery(connection, Filter(calls=frozenset({call})), Action.RETRY)
    return await carry_out(connection, plan, By("bob"), lambda _: None)


async def nothing_new() -> None:
    """A reading of resolutions that finds nothing."""


# Seen.


def test_nothing_there(operator: Operator) -> None:
    assert operator.told("dead-letters", "list") == "no unresolved dead letters\n"
    assert operator.told("dead-letters", "list", "--json") == ""
    assert operator.told("dead-letters", "retry", "--yes") == "nothing to retry\n"
    assert operator.told("dead-letters", "drop", "--yes") == "nothing to drop\n"
    assert operator.run("dead-letters", "show", "1.1").exit_code == 1


def test_groups_tell_how_many_since_when_and_what_recovers_them(operator: Operator) -> None:
    for number in (1, 2, 3):
        refused(operator, number, failed_at=number * MICROS_PER_SECOND)
    late(operator)
    late(operator)
    told = groups(operator)
    assert [(each["component"], each["reason"], each["portal"], each["letters"], each["calls"]) for each in told] == [
        ("bitrix24", "refused", "main", 3, 3),
        ("aggregate", "late_row", None, 2, 1),
    ]
    assert (told[0]["first"], told[0]["last"], told[0]["explanation"]) == (
        MICROS_PER_SECOND,
        3 * MICROS_PER_SECOND,
        "why refused",
    )
    text = operator.told("dead-letters", "list")
    assert "bitrix24 refused, the last: why refused" in text and "1970-01-01 00:00:03 UTC" in text


def test_the_rows_of_a_forgotten_call_are_one_line_with_the_command_that_recovers_it(operator: Operator) -> None:
    for _ in range(5):
        late(operator)
    late(operator, "pbx1/1795389999.1")
    told = groups(operator, "--component", "aggregate", "--calls")
    assert [(each["call_id"], each["letters"], each["remedy"]) for each in told] == [
        ("pbx1/1795389780.12", 5, "cel2crm backfill --call 1795389780.12 --pbx pbx1"),
        ("pbx1/1795389999.1", 1, "cel2crm backfill --call 1795389999.1 --pbx pbx1"),
    ]
    text = operator.told("dead-letters", "list", "--calls")
    assert text.count("pbx1/1795389780.12") == 1
    assert text.splitlines()[-1] == "  cel2crm backfill --call 1795389999.1 --pbx pbx1"


@pytest.mark.parametrize(
    ("arguments", "found"),
    [
        (("--crm", "bitrix24"), 2),
        (("--crm", "kommo"), 0),
        (("--portal", "main"), 2),
        (("--component", "aggregate"), 1),
        (("--reason", "late_row"), 1),
        (("--since", "1970-01-01T00:00:10"), 2),
        (("--until", "1970-01-01T03:00:10+03:00"), 1),
        (("--call", CALL.partition("/")[2]), 1),
        (("--call", CALL), 1),
        (("--crm", "bitrix24", "--call", "pbx1/1795389780.12"), 0),
        (("--crm", "bitrix24", "--component", "bitrix24"), 2),
    ],
)
def test_what_is_asked_for(operator: Operator, arguments: tuple[str, ...], found: int) -> None:
    refused(operator, 1, failed_at=5 * MICROS_PER_SECOND)
    refused(operator, 2)
    late(operator)
    assert sum(group["letters"] for group in groups(operator, *arguments)) == found


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--since", "yesterday"), "'yesterday' is not a time"),
        (("--crm", "sugar"), "there is no CRM sugar"),
        (("--crm", "kommo", "--component", "aggregate"), "exclude each other"),
    ],
)
def test_what_cannot_be_asked_for(operator: Operator, arguments: tuple[str, ...], said: str) -> None:
    error = operator.run("dead-letters", "list", *arguments).exception
    assert isinstance(error, UserError) and said in error.problem and error.remedy


def test_show_decodes_rows_and_results(operator: Operator) -> None:
    row, result = late(operator), refused(operator)
    told = operator.told("dead-letters", "show", "1795389780.12")
    assert f"dead letter {place(row)}: aggregate late_row, 1970-01-01 00:00:10 UTC" in told
    assert "from cel2crm.cel, partition 2, offset 5" in told
    assert "    eventtype: CHAN_END" in told and "header h: 1" in told
    assert "recover by: cel2crm backfill --call 1795389780.12 --pbx pbx1" in told
    shown = json.loads(operator.told("dead-letters", "show", place(result), "--json"))
    assert (shown["call_id"], shown["value"]["result"], shown["value"]["client"]) == (CALL, 200, "+79161234567")


@pytest.mark.parametrize("tree", [{"logging": {"mask_numbers": True}}])
def test_show_masks_numbers_where_the_settings_say_so(operator: Operator) -> None:
    late(operator)
    told = operator.told("dead-letters", "show", "1795389780.12")
    assert "+791******67" in told and "79161234567" not in told


@pytest.mark.parametrize("value", [None, b"", b"\x00\x00\x00\x00\x63zz", b"\xff\xfe", b"{broken", b"text"])
def test_show_takes_whatever_bytes_there_are(operator: Operator, value: bytes | None) -> None:
    record = letter(operator, "aggregate", "unreadable_row", None, value=value)
    assert "unreadable_row" in operator.told("dead-letters", "show", place(record))


# Retried.


def test_a_retry_is_a_command_to_the_owner_and_a_resolution(operator: Operator) -> None:
    record = refused(operator)
    told = operator.told("dead-letters", "retry", CALL, "--by", "ann", "--note", "user exists again")
    assert "1 dead letters retried" in told
    (command,) = operator.commands()
    assert (command.call_id, command.crm, command.action, command.by, command.note) == (
        CALL, "bitrix24", Action.RETRY, "ann", "user exists again",
    )  # fmt: skip
    assert operator.serializer.decode(command.result)["call_id"] == CALL, "for a delivery that was forgotten"
    assert (command.source_topic, command.source_partition, command.source_offset) == ("cel2crm.call-results", 1, 1)
    (done,) = operator.resolutions()
    assert (done.place, done.action, done.by, done.note, done.command) == (
        (record.partition, record.offset), "retried", "ann", "user exists again", command.id,
    )  # fmt: skip
    (log,) = [number for (topic, number), log in operator.topics.logs.items() if "commands" in topic and log]
    assert log == partition_of(CALL.encode(), PARTITIONS), "where the call's results are"


def test_what_was_retried_is_listed_no_more_and_shows_who_did_it(operator: Operator) -> None:
    record = refused(operator)
    operator.told("dead-letters", "retry", place(record), "--by", "ann")
    assert groups(operator) == [] and [group["letters"] for group in groups(operator, "--all")] == [1]
    assert "retried by ann" in operator.told("dead-letters", "show", place(record))
    assert operator.told("dead-letters", "retry") == "nothing to retry\n"
    assert "1 dead letters" in operator.told("dead-letters", "retry", "--all")


def test_several_letters_of_one_call_are_one_command(operator: Operator) -> None:
    refused(operator)
    refused(operator, reason="deadline")
    operator.told("dead-letters", "retry")
    assert len(operator.commands()) == 1 and len(operator.resolutions()) == 2


def test_what_could_not_be_read_goes_back_untouched(operator: Operator) -> None:
    letter(operator, "aggregate", "unreadable_row", None, partition=3)
    operator.told("dead-letters", "retry", "--reason", "unreadable_row", "--by", "ann")
    (back,) = operator.topics.logs["cel2crm.cel", 3]
    assert (back.key, back.value, list(back.headers)) == (b"k", ROW, [("h", b"1")])
    assert [done.action for done in operator.resolutions()] == ["returned"]


def test_late_rows_are_not_retried_but_named(operator: Operator) -> None:
    late(operator)
    done = operator.run("dead-letters", "retry", "--yes")
    assert done.stdout == "nothing to retry\n" and "1 calls need a backfill" in done.stderr
    assert operator.resolutions() == [] and operator.commands() == []


def test_many_are_counted_timed_and_asked_about(operator: Operator) -> None:
    for number in range(1, 61):
        refused(operator, number)
    no = operator.run("dead-letters", "retry", answer="n\n")
    assert isinstance(no.exception, UserError) and "--yes" in no.exception.remedy
    # 120 requests, 50 at once, then 2 a second
    assert "60 deliveries to bitrix24 (portal main): about 35 s at the portal's limit" in no.stderr
    assert operator.commands() == [] and operator.resolutions() == []
    assert "60 dead letters retried" in operator.told("dead-letters", "retry", answer="y\n")
    assert len({command.id for command in operator.commands()}) == 60


def test_scripts_say_yes(operator: Operator) -> None:
    for number in range(1, 261):
        refused(operator, number)
    assert "260 dead letters retried" in operator.told("dead-letters", "retry", "--yes")
    assert len(operator.commands()) == len(operator.resolutions()) == 260


@pytest.mark.parametrize("tree", [{"portals": [{"name": "sales", "crm": "kommo", "shadow": True}]}])
def test_a_shadow_is_said(operator: Operator) -> None:
    letter(operator, "kommo", "refused", CALL, portal="sales")
    assert "portal sales is a shadow" in operator.run("dead-letters", "retry").stderr


def test_what_a_person_confirms_is_what_is_done(operator: Operator, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(1, 13):
        refused(operator, number)

    def letters_come_meanwhile(question: str, count: int, *, yes: bool) -> None:
        for number in range(101, 105):
            refused(operator, number)

    monkeypatch.setattr(dead_letters, "confirm", letters_come_meanwhile)
    assert "12 dead letters retried" in operator.told("dead-letters", "retry")
    assert len(operator.commands()) == len(operator.resolutions()) == 12
    assert [group["letters"] for group in groups(operator)] == [4]
    assert "4 dead letters dropped" in operator.told("dead-letters", "drop")
    assert [group["letters"] for group in groups(operator)] == [4], "those that came meanwhile"


@pytest.mark.parametrize("action", ["retry", "drop"])
def test_letters_are_read_once_over_one_connection(operator: Operator, action: str) -> None:
    for number in range(1, 13):
        refused(operator, number)
    operator.told("dead-letters", action, "--yes")
    assert operator.connections == 1
    assert operator.topics.readings == [
        "cel2crm.dead-letter-resolutions",
        "cel2crm.dead-letters",
        "cel2crm.dead-letter-resolutions",  # again, from where the first reading ended: what others did meanwhile
    ]


def test_the_progress_ends_at_its_total(operator: Operator, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(1, 4):
        refused(operator, number)
    late(operator)
    totals: list[int | None] = []
    advances: list[int] = []

    @contextmanager
    def bar(what: str, total: int | None) -> Iterator[Callable[[int], None]]:
        totals.append(total)
        yield advances.append

    monkeypatch.setattr(dead_letters, "progress_bar", bar)
    operator.told("dead-letters", "retry")
    assert totals == [sum(advances)] == [3]


def test_a_letter_that_somebody_else_dealt_with_meanwhile_is_left_alone(
    operator: Operator, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(1, 13):
        refused(operator, number)

    def somebody_else_retries_two(question: str, count: int, *, yes: bool) -> None:
        for number in (3, 4):
            carried = asyncio.run(retried(operator, call_result(number).call_id))
            assert carried.resolved == 1

    monkeypatch.setattr(dead_letters, "confirm", somebody_else_retries_two)
    done = operator.run("dead-letters", "retry", "--all")
    assert "10 dead letters retried" in done.stdout and "2 were left alone" in done.stderr
    assert len(operator.commands()) == len(operator.resolutions()) == 12


def test_two_who_retry_at_the_same_moment_give_one_command(operator: Operator) -> None:
    record = refused(operator)

    async def at_once() -> None:
        connection = await operator.connection()
        first, second = [await plan_recovery(connection, Filter(), Action.RETRY) for _ in range(2)]
        for plan in (first, second):  # each read the resolutions on before the other wrote its own
            plan.resolutions.read_on = nothing_new  # type: ignore[method-assign]
            await carry_out(connection, plan, By("ann"), lambda _: None)

    asyncio.run(at_once())
    commands = operator.commands()
    assert len(commands) == 2 and len({command.id for command in commands}) == 1, "a worker carries out an id once"
    operator.told("dead-letters", "retry", "--all", place(record))
    assert operator.commands()[-1].id != commands[0].id, "a later retry is another one"


def test_what_is_too_much_to_hold_is_left_to_the_next_command(operator: Operator) -> None:
    for number in range(1, 6):
        refused(operator, number, value=b"x" * 100)

    async def plan() -> RecoveryPlan:
        return await plan_recovery(await operator.connection(), Filter(), Action.RETRY, most_bytes=300)

    made = asyncio.run(plan())
    assert (made.letters, made.beyond) == (2, 3)


# Dropped.


def test_a_drop_is_recorded_and_the_owner_is_told(operator: Operator) -> None:
    refused(operator)
    late(operator)
    operator.told("dead-letters", "drop", "--by", "ann", "--note", "entered by hand")
    (command,) = operator.commands()
    assert (command.action, command.result) == (Action.DROP, None)
    assert sorted((done.reason, done.action, done.note) for done in operator.resolutions()) == [
        ("late_row", "dropped", "entered by hand"),
        ("refused", "dropped", "entered by hand"),
    ]
    assert groups(operator) == []


def test_nothing_is_deleted(operator: Operator) -> None:
    record = refused(operator)
    operator.told("dead-letters", "drop")
    assert operator.topics.logs[record.topic, record.partition] == [record]


# Parts.


@pytest.mark.parametrize(
    ("component", "reason", "call", "recovery"),
    [
        ("kommo", "refused", CALL, Recovery.RETRY),
        ("kommo", "outcome_unknown", CALL, Recovery.RETRY),
        ("kommo", "unreadable_result", None, Recovery.RETURN),
        ("webhook", "unreadable_command", None, Recovery.RETURN),
        ("aggregate", "late_row", CALL, Recovery.BACKFILL),
        ("aggregate", "not_judged", CALL, Recovery.BACKFILL),
        ("aggregate", "too_many_rows", CALL, Recovery.NOTHING),
    ],
)
def test_what_recovers_what(component: str, reason: str, call: str | None, recovery: Recovery) -> None:
    fields = {"topic": "t", "partition": 0, "offset": 0, "explanation": "", "failed_at": 0, "portal": None}
    found = letter_of({**fields, "component": component, "reason": reason, "call_id": call}, 3, 9)
    assert found.recovery is recovery
    assert found.command.startswith("cel2crm ")


def test_a_record_that_is_no_dead_letter_is_passed_over(operator: Operator) -> None:
    refused(operator)
    operator.topics.put(Outgoing("cel2crm.dead-letters", b"k", b"what is this"))
    operator.topics.put(Outgoing("cel2crm.dead-letter-resolutions", b"k", b"and this"))
    assert [group["letters"] for group in groups(operator)] == [1]


def test_places_and_calls_are_told_apart() -> None:
    assert places_of("3/1207") == frozenset({(3, 1207)})
    assert places_of("pbx1/1795389780.12") == places_of("1795389780.12") == frozenset()


def test_times() -> None:
    assert moment(None, "--since") is None
    assert moment("1970-01-02", "--since") == 86400 * MICROS_PER_SECOND
    assert moment("1970-01-01T03:00+03:00", "--since") == 0


def test_a_filter_without_anything_takes_what_is_unresolved() -> None:
    fields = {"topic": "t", "partition": 0, "offset": 0, "explanation": "", "failed_at": 0, "portal": None}
    assert Filter().fits(letter_of({**fields, "component": "x", "reason": "y", "call_id": None}, 0, 0))
