"""What is done while calls flow. Each phase leaves two workers of each kind and three brokers behind, all well."""

import signal
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import ClassVar

from tests.chaos.servers import BROKERS
from tests.chaos.services import wait_until
from tests.scale.installation import AGGREGATE, KINDS, Installation

USUAL = 2
"""Workers of each kind."""
_BROKER_SECONDS = 90.0


class Phase(ABC):
    """One step in the life of an installation."""

    name: ClassVar[str]
    does: ClassVar[str]
    stop_seconds: ClassVar[float] = 10.0
    """A worker has ended so long after SIGTERM at the latest."""
    stop_statuses: ClassVar[frozenset[int]] = frozenset({0})
    """Its exit status then."""
    patience: ClassVar[float] = 120.0
    """Seconds from its end on in which everything has to be there."""

    def __init__(self, made: Installation, look: Callable[[], None], calls: int) -> None:
        """`look`: notes what `cel2crm status` says now; `calls`: how many come while something is as it is."""
        self.made = made
        self.look = look
        self.calls = calls

    @abstractmethod
    def act(self) -> None:
        """Do it, calls flow meanwhile."""

    def until_calls(self) -> None:
        """Let some calls come to their end."""
        flow = self.made.flow
        wanted = len(flow.calls) + self.calls
        wait_until(lambda: len(flow.calls) >= wanted, 90.0, f"{self.calls} calls")

    def scaled(self, kind: str, count: int) -> None:
        """So many workers of a kind, at work."""
        self.made.scale(kind, count)
        self.made.until_shared(kind, count)
        self.until_calls()

    def without(self, broker: str) -> None:
        """A broker is killed, calls flow, it comes back."""
        cluster = self.made.cluster
        cluster.kill(broker)
        self.until_calls()
        self.look()
        self.until_calls()
        cluster.start_part(broker)
        self.until_calls()
        cluster.until_whole()


class Steady(Phase):
    name = "steady"
    does = "two workers of each kind, nothing is changed"

    def act(self) -> None:
        for _ in range(3):
            self.until_calls()
        self.look()


class AggregateScaled(Phase):
    name = "aggregate-2-4-1"
    does = "aggregate workers: two, then four, then one, then two"

    def act(self) -> None:
        for count in (4, 1):
            self.scaled(AGGREGATE, count)
            self.look()
        self.scaled(AGGREGATE, USUAL)


class DeliveryScaled(Phase):
    name = "delivery-2-3-1"
    does = "workers of each CRM: two, then three, then one, then two"

    def act(self) -> None:
        for count in (3, 1, USUAL):
            for crm in self.made.crms:
                self.made.scale(crm, count)
            for crm in self.made.crms:
                self.made.until_shared(crm, count)
            self.until_calls()
            if count != USUAL:
                self.look()


class ScaledAndLeaderKilled(Phase):
    """The short form."""

    name = "short"
    does = "aggregate workers: two, then four, then one; the broker that leads a partition of cel killed, and back"

    def act(self) -> None:
        for count in (4, 1):
            self.scaled(AGGREGATE, count)
        self.without(self.made.cluster.leader(self.made.topic("cel")))


class LeaderKilled(Phase):
    name = "leader-killed"
    does = "SIGKILL of the broker that leads a partition of cel; back after some calls"

    def act(self) -> None:
        self.without(self.made.cluster.leader(self.made.topic("cel")))


class GroupCoordinatorKilled(Phase):
    name = "group-coordinator-killed"
    does = "SIGKILL of the broker that coordinates the aggregate group; back after some calls"

    def act(self) -> None:
        self.without(self.made.cluster.coordinator_of_group(self.made.topic("aggregate")))


class TransactionCoordinatorKilled(Phase):
    name = "transaction-coordinator-killed"
    does = "SIGKILL of the broker that coordinates a delivery log's transactions; back after some calls"

    def act(self) -> None:
        log = self.made.topic("deliveries-bitrix24")
        self.without(self.made.cluster.coordinator_of_transactions(f"{log}-0"))


class BrokerFrozen(Phase):
    name = "broker-frozen"
    does = "the broker that coordinates the aggregate group stands still (SIGSTOP), as one whose machine is gone"
    patience = 300.0

    def act(self) -> None:
        cluster = self.made.cluster
        broker = cluster.coordinator_of_group(self.made.topic(AGGREGATE))
        cluster.send_signal(broker, signal.SIGSTOP)
        try:
            self.until_calls()
            self.look()
            wait_until(self.flows, 180, "calls that begin now have results")
        finally:
            cluster.send_signal(broker, signal.SIGCONT)
        self.until_calls()
        cluster.until_whole()

    def flows(self) -> bool:
        """Whether all of the last calls have a result."""
        made = self.made
        last = made.flow.calls[-2 * self.calls : -self.calls]
        return all(made.results.last(f"pbx1/{call.truth.linkedid}") for call in last)


class StoppedWithoutCoordinator(Phase):
    name = "stopped-without-coordinator"
    does = "the broker that coordinates the aggregate group is killed, and at once a worker of each kind gets SIGTERM"
    # Nobody takes a last commit for some seconds: the end is a hard one where that lasts too long.
    stop_seconds = 36.0
    stop_statuses = frozenset({0, 70})

    def act(self) -> None:
        cluster = self.made.cluster
        broker = cluster.coordinator_of_group(self.made.topic(AGGREGATE))
        cluster.kill(broker)
        kinds = (AGGREGATE, *self.made.crms)
        self.made.end_together([self.made.workers(kind)[0] for kind in kinds])
        for kind in kinds:
            self.made.scale(kind, USUAL)
        self.until_calls()
        cluster.start_part(broker)
        for kind in kinds:
            self.made.until_shared(kind, USUAL)
        self.until_calls()
        cluster.until_whole()


class BrokersRestarted(Phase):
    name = "brokers-restarted"
    does = "each broker in turn: SIGTERM, start, until every replica is in sync"

    def act(self) -> None:
        cluster = self.made.cluster
        for broker in BROKERS:
            cluster.send_signal(broker, signal.SIGTERM)
            wait_until(lambda b=broker: cluster.exit_status(b) is not None, _BROKER_SECONDS, f"{broker} ends")  # type: ignore[misc]
            cluster.start_part(broker)
            cluster.until_whole()
            self.until_calls()
        self.look()


class WorkersRestarted(Phase):
    name = "workers-restarted"
    does = "each worker in turn: SIGTERM, then a new one in its place"

    def act(self) -> None:
        for kind in KINDS:
            for worker in self.made.workers(kind):
                self.made.end(worker)
                self.made.scale(kind, USUAL)
                self.made.until_shared(kind, USUAL)
            self.until_calls()
        self.look()


PHASES: dict[str, type[Phase]] = {
    phase.name: phase
    for phase in (
        Steady, AggregateScaled, DeliveryScaled, LeaderKilled, GroupCoordinatorKilled, TransactionCoordinatorKilled,
        BrokerFrozen, StoppedWithoutCoordinator, BrokersRestarted, WorkersRestarted,
    )
}  # fmt: skip
