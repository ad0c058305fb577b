"""The report as one page: figures, plots and their scripts in one file, for a browser that needs no network.

What callers chose (numbers, names of trunks and queues) is data here, never markup or script: it stands in a block of
JSON in which no `<` is left, page.js puts it in as text, and the page's policy lets a browser run these scripts alone.
"""

from base64 import b64encode
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from html import escape
from importlib.resources import files
from itertools import pairwise
from string import Template
from typing import Any

import orjson
import vl_convert

from streams.analysis.report.calls import ReportCall
from streams.analysis.report.figures import Report, day_name
from streams.analysis.report.plots import DELAYS, Plot, Scope, plots_of
from streams.analysis.report.settled import Missed, Waiting
from streams.analysis.report.words import Words
from streams.clock import UtcMicros, local_time
from streams.operations.masking import masked_text
from streams.printable import printable

_DELAY_SECONDS = (15 * 60, 3600, 4 * 3600, 24 * 3600)
_LENGTH_SECONDS = (10, 30, 60, 180, 600, 1800)
_NAMED = ("trunk", "queue", "extension")
_FILTERS = ("direction", "trunk", "queue", "extension", "pbx")

_LICENCES = """/* Vega, Vega-Lite and Vega-Embed: (c) University of Washington Interactive Data Lab and contributors,
BSD 3-Clause License (vega.github.io); as bundled in vl-convert-python. */
"""


@dataclass(frozen=True, slots=True)
class PageOptions:
    """How a page is told."""

    language: str
    made_at: UtcMicros
    mask_numbers: bool


def page_of(report: Report, options: PageOptions) -> str:
    """The page, whole. It names its period, and the zones of the PBXs' clocks."""
    words = Words(options.language)
    lengths = _length_names(words)
    plots = plots_of(words, _scope(report, lengths))
    offsets = sorted({call.utc_offset_seconds for call in report.calls})
    libraries, script = (
        _LICENCES + _script(vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;")),
        _script(_file("page.js")),
    )
    made_at = local_time(options.made_at, offsets[-1] if offsets else 0)
    clock = words.fill("clock", zones=", ".join(map(zone_name, offsets)))
    return Template(_file("page.html")).substitute(
        language=options.language,
        policy=_policy(libraries, script),
        title=escape(words["title"]),
        period=escape(words.fill("period", **report.edges)),
        below=escape(f"{clock}, {words.fill('made_at', at=made_at)}"),
        filters=escape(", ".join(words[name] for name in _FILTERS)),
        print=escape(words["print"]),
        who_waits=escape(words["who_waits"]),
        style=_file("page.css"),
        plots="".join(_card(plot, words) for plot in plots),
        report=_json(_data(report, options, plots, lengths)),
        libraries=libraries,
        script=script,
    )


def zone_name(offset_seconds: int) -> str:
    """`UTC+03:00`."""
    sign, minutes = "-" if offset_seconds < 0 else "+", abs(offset_seconds) // 60
    return f"UTC{sign}{minutes // 60:02}:{minutes % 60:02}"


def _file(name: str) -> str:
    return files(__package__).joinpath(name).read_text(encoding="utf-8")


def _script(text: str) -> str:
    """A script as it may stand in a page: nothing in it ends it, or begins a comment of the page's."""
    return text.replace("</script", "<\\/script").replace("<!--", "<\\!--")


def _policy(*scripts: str) -> str:
    """Only these scripts run, and nothing is fetched from or sent to anywhere."""
    hashes = " ".join(f"'sha256-{b64encode(sha256(each.encode()).digest()).decode()}'" for each in scripts)
    return f"default-src 'none'; script-src {hashes}; style-src 'unsafe-inline'; img-src data:; base-uri 'none'"


def _json(value: Any) -> str:
    """JSON that an HTML parser reads as text whatever it holds."""
    text = orjson.dumps(value).decode()
    for letter in "<>&\u2028\u2029":
        text = text.replace(letter, f"\\u{ord(letter):04x}")
    return text


def _card(plot: Plot, words: Words) -> str:
    legend = "".join(f'<li><i style="background:{colour}"></i>{escape(text)}</li>' for text, colour in plot.legend)
    notes = " ".join(escape(words[note]) for note in plot.notes)
    return (
        f'<section class="card{" wide" if plot.wide else ""}"><h2>{escape(words[plot.name])}</h2>'
        + (f'<ul class="legend">{legend}</ul>' if legend else "")
        + f'<div class="plot" id="plot-{plot.name}"></div>'
        + f'<p class="quiet" hidden>{escape(words["no_such_calls"])}</p>'
        + (f'<p class="note">{notes}</p>' if notes else "")
        + "</section>\n"
    )


def _data(report: Report, options: PageOptions, plots: Iterable[Plot], lengths: Sequence[str]) -> dict[str, Any]:
    words = Words(options.language)
    values, columns = columns_of(report, words, lengths)
    locale: Any = words["locale"]
    return {
        "words": words.all(),
        "format_locale": vl_convert.get_format_locale(locale),
        "values": values,
        "columns": columns,
        "plots": [{"name": each.name, "needs": each.needs, "spec": each.spec} for each in plots],
        "waiting_columns": [
            (words["client"], False), (words["first_missed"], False), (words["calls"], True), (words["tries"], True),
            (words["last_called"], False), (words["queue"], False), (words["extension"], False),
        ],
        "waiting": [_waiting_row(each, words, mask=options.mask_numbers) for each in report.waiting],
    }  # fmt: skip


def columns_of(
    report: Report, words: Words, lengths: Sequence[str]
) -> tuple[dict[str, list[str]], dict[str, list[Any]]]:
    """The calls by column, for a page of a tenth of the size: the texts of each field, and each call's place in them.

    Numbers (`answered`, `wait`, `talk`) stand as they are; null: the call has none.
    """
    settled = {each.call.call_id: each for each in report.missed}
    texts: dict[str, dict[str, int]] = {}
    columns: dict[str, list[Any]] = {}
    for call in report.calls:
        for field, text in _texts_of(call, settled.get(call.call_id), words, lengths).items():
            places = texts.setdefault(field, {})
            place = None if text is None else places.setdefault(text, len(places))
            columns.setdefault(field, []).append(place)
        columns.setdefault("answered", []).append(int(call.answered))
        columns.setdefault("wait", []).append(_rounded(call.wait_seconds))
        columns.setdefault("talk", []).append(_rounded(call.talk_seconds))
    return {field: list(places) for field, places in texts.items()}, columns


def _texts_of(call: ReportCall, missed: Missed | None, words: Words, lengths: Sequence[str]) -> dict[str, str | None]:
    return {
        "pbx": _shown(call.pbx),
        "day": day_name(call.day),
        "hour": f"{call.hour:02}",
        "direction": words[call.direction],
        "trunk": _shown(call.trunk),
        "queue": _shown(call.queue),
        "extension": _shown(call.extension),
        "outcome": words.word(call.outcome),
        "reason": reason_of(call.result, call.cause, words) if call.outcome == "failed" else None,
        "length": None if call.talk_seconds is None else lengths[_bucket(call.talk_seconds, _LENGTH_SECONDS)],
        "settled": None if missed is None else words[missed.settled],
        "delay": None if missed is None else words[_delay(missed)],
    }


def reason_of(result: int, cause: int | None, words: Words) -> str:
    """Why a call reached nobody: `404, cause 1`."""
    return f"{result}, {words['cause']} {'-' if cause is None else cause}"


def _shown(text: str | None) -> str | None:
    return None if text is None else printable(text)


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 1)


