"""The matrix as data: what goes wrong, at which step, and what must be the end of it."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from random import Random
from typing import Any

from tests.faults.portal_faults import FAULTS, REQUEST_LIMIT, SETTLE, TWICE, Order


@dataclass(frozen=True, slots=True)
class Mishap:
    """What befalls the worker at a point of a step (see owner.POINTS, and `request`: while the portal has it)."""

    point: str
    step: str
    manner: str
    """`kill`, or `stop`: another owner takes over, and the stopped one wakes up after `wakes` seconds."""
    wakes: float = 0.0
    skip: int = 0


@dataclass(frozen=True, slots=True)
class Cell:
    """One bad night."""

    crm: str
    name: str
    seed: int = 0
    orders: tuple[Order, ...] = ()
    portal: Mapping[str, Any] = field(default_factory=dict)
    """Settings of the fake portal."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """Settings of ours for it."""
    skew: float = 0.0
    """Seconds by which the portal's clock is ahead."""
    mishaps: tuple[Mishap, ...] = ()
    failing_writes: int = 0
    revised: bool = False
    """A later version of each call comes as soon as something went wrong."""
    later: str = ""
    """A later version of each call comes when it is delivered, and is told in the `entry`, or `beside` it."""
    call: Mapping[str, Any] = field(default_factory=dict)
    """Fields of its calls."""
    contacts: int | None = None
    """How many contacts there are for each number, where that is known."""
    entries: int = 1
    """How often each call stands in the portal at the end: once, where the product can help it."""
    dead_letters: int = 0

    @property
    def id(self) -> str:
        """What repeats it: `python -m tests.faults ID`."""
        return f"{self.crm}:{self.name}:{self.seed}"


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
    """What all its calls are."""
    questions: bool = False
    """What is sent only asks: the call goes on without an answer."""
    later: str = ""
    """What is sent tells a later version of a delivered call: in the `entry`, or `beside` it."""

    @property
    def last(self) -> str:
        """The operation whose unknown outcome is looked up."""
        return tuple(self.sending)[-1]

    def doubt(self, **fault: Any) -> Order:
        """What makes the product look up."""
        return {"mode": "lost_answer", "methods": [self.last], "times": 1, **fault}


STRICT = {"strict_contacts": True}
WAYS: Mapping[str, Way] = {
    "bitrix24": Way("bitrix24", {"register": "register", "finish": "finish"}, ("statistic.get",)),
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
    "kommo": Way("kommo", {"calls": "call"}, ("notes",)),
    "kommo_contact": Way(
        "kommo", {"post contacts": "contact"}, ("get contacts",), STRICT, {"unknown_number": "create_contact"}
    ),
    "kommo_lead": Way("kommo", {"leads": "lead"}, ("get contacts",), STRICT, {"unknown_number": "create_lead"}),
    "kommo_unsorted": Way(
        "kommo",
        {"post unsorted": "unsorted"},
        ("get unsorted", "notes"),
        STRICT,
        {"unknown_number": "unsorted"},
        {"direction": "incoming"},
    ),
    "kommo_update": Way(
        "kommo", {"edit_notes": "update"}, ("notes",), settings={"on_revision": "update"}, later="entry"
    ),
    "kommo_text": Way(
        "kommo", {"add_notes": "text_note"}, ("notes",), settings={"on_revision": "note"}, later="beside"
    ),
    "bitrix24_comment": Way(
        "bitrix24",
        {"comment.add": "comment"},
        ("comment.list",),
        settings={"on_revision": "note"},
        call={"direction": "outgoing"},
        later="beside",
    ),
    "webhook": Way("webhook", {"post": "post"}),
}

NOT_COMPARED = ("call", "contact", "lead", "unsorted", "register_finish")
ENTERING = ("call", "unsorted", "register_finish")
FINAL_FOR_WEBHOOKS = ("portal_deleted", "gateway_json_400", "gateway_json_400_done", "garbage", "empty")
"""Of any receiver the status alone decides: 410 wants no more calls, 400 refuses this one, 200 has taken it."""
BELIEVED = {("bitrix24_batch", "503_done")}
"""Documented as a refusal before anything is done; a finish alone survives even a portal that lies about that."""


