"""When the watcher looks for gaps, and what it says: against a comparison that finds what it is told to."""

import asyncio
from dataclasses import dataclass, field
from typing import Any

import pytest
from prometheus_client import REGISTRY
from structlog.testing import capture_logs

from connectors.gap_memory import GapOutcome, read_gap_outcome, write_gap_outcome
from connectors.gap_watch import GapWatch
from connectors.row_mark import RowMark
from connectors.watch import Watcher
from streams.errors import UserError
from streams.kafka.topic_client import Outgoing
from streams.settings import PbxSettings, Settings
from tests.connectors.fake_connect import FakeConnect, client_of
from tests.connectors.test_watch import Clock, FakeGuard, beating
from tests.operations.memory import MemoryTopics

HOUR_MS = 3_600_000
NONE = GapOutcome(0, compared_to=RowMark(40, "1.1", "2026-11-24 01:02:03"))
GAPS = GapOutcome(0, missing_rows=12, calls_without_result=1, remedies=("cel2crm backfill --call 1.1 --pbx pbx1",))


@dataclass
class FakeCheck:
    """Finds `finds`; raises UserError where it is `away`, waits for ever where it `hangs`."""

    memory: GapOutcome | None = None
    finds: GapOutcome = NONE
    away: bool = False
    hangs: bool = False
    now: int = 0
    compared_at: list[int] = field(default_factory=list)
    since: list[GapOutcome | None] = field(default_factory=list)

    async def last(self) -> GapOutcome | None:
        return self.memory

    async def compare(self, last: GapOutcome | None) -> GapOutcome:
        self.compared_at.append(self.now)
        self.since.append(last)
        if self.hangs:
            await asyncio.Event().wait()
        if self.away:
            raise UserError("no database answers at db:3306")
        return GapOutcome(
            self.now, missing_rows=self.finds.missing_rows, calls_without_result=self.finds.calls_without_result,
            remedies=self.finds.remedies, compared_to=self.finds.compared_to,
        )  # fmt: skip

    async def remember(self, outcome: GapOutcome) -> None:
        self.memory = outcome


async def stepped(
    watch: GapWatch, check: FakeCheck, until_ms: int, every_ms: int = 60_000, *, running: bool = True
) -> None:
    """Steps of the watcher, each with its task done before the next."""
    while check.now < until_ms:
        for _ in range(3):  # the memory is read in one, the comparison made in the next
            watch.step(running=running)
            while watch.busy:  # noqa: ASYNC110
                await asyncio.sleep(0)
        check.now += every_ms


async def test_pbxs_that_fall_due_together_are_compared_in_turn() -> None:
    turns = asyncio.Semaphore(1)
    hanging, other = FakeCheck(hangs=True), FakeCheck()
    first, second = watch_of(hanging, turns=turns), watch_of(other, turns=turns)
    for _ in range(3):
        for watch in (first, second):
            watch.step(running=True)
        for _ in range(5):
            await asyncio.sleep(0)
    assert (len(hanging.compared_at), len(other.compared_at)) == (1, 0)
    await first.stop()
    while second.busy:  # noqa: ASYNC110
        await asyncio.sleep(0)
    assert len(other.compared_at) == 1


def watch_of(check: FakeCheck, **changed: Any) -> GapWatch:
    return GapWatch(check, "c", "pbx1", now_ms=lambda: check.now, **changed)


async def test_an_empty_memory_is_filled_at_once_and_then_each_hour() -> None:
    check = FakeCheck()
    await stepped(watch_of(check), check, 3 * HOUR_MS)
    assert check.compared_at == [0, HOUR_MS, 2 * HOUR_MS]
    assert check.since[0] is None and check.since[1] is not None


async def test_a_watcher_that_is_started_again_keeps_the_rhythm() -> None:
    check = FakeCheck(GapOutcome(10 * HOUR_MS), now=10 * HOUR_MS + 40 * 60_000)
    await stepped(watch_of(check), check, 13 * HOUR_MS)
    assert check.compared_at == [11 * HOUR_MS, 12 * HOUR_MS]


async def test_a_memory_from_the_future_does_not_put_it_off() -> None:
    check = FakeCheck(GapOutcome(100 * HOUR_MS), now=HOUR_MS)
    await stepped(watch_of(check), check, HOUR_MS + 1)
    assert check.compared_at == [HOUR_MS]


async def test_after_a_restart_of_a_task_it_compares_as_soon_as_that_runs() -> None:
    check = FakeCheck(GapOutcome(0))
    watch = watch_of(check)
    watch.restarted()
    await stepped(watch, check, 120_000, running=False)
    assert check.compared_at == []
    await stepped(watch, check, 240_000)
    assert check.compared_at == [120_000]


