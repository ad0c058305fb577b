"""One cell of the matrix, run to its end: a real HTTP portal, one owner after the other, and what stands there then."""

import asyncio
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from deploy.fake_crms import (
    Bitrix24Portal,
    Entry,
    KommoPortal,
)
from deploy.fake_crms.exchange import Inbound
from streams.delivery.record import Delivery, State
from streams.settings import PortalSettings
from streams.workers.deliver.batched_log import SCHEMA
from tests.calls.hashed import hashed
from tests.faults.cells import Cell
from tests.faults.fenced_memory import PartitionLog
from tests.faults.fixtures import differences, new_client, new_portal, new_serializer, portal_settings, result_of
from tests.faults.recordings import CellRecordings
from tests.faults.task_cells import CellTasks
from tests.faults.worker_owner import OWNER, Owner, Topic

LONGEST_S = 120.0
"""Seconds that a cell may take."""

STEP_OF = {
    "register": "register",
    "finish": "finish",
    "searchcrmentities": "client",
    "calls": "call",
    "contacts": "contact",
    "leads": "lead",
    "unsorted": "unsorted",
    "batch": "register_finish",
    "edit_notes": "update",
    "add_notes": "text_note",
    "add": "comment",
    "post": "post",
    "attachrecord": "recording",
    "crm.activity.todo.add": "missed_task",
    "crm.activity.update": "close_tasks",
    "add_tasks": "missed_task",
    "edit_tasks": "close_tasks",
}
"""The step that a portal's operation belongs to."""


