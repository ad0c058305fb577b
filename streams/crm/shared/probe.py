"""The probe of a trial portal: what only a portal can tell, tried with calls that are marked as tests.

A CRM offers its probe as `CrmKind.probe`, which names a `CrmProbe`; `cel2crm portal probe` runs it. What it expects is
the behaviour of the CRM's fake (deploy/fake_crms), so that a difference names the place of the fake that is wrong.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from enum import StrEnum

from streams.clock import BootSeconds
from streams.crm.registry import kind_of, load_of
from streams.crm.shared.client import Pace
from streams.crm.shared.tokens import TokenSource
from streams.errors import UserError
from streams.settings import PortalSettings

PREFIX = "cel2crm-probe-"
"""The beginning of the ids and names of what a probe makes; nothing is removed that cannot be traced to it."""

NUMBER = "+447700900917"
"""The client's number of test calls: of the range that the United Kingdom keeps for fiction, which nobody ever has."""
LINE = "+447700900900"
"""The line of test calls, of the same range."""


class Outcome(StrEnum):
    """How a point ended."""

    SAME = "same"
    """The portal does what the fake does."""
    DIFFERENT = "different"
    NOT_DONE = "not_done"
    """It was tried, or was to be, and could not be told."""
    LEFT_OUT = "left_out"
    """The portal's settings do not let it be tried, or nobody asked for it."""


@dataclass(frozen=True, slots=True)
class FakeBehaviour:
    """What the fake does, and where that stands."""

    file: str
    """From the repository's root."""
    name: str
    """The setting, constant or function there."""
    words: str


@dataclass(frozen=True, slots=True)
class Point:
    """One thing that only a portal can tell. Numbers are those of docs/crms-live.md, the same at all CRMs."""

    number: int
    question: str
    expected: FakeBehaviour


@dataclass(frozen=True, slots=True)
class PointResult:
    """What became of a point. Texts of the portal are in it as they came: whoever shows it makes them safe."""

    point: Point
    outcome: Outcome
    words: str
    """What the portal did, or why it could not be told."""
    follows: str = ""
    """What that means to the product, where it is different."""
    details: tuple[str, ...] = ()


class Fate(StrEnum):
    """What became of a thing that a probe made."""

    THERE = "there"
    """It is there, and will be looked after at the end."""
    REMOVED = "removed"
    STAYS = "stays"
    """The vendor has no way to remove it, or did not let us."""


@dataclass(frozen=True, slots=True)
class Made:
    """A thing that a probe made in the portal."""

    what: str
    id: str
    where: str = ""
    """Its address within the portal, where a person finds it."""
    fate: Fate = Fate.THERE
    why: str = ""


@dataclass(slots=True)
class ProbeReport:
    """What a probe found and made so far. `changed` is called after each change, so that a report can be kept."""

    changed: Callable[[], None] = lambda: None
    results: list[PointResult] = field(default_factory=list)
    made: list[Made] = field(default_factory=list)

    def add(self, result: PointResult) -> None:
        """A point is over."""
        self.results.append(result)
        self.changed()

    def make(self, what: str, thing_id: str, where: str = "") -> None:
        """A thing was made. The same one twice counts once."""
        if not any((each.what, each.id) == (what, thing_id) for each in self.made):
            self.made.append(Made(what, thing_id, where))
            self.changed()

    def lost(self, what: str, mark: str) -> None:
        """A request that makes a thing had no answer: the thing may be there, under an id that nobody knows."""
        self.settle(what, mark, Fate.STAYS, "no answer told whether it was made: look for it by this mark")

    def settle(self, what: str, thing_id: str, fate: Fate, why: str = "") -> None:
        """Say what became of a thing that was made, now or by an earlier probe."""
        self.make(what, thing_id)
        self.made = [
            replace(each, fate=fate, why=why) if (each.what, each.id) == (what, thing_id) else each
            for each in self.made
        ]
        self.changed()


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeRequest:
    """A portal to be probed."""

    portal: PortalSettings
    tokens: TokenSource | None
    """Where it uses OAuth."""
    pace: Pace
    """Awaited before each request: the portal's rate."""
    until: BootSeconds
    """Nothing goes out after this time."""
    marker: str
    """PREFIX, and what tells this run from others; at most 40 characters."""
    report: ProbeReport
    number: str = NUMBER
    user: str = ""
    """CRM user id that test calls belong to; empty: the settings' default_user, else the owner of the authorisation."""
    inner: str = ""
    """An inner number that nobody has; empty: one is looked for."""
    token_server: str = ""
    """Host of the authorisation server that issued the tokens; empty: not known."""
    points: frozenset[int] = frozenset()
    """Numbers of the points to be tried; empty: all."""

    def wants(self, point: Point) -> bool:
        """Whether a point is to be tried."""
        return not self.points or point.number in self.points


