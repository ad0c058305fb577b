"""The plots of the page as vega-lite, made by altair: over one data set, `calls`, that the page's filters refill.

The fields of `calls` are those of page.py (`rows`). Text and axes have no colour here: page.css gives it, light, dark
and in print.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import altair as alt

from streams.analysis.report.words import Words

OUTCOME_COLOURS = {"answered": "#2a9d8f", "missed": "#e9803a", "busy": "#d9b13b", "failed": "#8a8f98"}
SETTLED_COLOURS = {"called_back": "#2a9d8f", "called_again": "#6f8fd8", "waiting": "#d1495b", "no_number": "#8a8f98"}
DIRECTION_COLOURS = {"incoming": "#4a7fd0", "outgoing": "#2a9d8f", "internal": "#a07cc5", "unknown": "#8a8f98"}
_TALK = "#4a7fd0"
_FAILED = "#d1495b"

DELAYS = ("within_15_min", "within_1_h", "within_4_h", "within_1_day", "later", "not_yet")
_MOST = 15


@dataclass(frozen=True, slots=True)
class Plot:
    """One plot of the page."""

    name: str
    """Its title in texts.yaml."""
    needs: tuple[str, ...]
    """Fields of which some call must have all, or there is nothing to draw."""
    spec: dict[str, Any]
    legend: tuple[tuple[str, str], ...] = ()
    """Words and their colours; on the page, for vega's own legend is cut on a telephone."""
    notes: tuple[str, ...] = ()
    """Sentences of texts.yaml below it."""
    wide: bool = False


@dataclass(frozen=True, slots=True)
class Scope:
    """What the calls hold, as far as plots differ by it."""

    days: Sequence[str]
    """Every day from the first call's to the last one's."""
    lengths: Sequence[str]
    """Names of the lengths of talk, the shortest first."""
    directions: Mapping[str, frozenset[str]]
    """Of the calls that have a trunk, a queue, an extension."""
    names: Mapping[str, int]
    """How many trunks, queues and extensions there are."""


def plots_of(words: Words, scope: Scope) -> list[Plot]:
    """The plots in their order."""
    days, lengths = scope.days, scope.lengths
    outcomes = _legend(words, OUTCOME_COLOURS)
    hours = [f"{hour:02}" for hour in range(24)]
    found = [
        Plot("by_day", (), _outcomes(words, "day", days), outcomes, wide=len(days) > 14),
        Plot("by_hour", (), _outcomes(words, "hour", hours), outcomes),
    ]
    for by in ("trunk", "queue", "extension"):
        colours = {name: colour for name, colour in DIRECTION_COLOURS.items() if name in scope.directions[by]}
        directions = _legend(words, colours)
        most = ("most_note",) if scope.names[by] > _MOST else ()
        found.append(Plot(f"rate_by_{by}", (by,), _rate(words, by), directions, most))
        found.append(Plot(f"wait_by_{by}", (by, "wait"), _wait(words, by), directions, ("wait_note", *most)))
    found += [
        Plot("settled_by_delay", ("settled",), _settled(words), _legend(words, SETTLED_COLOURS), ("settled_note",)),
        Plot("failures_by_trunk", ("reason",), _failures(words), notes=("failures_note",)),
        Plot("talk_lengths", ("talk",), _lengths(words, lengths), notes=("talk_note",)),
        Plot("talk_by_extension", ("talk", "extension"), _talk(words), notes=("talk_note", *most)),
    ]
    return found


def _legend(words: Words, colours: dict[str, str]) -> tuple[tuple[str, str], ...]:
    return tuple((words[name], colour) for name, colour in colours.items())


def _chart() -> alt.Chart:
    return alt.Chart(alt.NamedData("calls"))


def _spec(chart: Any, height: Any) -> dict[str, Any]:
    """The plot as JSON, as wide as its place."""
    spec: dict[str, Any] = (
        chart.properties(width="container", height=height)
        .configure(
            background="transparent",
            font="inherit",
            view=alt.ViewConfig(stroke=None),
            axis=alt.AxisConfig(labelLimit=150, titleFontWeight="normal", domain=False),
        )
        .to_dict()
    )
    return spec


