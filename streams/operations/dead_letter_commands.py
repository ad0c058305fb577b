"""What is done about dead letters and deliveries: commands, returned records, and a resolution for each letter.

Order: what heals is on its topic, with the brokers' word, before the resolution is. A command that ends in between is
given again: a worker that reads it twice changes nothing, and so does a record that is returned twice.
"""

import uuid
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from streams.clock import utc_now_us
from streams.dead_letter_reasons import Recovery
from streams.delivery.command_record import Command
from streams.delivery.plan import PLANS
from streams.delivery.record import Action
from streams.errors import UserError
from streams.kafka.topic_client import Outgoing, TopicRecord, partition_of
from streams.operations.connection import Connection
from streams.operations.dead_letters import Filter, Letter, letters_of
from streams.operations.resolutions import Resolution
from streams.settings import PortalSettings, Settings
from streams.topics import CALL_RESULTS, DEAD_LETTER_RESOLUTIONS, DELIVERY_COMMANDS
from streams.workers.deliver.throttle import DEFAULT_RATES

BATCH = 200
"""Letters that are dealt with at once: so many at most are done again after a break."""

Progress = Callable[[int], None]


@dataclass(frozen=True, slots=True)
class Operator:
    """Who orders, and why in his words."""

    by: str
    note: str = ""


@dataclass(slots=True)
class RecoveryPlan:
    """What a command would do, counted before anything is done."""

    letters: int = 0
    calls: dict[tuple[str, str | None], set[str]] = field(default_factory=dict)
    """By CRM and portal: the calls that would be ordered."""
    returned: int = 0
    backfills: set[str] = field(default_factory=set)
    nothing: int = 0

    def take(self, letter: Letter) -> None:
        """Count one."""
        self.letters += 1
        match letter.recovery:
            case Recovery.RETRY:
                self.calls.setdefault((letter.component, letter.portal), set()).add(letter.call_id or "")
            case Recovery.RETURN:
                self.returned += 1
            case Recovery.BACKFILL if letter.call_id:
                self.backfills.add(letter.call_id)
            case _:
                self.nothing += 1


async def planned(connection: Connection, wanted: Filter) -> RecoveryPlan:
    """Count what is meant. Raises UserError."""
    plan = RecoveryPlan()
    async for letter, _ in letters_of(connection, wanted):
        plan.take(letter)
    return plan


def seconds_at_limit(settings: Settings, crm: str, portal: str | None, calls: int) -> float:
    """How long so many calls take at the portal's limit, if it has nothing else to do."""
    known: PortalSettings | None = next(
        (each for each in settings.portals if each.crm == crm and each.name == portal), None
    )
    rate = (known.rate_limit if known else None) or DEFAULT_RATES[crm]
    requests = calls * (len(PLANS[crm].path) if crm in PLANS else 1)
    return max(0.0, requests - rate.burst) / rate.per_second


async def retry(connection: Connection, wanted: Filter, operator: Operator, progress: Progress) -> int:
    """Order deliveries again, and return what could not be read; backfills are not done here. How many letters.

    Raises UserError.
    """
    return await _each(connection, wanted, {Recovery.RETRY, Recovery.RETURN}, operator, Action.RETRY, progress)


async def drop(connection: Connection, wanted: Filter, operator: Operator, progress: Progress) -> int:
    """Record that they are wanted no more; deliveries are told. How many letters. Raises UserError."""
    return await _each(connection, wanted, set(Recovery), operator, Action.DROP, progress)


async def backfilled(connection: Connection, calls: Iterable[str], until: int, operator: Operator) -> int:
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
                (record.key or b"").decode(),
                crm,
                Action.DELIVER,
                operator,
                record.value,
                (record.topic, record.partition, record.offset),
            )
            for crm, record in batch
        ]
        await connection.topics.send([_outgoing(connection, order, partitions) for order in orders])
        progress(len(batch))