class CellRun:
    """Runs a cell and finds what is wrong at its end."""

    def __init__(self, cell: Cell, directory: Path) -> None:
        self.cell = cell
        self._portal = new_portal(cell, directory)
        self._serializer = new_serializer()
        self._log = PartitionLog()
        self._recordings = CellRecordings(cell, self._portal, directory) if cell.recordings else None
        self._tasks = CellTasks(cell, self._portal) if cell.tasks else None
        self._followed = self._recordings or self._tasks
        follow_ups = self._followed.follow_ups if self._followed else lambda _result, _portal: {}
        self._topic = Topic(self._serializer, PortalSettings(name="main", crm=cell.crm), follow_ups)
        self._owners: list[Owner] = []
        self._times_reached = [0] * len(cell.interruptions)
        self._interrupted: set[int] = set()
        self._background: set[asyncio.Task[None]] = set()
        self._results = [result_of(cell, number) for number in (1, 2)]
        self._versions = {result.call_id: [result] for result in self._results}
        self._called_again = False

    async def run(self) -> list[str]:
        """The violations at the end, a line each, and then how they came to be; empty: none."""
        cell = self.cell
        async with self._portal as portal:
            portal.advance_clock(cell.clock_skew_s)
            portal.on_request = self._on_request
            for number, order in enumerate(cell.fault_orders):
                portal.faults.order({"seed": cell.seed + number, **order})
            self._log.failing = cell.failing_writes
            if isinstance(portal, Bitrix24Portal) and (cell.later_versions or cell.tasks):
                for result in self._results:
                    portal.crm.add_client(str(result.client), responsible=14)
            try:
                async with asyncio.timeout(LONGEST_S):
                    await self._new_owner()
                    for result in self._results:
                        self._topic.produce(result)
                    while not self._finished():
                        if (cell.revised_after_trouble and self._something_happened()) or (
                            cell.later_versions and self._all_delivered()
                        ):
                            self._produce_later_versions()
                        if self._tasks and not self._called_again and self._all_over():
                            self._call_again(self._tasks)
                        await asyncio.sleep(0.05)
                    await self._wake_all()
            except TimeoutError:
                return [f"not over after {LONGEST_S:.0f} s", *self._report()]
            finally:
                for task in self._background:
                    task.cancel()
                for owner in self._owners:
                    await owner.close()
                if self._followed:
                    await self._followed.close()
        wrong = self._violations()
        return [*wrong, *self._report()] if wrong else []

    # Owners and their interruptions.

    async def _new_owner(self) -> None:
        owner = Owner(self._log, self._topic, self._serializer, self._on_point, self._followed)
        self._owners.append(owner)
        settings = portal_settings(self.cell, self._portal)
        await owner.start(settings, new_client(settings))

    async def _on_point(self, owner: Owner, point: str, step: str) -> None:
        self._interrupt(owner, point, step)

    def _on_request(self, moment: str, inbound: Inbound) -> None:
        step = STEP_OF.get(inbound.operation) or STEP_OF.get(inbound.operation.rpartition(".")[2], "")
        if step == "update" and self.cell.recordings and b'"link"' in inbound.body:
            step = "recording"
        if moment == "arrived" and inbound.method != "GET" and step:
            self._interrupt(self._owners[-1], "request", step)

    def _interrupt(self, owner: Owner, point: str, step: str) -> None:
        for number, interruption in enumerate(self.cell.interruptions):
            if (
                (interruption.point, interruption.step) != (point, step)
                or number in self._interrupted
                or owner is not self._owners[-1]
            ):
                continue
            self._times_reached[number] += 1
            if self._times_reached[number] <= interruption.skip or not owner.alive:
                continue
            self._interrupted.add(number)
            if interruption.kind == "kill":
                owner.kill()
            else:
                owner.stop()
                self._in_background(self._wake_later(owner, interruption.wakes_after_s))
            self._in_background(self._new_owner())
            return

    def _in_background(self, coroutine: Any) -> None:
        token = OWNER.set(None)  # the task belongs to no owner, not even to the interrupted one
        self._background.add(asyncio.create_task(coroutine))
        OWNER.reset(token)

    async def _wake_later(self, owner: Owner, seconds: float) -> None:
        await asyncio.sleep(seconds)
        owner.resume()

    async def _wake_all(self) -> None:
        """A stopped owner wakes up in the end and does what it was about to do; nothing more may come of it."""
        if self._background:
            await asyncio.gather(*self._background)
            await asyncio.sleep(0.2)
        if any(order["mode"] in ("duplicate_later", "late", "slow") for order in self.cell.fault_orders):
            await asyncio.sleep(0.5)

    # Later versions.

    def _something_happened(self) -> bool:
        fired = any(fault["fired"] for fault in self._portal.faults.as_json())
        return len(self._topic.records) == len(self._results) and (fired or bool(self._interrupted))

    def _all_delivered(self) -> bool:
        deliveries = self._deliveries().values()
        delivered = [one for one in deliveries if one.state is State.DELIVERED]
        return len(self._topic.records) == len(self._results) == len(delivered)

    def _produce_later_versions(self) -> None:
        for first in self._results:
            answered = not first.answered
            changes = {"answered": answered, "result": 200 if answered else 404, "version": first.version + 1}
            later = hashed(replace(first, talk_seconds=40.0 if answered else None, **changes))
            self._versions[first.call_id].append(later)
            self._topic.produce(later)

    # The same clients again.

    def _call_again(self, tasks: CellTasks) -> None:
        self._called_again = True
        for result in tasks.more_calls(list(self._results)):
            self._results.append(result)
            self._versions[result.call_id] = [result]
            self._topic.produce(result)

    # The end.

    def _deliveries(self) -> dict[str, Delivery]:
        values = self._log.values.values()
        states = [Delivery.from_record(self._serializer.decode(value, SCHEMA)) for value in values]
        return {state.call_id: state for state in states}

    def _all_over(self) -> bool:
        deliveries = self._deliveries()
        return len(deliveries) == len(self._results) and all(one.over for one in deliveries.values())

    def _finished(self) -> bool:
        deliveries = self._deliveries()
        if not self._all_over() or (self._tasks and not self._called_again):
            return False
        newest = [self._versions[call][-1].version == one.version for call, one in deliveries.items()]
        return not self.cell.later_versions or (len(self._topic.records) > len(self._results) and all(newest))

    def _violations(self) -> list[str]:
        wrong: list[str] = []
        deliveries = self._deliveries()
        entries = self._portal.entries()
        dead_letters = [call for owner in self._owners for call, _ in owner.dead_letters]
        for result in self._results:
            call, delivery = result.call_id, deliveries[result.call_id]
            ours = [entry for entry in entries if entry.external_id == call]
            if len(ours) != self.cell.entries:
                wrong.append(f"{call} stands {len(ours)} times in the portal, {self.cell.entries} expected")
            wrong += [f"{call}: {words}" for entry in ours for words in self._differences(call, entry, delivery)]
            if bool(dead_letters.count(call)) != bool(self.cell.dead_letters):
                wrong.append(f"{call} is {dead_letters.count(call)} times in the dead letters: {self._dead_letters()}")
            if self.cell.entries:
                wrong += self._log_contradictions(delivery)
            if self._recordings and self.cell.entries:
                wrong += self._recordings.violations(result, delivery, ours)
            if self.cell.contacts is not None and isinstance(self._portal, KommoPortal) and self.cell.entries:
                phones = [contact["phones"] for contact in self._portal.account.contacts.values()]
                count = sum(result.client in each for each in phones)
                if count != (1 if self.cell.portal.get("known_clients") else self.cell.contacts):
                    wrong.append(f"{call}: its number has {count} contacts")
        if self._tasks:
            newest = [self._versions[result.call_id][-1] for result in self._results]
            wrong += self._tasks.violations(newest, deliveries)
        if self.cell.later_versions == "annotation" and (noted := self._annotations()) != len(self._results):
            wrong.append(f"{noted} later versions are noted beside {len(self._results)} calls")
        if not self.cell.name.endswith("random"):
            wrong += self._never_happened()
        strange = {str(entry.external_id) for entry in entries} - {result.call_id for result in self._results}
        return wrong + [f"{call} belongs to no call of ours" for call in strange]

    def _differences(self, call: str, entry: Entry, delivery: Delivery) -> list[str]:
        shown = self._versions[call][0].version if self.cell.later_versions == "annotation" else delivery.sent_version
        sent = next((one for one in self._versions[call] if one.version == shown), None)
        if sent is None:
            return [f"version {delivery.sent_version} was never made"]
        found = differences(sent, entry, self.cell.crm)
        return [words for words in found if entry.via != "unsorted" or not words.startswith(("status", "text"))]

    def _log_contradictions(self, delivery: Delivery) -> list[str]:
        """Where the log contradicts what happened."""
        newest = self._versions[delivery.call_id][-1]
        expected = State.DELIVERED if delivery.sent_version == newest.version else State.SUPERSEDED
        if delivery.state is expected and delivery.version == newest.version:
            return []
        return [f"{delivery.call_id} ended as {delivery.state} at version {delivery.version}: {delivery.reason}"]

    def _never_happened(self) -> list[str]:
        """Faults and interruptions of the cell that did not happen: it proved nothing then."""
        silent = [str(fault["mode"]) for fault in self._portal.faults.as_json() if not fault["fired"]]
        missed = self.cell.interruptions[:1] if self.cell.interruptions and not self._interrupted else ()
        return [f"{what} did not happen" for what in (*silent, *missed)]

    def _annotations(self) -> int:
        if isinstance(self._portal, Bitrix24Portal):
            return len(self._portal.crm.comments)
        return len(self._portal.account.texts) if isinstance(self._portal, KommoPortal) else 0

    def _dead_letters(self) -> list[str]:
        return [why for owner in self._owners for _, why in owner.dead_letters]

    def _report(self) -> list[str]:
        lines = [f"  cell {self.cell}"]
        lines += [f"  owner {number}: alive {owner.alive}" for number, owner in enumerate(self._owners)]
        lines += [
            f"  request {line['number']} {line['operation']} {line['fault']} {line['status']} {line.get('ms')}"
            for line in self._portal.log
        ][:40]
        for delivery in self._deliveries().values():
            lines.append(f"  {delivery.call_id} {delivery.state} {delivery.reason}")
            lines += [f"    {attempt}" for attempt in delivery.history]
        return lines
