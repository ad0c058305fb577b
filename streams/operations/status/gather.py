"""All questions, asked at once: the facts of an installation, within a time that nothing can draw out."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TypeVar

from aiokafka.errors import KafkaError

from connectors.captured_rows import CapturedRows
from connectors.fault import Fault
from connectors.gap_memory import GapOutcome, read_gap_outcome
from connectors.sinks.report import report_sink
from connectors.source import connector_name
from connectors.topics import declared_topics
from streams.clock import utc_now_us
from streams.credentials.standing import AuthorisationState, standing_unknown
from streams.http.service import schema_registry
from streams.kafka.admin import KafkaAdmin
from streams.kafka.client import Unreachable, unreachable
from streams.kafka.partition_counts import changed, found_counts
from streams.operations import connection as operations
from streams.operations.complete_until import read_complete_until
from streams.operations.connection import Connection
from streams.operations.deliveries import Overview, overview_of
from streams.operations.portal_status import PortalStatus, authorisations, status_of
from streams.operations.status import capture
from streams.operations.status.capture import Memory
from streams.operations.status.dead_letters import unresolved
from streams.operations.status.facts import (
    Backlog,
    CaptureFacts,
    Facts,
    Unanswered,
    UnreadableMemory,
    WorkerFacts,
)
from streams.operations.status.patience import backlog_settled, workers_settled
from streams.operations.status.progress import AGGREGATE, ProgressReader
from streams.operations.status.questions import Questions, answer, answered
from streams.operations.unreadable_memory import not_set_aside, unreadable_checkpoints, unreadable_portal_states
from streams.settings import Settings

TOTAL_SECONDS = 11.0
"""For all questions together, the second looks included: a worker has to be watched for up to 8 s."""
ANSWER_SECONDS = 4.0
"""For one answer of a server."""
LOOK_SECONDS = 1.0
"""Between two looks at what does not move."""
QUICK_SECONDS = 2.5
"""For the few questions of `gather_quickly`."""

Outcome = TypeVar("Outcome")


async def gather(settings: Settings, *, seconds: float = TOTAL_SECONDS) -> Facts:
    """Everything, within `seconds`. Where work may be under way, it is looked at again until that is clear."""
    began = time.monotonic()
    asking = _Asking(settings, Questions(seconds))
    kafka = asking.of_kafka
    captures = [asking.capture(each, compare=True) for each in settings.each_pbx()]
    kafka("the workers", asking.workers, first=True)
    portals = kafka("the portals", asking.portals)
    let_in = kafka("how portals are let in", lambda: authorisations(settings, settings.portals))
    letters = kafka("the dead letters", lambda: asking.connected(unresolved))
    memory = kafka("the workers' memory", lambda: asking.connected(_unreadable))
    gaps = kafka("gaps", lambda: asking.connected(_gaps))
    complete = kafka("until when calls are complete", lambda: asking.connected(read_complete_until))
    counts = kafka("the topics' partitions", lambda: _repartitioned(settings))
    sinks = [kafka(f"sink {sink.called}", partial(report_sink, settings, sink)) for sink in settings.sinks]
    asking.questions.ask("the schema registry", _registry(settings))
    unanswered = await asking.questions.wait()
    seen: _Portals | None = answer(portals)
    capture_facts, *further = [captured() for captured in captures]
    backlogs = [each.backlog for each in (capture_facts, *further)]
    return Facts(
        at=utc_now_us(),
        seconds=time.monotonic() - began,
        capture=capture_facts,
        further_captures=tuple(further),
        workers=asking.seen_workers,
        repartitioned=answer(counts),
        portals=None if seen is None else _portal_statuses(settings, seen.overviews, answer(let_in) or {}),
        unreadable=(*(seen.unreadable if seen else ()), *(answer(memory) or ())),
        dead_letters=answer(letters),
        gaps=answer(gaps),
        gaps_known=answered(gaps),
        sinks=tuple(found for sink in sinks if (found := answer(sink)) is not None),
        complete=tuple(answer(complete) or ()) if answered(complete) else None,
        unanswered=(*unanswered, *_too_short(asking.seen_workers, backlogs, settings)),
    )


async def gather_quickly(settings: Settings, *, seconds: float = QUICK_SECONDS) -> Facts:
    """What a few short questions tell: the connector, its heartbeat, whether it is held, and the workers; one look."""
    asking = _Asking(settings, Questions(seconds), patient=False)
    captures = [asking.capture(each, compare=False) for each in settings.each_pbx()]
    workers = asking.of_kafka("the workers", asking.workers)
    unanswered = await asking.questions.wait()
    first, *further = [captured() for captured in captures]
    return Facts(
        at=utc_now_us(),
        capture=first,
        further_captures=tuple(further),
        workers=answer(workers) or asking.seen_workers,
        unanswered=unanswered,
    )


@dataclass(frozen=True, slots=True)
class _Portals:
    overviews: dict[str, Overview]
    unreadable: tuple[UnreadableMemory, ...]


class _Asking:
    """The questions about one installation."""

    def __init__(self, settings: Settings, questions: Questions, *, patient: bool = True) -> None:
        """`patient` False: one look at everything."""
        self.settings = settings
        self.questions = questions
        self.seen_workers: dict[str, WorkerFacts] = {}
        """As of the last look, should the time end in the next one."""
        self._patient = patient
        self._rows = CapturedRows.of_all(settings)
        self._answer_seconds = min(ANSWER_SECONDS, questions.left)
        self._broker = asyncio.ensure_future(self._find_broker())
        self._looked = asyncio.Event()

    def of_kafka(
        self, subject: str, question: Callable[[], Awaitable[Outcome]], *, first: bool = False
    ) -> "asyncio.Task[Outcome]":
        """Ask something of the brokers, once one has answered: where none does, all these questions say the same.

        `first`: before the others, which wait for the first look at the workers: to watch those takes longest.
        """

        async def ask() -> Outcome:
            await asyncio.shield(self._broker)
            if not first:
                await self._looked.wait()
            while True:
                try:
                    return await question()
                except Unreachable:  # a broker answers, but not the one that leads or coordinates: others take over
                    if not self._may_look_again:
                        raise
                    await asyncio.sleep(LOOK_SECONDS)

        return self.questions.ask(subject, ask())

    async def connected(
        self, question: Callable[[Connection], Awaitable[Outcome]], settings: Settings | None = None
    ) -> Outcome:
        """Ask something of the product's own topics, by a connection of its own; of one PBX by its `settings`."""
        async with operations.connect(settings or self.settings) as connection:
            return await question(connection)

    def capture(self, settings: Settings, *, compare: bool) -> Callable[[], CaptureFacts]:
        """Ask about one PBX's capture; gives what makes facts of the answers. `compare`: with the database."""
        seconds, ask, kafka = self._answer_seconds, self.questions.ask, self.of_kafka
        several, first = len(settings.pbxs) > 1, settings.pbx.name == self.settings.pbx.name
        of = f" of PBX {settings.pbx.name}" if several else ""
        connector = ask(f"the connector{of}", capture.connector_status(settings, seconds))
        beat = kafka(f"capture's heartbeat{of}", lambda: capture.seconds_since_heartbeat(settings, seconds))
        rows = self._rows if compare else None
        memory = kafka(f"the last row captured{of}", lambda: capture.remembered(settings, rows))
        compared, table, backlog, gaps = None, None, None, None
        if compare:
            compared = kafka(f"whether capture goes on{of}", lambda: capture.compared(settings, self._rows, seconds))
            table = ask(f"the table{of}" if several else "the PBX's table", capture.table_row(settings), seconds)
            backlog = kafka(f"how far capture is behind{of}", lambda: self.backlog(settings, memory))
        if compare and not first:
            gaps = kafka(f"gaps{of}", lambda: self.connected(_gaps, settings))

        def facts() -> CaptureFacts:
            known: Memory | None = answer(compared) or answer(memory)
            return CaptureFacts(
                connector_name(settings),
                connector=answer(connector),
                connector_known=answered(connector),
                heartbeat_known=answered(beat),
                seconds_since_heartbeat=answer(beat),
                hold=known.hold if known else None,
                warnings=known.warnings if known else (),
                captured=known.captured if known else None,
                last_row=answer(table),
                pbx=settings.pbx.name if several else "",
                gaps=answer(gaps),
                backlog=answer(backlog),
                backlog_known=answered(backlog),
            )

        return facts

    async def backlog(self, settings: Settings, memory: "asyncio.Task[Memory]") -> Backlog | None:
        """The rows that are not on the topic; looked at again, for some may be on their way."""
        captured = (await asyncio.shield(memory)).captured
        if captured is None:
            return None
        found = await capture.backlog_after(settings, captured)
        began = time.monotonic()
        while found is not None and not backlog_settled(found) and self._may_look_again:
            await asyncio.sleep(LOOK_SECONDS)
            found = await capture.still_missing(settings, self._rows, found, time.monotonic() - began)
        return None if found is None or await capture.is_on_topic(settings, found) else found

    async def workers(self) -> None:
        """Look at the consumer groups, and again, for records may be under way."""
        try:
            async with ProgressReader(self.settings, self._answer_seconds) as reader:
                first = self.seen_workers = await reader.look()
                self._looked.set()
                began = time.monotonic()
                while not workers_settled(self.seen_workers, self.settings) and self._may_look_again:
                    await asyncio.sleep(LOOK_SECONDS)
                    watched = time.monotonic() - began
                    now = await reader.look(first)
                    self.seen_workers = {name: replace(each, watched_seconds=watched) for name, each in now.items()}
        finally:
            self._looked.set()

    async def portals(self) -> _Portals:
        """The delivery logs of the CRMs with a portal."""
        overviews: dict[str, Overview] = {}
        async with operations.connect(self.settings) as connection:
            for crm in dict.fromkeys(portal.crm for portal in self.settings.portals):
                overviews[crm] = await overview_of(connection, crm, thorough=False)
            places = [(crm, await not_set_aside(connection, each.unreadable_at)) for crm, each in overviews.items()]
        return _Portals(overviews, tuple(UnreadableMemory(crm, found) for crm, found in places if found))

    async def _find_broker(self) -> None:
        async with KafkaAdmin(self.settings.kafka, timeout_seconds=self._answer_seconds):
            pass

    @property
    def _may_look_again(self) -> bool:
        """Whether there is time for it, and for what it takes."""
        return self._patient and self.questions.left > LOOK_SECONDS + 0.5


