"""The matrix as data: what goes wrong, at which step, and what must be the end of it."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from random import Random
from typing import Any

from tests.faults.portal_faults import FAULTS, REQUEST_LIMIT_S, SENT_TWICE, SETTLE_S, FaultOrder
from tests.faults.ways import (
    BRIEF,
    ENTRY_STEPS,
    FINAL_FOR_WEBHOOKS,
    NEED_THE_RIGHT,
    NOT_DEDUPLICATED,
    TRUSTED_REFUSALS,
    WAYS,
    Way,
)


@dataclass(frozen=True, slots=True)
class Interruption:
    """Kills or stops the worker at a point of a step (worker_owner.POINTS, or `request`: while the portal has it)."""

    point: str
    step: str
    kind: str
    """`kill`, or `stop`: another owner takes over, and the stopped one wakes up after `wakes_after_s` seconds."""
    wakes_after_s: float = 0.0
    skip: int = 0


@dataclass(frozen=True, slots=True)
class Cell:
    """One cell of the matrix: what goes wrong while two calls are delivered, and what must be the end of it."""

    crm: str
    name: str
    seed: int = 0
    fault_orders: tuple[FaultOrder, ...] = ()
    portal: Mapping[str, Any] = field(default_factory=dict)
    """Settings of the fake portal."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """Our settings for the portal."""
    clock_skew_s: float = 0.0
    """Seconds by which the portal's clock is ahead."""
    interruptions: tuple[Interruption, ...] = ()
    failing_writes: int = 0
    revised_after_trouble: bool = False
    """Whether a later version of each call comes as soon as something went wrong."""
    recordings: str = ""
    """As Way.recordings; `refused`: as late, and no CRM takes them."""
    tasks: str = ""
    """As Way.tasks; with `_refused`: no CRM takes these requests."""
    later_versions: str = ""
    """`entry`, `annotation`: a later version comes after delivery, and where the CRM shows it; empty: none."""
    call: Mapping[str, Any] = field(default_factory=dict)
    """Fields of its calls."""
    contacts: int | None = None
    """How many contacts there are for each number, where that is known."""
    entries: int = 1
    """How often each call stands in the portal at the end: once, where the product can help it."""
    dead_letters: int = 0

    @property
    def id(self) -> str:
        """The argument that runs the cell again: `python -m tests.faults ID`."""
        return f"{self.crm}:{self.name}:{self.seed}"


def cells() -> Iterator[Cell]:
    """The whole matrix."""
    for name, way in WAYS.items():
        if not way.later_versions:  # else tests/crm/test_every_fault.py
            yield from _each_fault_at_each_step(name, way)
            if way.looking_up and not way.brief:
                yield from _late_index_and_wrong_clock(name, way)
        yield from _interrupted_at_each_point(name, way)
    for name in ("bitrix24", "kommo"):
        yield from _limits(name, WAYS[name])
    for name in ("bitrix24", "bitrix24_batch", "kommo", "webhook"):
        yield from _revisions(name, WAYS[name])
        yield from _at_random(name, WAYS[name])
    yield from _revisions("kommo_recording", WAYS["kommo_recording"])
    for name in ("bitrix24_recording", "kommo_recording"):
        yield from _at_random(name, WAYS[name], 20)
    for name in ("bitrix24_task", "bitrix24_reached", "kommo_task", "kommo_reached"):
        yield from _tasks(name, WAYS[name])
        yield from _at_random(name, WAYS[name], 15)
    yield from _limited_recordings()


def _cell(name: str, way: Way, what: str, seed: int = 0, **fields: Any) -> Cell:
    portal, settings = {**way.portal, **fields.pop("portal", {})}, {**way.settings, **fields.pop("settings", {})}
    return Cell(
        way.crm,
        f"{name}-{what}",
        seed,
        portal=portal,
        settings=settings,
        call=way.call,
        later_versions=way.later_versions,
        recordings=fields.pop("recordings", way.recordings),
        tasks=fields.pop("tasks", way.tasks),
        **fields,
    )


def _each_fault_at_each_step(name: str, way: Way) -> Iterator[Cell]:
    for operation in way.sending:
        for fault, order in FAULTS.items():
            if way.brief and fault not in BRIEF:
                continue
            if (way.crm == "webhook" and fault in FINAL_FOR_WEBHOOKS) or (
                name,
                fault,
            ) in TRUSTED_REFUSALS | NEED_THE_RIGHT:
                continue
            twice = fault in SENT_TWICE and way.sending[operation] in NOT_DEDUPLICATED
            entries = 1 + (twice and way.sending[operation] in ENTRY_STEPS)
            fault_orders = ({**order, "methods": [operation]},)
            contacts = None if way.sending[operation] == "unsorted" else 1 + twice
            yield _cell(
                name, way, f"{operation}-{fault}", fault_orders=fault_orders, entries=entries, contacts=contacts
            )
        for read in way.reading:
            for fault in BRIEF:
                yield _cell(name, way, f"{read}-{fault}", fault_orders=({**FAULTS[fault], "methods": [read]},))
        refused: FaultOrder = {"mode": "400", "methods": [operation]}
        if way.recordings in ("late", "file"):
            yield _cell(name, way, f"{operation}-refused", fault_orders=(refused,), recordings="refused")
        elif way.tasks:
            yield _cell(name, way, f"{operation}-refused", fault_orders=(refused,), tasks=f"{way.tasks}_refused")
        elif not way.questions:
            yield _cell(name, way, f"{operation}-refused", fault_orders=(refused,), entries=0, dead_letters=1)
    for number, operation in enumerate(way.looking_up):
        # What is found at the first place is not looked for at the second one.
        doubt = way.doubt(mode="reset" if number else "lost_answer")
        for fault, order in FAULTS.items() if not way.brief else ():
            yield _cell(name, way, f"{operation}-{fault}", fault_orders=(doubt, {**order, "methods": [operation]}))


