"""The figures of calls: counts by outcome, answer rate, time to answer, talk. Pure."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from streams.analysis.report.calls import Period, ReportCall
from streams.analysis.report.settled import Missed, Settled, Waiting, settled_calls, still_waiting
from streams.calls.outcome import Outcome

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Figures:
    """Of some calls. Seconds and percent; None: no call that it could be told of."""

    calls: int
    answered: int
    missed: int
    busy: int
    failed: int
    answered_percent: float | None
    wait_median_seconds: float | None
    """Seconds until a person talked that half of the answered calls did not exceed."""
    wait_90_seconds: float | None
    """The same of nine of ten."""
    talk_total_seconds: float
    talk_mean_seconds: float | None
    """Of answered calls."""


class Line(NamedTuple):
    """Figures of one group."""

    by: str
    """`total`, `day`, `hour`, `trunk`, `queue` or `extension`."""
    name: str | None
    direction: str | None
    """None: all."""
    figures: Figures


class Failure(NamedTuple):
    """Calls that reached nobody, for one reason on one trunk."""

    trunk: str | None
    result: int
    cause: int | None
    calls: int


@dataclass(frozen=True, slots=True)
class Report:
    """All that is told of a period."""

    period: Period
    calls: Sequence[ReportCall]
    missed: Sequence[Missed]
    waiting: Sequence[Waiting]
    lines: Sequence[Line]
    failures: Sequence[Failure]

    @property
    def edges(self) -> dict[str, str]:
        """`since` and `until` as people read them, on the clock of the last call's PBX."""
        offset = self.calls[-1].utc_offset_seconds if self.calls else None
        return {"since": self.period.since.shown(offset), "until": self.period.until.shown(offset)}


def report_of(known: Iterable[ReportCall], period: Period, pbx: str | None) -> Report:
    """The report of a period; `known`: every call since it began, also after it; `pbx`: of this PBX only.

    A client who was talked with at another PBX does not wait.
    """
    until_now = sorted((each for each in known if period.begun(each)), key=lambda each: (each.started_at, each.call_id))
    calls = [each for each in until_now if period.holds(each) and pbx in (None, each.pbx)]
    missed = settled_calls(calls, until_now)
    waiting = still_waiting(missed, until_now)
    return Report(period, calls, missed, waiting, list(lines_of(calls)), failures_of(calls))


def figures_of(calls: Iterable[ReportCall]) -> Figures:
    """The figures of these calls."""
    known = list(calls)
    counts = Counter(each.outcome for each in known)
    waits = sorted(each.wait_seconds for each in known if each.wait_seconds is not None)
    talks = [each.talk_seconds for each in known if each.talk_seconds is not None]
    answered = counts[Outcome.ANSWERED]
    return Figures(
        len(known), answered, counts[Outcome.MISSED], counts[Outcome.BUSY], counts[Outcome.FAILED],
        answered_percent=100 * answered / len(known) if known else None,
        wait_median_seconds=quantile(waits, 0.5),
        wait_90_seconds=quantile(waits, 0.9),
        talk_total_seconds=sum(talks),
        talk_mean_seconds=sum(talks) / len(talks) if talks else None,
    )  # fmt: skip


def quantile(ordered: Sequence[float], share: float) -> float | None:
    """The value that this share does not exceed, between two values by their distance, as vega-lite has it."""
    if not ordered:
        return None
    place = share * (len(ordered) - 1)
    below = int(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (place - below)


def lines_of(calls: Sequence[ReportCall]) -> Iterator[Line]:
    """The figures of each group; of trunks, queues and extensions those with the most calls first."""
    yield Line("total", None, None, figures_of(calls))
    yield from _lines("direction", calls, lambda call: (None, call.direction))
    yield from _lines("day", calls, lambda call: (day_name(call.day), None))
    yield from _lines("hour", calls, lambda call: (f"{call.hour:02}", None))
    for by in ("trunk", "queue", "extension"):
        groups = _lines(by, calls, lambda call, by=by: (getattr(call, by), call.direction))  # type: ignore[misc]
        yield from sorted(groups, key=lambda line: -line.figures.calls)


def _lines(
    by: str, calls: Iterable[ReportCall], key: Callable[[ReportCall], tuple[str | None, str | None]]
) -> Iterator[Line]:
    groups: dict[tuple[str | None, str | None], list[ReportCall]] = defaultdict(list)
    for call in calls:
        groups[key(call)].append(call)
    for name, direction in sorted(groups, key=lambda each: (each[0] or "", each[1] or "")):
        if name is not None or by == "direction":
            yield Line(by, name, direction, figures_of(groups[name, direction]))


def failures_of(calls: Iterable[ReportCall]) -> list[Failure]:
    """Why calls reached nobody, the most frequent reason first."""
    found = Counter((each.trunk, each.result, each.cause) for each in calls if each.outcome == Outcome.FAILED)
    failures = [Failure(*reason, count) for reason, count in found.items()]
    return sorted(failures, key=lambda each: (-each.calls, each.trunk or "", each.result, each.cause or 0))


def settled_counts(missed: Iterable[Missed]) -> dict[str, Any]:
    """How many missed calls ended in which way, and after how many seconds half of them."""
    known = list(missed)
    counts = Counter(each.settled for each in known)
    told: dict[str, Any] = {"calls": len(known), **{str(how): counts[how] for how in Settled}}
    for how in (Settled.CALLED_BACK, Settled.CALLED_AGAIN):
        after = sorted(each.after_seconds or 0 for each in known if each.settled is how)
        told[f"{how}_median_seconds"] = quantile(after, 0.5)
    return told


def day_name(day: int) -> str:
    """A day from 1970 as 2026-11-25."""
    return (_EPOCH + timedelta(days=day)).strftime("%Y-%m-%d")