def _portal_statuses(
    settings: Settings, overviews: dict[str, Overview], known: dict[str, AuthorisationState]
) -> tuple[PortalStatus, ...]:
    return tuple(
        status_of(portal, known.get(portal.name) or standing_unknown(portal), overviews[portal.crm])
        for portal in settings.portals
    )


def _too_short(
    workers: Mapping[str, WorkerFacts], backlogs: Sequence[Backlog | None], settings: Settings
) -> Iterator[Unanswered]:
    """What the time was too short to watch: whether it stands still is not known."""
    why, remedy = "the time was too short to see whether that moves", "Look again: cel2crm status"
    if not workers_settled(workers, settings):
        yield Unanswered("records that wait for workers", why, remedy)
    if not all(map(backlog_settled, backlogs)):
        yield Unanswered("rows that wait for capture", why, remedy)


async def _unreadable(connection: Connection) -> tuple[UnreadableMemory, ...]:
    found = {AGGREGATE: await unreadable_checkpoints(connection)}
    if crms := dict.fromkeys(portal.crm for portal in connection.settings.portals):
        found[", ".join(crms)] = await unreadable_portal_states(connection)
    return tuple(UnreadableMemory(worker, places) for worker, places in found.items() if places)


async def _gaps(connection: Connection) -> GapOutcome | None:
    return await read_gap_outcome(connection.settings, connection.topics)


async def _repartitioned(settings: Settings) -> Fault | None:
    chosen = {topic.name: topic.partitions for topic in declared_topics(settings)}
    try:
        error = changed(chosen, await found_counts(settings.kafka, chosen))
    except (KafkaError, OSError, TimeoutError) as failure:
        raise unreachable(settings.kafka, failure) from None
    return None if error is None else Fault(error.problem, error.remedy)


async def _registry(settings: Settings) -> None:
    async with schema_registry(settings.registry, timeout_seconds=ANSWER_SECONDS) as registry:
        await registry.require()
