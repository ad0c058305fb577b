"""The soak at one CRM: its installation, who troubles it, and what is left in the morning."""

import asyncio
import signal
import subprocess
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from random import Random

from streams.calls.result import CallResult
from streams.delivery.record import State
from streams.delivery.routing import skip_reason_for
from tests.faults.cells import FINAL_FOR_WEBHOOKS, WAYS
from tests.faults.fixtures import differences
from tests.faults.portal_faults import FAULTS, TWICE
from tests.faults.recorded_results import many_results
from tests.faults.soak_report import SoakReport
from tests.worker_installation import Tail
from tests.workers.deliver.crm_installation import CrmInstallation

SESSION = 6.0
"""Seconds until the brokers take a silent worker's partitions away: the shortest that they allow."""
REQUEST_LIMIT = 4.0
SETTLE = 2.0
CALM = 240.0
"""Seconds in which everything must be over after the last fault."""
WEARY = ("moved_away", "portal_deleted", "payment_required", "overload", *(f for f in FAULTS if f.startswith("40")))
"""What pauses the portal for minutes when it comes again and again: seldom."""


def _nothing(_: str) -> None:
    pass


@dataclass(frozen=True, slots=True)
class SoakPlan:
    """How long, how much, how bad."""

    seconds: float
    calls: int
    seed: int
    kill_every: float = 20.0
    say: Callable[[str], None] = _nothing