def _bucket(value: float, bounds: Sequence[float]) -> int:
    return sum(value >= bound for bound in bounds)


def _delay(missed: Missed) -> str:
    return "not_yet" if missed.after_seconds is None else DELAYS[_bucket(missed.after_seconds, _DELAY_SECONDS)]


def _length_names(words: Words) -> list[str]:
    named = [words.seconds(bound) for bound in _LENGTH_SECONDS]
    between = [f"{low} – {high}" for low, high in pairwise(named)]
    return [f"< {named[0]}", *between, f"≥ {named[-1]}"]


def _scope(report: Report, lengths: Sequence[str]) -> Scope:
    days = [call.day for call in report.calls]
    named = {by: [call for call in report.calls if getattr(call, by) is not None] for by in _NAMED}
    return Scope(
        [day_name(day) for day in range(min(days), max(days) + 1)],
        lengths,
        {by: frozenset(call.direction for call in calls) for by, calls in named.items()},
        {by: len({getattr(call, by) for call in calls}) for by, calls in named.items()},
    )


def _waiting_row(waiting: Waiting, words: Words, *, mask: bool) -> dict[str, Any]:
    first, last = waiting.missed[0], waiting.missed[-1]
    cells = (
        masked_text(last.client or "", numbers=mask),
        local_time(first.started_at, first.utc_offset_seconds),
        str(len(waiting.missed)),
        str(waiting.tries),
        last.did or "–",
        last.queue or "–",
        last.rang_last or "–",
    )
    filters = {name: _shown(getattr(last, name)) for name in _FILTERS}
    return {"cells": [printable(cell) for cell in cells], "filters": {**filters, "direction": words[last.direction]}}
