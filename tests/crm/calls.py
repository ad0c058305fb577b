"""Call results to deliver, and deliveries at a given step."""

import asyncio
from typing import Any

from msgspec.structs import replace

from streams.calls.differences import compared_hash
from streams.calls.result import CallResult
from streams.clock import MICROS_PER_SECOND, boot_seconds, utc_now_us
from streams.crm.shared.client import CrmClient
from streams.delivery.answers import Answer, RetryLater
from streams.delivery.events import Answered, Arrived, Due, LookedUp, LookUp, PortalBack, Recovered, Send
from streams.delivery.machine import advance, begin
from streams.delivery.plan import Policy
from streams.delivery.record import Delivery, State
from tests.calls.hashed import hashed

STARTED = 1_764_000_000 * MICROS_PER_SECOND
POLICY = Policy(
    request_limit_us=60 * MICROS_PER_SECOND, settle_us=30 * MICROS_PER_SECOND, deadline_us=3600 * MICROS_PER_SECOND
)


def call_result(number: int = 1, **fields: Any) -> CallResult:
    """An answered incoming call of 61 seconds to extension 1001, unless the fields say otherwise."""
    linkedid = f"{STARTED // MICROS_PER_SECOND}.{number}"
    base = CallResult(
        call_id=f"pbx1/{linkedid}",
        pbx="pbx1",
        linkedid=linkedid,
        version=(number << 20) + 5,
        version_row_id=number,
        version_rows=5,
        rules_hash="rules",
        direction="incoming",
        answered=True,
        started_at=STARTED,
        ended_at=STARTED + 70 * MICROS_PER_SECOND,
        utc_offset_seconds=10800,
        utc_offset_source="uniqueid",
        result=200,
        result_name="Success",
        rule="16 NormalClearing",
        extra_usable=True,
        complete=True,
        caller="+79161234567",
        client="+79161234567",
        called="1001",
        extension="1001",
        rang_last="1001",
        answered_by="1001",
        answered_at=STARTED + 9 * MICROS_PER_SECOND,
        talk_seconds=60.6,
    )
    return hashed(replace(base, **fields))


def fresh(client: CrmClient, result: CallResult, now: int = 0) -> Delivery:
    """A delivery that nothing was done for."""
    return begin(arrived(result, now), client.plan)


def arrived(result: CallResult, now: int = 0) -> Arrived:
    """This version of the call's result was read."""
    return Arrived(
        now=now,
        call_id=result.call_id,
        portal="main",
        version=result.version,
        outcome_hash=result.outcome_hash,
        compared_hash=compared_hash(result),
        result=b"result",
        call_ended_at=result.ended_at,
    )


def opened(client: CrmClient, result: CallResult, step: str | None = None, **fields: Any) -> Delivery:
    """A delivery with an open intent at a step (the CRM's first one unless told)."""
    delivery = replace(fresh(client, result), step=step or client.plan.first, **fields)
    request = client.request(delivery, result)
    due = Due(utc_now_us(), request.sent, request.status, request.text, request.step, request.no_user)
    return advance(delivery, due, client.plan, POLICY).delivery


def doubtful(delivery: Delivery, client: CrmClient) -> Delivery:
    """The same after its owner was lost."""
    return advance(delivery, Recovered(utc_now_us()), client.plan, POLICY).delivery


async def delivered(
    client: CrmClient,
    result: CallResult,
    *,
    delivery: Delivery | None = None,
    hurried: bool = False,
    patient: bool = False,
    policy: Policy = POLICY,
) -> Delivery:
    """A call through machine and client until it is final, waits for a person, or failed three times in a row.

    `delivery`: go on from there; `hurried`: as if many calls waited; `patient`: pauses and failures end nothing.
    """
    now = utc_now_us()
    delivery = delivery or fresh(client, result, now)
    for _ in range(30):
        now = max(now, utc_now_us())
        stuck = delivery.state is State.PAUSED or delivery.failures > 2
        if delivery.final or (stuck and not patient):
            return delivery
        delivery = advance(delivery, PortalBack(now), client.plan, policy).delivery
        now = max(now, delivery.wait_until or 0)
        request = client.request(client.plan.with_batch_step(delivery) if hurried else delivery, result)
        due = Due(now, request.sent, request.status, request.text, request.step, request.no_user)
        outcome = advance(delivery, due, client.plan, policy)
        delivery = outcome.delivery
        for effect in outcome.effects:
            match effect:
                case Send():
                    answer = await client.send(delivery, boot_seconds() + 5)
                    await _until_named(answer)
                    answered = Answered(now, effect.attempt, answer, 0.5)
                    delivery = advance(delivery, answered, client.plan, policy).delivery
                case LookUp():
                    sighting = await client.look_up(delivery, boot_seconds() + 5)
                    delivery = advance(delivery, LookedUp(now, effect.attempt, sighting), client.plan, policy).delivery
    raise AssertionError(f"no end: {delivery}")


async def _until_named(answer: Answer) -> None:
    """Let the seconds pass that an answer names: a client remembers them by the real clock."""
    if isinstance(answer, RetryLater) and answer.not_before is not None:
        await asyncio.sleep(min(5.0, max(0.0, (answer.not_before - utc_now_us()) / MICROS_PER_SECOND)))
