"""The CRMs of the simulation: what each does with a step, and what a lookup finds, late."""

from collections.abc import Coroutine
from dataclasses import dataclass, field
from random import Random
from typing import Any, TypeVar

from streams.crm.bitrix24.plan import PLAN as BITRIX24
from streams.crm.kommo.plan import PLAN as KOMMO
from streams.crm.shared.recording import RECORDING
from streams.crm.shared.task_steps import Failure, Task, look_up_task, take_step
from streams.crm.shared.tasks import MISSED, TASK, TASK_STEPS, Marker, marker_in
from streams.crm.webhook.plan import PLAN as WEBHOOK
from streams.delivery.answers import (
    Answer,
    CallFound,
    FieldRefused,
    LookupResult,
    NotFound,
    NotYet,
    PartlyDone,
    PrerequisiteLost,
    PrerequisiteMissing,
    Refused,
    RetryLater,
    SkipCall,
    Succeeded,
    UserUnknown,
)
from streams.delivery.plan import Plan
from streams.delivery.record import Delivery

SETTLE = 30
"""Seconds until a lookup surely shows an entry."""
ANNOTATIONS = ("comment", "text_note")
"""Steps that add a note to a call."""
CHANGED_BY_PERSON = -1
"""Stands for the version of an entry that a person changed."""

Ended = TypeVar("Ended")


def at_once(steps: Coroutine[Any, Any, Ended]) -> Ended:
    """The result of a coroutine that waits for nothing."""
    try:
        steps.send(None)
    except StopIteration as end:
        ended: Ended = end.value
        return ended
    raise AssertionError("it waits")


def marker_of_call(call: str) -> str:
    """The marker of a simulated call: all calls are of one client, and call N ends before call N + 1."""
    number = call.rpartition("/")[2]
    return Marker("c" * 16, number * 16, int(number)).text


@dataclass
class Entry:
    """A call as the CRM's user sees it."""

    call: str
    version: int
    visible_at: int


@dataclass
class SimulatedTask:
    """A task as the CRM holds it."""

    id: int
    text: str
    visible_at: int
    is_open: bool = True
    by_proxy: bool = False
    """Made by a proxy that repeated a request."""


@dataclass
class Crm:
    """A CRM with entries, and lookups that lag."""

    random: Random
    entries: list[Entry] = field(default_factory=list)
    refuses: set[str] = field(default_factory=set)
    notes: list[Entry] = field(default_factory=list)
    """Later versions, noted beside their calls."""
    recordings: list[str] = field(default_factory=list)
    """Calls whose recording came, each time that it did; later ones take the place of earlier ones."""
    tasks: list[SimulatedTask] = field(default_factory=list)
    repeating: bool = False
    """Whether a proxy repeats the request that is served."""
    keeps_texts: bool = False
    """Whether a changed text of a task is not taken."""
    talks: set[str] = field(default_factory=set)
    """Calls in which the client was reached."""
    too_early: list[str] = field(default_factory=list)
    """Calls that were followed up before they were here."""
    unknown_users: set[str] = field(default_factory=set)
    """Calls of a user whom the CRM does not know."""

    def take(self, step: str, delivery: Delivery, version: int, now: int) -> Answer:
        """Carry a request out; the true answer to it."""
        raise NotImplementedError

    def find(self, step: str, call: str, version: int, now: int) -> LookupResult:
        """Look for the effect of a step."""
        if step == MISSED:
            return at_once(look_up_task(TasksNow(self, now), {"marker": marker_of_call(call)}, 0.0))
        if step in ANNOTATIONS:
            noted = [note for note in self.notes if (note.call, note.version) == (call, version)]
            return CallFound({step: "1"}) if any(note.visible_at <= now for note in noted) else NotFound()
        if step == "update":
            shown = [entry for entry in self.entries if entry.call == call and entry.version == version]
            return CallFound() if shown else NotFound()
        found = [entry for entry in self.entries if entry.call == call and entry.visible_at <= now]
        return CallFound({"entry": "1"}) if found else NotFound()

    def common_answer(self, step: str, delivery: Delivery, version: int, now: int) -> Answer | None:
        """The answer where all CRMs do the same: to a question, a note, a change, an unknown user; else None."""
        if step == "client":
            return Succeeded({"responsible": "7"})
        if step in (RECORDING, *TASK_STEPS):
            return self._follow_up(step, delivery, version, now)
        if step in ANNOTATIONS:
            self.notes.append(Entry(delivery.call_id, version, now + self.random.randint(0, SETTLE)))
            return Succeeded({step: "1"})
        if step == "update":
            return self._update(delivery, version)
        if step in ("register", "register_finish", "call") and delivery.call_id in self.unknown_users:
            return UserUnknown("user:19", "no such user") if not delivery.unmatched else None
        return None

    def _follow_up(self, step: str, delivery: Delivery, version: int, now: int) -> Answer:
        call = delivery.call_id
        if not any(entry.call == call for entry in self.entries):
            self.too_early.append(call)
        if step in TASK_STEPS:
            sent = {"marker": marker_of_call(call), "still_missed": True, "reached": True, "max_age_hours": 10**9}
            return at_once(take_step(TasksNow(self, now), step, sent, 0.0, 0))
        if "recording_url" not in delivery.crm_ids:
            return Refused("no address")
        self.recordings.append(call)
        return Succeeded()

    def _update(self, delivery: Delivery, version: int) -> Answer:
        entry = next(entry for entry in self.entries if entry.call == delivery.call_id)
        if entry.version not in (version, delivery.sent_version):
            return SkipCall("a person changed the call")
        entry.version = version
        return Succeeded()

    def _show(self, call: str, version: int, now: int) -> None:
        self.entries.append(Entry(call, version, now + self.random.randint(0, SETTLE)))