async def test_one_that_fails_is_tried_again_soon_and_the_numbers_before_stay() -> None:
    check = FakeCheck(GapOutcome(0, missing_rows=7), away=True, now=HOUR_MS)
    watch = watch_of(check)
    with capture_logs() as lines:
        await stepped(watch, check, HOUR_MS + 600_000)
    assert check.compared_at == [HOUR_MS, HOUR_MS + 300_000]
    assert [line["event"] for line in lines] == ["cannot compare for gaps"] * 2
    assert check.memory is not None and check.memory.found and "no database answers" in check.memory.problem


async def test_a_fault_of_the_product_does_not_end_the_watching() -> None:
    class Faulty(FakeCheck):
        async def compare(self, last: GapOutcome | None) -> GapOutcome:
            self.compared_at.append(self.now)
            raise ValueError("nobody thought of this")

    check = Faulty()
    with capture_logs() as lines:
        await stepped(watch_of(check), check, 600_000)
    assert check.compared_at == [0, 300_000]
    assert check.memory is not None and "ValueError" in check.memory.problem
    assert "exc_info" in lines[0]


async def test_one_that_takes_too_long_is_given_up() -> None:
    check = FakeCheck(hangs=True)
    with capture_logs() as lines:
        await stepped(watch_of(check, limit_seconds=0.01), check, 1)
    assert lines[-1]["reason"] == "not done within 0 s"


async def test_what_is_found_is_a_log_line_with_its_remedy_and_a_metric() -> None:
    check = FakeCheck(finds=GAPS, now=HOUR_MS)
    watch = watch_of(check)
    with capture_logs() as lines:
        await stepped(watch, check, HOUR_MS + 1)
    (line,) = lines
    assert (line["event"], line["log_level"], line["rows"], line["calls"]) == ("rows are missing", "error", 12, 1)
    assert line["remedy"] == "Run: cel2crm backfill --call 1.1 --pbx pbx1"
    assert REGISTRY.get_sample_value("cel2crm_gaps", {"pbx": "pbx1", "kind": "rows"}) == 12
    assert REGISTRY.get_sample_value("cel2crm_gaps", {"pbx": "pbx1", "kind": "calls"}) == 1
    assert REGISTRY.get_sample_value("cel2crm_gaps_compared_timestamp_seconds", {"pbx": "pbx1"}) == 3600
    check.finds = NONE
    watch.restarted()
    await stepped(watch, check, HOUR_MS + 60_001)
    assert REGISTRY.get_sample_value("cel2crm_gaps", {"pbx": "pbx1", "kind": "rows"}) == 0


async def test_its_end_ends_what_is_under_way() -> None:
    check = FakeCheck(hangs=True)
    watch = watch_of(check)
    watch.step(running=True)
    while watch.busy:  # noqa: ASYNC110
        await asyncio.sleep(0)
    watch.step(running=True)
    assert watch.busy
    await watch.stop()
    assert not watch.busy


async def test_the_watcher_asks_for_it_after_its_restarts_and_after_those_of_others() -> None:
    class Noted(GapWatch):
        asked: list[str]

        def restarted(self) -> None:
            self.asked.append("restarted")

        def step(self, *, running: bool) -> None:
            self.asked.append("running" if running else "not running")

    clock, gaps = Clock(30), Noted(FakeCheck(), "c", "pbx1")
    gaps.asked = []
    async with client_of(FakeConnect("RUNNING", "FAILED", "RUNNING", "MISSING", "RUNNING")) as client:
        watcher = Watcher(
            client, "c", lambda: beating(clock), FakeGuard(), gaps=gaps, clock=clock, sleep=clock.sleep
        )  # fmt: skip
        with pytest.raises(TimeoutError):
            await watcher.run()
    first = gaps.asked[:8]
    assert first == [
        "running", "restarted", "not running", "restarted", "running", "not running", "restarted", "running",
    ]  # fmt: skip


async def test_a_record_of_a_later_version_is_read_or_counts_as_none() -> None:
    topics, settings = MemoryTopics(), Settings()
    for value, read in (
        (b'{"compared_at_ms": 7, "of_a_later_version": 1}', GapOutcome(7)),
        (b'{"compared_at_ms": []}', None),
    ):
        topics.put(Outgoing(settings.kafka.topic("capture-state"), b"pbx1/gaps", value, 0))
        assert await read_gap_outcome(settings, topics) == read


async def test_the_memory_is_the_pbxs_own() -> None:
    topics = MemoryTopics()
    office, branch = (Settings(pbx=PbxSettings(name=name)) for name in ("office", "branch"))
    assert await read_gap_outcome(office, topics) is None
    await write_gap_outcome(office, topics, GAPS)
    await write_gap_outcome(branch, topics, NONE)
    assert (await read_gap_outcome(office, topics), await read_gap_outcome(branch, topics)) == (GAPS, NONE)
    await write_gap_outcome(office, topics, NONE)
    assert await read_gap_outcome(office, topics) == NONE
    assert GAPS.told == (
        "gaps: 12 rows of the table never reached the topic; 1 calls on the topic have no result with all their rows"
    )
