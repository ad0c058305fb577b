"""The end of the demo: tables for people, and a verdict against the recordings' truth."""

import statistics
from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from rich.console import Console
from rich.table import Table

from deploy.demo.expected import NO_CLIENT_NUMBER, Expected
from deploy.demo.observer import Observer
from streams.calls.result import CallResult
from streams.rules import Rules


def show(console: Console, observer: Observer, written_at: Mapping[str, float]) -> None:
    """Results by code and direction, what each CRM received, latencies, dead letters."""
    codes = Counter((each.result, each.result_name, str(each.direction)) for each in observer.results.values())
    directions = ("incoming", "outgoing", "internal", "unknown")
    table = Table("result", *directions, "calls", title="Results by code and direction")
    for code, name in sorted({(code, name) for code, name, _ in codes}):
        counts = [codes[code, name, direction] for direction in directions]
        table.add_row(f"{code} {name}", *(str(count or "") for count in counts), str(sum(counts)))
    console.print(table)
    for name, entries in observer.entries.items():
        table = Table("status", "in words", "entries", title=f"What {name} received")
        for (status, words), count in sorted(Counter((each["status"], each["words"]) for each in entries).items()):
            table.add_row(str(status), words, str(count))
        console.print(table)
    table = Table("portal", "p50", "p95", "p99", title="From the last row's insert to the entry in the CRM")
    for name, entries in observer.entries.items():
        delays = sorted(
            datetime.fromisoformat(entry["received_at"]).timestamp() - written_at[linkedid]
            for entry in entries
            if (linkedid := linkedid_of(entry)) in written_at
        )
        if len(delays) >= 2:
            cuts = statistics.quantiles(delays, n=100, method="inclusive")
            table.add_row(name, *(f"{cuts[percent - 1]:.2f} s" for percent in (50, 95, 99)))
    console.print(table)
    console.print(f"Dead letters: {len(observer.dead_letters)}")
    for letter in observer.dead_letters[:10]:
        console.print(f"  {letter}", markup=False)


def verdict(observer: Observer, truths: Iterable[Expected], rules: Rules) -> list[str]:
    """The calls that are missing, doubled or wrong; an empty list: none."""
    faults: list[str] = []
    truths = list(truths)
    for truth in truths:
        result = observer.results.get(truth.linkedid)
        if result is None:
            faults.append(f"{truth.case}: no result of call {truth.linkedid}")
        elif truth.answered is not None and result.answered != truth.answered:
            faults.append(f"{truth.case}: answered {result.answered}, the truth is {truth.answered}")
    for name, entries in observer.entries.items():
        wanted = {truth.linkedid: truth.case for truth in truths if truth.stands_in(name)}
        received = Counter(linkedid_of(entry) for entry in entries)
        faults += [f"{name}: no entry of {case} ({each})" for each, case in wanted.items() if not received[each]]
        faults += [f"{name}: {count} entries of call {each}" for each, count in received.items() if count > 1]
        faults += [f"{name}: an entry of call {each}, which is not for it" for each in received if each not in wanted]
        for entry in entries:
            if (found := observer.results.get(linkedid_of(entry))) is None:
                continue
            due = _due(name, found, rules)
            if str(entry["status"]) != due:
                faults.append(f"{name}: call {found.linkedid} has status {entry['status']}, due is {due}")
            if bool(entry["duration"]) and not found.answered:
                faults.append(f"{name}: call {found.linkedid} was not answered but lasts {entry['duration']} s")
    if observer.dead_letters:
        faults.append(f"{len(observer.dead_letters)} dead letters, none expected")
    return faults


def _due(portal: str, result: CallResult, rules: Rules) -> str:
    if portal == "webhook":
        return str(result.result)
    return str(rules.tables[portal].status(result).code)


def tell_verdict(console: Console, faults: list[str], truths: list[Expected], names: Iterable[str]) -> None:
    """The last lines."""
    each = ", ".join(f"{sum(truth.stands_in(name) for truth in truths)} calls in {name}" for name in names)
    known = sum(truth.answered is not None for truth in truths)
    if not faults:
        console.print(
            f"[bold green]Right:[/] {len(truths)} calls classified; answered agrees with the recorded truth in all "
            f"{known} where it is known; {each}: each of them exactly once, no other."
        )
        for case, reason in NO_CLIENT_NUMBER.items():
            console.print(f"  [dim]in no CRM: {case}: {reason}[/]")
        nameless = sum(truth.case in NO_CLIENT_NUMBER for truth in truths)
        pieces = sum(truth.piece for truth in truths)
        internal = sum(not truth.external for truth in truths) - nameless - pieces
        console.print(f"  [dim]in no CRM: {internal} internal calls (a portal asks for them by deliver_internal)[/]")
        console.print(f"  [dim]nowhere: {pieces} calls that picked another one up by *8: they are part of that one[/]")
        return
    console.print(f"[bold red]Wrong:[/] {len(faults)} faults")
    for fault in faults[:40]:
        console.print(f"  {fault}", markup=False)
    if len(faults) > 40:
        console.print(f"  and {len(faults) - 40} more")


def linkedid_of(entry: Mapping[str, Any]) -> str:
    return str(entry.get("external_id") or "").rpartition("/")[2]