def cells() -> Iterator[Cell]:
    """The whole matrix."""
    for name, way in WAYS.items():
        if not way.later:  # else tests/crm/test_every_fault.py
            yield from _each_fault_at_each_step(name, way)
            if way.looking_up:
                yield from _late_index_and_wrong_clock(name, way)
        yield from _mishaps(name, way)
    for name in ("bitrix24", "kommo"):
        yield from _limits(name, WAYS[name])
    for name in ("bitrix24", "bitrix24_batch", "kommo", "webhook"):
        yield from _revisions(name, WAYS[name])
        yield from _at_random(name, WAYS[name])


def _cell(name: str, way: Way, what: str, seed: int = 0, **fields: Any) -> Cell:
    portal, settings = {**way.portal, **fields.pop("portal", {})}, {**way.settings, **fields.pop("settings", {})}
    return Cell(
        way.crm, f"{name}-{what}", seed, portal=portal, settings=settings, call=way.call, later=way.later, **fields
    )


def _each_fault_at_each_step(name: str, way: Way) -> Iterator[Cell]:
    for operation in way.sending:
        for fault, order in FAULTS.items():
            if (way.crm == "webhook" and fault in FINAL_FOR_WEBHOOKS) or (name, fault) in BELIEVED:
                continue
            twice = fault in TWICE and way.sending[operation] in NOT_COMPARED
            entries = 1 + (twice and way.sending[operation] in ENTERING)
            orders = ({**order, "methods": [operation]},)
            contacts = None if way.sending[operation] == "unsorted" else 1 + twice
            yield _cell(name, way, f"{operation}-{fault}", orders=orders, entries=entries, contacts=contacts)
        refused: Order = {"mode": "400", "methods": [operation]}
        if not way.questions:
            yield _cell(name, way, f"{operation}-refused", orders=(refused,), entries=0, dead_letters=1)
    for number, operation in enumerate(way.looking_up):
        # What is found at the first place is not looked for at the second one.
        doubt = way.doubt(mode="reset" if number else "lost_answer")
        for fault, order in FAULTS.items():
            yield _cell(name, way, f"{operation}-{fault}", orders=(doubt, {**order, "methods": [operation]}))


def _late_index_and_wrong_clock(name: str, way: Way) -> Iterator[Cell]:
    lost, not_done = way.doubt(times=2), way.doubt(mode="reset", times=2)
    late_index = {"lookup_lag": 0.9 * SETTLE}
    late = way.doubt(mode="late_lost", seconds=0.8 * REQUEST_LIMIT)
    yield _cell(name, way, "late_index-late", orders=(late, way.doubt()), portal=late_index)
    if name == "bitrix24":
        yield _cell(
            name, way, "late_index-duplicate", orders=(way.doubt(mode="duplicate", times=2),), portal=late_index
        )
    done = way.doubt(mode="500", effect=True)
    for what, order in (("lost_answer", lost), ("reset", not_done), ("500_done", done)):
        yield _cell(name, way, f"late_index-{what}", orders=(order,), portal=late_index)
        for hours in (-25, -1, 1, 25):
            yield _cell(name, way, f"clock_{hours:+d}h-{what}", orders=(order,), skew=3600.0 * hours)
    for hours in (-1, 1):
        told = way.doubt(mode="429", retry_after=1)
        yield _cell(name, way, f"clock_{hours:+d}h-429", orders=(told,), skew=3600.0 * hours)
    # Every single answer in time, all of a lookup's together not.
    slow: Order = {"mode": "slow", "seconds": 0.45 * REQUEST_LIMIT, "methods": list(way.looking_up)}
    yield _cell(name, way, "lookups_slow-lost_answer", orders=(way.doubt(), slow))
    yield _cell(name, way, "lookups_slow-reset", orders=(way.doubt(mode="reset"), slow))
    for writes in (1, 3):
        yield _cell(name, way, f"log_fails_{writes}-lost_answer", orders=(lost,), failing_writes=writes)


