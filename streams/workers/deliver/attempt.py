"""One attempt at a call's delivery: the intent made durable, one request or lookup, its outcome made durable."""

import random
from typing import Protocol

from streams.clock import MICROS_PER_SECOND, BootSeconds, boot_seconds, utc_now_us
from streams.dead_letter_reasons import DeadLetterReason
from streams.delivery.answers import (
    Answer,
    LookupResult,
    NotSent,
    OutcomeUnknown,
    PortalBlocked,
    RetryLater,
    metric_label,
)
from streams.delivery.events import Answered, DeadLetter, Due, Event, LookedUp, LookUp, PausePortal, Send, SlowPortal
from streams.delivery.machine import advance
from streams.delivery.plan import Plan
from streams.delivery.record import Delivery
from streams.delivery.transitions import Transition
from streams.workers.deliver import metrics
from streams.workers.deliver.portal_queue import PortalQueue
from streams.workers.deliver.states import DeliveryStates

LOOKUP_REQUESTS = 10
"""A lookup may last as long as so many requests: through the pages of a busy hour, at the portal's rate."""


class DeliveryEscalation(Protocol):
    """The worker's part where a delivery, or its portal, needs a person."""

    async def send_to_dead_letters(self, delivery: Delivery, reason: DeadLetterReason, why: str) -> None:
        """Write a delivery to the dead letters. Returns when the brokers have it."""
        ...

    async def disable_portal(self, queue: PortalQueue, why: str) -> None:
        """Close a portal that wants no more. Returns when no restart forgets that."""
        ...


class AttemptRunner:
    """Makes the attempts of one partition's deliveries. The caller sees to it that a call has one at a time."""

    def __init__(self, plan: Plan, states: DeliveryStates, escalation: DeliveryEscalation) -> None:
        self._plan = plan
        self._states = states
        self._escalation = escalation

    async def run(self, delivery: Delivery, queue: PortalQueue) -> None:
        """Make the request or the lookup that is due, after the queue's throttle admitted it."""
        requested = False
        try:
            asked = self._plan.with_batch_step(delivery) if queue.backlogged else delivery
            request = queue.client.request(asked, self._states.result_of(delivery))
            began = boot_seconds()
            due = Due(utc_now_us(), request.sent, request.status, request.text, request.step, request.no_user)
            transition = await self.apply(delivery, due, queue)
            for effect in transition.effects:
                if isinstance(effect, Send):
                    requested = True
                    until = began + queue.policy.request_limit_us / MICROS_PER_SECOND
                    await self._request(transition.delivery, effect, queue, until)
                elif isinstance(effect, LookUp):
                    requested = True
                    await self._look_up(transition.delivery, effect, queue)
        finally:
            if not requested:
                queue.throttle.not_used()

    async def _request(self, delivery: Delivery, send: Send, queue: PortalQueue, until: BootSeconds) -> None:
        answer = await self._send(delivery, queue, until)
        self._update_portal(queue, answer)
        await self._follow_up(delivery, Answered(utc_now_us(), send.attempt, answer, random.random()), queue)

    async def _send(self, delivery: Delivery, queue: PortalQueue, until: BootSeconds) -> Answer:
        """Send, unless the portal was disabled by the answer to an earlier request."""
        if queue.throttle.disabled:
            return NotSent(f"its portal is disabled: {queue.throttle.pause_reason}")
        return await queue.client.send(delivery, until)

    async def _look_up(self, delivery: Delivery, look_up: LookUp, queue: PortalQueue) -> None:
        until = boot_seconds() + LOOKUP_REQUESTS * queue.policy.request_limit_us / MICROS_PER_SECOND
        result = await queue.client.look_up(delivery, until)
        self._update_portal(queue, result)
        await self._follow_up(delivery, LookedUp(utc_now_us(), look_up.attempt, result, random.random()), queue)

    async def _follow_up(self, delivery: Delivery, event: Event, queue: PortalQueue) -> None:
        """Apply the outcome to the state as it is now, if no command ended the delivery meanwhile."""
        if (latest := self._states.open.get(delivery.call_id)) is not None:
            await self.apply(latest, event, queue)

    async def apply(self, delivery: Delivery, event: Event, queue: PortalQueue) -> Transition:
        """Advance the machine by one event: dead letters first, then the state, both durable on return."""
        transition = advance(delivery, event, self._plan, queue.policy)
        letters = [effect for effect in transition.effects if isinstance(effect, DeadLetter)]
        for letter in letters:
            await self._escalation.send_to_dead_letters(transition.delivery, letter.reason, letter.why)
        if letters:
            # A version may have come meanwhile: the machine decides again, about the state as it is now.
            delivery = self._states.open.get(delivery.call_id, delivery)
            transition = advance(delivery, event, self._plan, queue.policy)
        if transition.delivery is not delivery:
            await self._states.store(transition.delivery)
        for effect in transition.effects:
            if isinstance(effect, SlowPortal):
                queue.throttle.failed(event.now, effect.why, effect.until)
            elif isinstance(effect, PausePortal) and effect.for_good:
                await self._escalation.disable_portal(queue, effect.why)
            elif isinstance(effect, PausePortal):
                queue.throttle.pause(event.now, effect.why, rarely=effect.rarely)
        return transition

    def _update_portal(self, queue: PortalQueue, answer: Answer | LookupResult) -> None:
        """Update the portal's throttle from an answer; a slower or paused portal comes as an effect."""
        metrics.ANSWERS.labels(queue.portal.crm, queue.portal.name, metric_label(answer)).inc()
        if isinstance(answer, OutcomeUnknown):
            queue.throttle.failed(utc_now_us(), answer.why, answer.not_before)
        elif isinstance(answer, PortalBlocked) and answer.for_good:
            # At once; that no restart forgets it comes after the call's own state.
            queue.throttle.disable(answer.why)
        elif isinstance(answer, PortalBlocked) or (isinstance(answer, RetryLater) and answer.whole_portal):
            return
        elif queue.throttle.succeeded():
            queue.resume_paused()
