"""What a probe found, as lines, as JSON and as a Markdown report that can be attached to an issue.

No secret is in any of them. What the portal says is hostile: it may hold what a terminal or a web page obeys.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from streams.crm.shared.probe import Fate, Made, Outcome, PointResult
from streams.printable import printable

LABELS = {
    Outcome.SAME: "same",
    Outcome.DIFFERENT: "DIFFERENT",
    Outcome.NOT_DONE: "not done",
    Outcome.LEFT_OUT: "left out",
}
LONGEST = 600
"""Characters of one text; more is cut."""
_MARKDOWN = str.maketrans(
    {"<": "&lt;", ">": "&gt;", "@": "&#64;", "#": "&#35;", "`": "'"} | {letter: f"\\{letter}" for letter in "*[]|\\"}
)


@dataclass(slots=True)
class Veil:
    """Takes out of texts what a report must not tell."""

    hosts: tuple[str, ...] = ()
    """The portal's own; none: they may be told."""
    shown: str = ""
    """What stands for them."""
    secrets: set[str] = field(default_factory=set)

    def hide(self, *secrets: str | None) -> None:
        """From now on these are secrets. Short texts are none: they stand in too many words."""
        self.secrets |= {each for each in secrets if each and len(each) >= 6}

    def __call__(self, text: str) -> str:
        """The text without secrets, on one line."""
        for each in sorted(self.secrets, key=len, reverse=True):
            text = text.replace(each, "***")
        for host in self.hosts:
            text = re.sub(re.escape(host), lambda _: self.shown, text, flags=re.IGNORECASE)
        return printable(text if len(text) <= LONGEST else f"{text[:LONGEST]} ..")


def veiled_host(host: str, cloud: str) -> str:
    """A host without the account's name: `***.example.com` in the vendor's cloud (CrmKind.cloud), else `***`."""
    match = re.fullmatch(rf"[^.]+\.({cloud})", host.lower()) if cloud else None
    return f"***.{match[1]}" if match else "***"


@dataclass(frozen=True, slots=True)
class ReportHead:
    """What stands above the findings."""

    crm: str
    host: str
    let_in_by: str
    release: str
    marker: str
    number: str
    began: str


def markdown(head: ReportHead, results: list[PointResult], made: list[Made], veil: Veil, *, whole: bool) -> str:
    """The report. `whole`: the probe is over."""

    def text(words: str) -> str:
        return veil(words).translate(_MARKDOWN).replace("://", "&#58;//")

    lines = [f"# Probe of a {head.crm} portal", ""]
    if not whole:
        lines += ["**The probe is not over, or did not come to its end.** Another one removes what can be removed.", ""]
    lines += [
        f"* portal: {text(head.host)}, let in by {head.let_in_by}",
        f"* cel2crm {head.release}, {head.began}",
        f"* test calls: {head.number}; everything bears {head.marker}",
        f"* {counted(results)}",
    ]
    for one in results:
        expected = one.point.expected
        lines += ["", f"## {one.point.number}. {text(one.point.question)}", ""]
        lines.append(f"**{LABELS[one.outcome]}**: {text(one.words)}")
        lines += ["", f"* the fake: {text(expected.words)} ({expected.file}: {expected.name})"]
        if one.follows:
            lines.append(f"* so: {text(one.follows)}")
        lines += [f"* {text(each)}" for each in one.details]
    lines += ["", "## What was made", ""]
    if not made:
        lines.append("Nothing.")
    else:
        lines += ["| what | id | where | now |", "|---|---|---|---|"]
        lines += [f"| {each.what} | {text(each.id)} | {text(each.where)} | {text(fate_of(each))} |" for each in made]
    return "\n".join(lines) + "\n"


def lines_of(results: list[PointResult], made: list[Made], veil: Veil) -> list[str]:
    """The findings for a terminal."""
    width = max(map(len, LABELS.values()))
    lines = []
    for one in results:
        lines.append(f"{LABELS[one.outcome]:<{width}}  {one.point.number}  {one.point.question}")
        said = [one.words]
        if one.outcome is Outcome.DIFFERENT:
            expected = one.point.expected
            said.append(f"the fake: {expected.words} ({expected.file}: {expected.name})")
        said += [f"so: {one.follows}"] if one.follows else []
        lines += [f"{'':<{width}}     {veil(each)}" for each in (*said, *one.details)]
    if made:
        lines.append("made:")
    lines += [veil(f"  {each.what} {each.id} {each.where}".rstrip() + f": {fate_of(each)}") for each in made]
    return lines


def json_of(portal: str, crm: str, results: list[PointResult], made: list[Made], veil: Veil) -> Iterable[object]:
    """The findings for machines: an object for each point, then one for each thing that was made."""
    for one in results:
        expected = one.point.expected
        yield {
            "portal": portal,
            "crm": crm,
            "point": one.point.number,
            "question": one.point.question,
            "outcome": one.outcome.value,
            "what": veil(one.words),
            "expected": {"what": expected.words, "file": expected.file, "name": expected.name},
            "follows": veil(one.follows) or None,
            "details": [veil(each) for each in one.details],
        }
    for each in made:
        thing = {"made": each.what, "id": veil(each.id), "where": veil(each.where) or None}
        yield {"portal": portal, "crm": crm, **thing, "now": each.fate.value, "why": veil(each.why) or None}


def counted(results: list[PointResult]) -> str:
    """How many points ended in which way, in words."""
    counts = [(sum(one.outcome is outcome for one in results), label) for outcome, label in LABELS.items()]
    return ", ".join(f"{count} {label.lower()}" for count, label in counts if count) or "nothing is known yet"


def fate_of(made: Made) -> str:
    """What became of a thing, in words."""
    word = {Fate.THERE: "there", Fate.REMOVED: "removed", Fate.STAYS: "stays"}[made.fate]
    return f"{word}: {made.why}" if made.why else word
