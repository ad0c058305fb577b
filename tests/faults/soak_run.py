"""The soak at one CRM: its installation, faults and interrupted workers, and what stands in the portal at the end."""

import asyncio
import signal
import subprocess
import time
import uuid
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from random import Random

from deploy.fake_crms import Bitrix24Portal, Entry
from streams.calls.result import CallResult
from streams.crm.registry import kind_of
from streams.crm.shared.tasks import is_contact, is_missed, marker_in, marker_of
from streams.delivery.record import Delivery, State
from streams.delivery.routing import skip_reason_for
from tests.faults.fixtures import differences
from tests.faults.portal_faults import FAULTS, SENT_TWICE
from tests.faults.recorded_results import many_results
from tests.faults.soak_report import SoakReport
from tests.faults.ways import NOT_IN_SOAKS, WAYS
from tests.worker_installation import Tail
from tests.workers.deliver.crm_installation import RECORDINGS, CrmInstallation, DeliveryLogView

SESSION_S = 6.0
"""Seconds until the brokers take a silent worker's partitions away: the shortest that they allow."""
REQUEST_LIMIT_S = 4.0
SETTLE_S = 2.0
CALM_S = 240.0
"""Everything must be over so many seconds after the last fault."""
FOLLOW_UP_OPERATIONS = {
    "bitrix24": ("attachrecord", "todo.add", "activity.list", "activity.update"),
    "kommo": ("edit_notes", "add_tasks", "tasks", "edit_tasks"),
}
PAUSING_FAULTS = (
    "moved_away",
    "portal_deleted",
    "payment_required",
    "overload",
    *(fault for fault in FAULTS if fault.startswith("40")),
)
"""Faults that pause the portal for minutes when they come again and again: ordered seldom."""

MISSING_RIGHTS = (
    "403",
    "insufficient_scope",
    "access_denied",
    "wrong_auth_type",
    "user_access_error",
    "authorization_error",
)
"""Faults after which a follow-up waits ten minutes for a person: ordered for calls only."""


def _nothing(_: str) -> None:
    pass


@dataclass(frozen=True, slots=True)
class SoakPlan:
    """How long a soak lasts, how many calls it has, and how often a worker is interrupted."""

    seconds: float
    calls: int
    seed: int
    kill_every: float = 20.0
    pausing_faults: bool = True
    """Faults after which a portal gets nothing for minutes; a soak of less than that would see little else."""
    write_line: Callable[[str], None] = _nothing


