"""The findings of a soak, as a table."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from rich.console import Console
from rich.table import Table


@dataclass
class SoakReport:
    """The findings at one CRM. `lost`, `doubled`, `wrong`, `dead_letters`: by call, with what is known of it."""

    crm: str
    calls: int = 0
    internal: int = 0
    delivered: int = 0
    recordings: int = 0
    tasks: int = 0
    lost: dict[str, str] = field(default_factory=dict)
    doubled: dict[str, str] = field(default_factory=dict)
    wrong: dict[str, str] = field(default_factory=dict)
    dead_letters: dict[str, str] = field(default_factory=dict)
    requests: int = 0
    lookups: int = 0
    orphans: int = 0
    faults: Counter[str] = field(default_factory=Counter)
    kills: int = 0
    stops: int = 0
    ended: Counter[int] = field(default_factory=Counter)
    """Exit statuses of workers: -9 killed by us, 70 ended by itself because another one owned its partitions."""
    latencies: list[float] = field(default_factory=list)
    """Seconds from the result's record to the entry in the CRM."""
    seconds: float = 0.0

    @property
    def passed(self) -> bool:
        """Every call once and as it should be."""
        return bool(self.calls) and not (self.lost or self.doubled or self.wrong or self.dead_letters)

    def quantile(self, part: float) -> float:
        """A quantile (0..1) of the times that calls took, in seconds."""
        latencies = sorted(self.latencies)
        return latencies[min(len(latencies) - 1, int(part * len(latencies)))] if latencies else 0.0

    def complaints(self) -> list[str]:
        """The violations, a line each."""
        kinds = {"lost": self.lost, "doubled": self.doubled, "wrong": self.wrong, "dead letter": self.dead_letters}
        return [f"{self.crm}: {call} {kind}: {why}" for kind, calls in kinds.items() for call, why in calls.items()]


def print_reports(console: Console, reports: Sequence[SoakReport], seed: int, seconds: float) -> None:
    """The table, the faults by kind, and what is wrong."""
    table = Table(title=f"Soak, seed {seed}, {seconds:.0f} s")
    table.add_column("")
    for report in reports:
        table.add_column(report.crm, justify="right")
    lines = {
        "calls": [str(report.calls) for report in reports],
        "delivered": [str(report.delivered) for report in reports],
        "with their recording": [str(report.recordings) for report in reports],
        "tasks made for missed calls": [str(report.tasks) for report in reports],
        "lost": [str(len(report.lost)) for report in reports],
        "doubled": [str(len(report.doubled)) for report in reports],
        "wrong status or log": [str(len(report.wrong)) for report in reports],
        "dead letters": [str(len(report.dead_letters)) for report in reports],
        "internal calls kept out": [str(report.internal) for report in reports],
        "requests": [str(report.requests) for report in reports],
        "lookups": [str(report.lookups) for report in reports],
        "orphan registrations": [str(report.orphans) for report in reports],
        "faults": [str(sum(report.faults.values())) for report in reports],
        "workers killed": [str(report.kills) for report in reports],
        "workers stopped and resumed": [str(report.stops) for report in reports],
        "workers that ended by themselves": [str(report.ended[70]) for report in reports],
        "result to CRM, p50": [f"{report.quantile(0.5):.2f} s" for report in reports],
        "result to CRM, p99": [f"{report.quantile(0.99):.1f} s" for report in reports],
        "result to CRM, longest": [f"{report.quantile(1.0):.1f} s" for report in reports],
        "duration": [f"{report.seconds:.0f} s" for report in reports],
    }
    for name, values in lines.items():
        table.add_row(name, *values)
    console.print(table)
    for report in reports:
        kinds = ", ".join(f"{kind} {count}" for kind, count in sorted(report.faults.items()) if count)
        console.print(f"{report.crm} faults: {kinds}", highlight=False)
        console.print(f"{report.crm} workers' ends: {dict(report.ended)}", highlight=False)
        for line in report.complaints()[:50]:
            console.print(line, highlight=False, markup=False)