def _colour(field: str, words: Words, colours: dict[str, str]) -> alt.Color:
    scale = alt.Scale(domain=[words[name] for name in colours], range=list(colours.values()))
    return alt.Color(f"{field}:N", scale=scale, legend=None)


def _count(words: Words) -> alt.Y:
    return alt.Y("calls:Q", title=words["calls"], axis=alt.Axis(tickMinStep=1, tickCount=5))


def _outcomes(words: Words, field: str, domain: Sequence[str]) -> dict[str, Any]:
    order = [words[name] for name in OUTCOME_COLOURS]
    chart = (
        _chart()
        .transform_aggregate(calls="count()", groupby=[field, "outcome"])
        .transform_calculate(order=f"indexof({json.dumps(order)}, datum.outcome)")
        .mark_bar()
        .encode(
            x=alt.X(
                f"{field}:O", title=None, scale=alt.Scale(domain=list(domain)),
                axis=alt.Axis(labelOverlap=True, labelAngle=0, labelExpr=_short(field)),
            ),
            y=_count(words),
            color=_colour("outcome", words, OUTCOME_COLOURS),
            order=alt.Order("order:Q"),
            tooltip=[_tip(field, words[field]), _tip("outcome", words["outcome"]), _tip("calls", words["calls"], "Q")],
        )
    )  # fmt: skip
    return _spec(chart, 220)


def _short(field: str) -> str:
    """A label of the axis: of a day its month and day."""
    return "slice(datum.label, 5)" if field == "day" else "datum.label"


def _tip(field: str, title: str, kind: str = "N", form: str | None = None) -> alt.Tooltip:
    return alt.Tooltip(f"{field}:{kind}", title=title, format=form or alt.Undefined)


def _by_most(chart: alt.Chart, by: str) -> alt.Chart:
    """The calls of the names with the most calls."""
    return (
        chart.transform_filter(f"isValid(datum.{by})")
        .transform_joinaggregate(total="count()", groupby=[by])
        .transform_window(rank="dense_rank()", sort=[alt.SortField("total", order="descending"), alt.SortField(by)])
        .transform_filter(f"datum.rank <= {_MOST}")
    )


def _names(by: str) -> alt.Y:
    order = alt.EncodingSortField(field="total", op="max", order="descending")
    return alt.Y(f"{by}:N", sort=order, title=None)


_STEP = {"step": 14, "for": "offset"}


def _rate(words: Words, by: str) -> dict[str, Any]:
    chart = (
        _by_most(_chart(), by)
        .transform_aggregate(calls="count()", answered="sum(answered)", total="max(total)", groupby=[by, "direction"])
        .transform_calculate(rate="datum.answered / datum.calls")
        .mark_bar()
        .encode(
            y=_names(by),
            yOffset=alt.YOffset("direction:N", scale=alt.Scale(paddingOuter=0.2)),
            x=alt.X("rate:Q", title=None, scale=alt.Scale(domain=[0, 1]), axis=alt.Axis(format=".0%", tickCount=5)),
            color=_colour("direction", words, DIRECTION_COLOURS),
            tooltip=[
                _tip(by, words[by]), _tip("direction", words["direction"]),
                _tip("rate", words["answer_rate"], "Q", ".0%"), _tip("calls", words["calls"], "Q"),
            ],
        )
    )  # fmt: skip
    return _spec(chart, _STEP)


def _wait(words: Words, by: str) -> dict[str, Any]:
    asked = _by_most(_chart().transform_filter("isValid(datum.wait)"), by).transform_quantile(
        "wait", groupby=[by, "direction", "total"], probs=[0.5, 0.9], as_=["share", "seconds"]
    )
    place = {
        "y": _names(by),
        "yOffset": alt.YOffset("direction:N", scale=alt.Scale(paddingOuter=0.2)),
        "x": alt.X("seconds:Q", title=words["seconds"], axis=alt.Axis(tickCount=5), scale=alt.Scale(zero=True)),
        "color": _colour("direction", words, DIRECTION_COLOURS),
    }
    tips = [_tip(by, words[by]), _tip("direction", words["direction"])]
    half = asked.transform_filter("datum.share == 0.5").mark_bar()
    nine = asked.transform_filter("datum.share == 0.9").mark_tick(thickness=3, size=14, opacity=1)
    chart = half.encode(**place, tooltip=[*tips, _tip("seconds", words["median"], "Q", ".1f")]) + nine.encode(
        **place, tooltip=[*tips, _tip("seconds", words["nine_of_ten"], "Q", ".1f")]
    )
    return _spec(chart, _STEP)


