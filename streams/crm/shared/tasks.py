"""A task for a missed call, as two follow-ups of deliveries: made after the missed call, closed after a later talk.

`missed_task`, of a missed incoming call: look whether a task of this client stands, or he was reached since; make one;
wait; look again, for whatever was on its way to the CRM meanwhile. `close_tasks`, of a call in which the client was
reached: complete the client's open tasks of earlier calls. Calls of one client lie on several partitions, so that only
the CRM knows: a task bears a marker that tells client, call and time, and every step reads the CRM before it acts.

task_steps.py does the steps; what a CRM must offer for them is ClientTasks there.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta, timezone
from hashlib import sha256
from typing import Any

from streams.calls.result import CallResult
from streams.clock import MICROS_PER_SECOND, UtcMicros
from streams.crm.shared.call_fields import last_digits, person_of, user_ref
from streams.crm.shared.route import working_hours
from streams.delivery.answers import Answer, RetryLater, Succeeded
from streams.delivery.plan import Plan, Step, UnknownOutcome
from streams.delivery.record import Delivery
from streams.settings import PortalSettings
from streams.settings.portals import MissedCallTaskSettings

MISSED, CLOSE = "missed_task", "close_tasks"
"""The kinds of the follow-ups, and of each the step that writes."""
FIND, WAIT, CHECK = "find_task", "await_contact", "check_task"
TASK_STEPS = frozenset({FIND, MISSED, CHECK, CLOSE})
"""Those that ask the CRM."""

TASK, CLOSED = "task", "closed_tasks"
"""Among a follow-up's ids: the CRM's id of the task that it made, and of those that it closed."""

MICROS_PER_HOUR = 3600 * MICROS_PER_SECOND
LATE_CONTACT_US = 6 * MICROS_PER_HOUR
"""A call that ended after another one began at most so long before that one's end."""

_MARKER = re.compile(r"cel2crm-([0-9a-f]{16})-([0-9a-f]{16})-(\d{1,12})(?!\d)")
_NOT_PLAIN = re.compile(r"[^0-9A-Za-z+*#]")
LONGEST_VALUE = 32


def missed_plan(crm: str) -> Plan:
    """The steps of `missed_task`."""
    steps = {
        FIND: Step(MISSED, UnknownOutcome.RESEND),
        MISSED: Step(WAIT, UnknownOutcome.LOOK_UP),
        WAIT: Step(CHECK, UnknownOutcome.RESEND, is_local=True),
        CHECK: Step(None, UnknownOutcome.RESEND),
    }
    return Plan(crm, FIND, steps, writes_call=False)


def close_plan(crm: str) -> Plan:
    """The step of `close_tasks`."""
    return Plan(crm, CLOSE, {CLOSE: Step(None, UnknownOutcome.RESEND)}, writes_call=False)


# Which calls.


def is_missed(result: CallResult) -> bool:
    """Whether a client called from outside and nobody talked with him."""
    return result.direction == "incoming" and not result.answered and bool(result.client) and not result.abandoned


def is_contact(result: CallResult) -> bool:
    """Whether somebody talked with a client, whoever called."""
    return result.direction in ("incoming", "outgoing") and result.answered and bool(result.client)


def follow_ups(result: CallResult, portal: PortalSettings, now: UtcMicros) -> dict[str, Mapping[str, str]]:
    """The follow-ups that a call asks for at a portal (Arrived.follow_ups).

    A live call comes within the portal's deadline: leaving out older ones leaves no task of a live call open.
    """
    settings = portal.missed_call_task
    if settings is None:
        return {}
    age, longest = now - result.ended_at, int(settings.max_age_hours * MICROS_PER_HOUR)
    if is_missed(result):
        return {MISSED: {}} if age <= longest else {}
    reaches = age <= longest + int(portal.deadline_hours * MICROS_PER_HOUR)
    return {CLOSE: {}} if is_contact(result) and reaches else {}


def awaited(delivery: Delivery, settle_us: int, now: UtcMicros) -> Answer:
    """The answer of the local step between a task and the second look (a follow-up's view).

    A call that was delivered while this task could not be seen yet can be seen so much later itself.
    """
    made = max((line.ended_at for line in delivery.history if line.step == MISSED), default=now)
    until = made + 2 * settle_us
    return Succeeded() if now >= until else RetryLater("the task may not be seen by everybody yet", until)


