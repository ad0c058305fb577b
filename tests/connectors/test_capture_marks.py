"""The marks of capture: when one is made, and when none may be."""

import asyncio
import contextlib
from dataclasses import dataclass, field
from typing import ClassVar, Self

import pytest
from structlog.testing import capture_logs

from connectors import capture_marks
from connectors.apply import connect_client
from connectors.capture_marks import CaptureMarks, DatabaseCapture
from connectors.watch import Watcher
from streams.calls.capture_mark import CaptureMark
from streams.errors import UserError
from streams.settings import KafkaSettings, Settings
from tests.connectors.fake_connect import FakeConnect, client_of
from tests.connectors.test_gap_watch import FakeCheck, watch_of
from tests.connectors.test_watch import HOLD, Clock, FakeGuard, beating
from tests.operations.memory import MemoryTopics


@dataclass
class FakeCapture:
    """A database whose clock is `now`, and whose log ends at `end`; Connect has stored `stored`."""

    now: int = 1_000
    end: int = 10
    stored: int = 0
    lacks: str = ""
    away: bool = False
    published: list[int] = field(default_factory=list)
    taken: int = 0

    async def take(self) -> tuple[int, int]:
        if self.away:
            raise UserError("no database answers at db:3306")
        self.taken += 1
        return self.now, self.end

    async def passed(self, place: int) -> bool:
        return self.stored >= place

    async def missing(self) -> str:
        return self.lacks

    async def publish(self, until_ms: int) -> None:
        self.published.append(until_ms)


def marks_of(capture: FakeCapture, clock: list[float]) -> CaptureMarks:
    return CaptureMarks(capture, "office", poll_seconds=0, clock=lambda: clock[0])


async def turns(times: int = 20) -> None:
    for _ in range(times):
        await asyncio.sleep(0)


async def test_a_mark_is_made_when_the_stored_position_is_behind_it() -> None:
    capture, clock = FakeCapture(), [0.0]
    marks = marks_of(capture, clock)
    marks.step(allowed=True)
    await turns()
    assert capture.published == []
    capture.now, capture.end = 2_000, 20
    capture.stored = 10
    await turns()
    assert capture.published == [1_000]  # the clock at which the log ended there, not a later one
    marks.step(allowed=True)
    await turns()
    assert capture.taken == 1  # the next is not due yet
    clock[0], capture.stored = 30.0, 20
    marks.step(allowed=True)
    await turns()
    assert capture.published == [1_000, 2_000]
    await marks.stop()


async def test_what_is_under_way_is_given_up_where_rows_may_be_passed_over() -> None:
    capture, clock = FakeCapture(), [0.0]
    marks = marks_of(capture, clock)
    marks.step(allowed=True)
    await turns()
    marks.step(allowed=False)
    await turns()
    capture.stored = 10
    await turns()
    assert capture.published == []
    clock[0], capture.now = 30.0, 3_000
    marks.step(allowed=True)
    await turns()
    assert capture.published == [3_000]


async def test_no_mark_is_made_while_rows_are_known_to_be_missing_and_it_is_said_once() -> None:
    capture, clock = FakeCapture(stored=10, lacks="gaps: 3 rows of the table never reached the topic"), [0.0]
    marks = marks_of(capture, clock)
    with capture_logs() as lines:
        for _ in range(3):
            marks.step(allowed=True)
            await turns()
            clock[0] += 30
        capture.lacks = ""
        marks.step(allowed=True)
        await turns()
    assert capture.published == [1_000]
    assert [line["event"] for line in lines] == [
        "until when calls are complete does not move", "calls are complete until later times again",
    ]  # fmt: skip
    assert "3 rows" in lines[0]["reason"]


async def test_a_database_that_is_away_is_said_and_tried_again() -> None:
    capture, clock = FakeCapture(stored=10, away=True), [0.0]
    marks = marks_of(capture, clock)
    with capture_logs() as lines:
        marks.step(allowed=True)
        await turns()
    assert [line["reason"] for line in lines] == ["no database answers at db:3306"]
    capture.away, clock[0] = False, 30.0
    marks.step(allowed=True)
    await turns()
    assert capture.published == [1_000]


async def watched(states: list[str], guard: FakeGuard, check: FakeCheck | None = None) -> FakeCapture:
    capture, clock = FakeCapture(stored=10), Clock(60)
    async with client_of(FakeConnect(*states)) as client:

        async def sleep(seconds: float) -> None:
            await turns()
            await clock.sleep(seconds)

        watcher = Watcher(
            client, "c", lambda: beating(clock), guard, gaps=None if check is None else watch_of(check),
            marks=CaptureMarks(capture, "c", every_seconds=1, clock=clock), clock=clock, sleep=sleep,
        )  # fmt: skip
        with contextlib.suppress(TimeoutError):
            await watcher.run()
    return capture


async def test_the_watcher_makes_marks_while_the_connector_runs() -> None:
    assert (await watched(["RUNNING"], FakeGuard())).published
    assert not (await watched(["FAILED"], FakeGuard())).published
    assert not (await watched(["PAUSED"], FakeGuard())).published


async def test_the_watcher_makes_none_while_the_capture_is_held() -> None:
    assert not (await watched(["RUNNING"], FakeGuard(hold=HOLD))).published


async def test_after_a_restart_gaps_are_looked_for_first() -> None:
    assert not (await watched(["FAILED", "RUNNING"], FakeGuard(), FakeCheck(hangs=True))).published
    assert (await watched(["FAILED", "RUNNING"], FakeGuard(), FakeCheck())).published


class CountedTopics(MemoryTopics):
    """Topics whose connections are counted; `away`: no broker answers any more."""

    made: ClassVar[list["CountedTopics"]] = []
    away = False
    closed = False

    def __init__(self, _: KafkaSettings, *, uncommitted: bool) -> None:
        assert uncommitted
        super().__init__()
        self.made.append(self)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.closed = True

    async def ends(self, topic: str) -> dict[int, int]:
        if self.away:
            raise UserError("no broker answers")
        return await super().ends(topic)


async def test_a_connection_is_kept_from_mark_to_mark_and_made_anew_after_an_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(capture_marks, "KafkaTopics", CountedTopics)
    made: list[CountedTopics] = []
    monkeypatch.setattr(CountedTopics, "made", made)
    async with connect_client(Settings()) as connect, DatabaseCapture(Settings(), connect) as capture:
        for until_ms in (1_000, 2_000):
            assert await capture.missing() == ""
            await capture.publish(until_ms)
        assert len(made) == 1
        made[0].away = True
        with pytest.raises(UserError, match="no broker"):
            await capture.publish(3_000)
        assert made[0].closed
        await capture.publish(4_000)
        assert [each.closed for each in made] == [True, False]
    assert made[1].closed
    told = [
        CaptureMark.decode(record.value or b"").until_ms
        for each in made
        for record in each.logs["cel2crm.capture-marks", 0]
    ]
    assert told == [1_000, 2_000, 4_000]
