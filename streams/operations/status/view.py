"""A status for people and scripts: as lines, and as JSON."""

from collections.abc import Iterator
from typing import Any

import msgspec

from connectors.client import describe_status
from streams.clock import format_time, iso_utc
from streams.operations.complete_until import PbxComplete
from streams.operations.portal_status import PortalStatus
from streams.operations.status.dead_letters import are_gone
from streams.operations.status.facts import CaptureFacts, DeadLetterFacts, Facts, PartitionProgress, WorkerFacts
from streams.operations.status.findings import span, waiting_calls, waiting_records
from streams.operations.status.verdict import Verdict


def status_lines(verdict: Verdict, facts: Facts) -> Iterator[str]:
    """For a person: the verdict, each finding with what to do, what could not be looked at, then every part."""
    count = len(verdict.findings)
    if count:
        yield f"{count} {'thing stands still or lacks' if count == 1 else 'things stand still or lack'} a person:"
    else:
        yield verdict.line
    for finding in verdict.findings:
        yield f"  {finding.problem}"
        yield f"    {finding.remedy}"
    for unanswered in verdict.unanswered:
        yield f"  could not be looked at: {unanswered.subject}: {unanswered.why}"
        if unanswered.remedy:
            yield f"    {unanswered.remedy}"
    yield ""
    parts = list(_parts(facts))
    width = max(len(name) for name, _ in parts)
    for name, words in parts:
        yield f"{name:<{width}}  {words}"


def _parts(facts: Facts) -> Iterator[tuple[str, str]]:
    """Each part by name, and where it stands."""
    if facts.capture is not None:
        yield _called(facts.capture), _capture(facts.capture)
    for capture in facts.further_captures:
        yield _called(capture), _capture(capture)
    for worker in facts.workers.values():
        yield f"worker {worker.name}", _worker(worker, facts.at)
    for portal in facts.portals or ():
        yield f"portal {portal.portal.name}", _portal(portal, facts.at)
    for sink in facts.sinks:
        yield f"sink {sink.name}", "; ".join(part.line for part in sink.parts)
    if facts.dead_letters is not None:
        count = sum(letters.group.count for letters in facts.dead_letters)
        yield "dead letters", f"{count:,} unresolved" if count else "none unresolved"
    if facts.gaps is not None:
        at = format_time(facts.gaps.compared_at_ms * 1000)
        failed = f"; the last comparison failed: {facts.gaps.problem}" if facts.gaps.problem else ""
        yield "gaps", f"{facts.gaps.told.removeprefix('gaps: ') or 'none'}, compared {at}{failed}"
    elif facts.gaps_known:
        yield "gaps", "not compared yet: cel2crm connectors watch does, or cel2crm gaps"
    for complete in facts.complete or ():
        yield f"calls of {complete.pbx}", complete_words(complete, facts.at)
    if facts.complete == ():
        yield (
            "calls",
            "until when they are complete is not known yet: cel2crm connectors watch tells it",
        )
    yield "looked", format_time(facts.at)


def _called(capture: CaptureFacts) -> str:
    return f"capture {capture.pbx}".rstrip()


def complete_words(complete: PbxComplete, at: int) -> str:
    """Until when a PBX's calls are complete, and what holds that back."""
    if complete.until is None:
        return f"until when they are complete is known of {complete.told} of {complete.partitions} partitions only"
    behind = at - complete.until
    late = f", {span(behind)} ago" if behind >= 0 else ""
    held = f"; call {complete.held_by} began then, and is under way" if complete.held_by else ""
    return f"complete until {format_time(complete.until)}{late}{held}"


def _capture(capture: CaptureFacts) -> str:
    told = []
    if capture.connector_known:
        missing = f"connector {capture.name} is not there"
        told.append(missing if capture.connector is None else describe_status(capture.connector))
    if capture.heartbeat_known:
        beat = capture.seconds_since_heartbeat
        told.append("no heartbeat yet" if beat is None else f"last heartbeat {beat:.0f} s ago")
    if capture.captured is not None:
        told.append(f"last row captured {capture.captured.id} of {capture.captured.eventtime}")
    if capture.backlog is not None:
        told.append(f"{capture.backlog.rows:,} rows behind the table")
    elif capture.backlog_known and capture.captured is not None:
        told.append("no row of the table is missing behind it")
    return ", ".join(told) or "not known"


def _worker(worker: WorkerFacts, at: int) -> str:
    held = sum(each.holder is not None for each in worker.partitions)
    processes = f"{worker.members} {'process holds' if worker.members == 1 else 'processes hold'}"
    told = f"{processes} {held} of {len(worker.partitions)} partitions" if worker.members else "no process"
    return told + (waiting_records(worker.partitions, at) or "; nothing waits")