class SoakRun:
    """Two workers at one CRM."""

    def __init__(self, plan: SoakPlan, crm: str, servers: str, registry: str, directory: Path) -> None:
        self._plan = plan
        self._crm = crm
        self._random = Random(f"{plan.seed}:{crm}")
        self._installation = CrmInstallation(servers, registry, directory, f"s{uuid.uuid4().hex[:8]}")
        self._installation.crm = crm
        self._installation.recordings = True
        self._recorded: set[str] = set()
        """Calls that have a recording: three of four that were answered."""
        self._installation.worker = {"session_timeout_seconds": SESSION_S}
        self._installation.portal_fields = {"request_timeout_seconds": REQUEST_LIMIT_S, "settle_seconds": SETTLE_S}
        self._with_tasks = kind_of(crm).tasks
        if self._with_tasks:
            self._installation.portal_fields["missed_call_task"] = {}
        self._workers: dict[str, subprocess.Popen[bytes]] = {}
        self._stopped: set[str] = set()
        self._sent_at: dict[str, float] = {}
        self.report = SoakReport(crm)

    async def run(self) -> SoakReport:
        """Run the soak, then check every call."""
        plan, began = self._plan, time.monotonic()
        async with self._installation as installation:
            for name in ("one", "two"):
                self._start(name)
            tasks = [
                asyncio.create_task(loop())
                for loop in (self._order_faults, self._interrupt_workers, self._supervise, self._report_progress)
            ]
            try:
                results = await self._produce()
                await asyncio.sleep(max(0.0, began + plan.seconds - time.monotonic()))
                for task in tasks[:2]:
                    task.cancel()
                self._count_faults()
                installation.portal.faults.clear()
                for name in self._stopped:
                    self._workers[name].send_signal(signal.SIGCONT)
                await self._until_over(results)
                await asyncio.sleep(REQUEST_LIMIT_S)  # whatever comes late comes now
            finally:
                for task in tasks:
                    task.cancel()
            self.report.seconds = time.monotonic() - began
            await self._check(results)
        return self.report

    # Calls.

    async def _produce(self) -> list[CallResult]:
        plan, results = self._plan, []
        pace = plan.calls / (plan.seconds * 0.9)
        async with self._installation.results_producer() as produce:
            began = time.monotonic()
            for number, result in enumerate(many_results(plan.calls, plan.seed)):
                await asyncio.sleep(max(0.0, began + number / pace - time.monotonic()))
                if result.answered and number % 4:
                    self._installation.record([result])
                    self._recorded.add(result.call_id)
                self._sent_at[result.call_id] = time.time()
                self._make_known(result.client)
                await produce(result)
                results.append(result)
        return results

    def _make_known(self, client: str | None) -> None:
        """Tasks at Bitrix24 stand at a client; Kommo's fake knows every number."""
        portal = self._installation.portal
        if client is not None and isinstance(portal, Bitrix24Portal) and not portal.crm.known(client):
            portal.crm.add_client(client, responsible=14)

    # Faults and interruptions.

    def _start(self, name: str) -> None:
        instance = f"{self._crm}-{name}" if name == "one" else None
        self._workers[name] = self._installation.start_worker(self._crm, instance=instance)

    async def _supervise(self) -> None:
        """Start workers that ended again, as systemd or Kubernetes does."""
        while True:
            for name, worker in list(self._workers.items()):
                if (status := worker.poll()) is not None:
                    self.report.ended[status] += 1
                    self._start(name)
            await asyncio.sleep(0.2)

    async def _interrupt_workers(self) -> None:
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
                    self._random.choice((1.0, 1.0, 1.5, 2.0)) * SESSION_S * self._random.uniform(0.5, 1.5)
                )
            finally:
                worker.send_signal(signal.SIGCONT)
                self._stopped.discard(name)

    async def _order_faults(self) -> None:
        """Order other faults every few seconds, at other operations."""
        portal, way, rng = self._installation.portal, WAYS[self._crm], self._random
        left_out = {
            *NOT_IN_SOAKS.get(self._crm, ()),
            *(() if self._plan.pausing_faults else (*PAUSING_FAULTS, *MISSING_RIGHTS)),
        }
        names = [name for name in FAULTS if name not in left_out]
        while True:
            for name in rng.sample(names, rng.randint(1, 4)):
                order = {key: value for key, value in FAULTS[name].items() if key != "times"}
                if "seconds" in order:
                    order["seconds"] *= REQUEST_LIMIT_S
                often = 0.01 if name in PAUSING_FAULTS else rng.choice((0.05, 0.15, 0.4))
                operations = (*way.sending, *way.looking_up, *FOLLOW_UP_OPERATIONS.get(self._crm, ()))
                methods = [rng.choice(operations)] if rng.random() < 0.7 else []
                if name in MISSING_RIGHTS:
                    methods = [*way.sending, *way.looking_up]
                if self._crm == "bitrix24" and name in (*SENT_TWICE, "503_done"):
                    methods = list(way.sending)  # never a batch: see portal_faults.SENT_TWICE, ways.TRUSTED_REFUSALS
                portal.faults.order({**order, "probability": often, "seed": rng.randrange(10**6), "methods": methods})
            if way.looking_up:
                portal.change_settings(lookup_lag=rng.choice((0.0, 0.0, 0.4, 0.9)) * SETTLE_S)
            await asyncio.sleep(rng.uniform(2, 8))
            self._count_faults()
            portal.faults.clear()
            await asyncio.sleep(rng.choice((0, 0, 3)))

    def _count_faults(self) -> None:
        for fault in self._installation.portal.faults.as_json():
            self.report.faults[str(fault["mode"])] += int(str(fault["fired"]))

    async def _report_progress(self) -> None:
        while True:
            await asyncio.sleep(30)
            report, entries = self.report, len(self._installation.portal.entries())
            faults = sum(report.faults.values())
            self._plan.write_line(
                f"{self._crm}: {len(self._sent_at)} calls, {entries} entries, {faults} faults, "
                f"{report.kills} kills, {report.stops} stops"
            )

    # The end.

    async def _until_over(self, results: list[CallResult]) -> None:
        wanted = {result.call_id for result in results if not self._is_skipped(result)}
        ends, log = time.monotonic() + CALM_S, DeliveryLogView(self._installation)
        while time.monotonic() < ends:
            wanted = wanted and wanted - {str(entry.external_id) for entry in self._installation.portal.entries()}
            if not wanted:
                deliveries = await log.look()
                if all((one := deliveries.get(result.call_id)) is not None and one.over for result in results):
                    return
            await asyncio.sleep(1)

    def _recording_problem(self, result: CallResult, entry: Entry, delivery: Delivery | None) -> str:
        """The fault in a call's recording; empty: there is none."""
        shown = entry.recording or ""
        there = shown.startswith(RECORDINGS) and shown.endswith(f"/{result.linkedid}.wav")
        if there == (result.call_id in self._recorded) and bool(shown) == there:
            return ""
        return f"has the recording {shown!r}: {delivery and delivery.follow_ups}"

    def _is_skipped(self, result: CallResult) -> bool:
        return skip_reason_for(result, self._installation.settings.portals[0]) is not None

    def _check_tasks(self, results: list[CallResult]) -> None:
        """A client whose last call was missed has one open task, and one who was reached since has none."""
        markers = [(marker_in(task["text"]), bool(task["is_open"])) for task in self._installation.portal.tasks()]
        self.report.tasks = len(markers)
        opened = Counter(marker.client for marker, is_open in markers if marker is not None and is_open)
        by_client: dict[str, list[CallResult]] = {}
        for result in results:
            if is_missed(result) or is_contact(result):
                by_client.setdefault(marker_of(result).client, []).append(result)
        for client, calls in by_client.items():
            missed = max((call.ended_at for call in calls if is_missed(call)), default=0)
            contacts = [call for call in calls if is_contact(call)]
            reached = any(call.started_at >= missed for call in contacts)
            waits = missed > max((call.ended_at for call in contacts), default=0)
            least, most = int(waits), int(missed > 0 and not reached)  # between: the two calls overlapped
            if not least <= opened[client] <= most:
                self.report.wrong[f"tasks of {calls[0].client}"] = f"{opened[client]} are open, {least} to {most} due"
        strange = set(opened) - set(by_client)
        self.report.wrong.update(dict.fromkeys(strange, "an open task of no client of ours"))

    async def _check(self, results: list[CallResult]) -> None:
        report, portal = self.report, self._installation.portal
        deliveries = await self._installation.deliveries()
        by_call: dict[str, list[int]] = {}
        entries = portal.entries()
        for at, entry in enumerate(entries):
            by_call.setdefault(str(entry.external_id), []).append(at)
        for result in results:
            call, found = result.call_id, by_call.pop(result.call_id, [])
            delivery = deliveries.get(call)
            if self._is_skipped(result):
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
            said += [self._recording_problem(result, entries[at], delivery) for at in found]
            report.recordings += bool(entries[found[0]].recording)
            if said := [words for words in said if words]:
                report.wrong[call] = "; ".join(said)
            report.latencies.append(_unix(entries[found[0]].received_at) - self._sent_at[call])
        report.wrong.update(dict.fromkeys(by_call, "belongs to no call of ours"))
        if self._with_tasks:
            self._check_tasks([result for result in results if not self._is_skipped(result)])
        report.requests = sum(portal.requests.values())
        lookups = tuple(name.rpartition(" ")[2] for name in WAYS[self._crm].looking_up)
        report.lookups = sum(count for (name, _), count in portal.requests.items() if name.endswith(lookups))
        report.orphans = len(portal.orphans())
        serializer = await self._installation.serializer()
        async with Tail(self._installation.bootstrap_servers, self._installation.topic("dead-letters")) as dead:
            letters = [serializer.decode(record.value, "dead_letter") for record in await dead.everything()]
        report.dead_letters = {str(letter["call_id"]): str(letter["explanation"]) for letter in letters}


def _unix(moment: str) -> float:
    return datetime.fromisoformat(moment).timestamp()