def _limits(name: str, way: Way) -> Iterator[Cell]:
    """The portal keeps its limits, and we keep to another one, or to its own; or it never takes the call."""
    tight, ours = {
        "bitrix24": ({"bucket_size": 2, "drain_per_second": 4.0}, {"burst": 2, "per_second": 4}),
        "kommo": ({"requests_per_second": 2, "flood": 3, "ban": 1.0}, {"burst": 1, "per_second": 1.8}),
    }[name]
    yield _cell(name, way, "limits_kept", portal=tight)
    yield _cell(
        name, way, "limits_kept-lost_answer", orders=(way.doubt(),), portal=tight, settings={"rate_limit": ours}
    )
    always: Order = {"mode": "503", "methods": [next(iter(way.sending))]}
    always = {**always, "mode": {"bitrix24": "503", "kommo": "429"}[name], "retry_after": 1}
    deadline = {"deadline_hours": 2 / 3600}
    yield _cell(name, way, "deadline", orders=(always,), settings=deadline, entries=0, dead_letters=1)


def _revisions(name: str, way: Way) -> Iterator[Cell]:
    """A later version comes while the first one is under way: one of them stands there, and the log says which."""
    for operation, step in way.sending.items():
        for fault in ("500", "500_done", "503", "lost_answer", "reset", "html_504_done", "refuse"):
            order: Order = {**FAULTS[fault], "methods": [operation]}
            yield _cell(name, way, f"revised-{operation}-{fault}", orders=(order,), revised=True)
        for manner, (kind, wakes) in MANNERS.items():
            for point in ("send", "request", "answered"):
                mishaps = (Mishap(point, step, kind, wakes),)
                yield _cell(name, way, f"revised-{manner}-{step}-{point}", mishaps=mishaps, revised=True)


MANNERS = {"kill": ("kill", 0.0), "nap": ("stop", 0.7 * REQUEST_LIMIT), "sleep": ("stop", 3.0 * REQUEST_LIMIT)}
"""A nap ends while the stopped owner's request could still be sent; a sleep long after."""
HASTY = {"settle_seconds": 0.3 * SETTLE}
"""Less than a request lasts, so that only waiting for the owner before can have helped."""


def _mishaps(name: str, way: Way) -> Iterator[Cell]:
    for manner, (kind, wakes) in MANNERS.items():
        for step in way.sending.values():
            for point in ("intent", "send", "request", "answered", "kept"):
                once = Mishap(point, step, kind, wakes)
                yield _cell(name, way, f"{manner}-{step}-{point}", mishaps=(once,), settings=HASTY)
                again = Mishap(point, step, kind, wakes, skip=1)
                yield _cell(name, way, f"{manner}_twice-{step}-{point}", mishaps=(once, again), settings=HASTY)
        for point in ("look_up", "looked_up") if way.looking_up else ():
            struck = Mishap(point, way.sending[way.last], kind, wakes)
            yield _cell(name, way, f"{manner}-{point}", orders=(way.doubt(),), mishaps=(struck,), settings=HASTY)


def _at_random(name: str, way: Way, count: int = 60) -> Iterator[Cell]:
    """Several things at once."""
    final = FINAL_FOR_WEBHOOKS if way.crm == "webhook" else ()
    curable = [one for one in FAULTS if one not in (*TWICE, "moved_away", *final) and (name, one) not in BELIEVED]
    for seed in range(1, count + 1):
        rng = Random(f"{name}:{seed}")
        orders = tuple(
            {
                **FAULTS[fault],
                "methods": [rng.choice((*way.sending, *way.looking_up))],
                "probability": 0.5,
                "seed": rng.randrange(1000),
            }
            for fault in rng.sample(curable, rng.randint(1, 3))
        )
        points = ("intent", "send", "request", "answered", "kept", "look_up", "looked_up")
        mishaps = tuple(
            Mishap(
                rng.choice(points),
                rng.choice(tuple(way.sending.values())),
                *MANNERS[rng.choice(tuple(MANNERS))],
                skip=rng.randrange(2),
            )
            for _ in range(rng.randint(0, 2))
        )
        portal = {"lookup_lag": rng.choice((0.0, 0.0, 0.3, 0.8)) * SETTLE} if way.looking_up else {}
        skew, revised = rng.choice((0.0, 0.0, 3600.0, -3600.0)), rng.random() < 0.3
        fields = {"orders": orders, "portal": portal, "mishaps": mishaps, "skew": skew, "revised": revised}
        yield _cell(name, way, "random", seed, **fields)
