"""Topics and groups: records that expired, topics made again, offsets deleted and set by hand."""

import signal

from tests.chaos.brokers import Brokers
from tests.chaos.fault import Fault
from tests.chaos.installation import WORKERS
from tests.chaos.services import wait_until

GROUPS = ("aggregate", "bitrix24", "kommo", "webhook")
EXPIRED = r"expired|deleted before|are gone|no longer (?:there|kept)|backfill --since|were lost"


class TopicFault(Fault):
    """What faults of topics share."""

    def until_captured(self, more_rows: int) -> None:
        """Until so many more rows are on the topic."""
        brokers = Brokers(self.made)
        wanted = brokers.total("cel") + more_rows
        wait_until(lambda: brokers.total("cel") >= wanted, 90, f"{more_rows} more rows are captured")


class RecordsExpired(TopicFault):
    name = "records-expired-while-stopped"
    does = "rows expire on the topic while the aggregate worker is stopped"
    told = EXPIRED
    remedies = ("backfill",)
    only_workers = True

    def strike(self) -> None:
        with self.stopped("worker-aggregate"):
            self.until_captured(60)
            Brokers(self.made).expire("cel")


class RecordsExpiredWhileRunning(TopicFault):
    name = "records-expired-while-running"
    does = "rows expire under an aggregate worker that lags (it stands still for 5 s)"
    told = EXPIRED
    remedies = ("backfill",)
    only_workers = True

    def strike(self) -> None:
        services = self.made.services
        services.signal("worker-aggregate", signal.SIGSTOP)
        try:
            self.until_captured(60)
            Brokers(self.made).expire("cel")
        finally:
            services.signal("worker-aggregate", signal.SIGCONT)


class ResultsExpired(TopicFault):
    name = "results-expired"
    does = "results expire while the delivery workers are stopped"
    told = EXPIRED
    remedies = ("backfill", "deliver")
    only_workers = True

    def strike(self) -> None:
        with self.stopped("worker-bitrix24", "worker-kommo", "worker-webhook"):
            brokers = Brokers(self.made)
            wanted = brokers.total("call-results") + 5
            wait_until(lambda: brokers.total("call-results") >= wanted, 90, "five more results")
            brokers.expire("call-results")


class CelTopicMadeAgain(Fault):
    name = "cel-topic-made-again"
    does = "the topic cel is deleted and made again under a running aggregate worker"
    told = r"topic"
    remedies = ("backfill", "topics apply")
    patience = 330.0

    def strike(self) -> None:
        stack, brokers = self.made.stack, Brokers(self.made)
        stack.send_signal("connect", signal.SIGSTOP)  # rows wait in the binlog meanwhile
        try:
            self.until_calls(2)
            brokers.delete_topic("cel")
            self.made.cel2crm("topics", "apply")
        finally:
            stack.send_signal("connect", signal.SIGCONT)


class ResultsTopicMadeAgain(Fault):
    name = "results-topic-made-again"
    does = "the topic call-results is deleted and made again under running workers"
    told = r"topic"
    remedies = ("backfill", "topics apply", "deliver")
    patience = 330.0
    spoils = True

    def strike(self) -> None:
        brokers = Brokers(self.made)
        # Of a topic that never held anything, nobody can tell that it was made again.
        wait_until(
            lambda: brokers.lag("webhook", "call-results") < brokers.total("call-results"), 90, "a result was taken"
        )
        brokers.delete_topic("call-results")
        self.made.cel2crm("topics", "apply")


class DeliveryLogDeleted(Fault):
    name = "delivery-log-deleted"
    does = "calls wait for Kommo; its delivery log is deleted and made again under the stopped worker"
    told = r"log|deliveries"
    remedies = ("backfill", "deliver")
    spoils = True
    only_workers = True

    def strike(self) -> None:
        self.made.links.cut("kommo")
        self.until_calls(5)
        self.hold(3)  # what ended last is on its way into the delivery log
        with self.stopped("worker-kommo"):
            Brokers(self.made).delete_topic("deliveries-kommo")
            self.made.cel2crm("topics", "apply")
        self.made.links.restore()


class GroupOffsetsDeleted(Fault):
    name = "group-offsets-deleted"
    does = "the offsets of all four groups are deleted under stopped workers"
    only_workers = True

    def strike(self) -> None:
        brokers = Brokers(self.made)
        with self.stopped(*WORKERS):
            for group in GROUPS:
                brokers.until_group_empty(group)
                brokers.delete_group(group)
            self.until_calls(2)


class GroupOffsetsForward(TopicFault):
    name = "group-offsets-forward"
    does = "the aggregate group's offsets are set to the end by hand while rows wait"
    told = rf"{EXPIRED}|skipped|set forward|by hand"
    remedies = ("backfill",)
    only_workers = True

    def strike(self) -> None:
        brokers = Brokers(self.made)
        with self.stopped("worker-aggregate"):
            self.until_captured(60)
            brokers.until_group_empty("aggregate")
            brokers.set_forward("aggregate", "cel")


class DeliveryOffsetsForward(Fault):
    name = "delivery-offsets-forward"
    does = "a delivery group's offsets are set to the end by hand while results wait"
    told = rf"{EXPIRED}|skipped|set forward|by hand"
    remedies = ("backfill", "deliver")
    only_workers = True

    def strike(self) -> None:
        brokers = Brokers(self.made)
        with self.stopped("worker-kommo"):
            wanted = brokers.total("call-results") + 5
            wait_until(lambda: brokers.total("call-results") >= wanted, 90, "five more results")
            brokers.until_group_empty("kommo")
            brokers.set_forward("kommo", "call-results")
