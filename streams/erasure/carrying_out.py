"""What an erasure does, step by step. Each step does what is left to be done: a kill between two is harmless.

1. The hash on erased-numbers: from then on aggregate workers make no record of an earlier call that holds the number.
2. Commands to the owners of delivery logs, who drop what is not over, blank it, and never send it.
3. Results and legs with the next `correction` and the origin `erasure`, of which no CRM hears.
4. Dead letters about it, noted as dropped: nobody is to bring their calls back.
"""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass

from streams.calls.pbx_profile import PbxProfile
from streams.calls.result import Classification
from streams.calls.result_headers import ERASURE
from streams.calls.rules_in_force import RulesInForce
from streams.clock import UtcMicros, utc_now_us
from streams.delivery.command_record import Command
from streams.delivery.record import Action, Delivery
from streams.erasure.inventory import Inventory
from streams.erasure.search import Search
from streams.errors import UserError
from streams.kafka.topic_client import Outgoing, partition_of
from streams.operations.connection import Connection
from streams.operations.dead_letters import Letter
from streams.operations.erased_numbers import erased_numbers
from streams.operations.resolutions import Resolution
from streams.privacy.erased import ErasedNumber
from streams.privacy.hashed import ResultHasher
from streams.privacy.hashing import HashKey
from streams.replay.publishing import records_of
from streams.topics import CALL_RESULTS, DELIVERY_COMMANDS, ERASED_NUMBERS

NOTE = "what it holds was erased"
_SEND_RECORDS = 2_000
_BATCH_CALLS = 500


@dataclass(frozen=True, slots=True)
class Done:
    """What was done, in numbers."""

    ordered: int = 0
    """Deliveries whose owners got the command."""
    rewritten: int = 0
    """Calls with new records on call-results and call-legs."""
    dropped: int = 0
    """Dead letters."""
    correction: int = 0
    """Of those records; 0: there are none."""


async def make_known(
    connection: Connection, search: Search, key: HashKey, found: Inventory, until: UtcMicros, by: str
) -> ErasedNumber:
    """The number's hash on erased-numbers; what stands there stays where nothing is left to do. Raises UserError.

    Said anew otherwise: an erasure is of the calls that began before it.
    """
    known = (await erased_numbers(connection)).erased(search.number)
    if known is not None and found.nothing_to_do(search):
        return known
    until = max(until, known.until if known else 0)
    made = ErasedNumber(erased_at=utc_now_us(), until=until, key=key.id, by=by)
    record = Outgoing(connection.topic(ERASED_NUMBERS), key.of(search.number).encode(), made.encode(), 0)
    await connection.topics.send([record])
    return made


async def order(connection: Connection, deliveries: list[Delivery], by: str) -> int:
    """Commands to the owners of these deliveries; how many. Raises UserError."""
    partitions = await connection.topics.partitions(connection.topic(CALL_RESULTS))
    orders = []
    for each in deliveries:
        command = Command(
            id=uuid.uuid4().hex, call_id=each.call_id, crm=each.crm, action=Action.ERASE, by=by, at=utc_now_us()
        )
        key = each.call_id.encode()
        orders.append(
            await connection.outgoing(DELIVERY_COMMANDS, key, command.record(), partition_of(key, partitions))
        )
    await _send(connection, orders)
    return len(orders)


async def rewrite(
    connection: Connection, search: Search, outcomes: Mapping[str, Classification], correction: int
) -> int:
    """Results and legs without the number, as corrections; how many calls. Raises UserError."""
    hasher = ResultHasher.of(connection.settings, PbxProfile.of(connection.settings))
    names = list(outcomes)
    for start in range(0, len(names), _BATCH_CALLS):
        results, others = list[Outgoing](), list[Outgoing]()
        for name in names[start : start + _BATCH_CALLS]:
            blanked = search.blanking.classification(outcomes[name])
            result, *rest = await records_of(connection, blanked, correction, hasher, ERASURE)
            results.append(result)
            others += rest
        # Results last: by a result that still holds the number, the next run finds the call again.
        await connection.topics.send(others)
        await connection.topics.send(results)
    return len(names)


async def drop(connection: Connection, letters: list[Letter], by: str) -> int:
    """Dead letters, noted as dropped; how many. Raises UserError."""
    notes = [
        Resolution(
            partition=each.partition, offset=each.offset, action="dropped", by=by, at=utc_now_us(), note=NOTE,
            component=each.component, reason=each.reason, call_id=each.call_id,
        )
        for each in letters
    ]  # fmt: skip
    await _send(connection, [await each.outgoing(connection) for each in notes])
    return len(notes)


async def carry_out(connection: Connection, search: Search, found: Inventory, by: str) -> Done:
    """Steps 2 to 4 of what was found. Raises UserError: no broker, no registry."""
    ordered = await order(connection, found.to_order(), by)
    outcomes = found.to_rewrite(search)
    correction = max(utc_now_us() // 1000, found.highest_correction + 1) if outcomes else 0
    rewritten = await rewrite(connection, search, outcomes, correction)
    return Done(ordered, rewritten, await drop(connection, found.letters, by), correction)


async def _send(connection: Connection, records: list[Outgoing]) -> None:
    for start in range(0, len(records), _SEND_RECORDS):
        await connection.topics.send(records[start : start + _SEND_RECORDS])


def refuse_disobedient(key: HashKey, told: Mapping[int, RulesInForce], partitions: int) -> None:
    """Raises UserError where live aggregate workers do not know erased numbers by this key."""
    for partition in range(partitions):
        said = told.get(partition)
        if said is None or said.hash_key != key.id:
            who = f"the worker of partition {partition}" if said is None else f"worker {said.worker}"
            raise UserError(
                f"{who} does not know erased numbers by this key: late rows and backfills would bring the number back",
                "Give the aggregate workers the same privacy.hash_key_file, and start them again.",
            )


def refuse_own(search: Search, found: Inventory) -> None:
    """Raises UserError where it is a number of the PBX itself: it stands in the calls of everybody else."""
    if found.own:
        raise UserError(
            f"{found.own:,} results have it as a number of the PBX itself (the DID that was called, or shown outside)",
            "Check the number. If calls are meant to be without it all the same: --own.",
        )