def _late_index_and_wrong_clock(name: str, way: Way) -> Iterator[Cell]:
    lost, not_done = way.doubt(times=2), way.doubt(mode="reset", times=2)
    late_index = {"lookup_lag": 0.9 * SETTLE_S}
    late = way.doubt(mode="late_lost", seconds=0.8 * REQUEST_LIMIT_S)
    yield _cell(name, way, "late_index-late", fault_orders=(late, way.doubt()), portal=late_index)
    if name == "bitrix24":
        yield _cell(
            name, way, "late_index-duplicate", fault_orders=(way.doubt(mode="duplicate", times=2),), portal=late_index
        )
    done = way.doubt(mode="500", effect=True)
    for what, order in (("lost_answer", lost), ("reset", not_done), ("500_done", done)):
        yield _cell(name, way, f"late_index-{what}", fault_orders=(order,), portal=late_index)
        for hours in (-25, -1, 1, 25):
            yield _cell(name, way, f"clock_{hours:+d}h-{what}", fault_orders=(order,), clock_skew_s=3600.0 * hours)
    for hours in (-1, 1):
        limited = way.doubt(mode="429", retry_after=1)
        yield _cell(name, way, f"clock_{hours:+d}h-429", fault_orders=(limited,), clock_skew_s=3600.0 * hours)
    # Every single answer in time, all of a lookup's together not.
    slow: FaultOrder = {"mode": "slow", "seconds": 0.45 * REQUEST_LIMIT_S, "methods": list(way.looking_up)}
    yield _cell(name, way, "lookups_slow-lost_answer", fault_orders=(way.doubt(), slow))
    yield _cell(name, way, "lookups_slow-reset", fault_orders=(way.doubt(mode="reset"), slow))
    for writes in (1, 3):
        yield _cell(name, way, f"log_fails_{writes}-lost_answer", fault_orders=(lost,), failing_writes=writes)


def _limits(name: str, way: Way) -> Iterator[Cell]:
    """The portal keeps its limits, and we keep to another one, or to its own; or it never takes the call."""
    tight, ours = {
        "bitrix24": ({"bucket_size": 2, "drain_per_second": 4.0}, {"burst": 2, "per_second": 4}),
        "kommo": ({"requests_per_second": 2, "flood": 3, "ban": 1.0}, {"burst": 1, "per_second": 1.8}),
    }[name]
    yield _cell(name, way, "limits_kept", portal=tight)
    yield _cell(
        name, way, "limits_kept-lost_answer", fault_orders=(way.doubt(),), portal=tight, settings={"rate_limit": ours}
    )
    always: FaultOrder = {"mode": "503", "methods": [next(iter(way.sending))]}
    always = {**always, "mode": {"bitrix24": "503", "kommo": "429"}[name], "retry_after": 1}
    deadline = {"deadline_hours": 2 / 3600}
    yield _cell(name, way, "deadline", fault_orders=(always,), settings=deadline, entries=0, dead_letters=1)


def _limited_recordings() -> Iterator[Cell]:
    """The portal limits what brings recordings; its calls go on all the same."""
    for name, tight in (
        ("bitrix24_recording", {"bucket_size": 2, "drain_per_second": 4.0}),
        ("kommo_recording", {"requests_per_second": 2, "flood": 30, "ban": 1.0}),
    ):
        yield _cell(name, WAYS[name], "limits_kept", portal=tight)


