"""One cell of the matrix, played to its end: a real HTTP portal, one owner after the other, and what is left of it."""

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
from streams.workers.deliver.batched_log import SCHEMA
from tests.calls.hashed import hashed
from tests.faults.cells import Cell
from tests.faults.fenced_memory import PartitionLog
from tests.faults.fixtures import differences, new_client, new_portal, new_serializer, portal_settings, result_of
from tests.faults.worker_owner import OWNER, Owner, Topic

LONGEST = 120.0
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
}
"""The step that a portal's operation belongs to."""


class Night:
    """Plays a cell; `wrong` says what was violated."""

    def __init__(self, cell: Cell, directory: Path) -> None:
        self.cell = cell
        self._portal = new_portal(cell, directory)
        self._serializer = new_serializer()
        self._log = PartitionLog()
        self._topic = Topic(self._serializer, "main")
        self._owners: list[Owner] = []
        self._met = [0] * len(cell.mishaps)
        self._struck: set[int] = set()
        self._turns: set[asyncio.Task[None]] = set()
        self._results = [result_of(cell, number) for number in (1, 2)]
        self._versions = {result.call_id: [result] for result in self._results}

    async def run(self) -> list[str]:
        """What is wrong at the end, in words."""
        cell = self.cell
        async with self._portal as portal:
            portal.advance_clock(cell.skew)
            portal.on_request = self._on_request
            for number, order in enumerate(cell.orders):
                portal.faults.order({"seed": cell.seed + number, **order})
            self._log.failing = cell.failing_writes
            if isinstance(portal, Bitrix24Portal) and cell.later:
                for result in self._results:
                    portal.crm.add_client(str(result.client), responsible=14)
            try:
                async with asyncio.timeout(LONGEST):
                    await self._new_owner()
                    for result in self._results:
                        self._topic.produce(result)
                    while not self._over():
                        if (cell.revised and self._something_happened()) or (cell.later and self._all_delivered()):
                            self._revise()
                        await asyncio.sleep(0.05)
                    await self._all_awake()
            except TimeoutError:
                return [f"not over after {LONGEST:.0f} s", *self._story()]
            finally:
                for turn in self._turns:
                    turn.cancel()
                for owner in self._owners:
                    await owner.gone()
        wrong = self._violations()
        return [*wrong, *self._story()] if wrong else []

    # What befalls the owners.

    async def _new_owner(self) -> None:
        owner = Owner(self._log, self._topic, self._serializer, self._at_point)
        self._owners.append(owner)
        settings = portal_settings(self.cell, self._portal)
        await owner.start(settings, new_client(settings))

    async def _at_point(self, owner: Owner, point: str, step: str) -> None:
        self._strike(owner, point, step)

    def _on_request(self, moment: str, inbound: Inbound) -> None:
        step = STEP_OF.get(inbound.operation.rpartition(".")[2], "")
        if moment == "arrived" and inbound.method != "GET" and step:
            self._strike(self._owners[-1], "request", step)

    def _strike(self, owner: Owner, point: str, step: str) -> None:
        for number, mishap in enumerate(self.cell.mishaps):
            if (mishap.point, mishap.step) != (point, step) or number in self._struck or owner is not self._owners[-1]:
                continue
            self._met[number] += 1
            if self._met[number] <= mishap.skip or not owner.alive:
                continue
            self._struck.add(number)
            if mishap.manner == "kill":
                owner.kill()
            else:
                owner.stop()
                self._later(self._wake(owner, mishap.wakes))
            self._later(self._new_owner())
            return

    def _later(self, turn: Any) -> None:
        token = OWNER.set(None)  # it is no owner's, whoever was struck
        self._turns.add(asyncio.create_task(turn))
        OWNER.reset(token)

    async def _wake(self, owner: Owner, seconds: float) -> None:
        await asyncio.sleep(seconds)
        owner.resume()

    async def _all_awake(self) -> None:
        """A stopped owner wakes up in the end and does what it was about to do; nothing more may come of it."""
        if self._turns:
            await asyncio.gather(*self._turns)
            await asyncio.sleep(0.2)
        if any(order["mode"] in ("duplicate_later", "late", "slow") for order in self.cell.orders):
            await asyncio.sleep(0.5)

    # Later versions.

    def _something_happened(self) -> bool:
        fired = any(fault["fired"] for fault in self._portal.faults.as_json())
        return len(self._topic.records) == len(self._results) and (fired or bool(self._struck))

    def _all_delivered(self) -> bool:
        deliveries = self._deliveries().values()
        delivered = [one for one in deliveries if one.state is State.DELIVERED]
        return len(self._topic.records) == len(self._results) == len(delivered)

    def _revise(self) -> None:
        for first in self._results:
            answered = not first.answered
            changes = {"answered": answered, "result": 200 if answered else 404, "version": first.version + 1}
            later = hashed(replace(first, talk_seconds=40.0 if answered else None, **changes))
            self._versions[first.call_id].append(later)
            self._topic.produce(later)

    # The end.

    def _deliveries(self) -> dict[str, Delivery]:
        values = self._log.values.values()
        states = [Delivery.from_record(self._serializer.decode(value, SCHEMA)) for value in values]
        return {state.call_id: state for state in states}

    def _over(self) -> bool:
        deliveries = self._deliveries()
        if len(deliveries) < len(self._results) or not all(one.final for one in deliveries.values()):
            return False
        newest = [self._versions[call][-1].version == one.version for call, one in deliveries.items()]
        return not self.cell.later or (len(self._topic.records) > len(self._results) and all(newest))

    def _violations(self) -> list[str]:
        wrong: list[str] = []
        deliveries = self._deliveries()
        entries = self._portal.entries()
        letters = [call for owner in self._owners for call, _ in owner.letters]
        for result in self._results:
            call, delivery = result.call_id, deliveries[result.call_id]
            ours = [entry for entry in entries if entry.external_id == call]
            if len(ours) != self.cell.entries:
                wrong.append(f"{call} stands {len(ours)} times in the portal, {self.cell.entries} expected")
            wrong += [f"{call}: {words}" for entry in ours for words in self._differences(call, entry, delivery)]
            if bool(letters.count(call)) != bool(self.cell.dead_letters):
                wrong.append(f"{call} is {letters.count(call)} times in the dead letters: {self._letters()}")
            if self.cell.entries:
                wrong += self._untrue(delivery)
            if self.cell.contacts is not None and isinstance(self._portal, KommoPortal) and self.cell.entries:
                phones = [contact["phones"] for contact in self._portal.account.contacts.values()]
                count = sum(result.client in each for each in phones)
                if count != (self.cell.contacts if self.cell.portal.get("strict_contacts") else 1):
                    wrong.append(f"{call}: its number has {count} contacts")
        if self.cell.later == "beside" and (told := self._told_beside()) != len(self._results):
            wrong.append(f"{told} later versions are told beside {len(self._results)} calls")
        if not self.cell.name.endswith("random"):
            wrong += self._did_not_happen()
        strange = {str(entry.external_id) for entry in entries} - {result.call_id for result in self._results}
        return wrong + [f"{call} is nobody's" for call in strange]

    def _differences(self, call: str, entry: Entry, delivery: Delivery) -> list[str]:
        shown = self._versions[call][0].version if self.cell.later == "beside" else delivery.sent_version
        sent = next((one for one in self._versions[call] if one.version == shown), None)
        if sent is None:
            return [f"version {delivery.sent_version} was never made"]
        found = differences(sent, entry, self.cell.crm)
        return [words for words in found if entry.via != "unsorted" or not words.startswith(("status", "text"))]

    def _untrue(self, delivery: Delivery) -> list[str]:
        """What the log says that is not so."""
        newest = self._versions[delivery.call_id][-1]
        expected = State.DELIVERED if delivery.sent_version == newest.version else State.SUPERSEDED
        if delivery.state is expected and delivery.version == newest.version:
            return []
        return [f"{delivery.call_id} ended as {delivery.state} at version {delivery.version}: {delivery.reason}"]

    def _did_not_happen(self) -> list[str]:
        """What the cell is about must have happened."""
        silent = [str(fault["mode"]) for fault in self._portal.faults.as_json() if not fault["fired"]]
        missed = self.cell.mishaps[:1] if self.cell.mishaps and not self._struck else ()
        return [f"{what} did not happen" for what in (*silent, *missed)]

    def _told_beside(self) -> int:
        if isinstance(self._portal, Bitrix24Portal):
            return len(self._portal.crm.comments)
        return len(self._portal.account.texts) if isinstance(self._portal, KommoPortal) else 0

    def _letters(self) -> list[str]:
        return [why for owner in self._owners for _, why in owner.letters]

    def _story(self) -> list[str]:
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
