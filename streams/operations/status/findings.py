"""Facts become findings: what stands still, why, and what to do next. Pure."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from connectors.fault import Fault
from connectors.gap_memory import GapOutcome
from connectors.report import connector_faults, gap_fault, silence_faults
from connectors.sinks.report import SinkReport
from streams.clock import MICROS_PER_SECOND, UtcMicros, format_span
from streams.operations.masking import masked_text
from streams.operations.portal_status import PortalStatus
from streams.operations.status.dead_letters import are_gone
from streams.operations.status.facts import CaptureFacts, Facts, PartitionProgress, WorkerFacts
from streams.operations.status.patience import BACKLOG_SECONDS, HOLDERLESS_SECONDS, is_free, stands
from streams.settings import Settings

PORTAL_SECONDS = 600.0
"""A portal that has taken no call for so long, while one has been waiting for it all the time, takes none."""


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that does not get on by itself, or calls that are not where they belong."""

    area: str
    """capture, gaps, workers, memory, portals, dead letters or sinks."""
    code: str
    """For scripts: never changes its meaning."""
    problem: str
    remedy: str
    """What to do next, with one exact command."""


def findings_of(facts: Facts, settings: Settings) -> list[Finding]:
    """All findings, in the order in which a call passes the parts."""
    numbers = settings.logging.mask_numbers
    return [
        *(_of_capture(facts.capture) if facts.capture else ()),
        *_of_gaps(facts.gaps, facts.capture.pbx if facts.capture else ""),
        *(each for capture in facts.further_captures for each in _of_capture(capture)),
        *(each for capture in facts.further_captures for each in _of_gaps(capture.gaps, capture.pbx)),
        *_of_partitions(facts.repartitioned),
        *(each for worker in facts.workers.values() for each in _of_worker(worker, facts.at, settings)),
        *_of_memory(facts),
        *(each for portal in facts.portals or () for each in _of_portal(portal, facts.at, numbers=numbers)),
        *_of_dead_letters(facts, numbers=numbers),
        *(each for sink in facts.sinks for each in _of_sink(sink)),
    ]


def _of_capture(capture: CaptureFacts) -> Iterator[Finding]:
    of = f"PBX {capture.pbx}: " if capture.pbx else ""
    if capture.hold is not None:
        yield Finding("capture", "held", f"{of}{capture.hold.problem}", capture.hold.remedy)
    if capture.connector_known:
        # A heartbeat that could not be asked for is no fault of the connector: told as unanswered.
        beat = capture.seconds_since_heartbeat if capture.heartbeat_known else 0.0
        for fault in connector_faults(capture.connector, beat, held=capture.hold is not None):
            yield Finding("capture", "connector", f"connector {capture.name}: {fault.problem}", fault.remedy)
    elif capture.heartbeat_known:
        for fault in silence_faults(capture.seconds_since_heartbeat):
            yield Finding("capture", "silent", f"connector {capture.name}: {fault.problem}", fault.remedy)
    for fault in capture.warnings:
        yield Finding("capture", "warning", f"{of}{fault.problem}", fault.remedy)
    if (late := capture.backlog) is not None and late.seconds >= BACKLOG_SECONDS:
        yield Finding(
            "capture",
            "behind",
            f"{of}{late.rows:,} rows of the table are not on the topic, the first of them {late.first.id} of "
            f"{late.first.eventtime} (the PBX's clock)",
            "See why: cel2crm connectors status",
        )


def _of_gaps(gaps: GapOutcome | None, pbx: str) -> Iterator[Finding]:
    if gaps is not None and gaps.found:
        fault = gap_fault(gaps)
        yield Finding("gaps", "gaps", f"PBX {pbx}: {fault.problem}" if pbx else fault.problem, fault.remedy)


def _of_partitions(fault: Fault | None) -> Iterator[Finding]:
    if fault is not None:
        yield Finding("workers", "partitions_changed", fault.problem, fault.remedy)


