"""Acts on dead letters and deliveries: commands, returned records, and a resolution for each letter.

Order: what recovers a call is on its topic, with the brokers' word, before the resolution is. A command that ends in
between is given again.

Nothing is done twice, by two operators neither. Before each batch the resolutions are read on, and letters about which
somebody did something since the plan was made are left out. Where both act within the moments between that reading and
their writing, both write: the commands of both then have the same id, made of the letter's place, the action and the
number of resolutions that the letter had, and a worker carries out an id once; a record that is returned twice changes
nothing the second time.
"""

import uuid
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from schemas import written_as
from streams.clock import UtcMicros, utc_now_us
from streams.crm.registry import kind_of
from streams.crm.shared.adapter import plan_of
from streams.dead_letter_reasons import Recovery
from streams.delivery.command_record import Command
from streams.delivery.record import Action
from streams.errors import UserError
from streams.kafka.topic_client import Headers, Outgoing, TopicRecord, partition_of
from streams.operations.connection import Connection
from streams.operations.dead_letter_topic import letters_of
from streams.operations.dead_letters import Filter, Letter
from streams.operations.recovery_plan import RecoveryPlan, RecoveryStep
from streams.operations.resolutions import Resolution
from streams.settings import PortalSettings, Settings
from streams.topics import CALL_RESULTS, DEAD_LETTERS, DELIVERY_COMMANDS

BATCH = 200
"""Steps that are taken at once: so many at most are taken again after a break."""

Progress = Callable[[int], None]

_COMMAND_IDS = uuid.UUID("6b1f2b53-4a0e-4f0b-9a35-0f4f6b7f2c1d")
"""Namespace of the ids of commands about dead letters."""


@dataclass(frozen=True, slots=True)
class Operator:
    """A person who orders something, and why in their words."""

    by: str
    note: str = ""


@dataclass(frozen=True, slots=True)
class CarriedOut:
    """The outcome of a plan, in letters."""

    resolved: int
    overtaken: int
    """Letters that somebody else dealt with after the plan was made: left alone."""


def seconds_at_limit(settings: Settings, crm: str, portal: str | None, calls: int) -> float:
    """The seconds that so many calls take at the portal's limit, if it has nothing else to do."""
    known: PortalSettings | None = next(
        (each for each in settings.portals if each.crm == crm and each.name == portal), None
    )
    rate = known.rate if known else kind_of(crm).rate
    requests = calls * len(plan_of(crm).path)
    return max(0.0, requests - rate.burst) / rate.per_second


async def carry_out(connection: Connection, plan: RecoveryPlan, operator: Operator, progress: Progress) -> CarriedOut:
    """Take the steps of a plan, and no others; `progress` is told the letters of each batch. Raises UserError."""
    partitions = await _owners(connection) if plan.orders else 0
    resolved = overtaken = 0
    for batch in plan.batches(BATCH):
        await plan.resolutions.read_on()
        steps = [(step, left) for step in batch if (left := _left_of(step, plan))]
        sent = [await _sent(connection, step, plan.action, operator, partitions) for step, _ in steps]
        await connection.topics.send([outgoing for outgoing, _ in sent if outgoing is not None])
        done = [
            _resolution(letter, _verb(step, plan.action), operator, command)
            for (step, left), (_, command) in zip(steps, sent, strict=True)
            for letter in left
        ]
        await _record(connection, done)
        letters = sum(len(step.letters) for step in batch)
        resolved += len(done)
        overtaken += letters - len(done)
        progress(letters)
    return CarriedOut(resolved, overtaken)


async def backfilled(connection: Connection, calls: Iterable[str], until: UtcMicros, operator: Operator) -> int:
    """Record that calls came whole from the table: their letters of before `until`. How many. Raises UserError."""
    wanted = Filter(component="aggregate", calls=frozenset(calls), until=until)
    done = [
        _resolution(letter, "backfilled", operator)
        async for letter, _ in letters_of(connection, wanted)
        if letter.recovery is Recovery.BACKFILL
    ]
    await _record(connection, done)
    return len(done)


