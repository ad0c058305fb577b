"""The ways of a call into the CRMs as data: the requests of each, and what its portal does about repeated ones."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.faults.portal_faults import SENT_TWICE, FaultOrder


@dataclass(frozen=True, slots=True)
class Way:
    """One way of a call into a CRM: the operations of its portal, by the names that faults are ordered by."""

    crm: str
    sending: Mapping[str, str]
    """Each is made once a call; and the step of the plan that makes it."""
    looking_up: tuple[str, ...] = ()
    portal: Mapping[str, Any] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    call: Mapping[str, Any] = field(default_factory=dict)
    """Fields of all its calls."""
    questions: bool = False
    """Whether the requests only ask: the call goes on without an answer."""
    recordings: str = ""
    """`late`: the calls have recordings, which are there when their calls are, so that these requests bring them;
    `file`: as late, and the file itself is sent; `known`: the addresses are known before the calls go; empty: none."""
    reading: tuple[str, ...] = ()
    """What is only read before one of these requests."""
    brief: bool = False
    """Only BRIEF faults and single interruptions: another way has all of them with the same rules."""
    tasks: str = ""
    """`missed`: the calls are missed, and these requests make their tasks; `reached`: these requests close them, after
    the same clients were reached; empty: none."""
    later_versions: str = ""
    """`entry`, `annotation`: these requests bring a later version of a delivered call, and where the CRM shows it."""

    @property
    def last(self) -> str:
        """The operation whose unknown outcome is looked up."""
        return tuple(self.sending)[-1]

    def doubt(self, **fault: Any) -> FaultOrder:
        """A fault that makes the product look the call up."""
        return {"mode": "lost_answer", "methods": [self.last], "times": 1, **fault}


KNOWN = {"known_clients": True}
MISSED_CALLS = {"answered": False, "direction": "incoming", "result": 480, "talk_seconds": None}
TASKS: Mapping[str, Any] = {"missed_call_task": {}}
STRANGERS = {"known_clients": False}
WAYS: Mapping[str, Way] = {
    "bitrix24": Way("bitrix24", {"register": "register", "finish": "finish"}, ("statistic.get",)),
    # Its owner may see own calls only: lookups find nothing, and no call may come twice all the same.
    "bitrix24_own": Way("bitrix24", {"finish": "finish"}, portal={"statistics_of": "own"}),
    "bitrix24_asking": Way(
        "bitrix24",
        {"searchcrmentities": "client"},
        settings={"missed_call_user": "responsible"},
        call={"answered": False, "direction": "incoming", "result": 408, "talk_seconds": None},
        questions=True,
    ),
    "bitrix24_batch": Way(
        "bitrix24", {"batch": "register_finish"}, ("statistic.get",), settings={"bitrix24_batch": "always"}
    ),
    "kommo": Way("kommo", {"calls": "call"}, ("notes",), KNOWN),
    "kommo_contact": Way(
        "kommo", {"post contacts": "contact"}, ("get contacts",), STRANGERS, {"unknown_number": "create_contact"}
    ),
    "kommo_lead": Way("kommo", {"leads": "lead"}, ("get contacts",), STRANGERS, {"unknown_number": "create_lead"}),
    "kommo_unsorted": Way(
        "kommo",
        {"post unsorted": "unsorted"},
        ("get unsorted", "notes"),
        STRANGERS,
        {"unknown_number": "unsorted"},
        {"direction": "incoming"},
    ),
    "kommo_update": Way(
        "kommo", {"edit_notes": "update"}, ("notes",), KNOWN, settings={"on_revision": "update"}, later_versions="entry"
    ),
    "kommo_text": Way(
        "kommo",
        {"add_notes": "text_note"},
        ("notes",),
        KNOWN,
        settings={"on_revision": "note"},
        later_versions="annotation",
    ),
    "bitrix24_comment": Way(
        "bitrix24",
        {"comment.add": "comment"},
        ("comment.list",),
        settings={"on_revision": "note"},
        call={"direction": "outgoing"},
        later_versions="annotation",
    ),
    "bitrix24_recording": Way("bitrix24", {"attachrecord": "recording"}, recordings="late"),
    "bitrix24_file": Way("bitrix24", {"attachrecord": "recording"}, recordings="file", brief=True),
    "kommo_recording": Way(
        "kommo",
        {"edit_notes": "recording"},
        portal=KNOWN,
        settings={"on_revision": "update"},
        recordings="late",
        reading=("notes",),
    ),
    "kommo_link": Way("kommo", {"calls": "call"}, ("notes",), KNOWN, recordings="known", brief=True),
    "bitrix24_task": Way(
        "bitrix24",
        {"todo.add": "missed_task"},
        ("activity.list",),
        settings=TASKS,
        call=MISSED_CALLS,
        tasks="missed",
        reading=("statistic.get",),
        brief=True,
    ),
    "bitrix24_reached": Way(
        "bitrix24",
        {"activity.update": "close_tasks"},
        settings=TASKS,
        call=MISSED_CALLS,
        tasks="reached",
        brief=True,
    ),
    "kommo_task": Way(
        "kommo",
        {"add_tasks": "missed_task"},
        ("tasks",),
        KNOWN,
        TASKS,
        MISSED_CALLS,
        tasks="missed",
        reading=("get contacts",),
        brief=True,
    ),
    "kommo_reached": Way(
        "kommo",
        {"edit_tasks": "close_tasks"},
        portal=KNOWN,
        settings=TASKS,
        call=MISSED_CALLS,
        tasks="reached",
        brief=True,
    ),
    "webhook": Way("webhook", {"post": "post"}),
}

BRIEF = (
    *("500", "500_done", "503", "429", "lost_answer", "half_answer", "reset", "hang", "html", "html_504_done"),
    *("late_lost", "slow_beyond_the_limit", "restart", "refuse", "duplicate"),
)
NOT_DEDUPLICATED = ("call", "contact", "lead", "unsorted", "register_finish")
ENTRY_STEPS = ("call", "unsorted", "register_finish")
FINAL_FOR_WEBHOOKS = ("portal_deleted", "gateway_json_400", "gateway_json_400_done", "garbage", "empty")
"""Faults that no retry survives: a receiver's status alone decides (410: no more calls, 400: refused, 200: taken)."""
KOMMO_403 = ("403", "html_403", "access_denied", "insufficient_scope", "user_access_error")
NOT_IN_SOAKS = {"kommo": (*SENT_TWICE, *KOMMO_403), "webhook": FINAL_FOR_WEBHOOKS}
"""Faults that a soak orders at no step: Kommo blocks an address by a 403, and then one request an hour is tried."""
TRUSTED_REFUSALS = {("bitrix24_batch", "503_done"), ("bitrix24_own", "503_done")}
"""Documented as a refusal before anything is done; a finish whose call can be seen survives even a portal that lies."""
NEED_THE_RIGHT = {("bitrix24_own", fault) for fault in SENT_TWICE}
"""A proxy that repeats a POST uses up the registration of a finish that was sent once: that needs the right to see all
calls (docs/operating.md)."""