class SoakNight:
    """Two workers at one CRM."""

    def __init__(self, plan: SoakPlan, crm: str, servers: str, registry: str, directory: Path) -> None:
        self._plan = plan
        self._crm = crm
        self._random = Random(f"{plan.seed}:{crm}")
        self._night = CrmInstallation(servers, registry, directory, f"s{uuid.uuid4().hex[:8]}")
        self._night.crm = crm
        self._night.worker = {"session_timeout_seconds": SESSION}
        self._night.portal_fields = {"request_timeout_seconds": REQUEST_LIMIT, "settle_seconds": SETTLE}
        self._workers: dict[str, subprocess.Popen[bytes]] = {}
        self._stopped: set[str] = set()
        self._sent_at: dict[str, float] = {}
        self.report = SoakReport(crm)

    async def run(self) -> SoakReport:
        """The night and its morning."""
        plan, began = self._plan, time.monotonic()
        async with self._night as night:
            for name in ("one", "two"):
                self._start(name)
            troubles = [
                asyncio.create_task(turn()) for turn in (self._faults, self._blows, self._supervise, self._tell)
            ]
            try:
                results = await self._produce()
                await asyncio.sleep(max(0.0, began + plan.seconds - time.monotonic()))
                for trouble in troubles[:2]:
                    trouble.cancel()
                self._count_faults()
                night.portal.faults.clear()
                for name in self._stopped:
                    self._workers[name].send_signal(signal.SIGCONT)
                await self._until_over(results)
                await asyncio.sleep(REQUEST_LIMIT)  # whatever comes late comes now
            finally:
                for trouble in troubles:
                    trouble.cancel()
            self.report.seconds = time.monotonic() - began
            await self._look(results)
        return self.report

    # Calls.

    async def _produce(self) -> list[CallResult]:
        plan, results = self._plan, []
        pace = plan.calls / (plan.seconds * 0.9)
        async with self._night.results_producer() as produce:
            began = time.monotonic()
            for number, result in enumerate(many_results(plan.calls, plan.seed)):
                await asyncio.sleep(max(0.0, began + number / pace - time.monotonic()))
                self._sent_at[result.call_id] = time.time()
                await produce(result)
                results.append(result)
        return results

    # Trouble.

    def _start(self, name: str) -> None:
        instance = f"{self._crm}-{name}" if name == "one" else None
        self._workers[name] = self._night.start_worker(self._crm, instance=instance)

    async def _supervise(self) -> None:
        """As systemd or Kubernetes does: whoever ends is started again."""
        while True:
            for name, worker in list(self._workers.items()):
                if (status := worker.poll()) is not None:
                    self.report.ended[status] += 1
                    self._start(name)
            await asyncio.sleep(0.2)

    async def _blows(self) -> None:
        while True:
            await asyncio.sleep(self._plan.kill_every * self._random.uniform(0.8, 1.2))
            name = self._random.choice(("one", "two"))
            worker = self._workers[name]
            if name in self._stopped or worker.poll() is not None:
                continue
            if self._random.random() < 0.5:
                worker.kill()
                self.report.kills += 1
                continue
            worker.send_signal(signal.SIGSTOP)
            self._stopped.add(name)
            self.report.stops += 1
            try:
                await asyncio.sleep(
                    self._random.choice((1.0, 1.0, 1.5, 2.0)) * SESSION * self._random.uniform(0.5, 1.5)
                )
            finally:
                worker.send_signal(signal.SIGCONT)
                self._stopped.discard(name)

    async def _faults(self) -> None:
        """Every few seconds other ones, at other operations."""
        portal, way, rng = self._night.portal, WAYS[self._crm], self._random
        names = [name for name in FAULTS if not (name in TWICE and self._crm == "kommo")]
        if self._crm == "webhook":
            names = [name for name in names if name not in FINAL_FOR_WEBHOOKS]
        while True:
            for name in rng.sample(names, rng.randint(1, 4)):
                order = {key: value for key, value in FAULTS[name].items() if key != "times"}
                if "seconds" in order:
                    order["seconds"] *= REQUEST_LIMIT
                often = 0.01 if name in WEARY else rng.choice((0.05, 0.15, 0.4))
                methods = [rng.choice((*way.sending, *way.looking_up))] if rng.random() < 0.7 else []
                if self._crm == "bitrix24" and name in (*TWICE, "503_done"):
                    methods = list(way.sending)  # never a batch: see cells.TWICE, cells.BELIEVED
                portal.faults.order({**order, "probability": often, "seed": rng.randrange(10**6), "methods": methods})
            if way.looking_up:
                portal.change_settings(lookup_lag=rng.choice((0.0, 0.0, 0.4, 0.9)) * SETTLE)
            await asyncio.sleep(rng.uniform(2, 8))
            self._count_faults()
            portal.faults.clear()
            await asyncio.sleep(rng.choice((0, 0, 3)))

    def _count_faults(self) -> None:
        for fault in self._night.portal.faults.as_json():
            self.report.faults[str(fault["mode"])] += int(str(fault["fired"]))

    async def _tell(self) -> None:
        while True:
            await asyncio.sleep(30)
            report, entries = self.report, len(self._night.portal.entries())
            faults = sum(report.faults.values())
            self._plan.say(
                f"{self._crm}: {len(self._sent_at)} calls, {entries} entries, {faults} faults, "
                f"{report.kills} kills, {report.stops} stops"
            )

    # The morning.

    async def _until_over(self, results: list[CallResult]) -> None:
        wanted = {result.call_id for result in results if not self._kept_out(result)}
        ends = time.monotonic() + CALM
        while time.monotonic() < ends:
            if wanted <= {str(entry.external_id) for entry in self._night.portal.entries()}:
                deliveries = await self._night.deliveries()
                if all((one := deliveries.get(result.call_id)) is not None and one.final for result in results):
                    return
            await asyncio.sleep(1)

    def _kept_out(self, result: CallResult) -> bool:
        return skip_reason_for(result, self._night.settings.portals[0]) is not None

    async def _look(self, results: list[CallResult]) -> None:
        report, portal = self.report, self._night.portal
        deliveries = await self._night.deliveries()
        by_call: dict[str, list[int]] = {}
        entries = portal.entries()
        for at, entry in enumerate(entries):
            by_call.setdefault(str(entry.external_id), []).append(at)
        for result in results:
            call, found = result.call_id, by_call.pop(result.call_id, [])
            delivery = deliveries.get(call)
            if self._kept_out(result):
                report.internal += 1
                if found or delivery is None or delivery.state is not State.SKIPPED:
                    report.wrong[call] = f"is internal, stands {len(found)} times"
                continue
            report.calls += 1
            if not found:
                report.lost[call] = f"{delivery and (delivery.state, delivery.reason, delivery.history)}"
                continue
            report.delivered += 1
            if len(found) > 1:
                report.doubled[call] = f"{[entries[at].received_at for at in found]}: {delivery and delivery.history}"
            said = [words for at in found for words in differences(result, entries[at], self._crm)]
            if delivery is None or delivery.state is not State.DELIVERED or delivery.sent_version != result.version:
                said.append(f"the log says {delivery and (delivery.state, delivery.reason)}")
            if said:
                report.wrong[call] = "; ".join(said)
            report.took.append(_unix(entries[found[0]].received_at) - self._sent_at[call])
        report.wrong.update(dict.fromkeys(by_call, "is nobody's call"))
        report.requests = sum(portal.requests.values())
        lookups = tuple(name.rpartition(" ")[2] for name in WAYS[self._crm].looking_up)
        report.lookups = sum(count for (name, _), count in portal.requests.items() if name.endswith(lookups))
        report.orphans = len(portal.orphans())
        serializer = await self._night.serializer()
        async with Tail(self._night.bootstrap_servers, self._night.topic("dead-letters")) as dead:
            letters = [serializer.decode(record.value, "dead_letter") for record in await dead.everything()]
        report.dead_letters = {str(letter["call_id"]): str(letter["explanation"]) for letter in letters}


def _unix(moment: str) -> float:
    return datetime.fromisoformat(moment).timestamp()