def _portal(portal: PortalStatus, at: int) -> str:
    state = "disabled" if portal.disabled is not None else "paused" if portal.paused is not None else "open"
    if portal.portal.shadow:
        state += ", a shadow"
    taken = f"; took a call last {span(at - portal.last_delivered)} ago" if portal.last_delivered else ""
    return f"of {portal.portal.crm}, {state}{waiting_calls(portal, at) or '; nothing waits'}{taken}"


def status_json(verdict: Verdict, facts: Facts) -> dict[str, Any]:
    """For scripts; docs/operating.md has the members. Spans in seconds, times in ISO 8601 and UTC."""
    return {
        "verdict": verdict.word,
        "exit_status": verdict.exit_status,
        "summary": verdict.line,
        "at": iso_utc(facts.at),
        "seconds": round(facts.seconds, 1),
        "findings": [
            {"area": each.area, "code": each.code, "problem": each.problem, "remedy": each.remedy}
            for each in verdict.findings
        ],
        "unanswered": [
            {"subject": each.subject, "why": each.why, "remedy": each.remedy} for each in verdict.unanswered
        ],
        "capture": None if facts.capture is None else _capture_json(facts.capture),
        "further_captures": {each.pbx: _capture_json(each) for each in facts.further_captures},
        "workers": [_worker_json(worker, facts.at) for worker in facts.workers.values()],
        "portals": None if facts.portals is None else [_portal_json(each, facts.at) for each in facts.portals],
        "unreadable": [{"worker": each.worker, "records": list(each.places)} for each in facts.unreadable],
        "dead_letters": None if facts.dead_letters is None else [_letters_json(each) for each in facts.dead_letters],
        "gaps": msgspec.to_builtins(facts.gaps),
        "sinks": [each.as_json() for each in facts.sinks],
        "complete_until": None if facts.complete is None else [complete_json(each) for each in facts.complete],
    }


def complete_json(complete: PbxComplete) -> dict[str, Any]:
    """Until when a PBX's calls are complete, for scripts."""
    return {
        "pbx": complete.pbx,
        "complete_until": None if complete.until is None else iso_utc(complete.until),
        "captured_until": iso_utc(complete.captured),
        "held_by": complete.held_by,
        "partitions": complete.partitions,
        "partitions_told": complete.told,
    }


def _capture_json(capture: CaptureFacts) -> dict[str, Any]:
    missing = "MISSING" if capture.connector_known else None
    return {
        "connector": capture.name,
        "state": missing if capture.connector is None else capture.connector.state,
        "tasks": [task.state for task in capture.connector.tasks] if capture.connector else [],
        "seconds_since_heartbeat": capture.seconds_since_heartbeat,
        "held": None if capture.hold is None else capture.hold.problem,
        "captured": msgspec.to_builtins(capture.captured),
        "last_row": msgspec.to_builtins(capture.last_row),
        "rows_behind": (capture.backlog.rows if capture.backlog else 0) if capture.backlog_known else None,
    }


def _worker_json(worker: WorkerFacts, at: int) -> dict[str, Any]:
    known = [each.waiting_since for each in worker.partitions if each.waiting > 0 and each.waiting_since is not None]
    return {
        "worker": worker.name,
        "group_state": worker.state,
        "processes": worker.members,
        "waiting": sum(each.waiting for each in worker.partitions),
        "oldest_seconds": _seconds(at - min(known) * 1000) if known else None,
        "partitions": [_partition_json(each, at) for each in worker.partitions],
    }


def _partition_json(each: PartitionProgress, at: int) -> dict[str, Any]:
    return {
        "topic": each.topic,
        "partition": each.partition,
        "holder": each.holder,
        "next": each.next,
        "end": each.end,
        "waiting": each.waiting,
        "expired": each.expired,
        "oldest_seconds": None if each.waiting_since is None else _seconds(at - each.waiting_since * 1000),
    }


def _portal_json(portal: PortalStatus, at: int) -> dict[str, Any]:
    return {
        "portal": portal.portal.name,
        "crm": portal.portal.crm,
        "shadow": portal.portal.shadow,
        "waiting": portal.waiting,
        "oldest": portal.oldest,
        "oldest_seconds": _seconds(at - portal.oldest_since) if portal.oldest_since else None,
        "paused": portal.paused,
        "disabled": portal.disabled,
        "tokens": portal.authorisation.tokens.value,
        "last_delivered": iso_utc(portal.last_delivered) if portal.last_delivered else None,
    }


def _letters_json(letters: DeadLetterFacts) -> dict[str, Any]:
    group = letters.group
    return {
        "component": group.component,
        "reason": group.reason,
        "portal": group.portal,
        "letters": group.count,
        "calls": len(group.calls),
        "expired": are_gone(letters),
        "first": iso_utc(group.first),
        "last": iso_utc(group.last),
        "command": letters.command,
    }


def _seconds(micros: int) -> float:
    return round(max(0, micros) / 1_000_000, 1)