@dataclass
class TasksNow:
    """The tasks of the one client at a moment (a ClientTasks)."""

    crm: Crm
    now: int

    async def of_client(self, client: Marker, sent: dict[str, Any], until: float) -> list[Task] | Failure:
        visible = [task for task in self.crm.tasks if task.visible_at <= self.now]
        marked = [(task, marker_in(task.text)) for task in visible]
        return [Task(str(task.id), task.text, marker, task.is_open) for task, marker in marked if marker]

    async def reached(self, sent: dict[str, Any], since: int, until: float) -> bool | Failure:
        shown = [entry.call for entry in self.crm.entries if entry.visible_at <= self.now]
        return any(call in self.crm.talks and int(call.rpartition("/")[2]) > since for call in shown)

    async def add(self, sent: dict[str, Any], until: float) -> Answer:
        number = len(self.crm.tasks) + 1
        visible_at = self.now + self.crm.random.randint(0, SETTLE)
        self.crm.tasks.append(SimulatedTask(number, str(sent["marker"]), visible_at, by_proxy=self.crm.repeating))
        return Succeeded({TASK: str(number)})

    async def complete(self, task: Task, sent: dict[str, Any], until: float) -> Failure | None:
        self.crm.tasks[int(task.id) - 1].is_open = False
        return None

    async def reopen(self, task: Task, until: float) -> Failure | None:
        self.crm.tasks[int(task.id) - 1].is_open = True
        return None

    async def rewrite(self, task: Task, text: str, until: float) -> Failure | None:
        if not self.crm.keeps_texts:
            self.crm.tasks[int(task.id) - 1].text = text
        return None


@dataclass
class Bitrix24(Crm):
    """Registrations that are finished once; nobody sees one that is not finished."""

    calls: dict[str, tuple[str, bool]] = field(default_factory=dict)

    def take(self, step: str, delivery: Delivery, version: int, now: int) -> Answer:
        if (other := self.common_answer(step, delivery, version, now)) is not None:
            return other
        if step == "finish":
            return self._finish(delivery.crm_ids["CALL_ID"], delivery, version, now)
        if delivery.call_id in self.refuses:
            return Refused("no such phone number")
        same = [name for name, (call, done) in self.calls.items() if call == delivery.call_id and not done]
        name = same[-1] if same and self.random.random() < 0.5 else f"externalCall.{len(self.calls)}"
        self.calls[name] = (delivery.call_id, False)
        registered = Succeeded({"CALL_ID": name})
        if step == "register":
            return registered
        finished = self._finish(name, delivery, version, now) if self.random.random() < 0.8 else RetryLater("busy")
        if isinstance(finished, Succeeded):
            return Succeeded({**registered.ids, **finished.ids})
        return PartlyDone("register", registered.ids, finished.why)

    def _finish(self, name: str, delivery: Delivery, version: int, now: int) -> Succeeded | PrerequisiteLost:
        if self.random.random() < 0.03:
            self.calls.pop(name, None)  # the portal forgot an old registration
        if name not in self.calls or self.calls[name][1]:
            return PrerequisiteLost("Call is not found")
        self.calls[name] = (delivery.call_id, True)
        self._show(delivery.call_id, version, now)
        return Succeeded({"CRM_ACTIVITY_ID": "7"})


@dataclass
class Kommo(Crm):
    """Every call becomes a note; unknown phones need a contact."""

    contacts: list[Entry] = field(default_factory=list)

    def take(self, step: str, delivery: Delivery, version: int, now: int) -> Answer:
        call = delivery.call_id
        if (other := self.common_answer(step, delivery, version, now)) is not None:
            return other
        if step == "contact":
            self.contacts.append(Entry(call, version, now + self.random.randint(0, SETTLE)))
            return Succeeded({"contact": "1"})
        if call in self.refuses:
            return Refused("validation")
        if call.endswith("0") and not any(entry.call == call for entry in self.contacts):
            if self.random.random() < 0.3:
                return NotYet("Entity not found")
            return PrerequisiteMissing("contact", "Entity not found")
        if call.endswith("1") and not delivery.unmatched:
            return FieldRefused(("created_by",), "not of this token")
        self._show(call, version, now)
        return Succeeded({"note": "1"})

    def find(self, step: str, call: str, version: int, now: int) -> LookupResult:
        if step == "contact":
            known = any(entry.call == call and entry.visible_at <= now for entry in self.contacts)
            return CallFound({"contact": "1"}) if known else NotFound()
        return super().find(step, call, version, now)


@dataclass
class Receiver(Crm):
    """A receiver of webhooks: takes each id, which is a version of a call, once, and cannot be asked."""

    def take(self, step: str, delivery: Delivery, version: int, now: int) -> Answer:
        if step == RECORDING:
            return self._follow_up(step, delivery, version, now)
        if delivery.call_id in self.refuses:
            return Refused("HTTP 422")
        if not any((entry.call, entry.version) == (delivery.call_id, version) for entry in self.entries):
            self.entries.append(Entry(delivery.call_id, version, now))
        return Succeeded()

    def find(self, step: str, call: str, version: int, now: int) -> LookupResult:
        raise AssertionError("a receiver cannot be asked")


CRMS: dict[str, tuple[Plan, type[Crm]]] = {
    "bitrix24": (BITRIX24, Bitrix24),
    "kommo": (KOMMO, Kommo),
    "webhook": (WEBHOOK, Receiver),
}