def _settled(words: Words) -> dict[str, Any]:
    domain = [words[name] for name in DELAYS]
    chart = (
        _chart()
        .transform_filter("isValid(datum.settled)")
        .transform_aggregate(calls="count()", groupby=["delay", "settled"])
        .mark_bar()
        .encode(
            y=alt.Y("delay:N", title=None, sort=domain, scale=alt.Scale(domain=domain)),
            x=alt.X("calls:Q", title=words["calls"], axis=alt.Axis(tickMinStep=1, tickCount=5)),
            color=_colour("settled", words, SETTLED_COLOURS),
            tooltip=[
                _tip("delay", words["settled_after"]), _tip("settled", words["settled"]),
                _tip("calls", words["calls"], "Q"),
            ],
        )
    )  # fmt: skip
    return _spec(chart, {"step": 26})


def _failures(words: Words) -> dict[str, Any]:
    base = (
        _chart()
        .transform_filter("isValid(datum.reason)")
        .transform_calculate(via="isValid(datum.trunk) ? datum.trunk : '-'")
        .transform_aggregate(calls="count()", groupby=["via", "reason"])
        .transform_joinaggregate(total="sum(calls)", groupby=["reason"])
        .encode(
            x=alt.X("via:N", title=None, axis=alt.Axis(orient="top", labelAngle=0, labelLimit=110, labelOverlap=True)),
            y=alt.Y(
                "reason:N", title=None, axis=alt.Axis(labelLimit=190),
                sort=alt.EncodingSortField(field="total", op="max", order="descending"),
            ),
            tooltip=[
                _tip("via", words["trunk"]), _tip("reason", words["reason"]), _tip("calls", words["calls"], "Q"),
            ],
        )
    )  # fmt: skip
    shade = alt.Opacity("calls:Q", scale=alt.Scale(range=[0.15, 0.8], zero=True), legend=None)
    return _spec(
        base.mark_rect(color=_FAILED).encode(opacity=shade) + base.mark_text().encode(text="calls:Q"), {"step": 26}
    )


def _lengths(words: Words, lengths: Sequence[str]) -> dict[str, Any]:
    chart = (
        _chart()
        .transform_filter("isValid(datum.length)")
        .transform_aggregate(calls="count()", groupby=["length"])
        .mark_bar(color=_TALK)
        .encode(
            y=alt.Y("length:N", title=None, sort=list(lengths), scale=alt.Scale(domain=list(lengths))),
            x=alt.X("calls:Q", title=words["calls"], axis=alt.Axis(tickMinStep=1, tickCount=5)),
            tooltip=[_tip("length", words["talk"]), _tip("calls", words["calls"], "Q")],
        )
    )
    return _spec(chart, {"step": 26})


def _talk(words: Words) -> dict[str, Any]:
    chart = (
        _by_most(_chart().transform_filter("isValid(datum.talk)"), "extension")
        .transform_aggregate(talk="sum(talk)", calls="count()", mean="mean(talk)", groupby=["extension"])
        .transform_calculate(minutes="datum.talk / 60")
        .mark_bar(color=_TALK)
        .encode(
            y=alt.Y("extension:N", title=None, sort="-x"),
            x=alt.X("minutes:Q", title=words["minutes"], axis=alt.Axis(tickCount=5)),
            tooltip=[
                _tip("extension", words["extension"]), _tip("minutes", words["minutes"], "Q", ".1f"),
                _tip("calls", words["calls"], "Q"), _tip("mean", words["talk_mean"], "Q", ".0f"),
            ],
        )
    )  # fmt: skip
    return _spec(chart, {"step": 20})