async def _each(
    connection: Connection,
    wanted: Filter,
    recoveries: set[Recovery],
    operator: Operator,
    action: Action,
    progress: Progress,
) -> int:
    count = 0
    batch: list[tuple[Letter, dict[str, Any]]] = []
    selected = [letter.place async for letter, _ in letters_of(connection, wanted) if letter.recovery in recoveries]
    chosen = frozenset(selected)  # what comes meanwhile was not counted, and is not touched
    if not chosen:
        return 0
    async for letter, fields in letters_of(connection, Filter(places=chosen, resolved=wanted.resolved)):
        batch.append((letter, fields))
        if len(batch) == BATCH:
            count += await _dealt_with(connection, batch, operator, action)
            progress(len(batch))
            batch = []
    count += await _dealt_with(connection, batch, operator, action)
    progress(len(batch))
    return count


async def _dealt_with(
    connection: Connection, batch: Sequence[tuple[Letter, dict[str, Any]]], operator: Operator, action: Action
) -> int:
    orders: dict[tuple[str, str], Command] = {}
    returned: list[Outgoing] = []
    done: list[Resolution] = []
    for letter, fields in batch:
        if letter.recovery is Recovery.RETRY and letter.call_id:
            # Of several letters about one call the last holds the newest result, and one command is enough.
            order = _command(letter.call_id, letter.component, action, operator, fields["value"], letter.source)
            orders[letter.component, letter.call_id] = order
            done.append(_resolution(letter, "retried" if action is Action.RETRY else "dropped", operator, order.id))
        elif action is Action.RETRY:
            headers = [(header["name"], header["value"]) for header in fields["headers"]]
            topic, partition, _ = letter.source
            returned.append(Outgoing(topic, fields["key"], fields["value"], partition, headers))
            done.append(_resolution(letter, "returned", operator))
        else:
            done.append(_resolution(letter, "dropped", operator))
    partitions = await _owners(connection) if orders else 0
    await connection.topics.send([*(_outgoing(connection, each, partitions) for each in orders.values()), *returned])
    await _record(connection, done)
    return len(done)


def _command(
    call_id: str, crm: str, action: Action, operator: Operator, result: bytes | None, source: tuple[str, int, int]
) -> Command:
    value = None if action is Action.DROP else result
    topic, partition, offset = source
    return Command(
        id=uuid.uuid4().hex,
        call_id=call_id,
        crm=crm,
        action=action,
        by=operator.by,
        at=utc_now_us(),
        note=operator.note,
        result=value,
        source_topic=topic,
        source_partition=partition,
        source_offset=offset,
    )


async def _owners(connection: Connection) -> int:
    """How many partitions results and commands have: who owns a call's results reads its commands."""
    results, topic = connection.topic(CALL_RESULTS), connection.topic(DELIVERY_COMMANDS)
    partitions = await connection.topics.partitions(results)
    if await connection.topics.partitions(topic) != partitions:
        raise UserError(
            f"{topic} has other partitions than {results}: no worker owns both",
            "Delete it (it holds a week's commands) and run: cel2crm topics apply",
        )
    return partitions


def _outgoing(connection: Connection, order: Command, partitions: int) -> Outgoing:
    key = order.call_id.encode()
    value = connection.serializer.encode(DELIVERY_COMMANDS.schema, order.record())
    return Outgoing(connection.topic(DELIVERY_COMMANDS), key, value, partition_of(key, partitions))


def _resolution(letter: Letter, action: str, operator: Operator, command: str | None = None) -> Resolution:
    return Resolution(
        letter.partition,
        letter.offset,
        action,
        operator.by,
        utc_now_us(),
        operator.note,
        letter.component,
        letter.reason,
        letter.call_id,
        command,
    )


async def _record(connection: Connection, done: Sequence[Resolution]) -> None:
    topic = connection.topic(DEAD_LETTER_RESOLUTIONS)
    encode = connection.serializer.encode
    await connection.topics.send(
        [each.outgoing(topic, encode(DEAD_LETTER_RESOLUTIONS.schema, each.record())) for each in done]
    )