async def deliver(
    connection: Connection, targets: Sequence[tuple[str, TopicRecord]], operator: Operator, progress: Progress
) -> None:
    """Order calls to be delivered: each CRM with the record of the call's newest result. Raises UserError."""
    partitions = await _owners(connection)
    for start in range(0, len(targets), BATCH):
        batch = targets[start : start + BATCH]
        orders = [
            _command(
                uuid.uuid4().hex,
                (record.key or b"").decode(),
                crm,
                Action.DELIVER,
                operator,
                record.value,
                record.headers,
                (record.topic, record.partition, record.offset),
            )
            for crm, record in batch
        ]
        await connection.topics.send([await _outgoing(connection, order, partitions) for order in orders])
        progress(len(batch))


def _left_of(step: RecoveryStep, plan: RecoveryPlan) -> list[Letter]:
    """The letters of a step about which nothing was done since the plan was made."""
    return [letter for letter in step.letters if len(plan.resolutions.of(letter.place)) == len(letter.resolved)]


async def _sent(
    connection: Connection, step: RecoveryStep, action: Action, operator: Operator, partitions: int
) -> tuple[Outgoing | None, str | None]:
    """The record that a step sends, and the id of its command; None where there is none."""
    letter = step.last
    if step.is_order:
        order = _command(
            _command_id(connection, letter, action),
            letter.call_id or "",
            letter.component,
            action,
            operator,
            step.value,
            step.headers,
            letter.source,
        )
        return await _outgoing(connection, order, partitions), order.id
    if action is Action.DROP:
        return None, None
    topic, partition, _ = letter.source
    return Outgoing(topic, step.key, step.value, partition, step.headers), None


def _verb(step: RecoveryStep, action: Action) -> str:
    if action is Action.DROP:
        return "dropped"
    return "retried" if step.is_order else "returned"


def _command_id(connection: Connection, letter: Letter, action: Action) -> str:
    """The id of the command about a letter: the same for two operators who know the same of it and do the same."""
    place = f"{connection.topic(DEAD_LETTERS)}/{letter.partition}/{letter.offset}"
    return uuid.uuid5(_COMMAND_IDS, f"{place} {action.value} {len(letter.resolved)}").hex


def _command(
    command_id: str,
    call_id: str,
    crm: str,
    action: Action,
    operator: Operator,
    result: bytes | None,
    headers: Headers,
    source: tuple[str, int, int],
) -> Command:
    topic, partition, offset = source
    return Command(
        id=command_id,
        call_id=call_id,
        crm=crm,
        action=action,
        by=operator.by,
        at=utc_now_us(),
        note=operator.note,
        result=result,
        source_topic=topic,
        source_partition=partition,
        source_offset=offset,
        result_schema=(written_as(headers) or b"").decode("ascii", "replace"),
    )


async def _owners(connection: Connection) -> int:
    """The number of partitions of results and of commands: who owns a call's results reads its commands."""
    results, topic = connection.topic(CALL_RESULTS), connection.topic(DELIVERY_COMMANDS)
    partitions = await connection.topics.partitions(results)
    if await connection.topics.partitions(topic) != partitions:
        raise UserError(
            f"{topic} has other partitions than {results}: no worker owns both",
            "Delete it (it holds a week's commands) and run: cel2crm topics apply",
        )
    return partitions


async def _outgoing(connection: Connection, order: Command, partitions: int) -> Outgoing:
    key = order.call_id.encode()
    return await connection.outgoing(DELIVERY_COMMANDS, key, order.record(), partition_of(key, partitions))


def _resolution(letter: Letter, action: str, operator: Operator, command: str | None = None) -> Resolution:
    return Resolution(
        partition=letter.partition,
        offset=letter.offset,
        action=action,
        by=operator.by,
        at=utc_now_us(),
        note=operator.note,
        component=letter.component,
        reason=letter.reason,
        call_id=letter.call_id,
        command=command,
    )


async def _record(connection: Connection, done: Sequence[Resolution]) -> None:
    await connection.topics.send([await each.outgoing(connection) for each in done])
