"""The tables of docs/reliability.md from result files, as Markdown: `python -m tests.chaos --table FILE ..`."""

import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from tests.chaos.operator_view import shortened
from tests.chaos.results import ROOT, Result, last_of_each

_BEGIN, _END = "<!-- tables -->", "<!-- end of tables -->"
_LONGEST_TOLD = 130
_ADDRESS = re.compile(r"(?:http://)?127\.0\.0\.1:\d+")
_COLUMNS = ("fault", "the operator was told", "after", "recovery", "calls", "missing", "silent", "doubled", "commit")
_MEGABYTES_SHOWN = ("worker-aggregate", "worker-bitrix24", "worker-kommo", "worker-webhook", "watch")


def tables(results: Iterable[Result], does: dict[str, str]) -> Iterator[str]:
    """A table for each run among the results: mode and seed. `does`: what each fault does, for the first column."""
    runs: dict[tuple[str, str], list[Result]] = {}
    for each in results:
        runs.setdefault((each.mode, each.seed), []).append(each)
    for (mode, seed), done in sorted(runs.items()):
        yield f"### {_title(mode, seed)}"
        yield ""
        yield from _summary(done if mode == "random" else last_of_each(done))
        yield ""
        yield from _at_random(done) if mode == "random" else _each(last_of_each(done), does)
        yield ""


def put_into(page: Path, lines: Iterable[str]) -> None:
    """Put tables between the marks of a page, in the place of those that stand there. Raises ValueError: no marks."""
    before, begin, rest = page.read_text(encoding="utf-8").partition(_BEGIN)
    _, end, after = rest.partition(_END)
    if not end:
        raise ValueError(f"{page} has no {_BEGIN} and {_END}")
    page.write_text("\n".join([before + begin, "", *lines, end + after]), encoding="utf-8")


def _title(mode: str, seed: str) -> str:
    ways = {"alone": "Each fault alone", "random": "Faults at random, workers coming and going", "short": "Short form"}
    return f"{ways.get(mode, mode)}, seed {seed}"


def _summary(done: Sequence[Result]) -> Iterator[str]:
    failed = [each.fault for each in done if not each.passed]
    yield (
        f"{len(done)} faults, {sum(each.calls for each in done):,} calls in "
        f"{sum(each.seconds for each in done) / 60:.0f} minutes: {sum(each.silent for each in done)} silent, "
        f"{sum(each.doubled for each in done)} doubled, {sum(each.wrong for each in done)} wrong"
        f"{'; failed: ' + ', '.join(failed) if failed else ''}."
    )
    versions = sorted({each.product for each in done})
    commits = list(dict.fromkeys(each.commit for each in done if each.commit))
    if len(versions) == 1:
        yield f"Product {versions[0]}{', commit ' + ', '.join(commits) if commits else ''}."
    if rates := [each.load for each in done if each.load]:
        rows = sum(each["rows_per_second"] * one.seconds for each, one in _with_load(done))
        seconds = sum(one.seconds for _, one in _with_load(done)) or 1
        yield f"Flow over all of it: {rows / seconds:.0f} rows and {_calls_a_second(done):.2f} calls a second."
        yield from _memory(rates)


def _with_load(done: Sequence[Result]) -> list[tuple[dict[str, Any], Result]]:
    return [(each.load, each) for each in done if each.load]


def _calls_a_second(done: Sequence[Result]) -> float:
    return sum(each.calls for each in done) / (sum(each.seconds for each in done) or 1)


def _memory(loads: Sequence[dict[str, Any]]) -> Iterator[str]:
    """Each service's megabytes: after the first fault, the highest, after the last."""
    told = []
    for name in _MEGABYTES_SHOWN:
        if samples := [each["memory_mb"][name] for each in loads if each["memory_mb"].get(name)]:
            told.append(f"{name} {samples[0][2]}, {max(each[1] for each in samples)}, {samples[-1][2]}")
    if told:
        yield f"Memory in MB after the first fault, at most, and after the last: {'; '.join(told)}."


def _each(done: Sequence[Result], does: dict[str, str]) -> Iterator[str]:
    yield from _head(_COLUMNS)
    for each in done:
        yield _row(
            f"`{each.fault}`: {does.get(each.fault, '')}",
            _told(each),
            "" if each.told_after is None else f"{each.told_after:.0f} s",
            "never" if each.recovery is None else f"{each.recovery:.0f} s",
            *(str(number) for number in (each.calls, each.missing_before_remedies, each.silent, each.doubled)),
            each.commit[:7],
        )


def _at_random(done: Sequence[Result]) -> Iterator[str]:
    yield from _head(("fault", "times", "recovery: median", "longest", "calls", "missing", "silent", "doubled"))
    for name in sorted({each.fault for each in done}):
        own = [each for each in done if each.fault == name]
        times = [each.recovery for each in own if each.recovery is not None]
        never = len(own) - len(times)
        yield _row(
            f"`{name}`",
            str(len(own)),
            f"{median(times):.0f} s" if times else "",
            f"never ({never})" if never else f"{max(times):.0f} s",
            *(
                str(sum(getattr(each, field) for each in own))
                for field in ("calls", "missing_before_remedies", "silent", "doubled")
            ),
        )


def _told(result: Result) -> str:
    told = shortened(result.told, _LONGEST_TOLD) or "nothing: it heals by itself"
    words = "; then ".join([told, *_followed(result)])
    return _ADDRESS.sub("(address)", words.replace(str(ROOT), ""))


def _followed(result: Result) -> list[str]:
    """The commands that were named and given."""
    return [f"`{command}`" for command in dict.fromkeys(each.partition(" -> ")[0] for each in result.followed)]


def _head(names: Sequence[str]) -> Iterator[str]:
    yield _row(*names)
    yield "|" + "---|" * len(names)


def _row(*cells: str) -> str:
    return "| " + " | ".join(" ".join(cell.split()).replace("|", "\\|") for cell in cells) + " |"
