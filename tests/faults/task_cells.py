"""The tasks of a cell: asked for as the product does, followed by more calls of the same clients, and judged."""

from collections.abc import Mapping
from typing import Any

from msgspec.structs import replace

from deploy.fake_crms import Portal
from streams.calls.result import CallResult
from streams.clock import MICROS_PER_SECOND
from streams.crm.shared.tasks import CLOSE, MISSED, is_contact, is_missed, marker_in, marker_of
from streams.delivery.answers import Answer
from streams.delivery.record import Delivery, State
from streams.settings import PortalSettings
from streams.workers.deliver.followed import FollowedCalls
from tests.calls.hashed import hashed
from tests.faults.cells import Cell
from tests.faults.portal_faults import SENT_TWICE, SETTLE_S

MAY_BE_MADE_TWICE = (*SENT_TWICE, "503_done")
"""By a proxy that repeats it, or where the portal says that it did nothing and did: closed by the second look."""


class CellTasks:
    """What follows a cell's calls, and what must be the end of their clients' tasks."""

    def __init__(self, cell: Cell, portal: Portal) -> None:
        self._cell = cell
        self._portal = portal
        fields: dict[str, Any] = {"settle_seconds": SETTLE_S, **cell.settings}
        self._settings = PortalSettings(name="main", crm=cell.crm, **fields)
        self._followed = FollowedCalls([], [self._settings])

    def follow_ups(self, result: CallResult, portal: PortalSettings) -> Mapping[str, Mapping[str, str]]:
        """See Intake."""
        return self._followed.follow_ups(result, self._settings)

    async def prepare(self, delivery: Delivery, result: CallResult) -> Answer:
        """See Preparer."""
        return await self._followed.prepare(delivery, result)

    async def close(self) -> None:
        """Close what follows calls."""
        await self._followed.close()

    def more_calls(self, first: list[CallResult]) -> list[CallResult]:
        """The next calls of the same clients: one more missed call of one of them, or a talk with each."""
        return [self._next(each, 2 + at) for at, each in enumerate(first[:1] if self._missed_only else first, start=1)]

    @property
    def _missed_only(self) -> bool:
        return self._cell.tasks.startswith("missed")

    def _next(self, result: CallResult, number: int) -> CallResult:
        linkedid = f"{result.linkedid.partition('.')[0]}.{number}"
        started = result.ended_at + 2 * MICROS_PER_SECOND
        times = {"started_at": started, "ended_at": started + 8 * MICROS_PER_SECOND}
        same: dict[str, Any] = {"linkedid": linkedid, "call_id": f"{result.pbx}/{linkedid}", **times}
        if self._missed_only:
            return hashed(replace(result, **same))
        directions = {3: "incoming", 4: "outgoing"}
        reached = {"answered": True, "result": 200, "talk_seconds": 5.0, "direction": directions[number]}
        return hashed(replace(result, **same, **reached))

    def violations(self, newest: list[CallResult], deliveries: Mapping[str, Delivery]) -> list[str]:
        """What is wrong at the end; `newest`: the last version of each call."""
        wrong: list[str] = []
        for result in newest:
            wrong += self._of_call(result, deliveries[result.call_id])
        for client in sorted({str(result.client) for result in newest}):
            wrong += self._of_client(client, [result for result in newest if result.client == client])
        return wrong

    def _of_call(self, result: CallResult, delivery: Delivery) -> list[str]:
        wrong = []
        refused = self._cell.tasks.partition("_")[2] == "refused"
        for each in delivery.follow_ups:
            # None was needed; or by a later version nobody talked.
            may_skip = each.kind == MISSED or not is_contact(result)
            ended = {State.DELIVERED, State.SKIPPED} if may_skip else {State.DELIVERED}
            if refused and each.kind == (MISSED if self._missed_only else CLOSE):
                ended = {State.REFUSED}
            if each.state not in ended:
                wrong.append(f"{result.call_id}: its {each.kind} ended as {each.state}: {each.reason}")
        if delivery.result is not None:
            wrong.append(f"{result.call_id} still holds its result")
        if (is_missed(result) or is_contact(result)) and not delivery.follow_ups:
            wrong.append(f"{result.call_id} asked for nothing")
        return wrong

    def _of_client(self, client: str, calls: list[CallResult]) -> list[str]:
        """One open task where the client's last call was missed, none where he was reached then."""
        missed = max((call.ended_at for call in calls if is_missed(call)), default=0)
        reached = max((call.ended_at for call in calls if is_contact(call)), default=0)
        expected = 1 if missed > reached else 0
        if self._cell.tasks.endswith("refused"):
            expected = 0 if self._missed_only else 1
        hashes = marker_of(calls[0]).client
        marked = [(task, marker_in(task["text"])) for task in self._portal.tasks()]
        ours = [(task, marker) for task, marker in marked if marker is not None and marker.client == hashes]
        still_open = [task for task, _ in ours if task["is_open"]]
        wrong = []
        if len(still_open) != expected:
            wrong.append(f"{client} has {len(still_open)} open tasks, {expected} expected: {ours}")
        of_calls = [marker.call for _, marker in ours]
        may_be_twice = any(order["mode"] in MAY_BE_MADE_TWICE for order in self._cell.fault_orders)
        wrong += [
            f"a call of {client} has several tasks"
            for each in set(of_calls)
            if of_calls.count(each) > 1 and not may_be_twice
        ]
        return wrong