@dataclass(frozen=True, slots=True, kw_only=True)
class CrmProbe:
    """A CRM's probe."""

    points: tuple[Point, ...]
    writes: str
    """What it makes in the portal and what of that stays, in one sentence, for the question before it begins."""
    run: Callable[[ProbeRequest], Awaitable[None]]
    """Tries the points that are wanted and adds a result for each of them to the request's report, then removes what
    it made as far as the vendor lets it, and what earlier probes left. Raises SettingsError for settings that cannot
    be used."""


class CannotProbe(Exception):
    """Why a point could not be tried to its end."""


class AnswerLost(CannotProbe):
    """The request went out, and may have had its effect."""


def probe_of(crm: str) -> CrmProbe | None:
    """A CRM's probe; None: it offers none. Raises UserError: its package cannot be used."""
    reference = kind_of(crm).probe
    if not reference:
        return None
    found = load_of(crm, reference, "be probed")
    if not isinstance(found, CrmProbe):
        raise UserError(f"CRM {crm} cannot be probed: {reference} is not a CrmProbe")
    return found


def probe_for(portal: PortalSettings, points: frozenset[int] = frozenset()) -> CrmProbe:
    """The probe of a portal that may be probed. Raises UserError: it may not, or there is none, or not these points."""
    probe = probe_of(portal.crm)
    if probe is None:
        raise UserError(
            f"portal {portal.name}: there is no probe for {portal.kind.title}, for nothing is known that only such a "
            "portal could tell"
        )
    if not portal.trial:
        raise UserError(
            f"portal {portal.name} is not marked as a trial: a probe makes test calls, so nothing was sent",
            "Only for an account that nobody works with: set `trial: true` at the portal.",
        )
    if unknown := sorted(points - {point.number for point in probe.points}):
        known = ", ".join(str(point.number) for point in probe.points)
        raise UserError(f"{portal.kind.title} has no point {unknown[0]}", f"Its points: {known}.")
    return probe


async def probe_portal(request: ProbeRequest) -> None:
    """Run the probe; the request's report then has a result for each of its points, whatever happens.

    Raises UserError: the portal may not be probed, or its settings cannot be used.
    """
    probe, report = probe_for(request.portal, request.points), request.report
    why = "the probe ended before it came to this"
    try:
        await probe.run(request)
    except UserError:
        raise
    except CannotProbe as error:
        why = str(error)
    except Exception as error:  # a foreign package's, or ours: what was found so far is worth telling
        why = f"the probe broke: {error!r}"
    told = {result.point.number for result in report.results}
    for point in probe.points:
        if point.number not in told:
            wanted = request.wants(point)
            outcome = Outcome.NOT_DONE if wanted else Outcome.LEFT_OUT
            report.add(PointResult(point, outcome, why if wanted else "not asked for"))
    report.results.sort(key=lambda result: result.point.number)


async def tried(request: ProbeRequest, point: Point, attempt: Callable[[], Awaitable[PointResult]]) -> None:
    """Try one point, if it is wanted, and add its result; one that cannot be tried stops no other."""
    if not request.wants(point):
        return
    try:
        result = await attempt()
    except CannotProbe as error:
        result = PointResult(point, Outcome.NOT_DONE, str(error))
    request.report.add(result)
