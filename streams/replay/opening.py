"""A replay opened for a command: connections, ranges, rules, and the results that stand on call-results."""

import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from streams.calls.pbx_profile import PbxProfile
from streams.clock import utc_now_ms
from streams.errors import UserError
from streams.operations import connection as operations
from streams.operations.connection import Connection
from streams.operations.erased_numbers import erased_numbers
from streams.privacy.erased import ErasedNumbers
from streams.replay.comparison import Replay
from streams.replay.control import Control
from streams.replay.judge import CallJudge
from streams.replay.progress import Progress
from streams.replay.published import PublishedResults, read_results
from streams.replay.ranges import CLOCKS_APART_MS, ranges_of
from streams.replay.selection import Selection
from streams.replay.source import CelSource, KafkaCelSource
from streams.rules import Rules, hash_in_force, load_rules
from streams.settings import Settings
from streams.topics import CEL
from streams.workers.aggregate.record_decoder import RecordDecoder
from streams.workers.aggregate.steps import Limits


@asynccontextmanager
async def open_replay(settings: Settings) -> AsyncIterator[tuple[Connection, CelSource]]:
    """The connections of a replay. Raises UserError: no broker, no cel topic. The one seam of the commands' tests."""
    async with (
        operations.connect(settings) as connection,
        KafkaCelSource(settings.kafka, settings.kafka.topic(CEL)) as source,
    ):
        yield connection, source


async def replay_of(
    connection: Connection,
    source: CelSource,
    selection: Selection,
    settings: Settings,
    *,
    report: Callable[[Progress], None] = lambda _: None,
    clock: Callable[[], float] = time.monotonic,
) -> Replay:
    """A replay of a selection; `settings`: with the rules by which it judges. Results are still to be read.

    Raises UserError: no broker, rules that cannot be used, offsets out of range.
    """
    rules, profile = load_rules(settings.rules), PbxProfile.of(settings)
    ranges = await ranges_of(selection, source, settings, utc_now_ms())
    erased = await erased_numbers(connection, profile)
    judge = CallJudge(rules, profile, Limits.of(settings.aggregate), source.name, erased)
    progress = Progress(sum(each.rows for each in ranges), clock, report)
    return Replay(connection, source, selection, ranges, judge, RecordDecoder(settings), PublishedResults(), progress)


async def with_results(replay: Replay) -> Replay:
    """The same with the results that stand there now. Raises UserError: no broker, no such topic."""
    settings, selection = replay.connection.settings, replay.selection
    since = selection.written_since_ms
    if selection.since is not None:
        since = max(since or 0, selection.since.earliest_us(settings) // 1000)
    since_ms = None if since is None else max(0, since - CLOCKS_APART_MS)
    keys = None if selection.calls is None else frozenset(each.encode() for each in selection.calls)
    wanted = None if keys is None else keys.__contains__
    replay.published = await read_results(replay.connection, since_ms, replay.progress.results, wanted)
    return replay


def rules_hash_of(replay: Replay) -> str:
    """The hash of everything that a replay judges by, as it stands in its results."""
    return hash_in_force(replay.judge.rules.hash, replay.judge.profile.hash)


def refuse_absent(selection: Selection, found: int) -> None:
    """Raises UserError where calls were named and none of them is on the topic."""
    if selection.calls and not found:
        names = ", ".join(selection.calls[:5]) + (" .." if len(selection.calls) > 5 else "")
        raise UserError(
            f"the topic holds no rows of {names}",
            "A linkedid stands in the column of that name, and after the slash in a call id. Rows that retention has "
            "removed come back by cel2crm backfill --call.",
        )


def member_replay(
    connection: Connection,
    source: CelSource,
    control: Control,
    settings: Settings,
    rules: Rules,
    profile: PbxProfile,
    *,
    erased: ErasedNumbers | None = None,
    report: Callable[[Progress], None] = lambda _: None,
) -> Replay:
    """What a member works with, by the control record. `erased`: as CallJudge has it."""
    judge = CallJudge(rules, profile, Limits.of(settings.aggregate), source.name, erased)
    progress = Progress(control.rows, time.monotonic, report)
    return Replay(
        connection,
        source,
        control.selection,
        control.ranges,
        judge,
        RecordDecoder(settings),
        PublishedResults(),
        progress,
    )