def _tasks(name: str, way: Way) -> Iterator[Cell]:
    """Workers killed and stopped at the steps that only ask, the local one too; lists that lag; versions that turn a
    missed call into a talk while its task is made."""
    for manner, (kind, wakes_after_s) in INTERRUPTIONS.items():
        for step in ("find_task", "check_task") if way.tasks == "missed" else ():
            for point in ("intent", "send", "answered", "kept"):
                once = Interruption(point, step, kind, wakes_after_s)
                yield _cell(name, way, f"{manner}-{step}-{point}", interruptions=(once,), settings=SHORT_SETTLE)
        if way.tasks == "missed":
            waiting = Interruption("kept", "await_contact", kind, wakes_after_s)
            yield _cell(name, way, f"{manner}-await_contact", interruptions=(waiting,), settings=SHORT_SETTLE)
    late_index = {"lookup_lag": 0.9 * SETTLE_S}
    yield _cell(name, way, "late_index-lost_answer", fault_orders=(way.doubt(times=2),), portal=late_index)
    duplicate = way.doubt(mode="duplicate", times=2)
    yield _cell(name, way, "late_index-duplicate", fault_orders=(duplicate,), portal=late_index)
    for hours in (-25, 25):
        yield _cell(name, way, f"clock_{hours:+d}h", fault_orders=(way.doubt(),), clock_skew_s=3600.0 * hours)
    for fault in ("lost_answer", "reset", "late_lost", "insufficient_scope"):
        order: FaultOrder = {**FAULTS[fault], "methods": [way.last]}
        yield _cell(name, way, f"revised-{fault}", fault_orders=(order,), revised_after_trouble=True)


def _revisions(name: str, way: Way) -> Iterator[Cell]:
    """A later version comes while the first one is under way: one of them stands there, and the log says which."""
    for operation, step in way.sending.items():
        for fault in ("500", "500_done", "503", "lost_answer", "reset", "html_504_done", "refuse"):
            order: FaultOrder = {**FAULTS[fault], "methods": [operation]}
            yield _cell(name, way, f"revised-{operation}-{fault}", fault_orders=(order,), revised_after_trouble=True)
        for manner, (kind, wakes_after_s) in INTERRUPTIONS.items():
            for point in ("send", "request", "answered"):
                interruptions = (Interruption(point, step, kind, wakes_after_s),)
                yield _cell(
                    name,
                    way,
                    f"revised-{manner}-{step}-{point}",
                    interruptions=interruptions,
                    revised_after_trouble=True,
                )


INTERRUPTIONS = {
    "kill": ("kill", 0.0),
    "nap": ("stop", 0.7 * REQUEST_LIMIT_S),
    "sleep": ("stop", 3.0 * REQUEST_LIMIT_S),
}
"""A nap ends while the stopped owner's request could still be sent; a sleep long after."""
SHORT_SETTLE = {"settle_seconds": 0.3 * SETTLE_S}
"""Less than a request lasts, so that only waiting for the owner before can have helped."""


def _interrupted_at_each_point(name: str, way: Way) -> Iterator[Cell]:
    for manner, (kind, wakes_after_s) in INTERRUPTIONS.items():
        for step in way.sending.values():
            for point in ("intent", "send", "request", "answered", "kept"):
                once = Interruption(point, step, kind, wakes_after_s)
                yield _cell(name, way, f"{manner}-{step}-{point}", interruptions=(once,), settings=SHORT_SETTLE)
                if way.brief:
                    continue
                again = Interruption(point, step, kind, wakes_after_s, skip=1)
                yield _cell(
                    name, way, f"{manner}_twice-{step}-{point}", interruptions=(once, again), settings=SHORT_SETTLE
                )
        for point in ("look_up", "looked_up") if way.looking_up else ():
            interrupted = Interruption(point, way.sending[way.last], kind, wakes_after_s)
            yield _cell(
                name,
                way,
                f"{manner}-{point}",
                fault_orders=(way.doubt(),),
                interruptions=(interrupted,),
                settings=SHORT_SETTLE,
            )


def _at_random(name: str, way: Way, count: int = 60) -> Iterator[Cell]:
    """Several things at once."""
    final = FINAL_FOR_WEBHOOKS if way.crm == "webhook" else ()
    curable = [
        one for one in FAULTS if one not in (*SENT_TWICE, "moved_away", *final) and (name, one) not in TRUSTED_REFUSALS
    ]
    for seed in range(1, count + 1):
        rng = Random(f"{name}:{seed}")
        fault_orders = tuple(
            {
                **FAULTS[fault],
                "methods": [rng.choice((*way.sending, *way.looking_up))],
                "probability": 0.5,
                "seed": rng.randrange(1000),
            }
            for fault in rng.sample(curable, rng.randint(1, 3))
        )
        points = ("intent", "send", "request", "answered", "kept", "look_up", "looked_up")
        interruptions = tuple(
            Interruption(
                rng.choice(points),
                rng.choice(tuple(way.sending.values())),
                *INTERRUPTIONS[rng.choice(tuple(INTERRUPTIONS))],
                skip=rng.randrange(2),
            )
            for _ in range(rng.randint(0, 2))
        )
        portal = {"lookup_lag": rng.choice((0.0, 0.0, 0.3, 0.8)) * SETTLE_S} if way.looking_up else {}
        clock_skew_s, revised_after_trouble = rng.choice((0.0, 0.0, 3600.0, -3600.0)), rng.random() < 0.3
        fields = {
            "fault_orders": fault_orders,
            "portal": portal,
            "interruptions": interruptions,
            "clock_skew_s": clock_skew_s,
            "revised_after_trouble": revised_after_trouble,
        }
        yield _cell(name, way, "random", seed, **fields)
