"""More partitions than were chosen: everything moves to topics under another prefix, as docs/operating.md has it."""

import json
import time
from abc import abstractmethod
from datetime import UTC, datetime

import yaml

from tests.chaos.brokers import Brokers
from tests.chaos.fault import Fault
from tests.chaos.installation import WATCH, WORKERS, Said
from tests.chaos.services import wait_until

_PREFIX = "cel2crm2"
_PARTITIONS = 12
_AN_HOUR = 3600.0
_REFUSED = 2
_BY_TIME_SECONDS = 15.0
"""After the last row was taken: calls that are ended by the quiet after their last channel."""


class Repartitioning(Fault):
    """What moving to other topics takes; the steps of the page."""

    spoils = True
    at_random = False

    def strike(self) -> None:
        made = self.made
        since = datetime.fromtimestamp(time.time() - _AN_HOUR, UTC).strftime("%Y-%m-%d %H:%M:%S")
        self.begin()
        made.services.stop(WATCH)
        done(made.cel2crm("connectors", "delete"))
        self.until_calls(3)  # rows that nobody captures
        self.drain()
        for service in WORKERS:
            made.services.stop(service)
        tree = yaml.safe_load(made.settings_file.read_text(encoding="utf-8"))
        tree["kafka"] |= {"topic_prefix": _PREFIX, "partitions": _PARTITIONS}
        made.settings_file.write_text(yaml.safe_dump(tree, sort_keys=False), encoding="utf-8")
        done(made.cel2crm("topics", "apply"))
        done(made.authorise())
        made.start_and_wait(*WORKERS)
        done(made.cel2crm("connectors", "apply"))
        made.services.start(WATCH)
        self.until_calls(3)
        done(made.cel2crm("backfill", "--since", since, "--deliver", "--yes"))

    @abstractmethod
    def begin(self) -> None:
        """What makes it necessary."""

    @abstractmethod
    def drain(self) -> None:
        """Wait for what can still be delivered."""


class MovedToMorePartitions(Repartitioning):
    name = "moved-to-more-partitions"
    does = "everything moves to topics of 12 partitions under another prefix, while calls flow"

    def begin(self) -> None:
        """Nothing: somebody wants more workers."""

    def drain(self) -> None:
        wait_until(self.nothing_waits, 120, "nothing waits for the workers and at the portals")
        self.hold(_BY_TIME_SECONDS / self.duration)

    def nothing_waits(self) -> bool:
        """What `cel2crm status` says of workers and portals."""
        told = json.loads(self.made.cel2crm("status", "--json").text)
        parts = [*told["workers"], *(told["portals"] or [None])]
        return all(each is not None and each["waiting"] == 0 for each in parts)


class TopicsGotPartitions(Repartitioning):
    name = "topics-got-partitions"
    does = (
        "cel, call-results and a delivery log get partitions while calls flow; then everything moves to another prefix"
    )
    told = r"has 6 partitions, not 4"

    def begin(self) -> None:
        brokers, services = Brokers(self.made), self.made.services
        first = len(services.ended)
        for topic in ("cel", "call-results", "deliveries-bitrix24"):
            brokers.give_partitions(topic, 6)

        def all_refused() -> bool:
            return {each.name for each in services.ended[first:] if each.status == _REFUSED} >= set(WORKERS)

        wait_until(all_refused, 60, "every worker has refused to go on")
        self.until_calls(3)  # rows that come to partitions old and new

    def drain(self) -> None:
        """The workers are down."""


def done(said: Said) -> None:
    """Raise RuntimeError where a command failed."""
    if said.status:
        raise RuntimeError(f"{said.command} ended with status {said.status}: {said.text[-1500:]}")
