"""The page of `cel2crm report`: what its plots count, what callers put into it, and what a browser makes of it.

A mistake in page.js or in a plot fails `test_a_browser_draws_it`, where Chromium is installed.
"""

import json
import re
import shutil
import subprocess
import sys
from base64 import b64encode
from hashlib import sha256
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
import vl_convert
from msgspec.structs import replace

from streams.analysis.report.calls import period_of, report_call
from streams.analysis.report.figures import Report, figures_of, report_of
from streams.analysis.report.page import PageOptions, page_of
from streams.calls.result import CallResult
from streams.errors import UserError
from tests.cli.hostile import HOSTILE, unsafe
from tests.operations.memory import Operator
from tests.operations.report_calls import FIRST_DAY, many_calls
from tests.operations.test_report import CALLS, DAY, hostile, reported  # noqa: F401 - a fixture

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
_FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
    "--disable-background-networking", "--disable-component-update", "--virtual-time-budget=20000", "--dump-dom",
)  # fmt: skip


class Elements(HTMLParser):
    """The elements of a page with their attributes, and the text of its scripts."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, tuple[str, ...]]] = []
        self.attributes: dict[str, str | None] = {}
        self.scripts: list[str] = []
        self._in_script = False
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, tuple(name for name, _ in attrs)))
        self.attributes |= {f"{tag}.{name}": value for name, value in attrs}
        self._in_script = tag == "script"
        if self._in_script:
            self.scripts.append("")

    def handle_endtag(self, tag: str) -> None:
        self._in_script = False

    def handle_data(self, data: str) -> None:
        if self._in_script:
            self.scripts[-1] += data


def report(results: list[CallResult], since: str = "2026-11-16", until: str = "2026-11-30") -> Report:
    known = [made for each in results if (made := report_call(each))]
    return report_of(known, period_of(since, until, 0, 7), None)


def page(made: Report, language: str = "en", *, mask: bool = False) -> str:
    return page_of(made, PageOptions(language, FIRST_DAY, mask))


def data_of(text: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(Elements(text).scripts[0])
    return found


def rows_of(data: dict[str, Any]) -> list[dict[str, Any]]:
    """The calls as page.js gives them to the plots."""
    columns, values = data["columns"], data["values"]
    return [
        {
            field: place if place is None or field not in values else values[field][place]
            for field, place in zip(columns, each, strict=True)
        }
        for each in zip(*columns.values(), strict=True)
    ]


def drawn(data: dict[str, Any], name: str) -> list[dict[str, str]]:
    """What each mark of a plot says of itself."""
    (spec,) = (each["spec"] for each in data["plots"] if each["name"] == name)
    sized = {**spec, "width": 400, "datasets": {"calls": rows_of(data)}}
    svg = vl_convert.vegalite_to_svg(sized)
    labels = re.findall(r'aria-label="([^"]+)" role="graphics-symbol"', svg)
    return [dict(part.split(": ", 1) for part in label.split("; ")) for label in labels if ": " in label]


@pytest.fixture(scope="module")
def by_hand() -> dict[str, Any]:
    return data_of(page(report(list(CALLS), "2026-11-25", "2026-11-26")))


def test_plots_count_what_the_figures_count(by_hand: dict[str, Any]) -> None:
    assert {(each["hour"], each["outcome"]): each["calls"] for each in drawn(by_hand, "by_hour")} == {
        ("15", "answered"): "2", ("15", "missed"): "1", ("16", "answered"): "1", ("16", "busy"): "1",
        ("16", "failed"): "2", ("17", "answered"): "1", ("17", "missed"): "1",
    }  # fmt: skip
    assert sum(int(each["calls"]) for each in drawn(by_hand, "by_day")) == 9
    assert {(each["trunk"], each["direction"]): each["answered"] for each in drawn(by_hand, "rate_by_trunk")} == {
        ("sipnet", "incoming"): "50%", ("sipnet", "outgoing"): "100%", ("mtt", "incoming"): "0%",
        ("mtt", "outgoing"): "0%",
    }  # fmt: skip
    settled = {(each["what became of it"], each["after"]): each["calls"] for each in drawn(by_hand, "settled_by_delay")}
    assert settled == {
        ("called back", "within 4 h"): "1", ("called again, answered", "within 4 h"): "1", ("waiting", "not yet"): "1",
        ("no number", "not yet"): "1",
    }  # fmt: skip
    failures = {(each["trunk"], each["reason"]): each["calls"] for each in drawn(by_hand, "failures_by_trunk")}
    assert failures == {("mtt", "404, cause 1"): "1", ("mtt", "500, cause 34"): "1"}
    assert {each["talk"]: each["calls"] for each in drawn(by_hand, "talk_lengths")} == {
        "30 s – 1 min": "1", "1 min – 3 min": "1", "3 min – 10 min": "1",
    }  # fmt: skip
    (talk,) = drawn(by_hand, "talk_by_extension")
    assert (talk["minutes"], talk["calls"], talk["talk, mean"]) == ("6", "3", "120")


def test_times_to_answer_are_the_same_quantiles() -> None:
    made = report(list(many_calls(400)))
    support = figures_of(each for each in made.calls if each.queue == "support" and each.direction == "incoming")
    assert support.wait_median_seconds is not None and support.wait_90_seconds is not None
    marks = [each for each in drawn(data_of(page(made)), "wait_by_queue") if each["queue"] == "support"]
    told = {name: float(value) for each in marks for name, value in each.items() if "within" in name}
    assert told["half within"] == pytest.approx(support.wait_median_seconds, abs=0.2)
    assert told["nine of ten within"] == pytest.approx(support.wait_90_seconds, abs=0.2)


def test_nothing_is_fetched_and_only_its_own_scripts_run(by_hand: dict[str, Any]) -> None:
    text = page(report(list(CALLS), "2026-11-25", "2026-11-26"))
    found = Elements(text)
    assert not {f"{tag}.{name}" for tag, names in found.tags for name in names} & {
        "script.src", "link.href", "img.src", "a.href", "form.action",
    }  # fmt: skip
    assert len(found.scripts) == 3
    hashes = [b64encode(sha256(each.encode()).digest()).decode() for each in found.scripts[1:]]
    runs = " ".join(f"'sha256-{each}'" for each in hashes)
    assert f"content=\"default-src 'none'; script-src {runs};" in text


def test_an_outcome_of_a_later_release_is_told_as_it_is() -> None:
    made = page(report([replace(CALLS[1], outcome="<voicemail>")], "2026-11-25", "2026-11-26"))
    assert data_of(made)["values"]["outcome"] == ["<voicemail>"]


def test_numbers_are_masked_where_the_settings_say_so() -> None:
    made = report(list(CALLS), "2026-11-25", "2026-11-26")
    assert "79160000005" in page(made)
    masked = page(made, mask=True)
    assert "79160000005" not in masked and "+791******05" in masked


def test_hostile_values_are_data_and_nothing_else(operator: Operator, tmp_path: Path) -> None:
    hostile(operator)
    file = tmp_path / "page.html"
    operator.told("report", *DAY, "--html", str(file))
    text = file.read_text(encoding="utf-8")
    harmless = page(report(list(CALLS), "2026-11-25", "2026-11-26"))
    assert set(Elements(text).tags) == set(Elements(harmless).tags)
    block = Elements(text).scripts[0]
    assert not set("<>&\u2028\u2029") & set(block) and unsafe(block) == ""
    assert len(data_of(text)["values"]["trunk"]) == len(HOSTILE)


@pytest.mark.parametrize("language", ["en", "ru"])
def test_the_command_writes_a_whole_page_or_none(reported: Operator, tmp_path: Path, language: str) -> None:  # noqa: F811
    file = tmp_path / "page.html"
    said = reported.told("report", *DAY, "--html", str(file), "--language", language)
    assert said == f"9 calls in {file}\n"
    assert f'<html lang="{language}">' in file.read_text(encoding="utf-8")
    lost = tmp_path / "not there" / "page.html"
    done = reported.run("report", *DAY, "--html", str(lost))
    assert isinstance(done.exception, UserError) and "cannot be written" in str(done.exception)
    assert sorted(each.name for each in tmp_path.iterdir()) == ["cel2crm.yaml", "page.html"]


def test_without_altair_it_says_what_to_install(operator: Operator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "altair", None)
    for name in ("page", "plots"):
        monkeypatch.delitem(sys.modules, f"streams.analysis.report.{name}")
    monkeypatch.delattr("streams.analysis.report.page")
    done = operator.run("report", "--html", "page.html")
    assert isinstance(done.exception, UserError) and "cel2crm[report]" in (done.exception.remedy or "")
    assert operator.connections == 0


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed")
@pytest.mark.parametrize(
    ("what", "chosen", "shown"),
    [
        ("many", "", 500),
        ("many", "#queue=sales&direction=incoming", sum(each.queue == "sales" for each in many_calls(500))),
        ("many", "#trunk=<img src=x onerror=alert(1)>&queue=&nothing=1", 500),
        ("hostile", "", len(HOSTILE)),
        ("one call", "", 1),
    ],
)
def test_a_browser_draws_it(what: str, chosen: str, shown: int, operator: Operator, tmp_path: Path) -> None:
    file = tmp_path / "page.html"
    for each in {"many": list(many_calls(500)), "hostile": [], "one call": [CALLS[4]]}[what]:
        operator.result(each)
    if what == "hostile":
        hostile(operator)
    operator.told("report", "--since", "2026-11-16", "--until", "2026-12-01", "--html", str(file))
    done = subprocess.run(
        [CHROMIUM or "", *_FLAGS, f"--user-data-dir={tmp_path / 'profile'}", file.as_uri() + chosen],
        capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip
    found = Elements(done.stdout)
    fault = re.search(r'<p id="fault"[^>]*>([^<]*)', done.stdout)
    assert fault and fault[1] == ""
    assert found.attributes["html.data-state"] == "drawn"
    assert found.attributes["html.data-shown"] == str(shown)
    assert sum(tag == "svg" for tag, _ in found.tags) == 12
    assert not {"img", "iframe"} & {tag for tag, _ in found.tags}
    assert not any(name.startswith("on") for _, names in found.tags for name in names)