def _of_worker(worker: WorkerFacts, at: UtcMicros, settings: Settings) -> Iterator[Finding]:
    if worker.missing_topics:
        yield Finding(
            "workers",
            "topic_missing",
            f"worker {worker.name}: there is no topic {', '.join(worker.missing_topics)}",
            "Run: cel2crm topics apply",
        )
    free = [each for each in worker.partitions if each.holder is None]
    if worker.rebalancing and worker.watched_seconds >= HOLDERLESS_SECONDS:
        yield Finding(
            "workers",
            "rebalancing",
            f"worker {worker.name}: its group is sharing its partitions out anew, for {worker.watched_seconds:.0f} s "
            f"at least{waiting_records(worker.partitions, at)}",
            f"Look again in a minute; should it stay so, see the log of each: cel2crm worker {worker.name}",
        )
    elif free and is_free(worker):
        yield Finding(
            "workers",
            "partitions_not_held",
            f"worker {worker.name}: nobody holds {_places(free, worker)}{waiting_records(free, at)}",
            f"Start it: cel2crm worker {worker.name}",
        )
    still = [each for each in worker.partitions if stands(each, worker, at // 1000, settings)]
    if still and not worker.rebalancing:
        holders = ", ".join(sorted({str(each.holder) for each in still}))
        yield Finding(
            "workers",
            "partitions_stand",
            f"worker {worker.name}: {_places(still, worker)} do not move, watched for {worker.watched_seconds:.0f} s, "
            f"though a process at {holders} holds them{waiting_records(still, at)}",
            f"See its log there; where its process is gone or stuck, start it anew: cel2crm worker {worker.name}",
        )
    if expired := [each for each in worker.partitions if each.expired]:
        yield Finding(
            "workers",
            "expired",
            f"worker {worker.name}: {sum(each.expired for each in expired):,} records of {_places(expired, worker)} "
            "were removed by retention before it took them",
            "It names the backfill that brings their calls when it takes over, in a dead letter: "
            f"cel2crm worker {worker.name}",
        )


def _places(partitions: list[PartitionProgress], worker: WorkerFacts) -> str:
    """`3 of 6 partitions of TOPIC`, for each topic."""
    told = []
    for topic in dict.fromkeys(each.topic for each in partitions):
        count = sum(each.topic == topic for each in partitions)
        total = sum(each.topic == topic for each in worker.partitions)
        told.append(f"{count} of {total} partitions of {topic}")
    return " and ".join(told)


def waiting_records(partitions: Iterable[PartitionProgress], at: UtcMicros) -> str:
    """How many records wait, and for how long; empty where none does."""
    behind = [each for each in partitions if each.waiting > 0]
    if not behind:
        return ""
    count = sum(each.waiting for each in behind)
    known = [each.waiting_since for each in behind if each.waiting_since is not None]
    oldest = f", the oldest for {span(at - min(known) * 1000)}" if known else ""
    return f"; {count:,} {'record waits' if count == 1 else 'records wait'}{oldest}"


def span(micros: float) -> str:
    """In seconds as long as those say something."""
    return f"{max(0.0, micros) / MICROS_PER_SECOND:.0f} s" if micros < 120 * MICROS_PER_SECOND else format_span(micros)


def _of_memory(facts: Facts) -> Iterator[Finding]:
    for unreadable in facts.unreadable:
        first = unreadable.places[0]
        more = f" (and {len(unreadable.places) - 1:,} more)" if len(unreadable.places) > 1 else ""
        yield Finding(
            "memory",
            "unreadable",
            f"worker {unreadable.worker}: its own record {first}{more} cannot be read: it stops there at its start",
            "Where a later release wrote it, run that one; where it is damaged, look its call up in the CRM, then: "
            f"cel2crm topics set-aside {first} --note 'what is wrong with it'",
        )


def _of_portal(portal: PortalStatus, at: UtcMicros, *, numbers: bool) -> Iterator[Finding]:
    name = portal.portal.name
    told = f"portal {name} ({portal.portal.crm})"
    waiting = waiting_calls(portal, at)
    if portal.disabled is not None:
        yield Finding(
            "portals",
            "disabled",
            f"{told} is disabled: {masked_text(portal.disabled, numbers=numbers)}{waiting}",
            f"When it wants calls again: cel2crm portal enable {name}, and restart its worker",
        )
    elif portal.refused is not None:
        yield Finding(
            "portals",
            "not_authorised",
            f"{told} lets nobody in: {portal.refused.why}{waiting}",
            f"Run: cel2crm portal authorise {name}",
        )
    elif portal.paused is not None:
        yield Finding(
            "portals",
            "paused",
            f"{told} is paused: {masked_text(portal.paused, numbers=numbers)}{waiting}",
            f"Mend that at the portal; its calls then go on by themselves. See: cel2crm portal status {name}",
        )
    elif takes_none(portal, at):
        why = f": {masked_text(portal.oldest_reason, numbers=numbers)}" if portal.oldest_reason else ""
        yield Finding(
            "portals",
            "takes_no_calls",
            f"{told} takes no calls{why}{waiting}",
            f"See what it answers: cel2crm deliveries {portal.oldest}",
        )


def takes_none(portal: PortalStatus, at: UtcMicros) -> bool:
    """Whether a call has been waiting for long, and the portal has taken none meanwhile."""
    if portal.oldest_since is None or portal.portal.shadow or portal.portal.unknown_number == "retry":
        return False  # calls wait because the settings say so
    since = max(portal.oldest_since, portal.last_delivered or 0)
    return at - since >= PORTAL_SECONDS * MICROS_PER_SECOND


def waiting_calls(portal: PortalStatus, at: UtcMicros) -> str:
    if not portal.waiting:
        return ""
    oldest = f", the oldest for {span(at - portal.oldest_since)}" if portal.oldest_since else ""
    return f"; {portal.waiting:,} {'call waits' if portal.waiting == 1 else 'calls wait'}{oldest}"


def _of_dead_letters(facts: Facts, *, numbers: bool) -> Iterator[Finding]:
    for letters in facts.dead_letters or ():
        group = letters.group
        where = f", portal {group.portal}" if group.portal else ""
        count = f"{group.count:,} dead {'letter' if group.count == 1 else 'letters'}"
        then = " When its calls are there, drop the letter." if are_gone(letters) else ""
        yield Finding(
            "dead letters",
            "expired_records" if are_gone(letters) else "dead_letters",
            f"{count} of {group.component}{where}: {group.reason}, the last: "
            f"{masked_text(group.explanation, numbers=numbers)}",
            f"Run: {letters.command}{then and '.' + then}",
        )


def _of_sink(sink: SinkReport) -> Iterator[Finding]:
    """Each fault once, though it is that of several connectors."""
    told = set(sink.faults)
    for fault in sink.faults:
        yield Finding("sinks", "sink", f"sink {sink.name}: {fault.problem}", fault.remedy)
    for part in sink.parts:
        for fault in part.faults:
            if fault not in told:
                told.add(fault)
                behind = (
                    f"; {part.behind:,} {'record' if part.behind == 1 else 'records'} behind" if part.behind else ""
                )
                yield Finding("sinks", "sink", f"sink {sink.name}, {part.part}: {fault.problem}{behind}", fault.remedy)
