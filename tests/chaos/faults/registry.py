"""The schema registry: down, and come back empty."""

import contextlib
import json
import urllib.request

from deploy.local import StackError
from tests.chaos.call_flow import connect, insert_of
from tests.chaos.fault import Fault
from tests.chaos.installation import WORKERS
from tests.chaos.services import NotReached, wait_until

_TAKE_OVER_SECONDS = 40.0
_ANEW_SECONDS = 120.0


class RegistryFault(Fault):
    """What faults of the registry share."""

    def empty_registry(self) -> None:
        """The registry comes back without any schema. Raises NotReached where it kept some."""
        stack = self.made.stack
        stack.kill("registry")
        for data in (self.made.endpoints.directory / "registry").rglob("*.db"):
            data.unlink()
        stack.start_part("registry")
        if left := self.subjects():
            raise NotReached(f"the registry still knows {', '.join(left)}")

    def subjects(self) -> list[str]:
        """What the registry knows."""
        with urllib.request.urlopen(f"{self.made.endpoints.registry_url}/subjects", timeout=10) as answer:  # noqa: S310
            found: list[str] = json.load(answer)
        return found

    def register_foreign(self) -> None:
        """A schema of somebody else's: those that are registered after it get other ids than before."""
        request = urllib.request.Request(  # noqa: S310
            f"{self.made.endpoints.registry_url}/subjects/foreign-value/versions",
            json.dumps({"schema": '{"type": "fixed", "name": "foreign", "size": 3}'}).encode(),
            {"Content-Type": "application/vnd.schemaregistry.v1+json"},
        )
        urllib.request.urlopen(request, timeout=10).close()  # noqa: S310

    def restart_in_order(self, *workers: str) -> None:
        """Restart workers in this order, each when the one before it holds its partitions, or cannot."""
        services = self.made.services
        for worker in workers:
            with contextlib.suppress(StackError):
                services.stop(worker)
        for worker in workers:
            before = self.made.taken_over(worker)
            services.start(worker)
            with contextlib.suppress(NotReached):
                wait_until(lambda w=worker, b=before: self.made.taken_over(w) > b, _TAKE_OVER_SECONDS, worker)  # type: ignore[misc]


class RegistryDown(RegistryFault):
    name = "registry-down"
    does = "the registry is away for 20 s, and a worker is started meanwhile"
    told = r"no schema registry|registry"

    def strike(self) -> None:
        services = self.made.services
        with self.away("registry"):
            services.stop("worker-kommo")
            services.start("worker-kommo")
            self.hold(20)


class RegistryEmptied(RegistryFault):
    name = "registry-emptied"
    does = "the registry comes back empty; the workers are restarted in the order of before"
    told = r"registry|schema"
    spoils = True

    def strike(self) -> None:
        self.empty_registry()
        self.until_calls(3)
        self.restart_in_order(*WORKERS)


class RegistryEmptiedWhileRunning(RegistryFault):
    name = "registry-emptied-while-running"
    does = "the registry comes back empty under running workers, until they have registered their schemas anew"
    told = r"registry was emptied"
    spoils = True

    def strike(self) -> None:
        self.empty_registry()
        self.until_calls(3)
        results = f"{self.made.topic('call-results')}-value"
        wait_until(lambda: results in self.subjects(), _ANEW_SECONDS, "the workers register their schemas anew")
        self.until_calls(3)


class RegistryEmptiedOtherOrder(RegistryFault):
    name = "registry-emptied-other-order"
    does = (
        "calls wait for Kommo; the registry comes back empty and the workers register in another order, so that "
        "old ids mean other schemas; delivered calls get a late row"
    )
    told = r"registry|schema"
    remedies = ("backfill", "deliver", "dead-letters retry")
    spoils = True

    def strike(self) -> None:
        made = self.made
        delivered = [call for call in made.flow.calls if call.truth.external and not call.truth.piece]
        made.links.cut("kommo")
        self.until_calls(6)
        self.hold(4)  # what ended last is on its way into the delivery log
        self.empty_registry()
        self.register_foreign()  # which worker came first at the beginning is left to chance
        self.restart_in_order("worker-kommo", "worker-webhook", "worker-aggregate", "worker-bitrix24")
        with connect(made.endpoints) as connection, connection.cursor() as cursor:
            for call in delivered[-6:]:
                (late,) = made.flow.marked([next(row for row in call.rows if row["eventtype"] == "CHAN_END")])
                cursor.execute(*insert_of({**late, "userfield": "a late row"}))
        made.links.restore()