# The marker.


@dataclass(frozen=True, slots=True)
class Marker:
    """What a task tells of itself, in letters that no CRM changes."""

    client: str
    """Hash of the client's number as CRMs compare it."""
    call: str
    """Hash of our id of the call that the task was made for."""
    ended: int
    """Unix second of the end of the last missed call that it speaks of."""

    @property
    def text(self) -> str:
        """The marker as it stands in a task."""
        return f"{self.of_client}{self.call}-{self.ended}"

    @property
    def of_client(self) -> str:
        """The part that all tasks of a client have in common."""
        return f"cel2crm-{self.client}-"


def marker_of(result: CallResult) -> Marker:
    """The marker of a call's task."""
    client = last_digits(result.client or "") or result.client or ""
    return Marker(_hash(client), _hash(result.call_id), result.ended_at // MICROS_PER_SECOND)


def marker_in(text: object) -> Marker | None:
    """The marker in a task's text; None: it is none of ours."""
    found = _MARKER.search(str(text))
    return None if found is None else Marker(found[1], found[2], int(found[3]))


def with_later_end(text: str, ended: int) -> str:
    """A task's text whose marker speaks of a later missed call too; whatever else stands there stays."""
    return _MARKER.sub(lambda found: replace(_marker(found), ended=max(int(found[3]), ended)).text, text)


def _marker(found: "re.Match[str]") -> Marker:
    return Marker(found[1], found[2], int(found[3]))


def _hash(text: str) -> str:
    return sha256(text.encode()).hexdigest()[:16]


# What stands in a task.


def task_words(result: CallResult, settings: MissedCallTaskSettings) -> str:
    """The text of a task for people.

    Of what a caller can choose only letters, digits and + * # are let in: nothing that a CRM could take for markup, or
    for an address.
    """
    zone = timezone(timedelta(seconds=result.utc_offset_seconds))
    start = datetime.fromtimestamp(result.started_at // MICROS_PER_SECOND, zone)
    values = {
        "client": _plain(result.client),
        "did": _plain(result.did),
        "extension": _plain(result.rang_last or result.extension),
        "date": f"{start:%d.%m.%Y}",
        "time": f"{start:%H:%M}",
    }
    return settings.text.format_map(values)


def _plain(value: str | None) -> str:
    return _NOT_PLAIN.sub("", value or "")[:LONGEST_VALUE]


def due_at(result: CallResult, portal: PortalSettings, settings: MissedCallTaskSettings, now: UtcMicros) -> UtcMicros:
    """When a task is due: counted from the call's end; one that is made after that, from now."""
    due = _later_by(result.ended_at, result, portal, settings)
    return due if due > now else _later_by(now, result, portal, settings)


def _later_by(at: UtcMicros, result: CallResult, portal: PortalSettings, settings: MissedCallTaskSettings) -> UtcMicros:
    """`due_minutes` after a moment; on the clock where the schedule opens no more."""
    worked = None
    if settings.working_hours:
        worked = working_hours(result, portal).add_working_minutes(at, settings.due_minutes)
    return at + int(settings.due_minutes * 60 * MICROS_PER_SECOND) if worked is None else worked


def task_user(result: CallResult, portal: PortalSettings, delivery: Delivery, given: str = "") -> str | None:
    """Whose a task is: the settings' user, else whom the call was given to, else the default user; None: nobody's.

    `given`: whom the CRM itself says that it gave the call to. Who turned out to be unknown to the CRM is passed over.
    """
    settings = portal.missed_call_task
    wanted = settings.user if settings is not None else None
    candidates = (wanted, given or person_of(result, portal, delivery).user, portal.default_user)
    return next((user for user in candidates if user and user_ref(user) not in delivery.unmatched), None)


def common_fields(result: CallResult, portal: PortalSettings) -> dict[str, Any]:
    """What every step's request says of the call, in every CRM; a step reads them back from the delivery's intent."""
    settings = portal.missed_call_task
    return {
        "marker": marker_of(result).text,
        "digits": last_digits(result.client or ""),
        "still_missed": is_missed(result),
        "reached": is_contact(result),
        "max_age_hours": settings.max_age_hours if settings is not None else None,
        "words": task_words(result, settings) if settings is not None else "",
        "result": (settings or MissedCallTaskSettings()).result,
    }
