"""Members of a replay over topics in memory: one, several, killed anywhere; what they wrote is what live said."""

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

import msgspec
import pytest

from schemas import written_as
from streams.calls.pbx_profile import PbxProfile
from streams.calls.result import CallResult
from streams.calls.result_headers import origin_of
from streams.errors import UserError
from streams.kafka.client import Unreachable
from streams.kafka.committed import Committed
from streams.kafka.topic_client import Outgoing
from streams.replay import member, opening
from streams.replay.control import Control, ReplayState, checked_name, legs_topic, results_topic, rules_of
from streams.replay.judge import Unjudged
from streams.replay.member import Member, Stopped, is_done, progress_of
from streams.replay.running import cancelled, control_of, resumed, standing_of
from streams.replay.selection import Selection
from streams.rules import load_rules
from tests.operations.memory import PARTITIONS, MemoryTopics, Operator
from tests.replay.memory import Live, MemorySource, capture
from tests.replay.test_comparison import small_topic
from tests.worker_installation import Row


class Killed(BaseException):
    """SIGKILL: nothing of the process is done any more."""


@dataclass
class MemoryLog:
    """See streams.replay.control.ControlLog."""

    records: dict[str, bytes] = field(default_factory=dict)

    async def all(self) -> Mapping[str, Control]:
        return {name: msgspec.json.decode(value, type=Control) for name, value in self.records.items()}

    async def change(self, name: str, decide: Callable[[Control | None], Control | None]) -> Control | None:
        after = decide((await self.all()).get(name))
        if after is None:
            self.records.pop(name, None)
        else:
            self.records[name] = msgspec.json.encode(after)
        return after


@dataclass
class MemoryGroup:
    """See streams.replay.member.Group. `commits`: what the brokers hold, shared by all members."""

    commits: dict[int, Committed]
    assigned: Collection[int] = frozenset(range(PARTITIONS))
    kill: Callable[[str], None] = lambda _: None

    async def committed(self) -> Mapping[int, Committed]:
        return dict(self.commits)

    async def commit(self, partition: int, offset: int, metadata: str) -> bool:
        self.kill("before a commit")
        if partition not in self.assigned:
            return False
        self.commits[partition] = Committed(offset, metadata)
        self.kill("after a commit")
        return True


class KillingTopics(MemoryTopics):
    """The topics of an installation, as a process sees them that may be killed at each sending."""

    def __init__(self, topics: MemoryTopics, kill: Callable[[str], None]) -> None:
        super().__init__(topics.logs, topics.readings, topics.begins)
        self._kill = kill

    async def send(self, records: Sequence[Outgoing]) -> None:
        self._kill("before a send")
        await super().send(records)
        self._kill("after a send")


@dataclass
class World:
    """A replay under way."""

    operator: Operator
    source: MemorySource
    control: Control
    log: MemoryLog = field(default_factory=MemoryLog)
    commits: dict[int, Committed] = field(default_factory=dict)

    async def work(
        self, kill: Callable[[str], None] = lambda _: None, assigned: Collection[int] | None = None
    ) -> Member:
        """A member, until the replay is done, or it is killed."""
        group = MemoryGroup(self.commits, frozenset(range(PARTITIONS)) if assigned is None else assigned, kill)
        connection = await self.operator.connection()
        connection = replace(connection, topics=KillingTopics(self.operator.topics, kill), _registered=set())
        rules, profile = rules_of(self.control, self.operator.settings)
        replay = opening.member_replay(connection, self.source, self.control, self.operator.settings, rules, profile)
        member = Member(connection, self.control, self.log, group, replay, lambda: asyncio.sleep(0), commit_seconds=0.0)
        await member.run()
        return member

    def written(self) -> tuple[dict[str, CallResult], int]:
        """The highest version of each call on the replay's topic, and the number of records; a version has one form."""
        topic = self.operator.settings.kafka.topic(results_topic("new"))
        seen, found = dict[tuple[str, int], bytes | None](), dict[str, CallResult]()
        for partition in range(PARTITIONS):
            for record in self.operator.topics.logs[topic, partition]:
                assert origin_of(record.headers) == "replay"
                fields = self.operator.serializer.decode_own(record.value, "call_result", written_as(record.headers))
                result = CallResult.from_record(fields)
                assert seen.setdefault((result.call_id, result.version), record.value) == record.value
                if result.call_id not in found or result.version > found[result.call_id].version:
                    found[result.call_id] = result
        return found, sum(len(self.operator.topics.logs[topic, each]) for each in range(PARTITIONS))


async def begun(operator: Operator, source: MemorySource, selection: Selection | None = None) -> World:
    connection = await operator.connection()
    replay = await opening.replay_of(connection, source, selection or Selection(), operator.settings)
    await opening.with_results(replay)
    control = control_of("new", replay, operator.settings, "me")
    world = World(operator, source, control)
    await world.log.change("new", lambda _: control)
    return world


def as_live(found: dict[str, CallResult]) -> dict[str, CallResult]:
    return {name: msgspec.structs.replace(result, correction=0) for name, result in found.items()}


async def test_every_recorded_call_is_written_as_live_has_it_but_for_the_correction(
    operator: Operator, source: MemorySource, live: Live
) -> None:
    source.batch = 1000
    world = await begun(operator, source)
    worked = await world.work()
    found, records = world.written()
    assert as_live(found) == live.highest and records == len(live.highest)
    assert {each.correction for each in found.values()} == {world.control.correction}
    assert worked.not_judged == []
    legs = operator.settings.kafka.topic(legs_topic("new"))
    assert sum(len(operator.topics.logs[legs, each]) for each in range(PARTITIONS)) > records
    assert (await world.log.all())["new"].state is ReplayState.DONE
    told = standing_of(world.control, world.commits, 0)
    assert (told.judged, told.not_judged, told.rows_done) == (len(live.highest), 0, world.control.rows)


def overlapping() -> list[Row]:
    """The rows of a few calls, each of which begins while the one before goes on."""
    calls: dict[str, list[Row]] = {}
    for row in small_topic():
        calls.setdefault(row["linkedid"], []).append(row)
    placed = [
        (3 * number + 2 * place, row) for number, rows in enumerate(calls.values()) for place, row in enumerate(rows)
    ]
    begin = max(int(name.partition(".")[0]) for name in calls)
    ordered = [row for _, row in sorted(placed, key=lambda each: each[0])]
    return [{**row, "__source_ts_ms": (begin + number) * 1000} for number, row in enumerate(ordered)]


async def test_killed_at_every_step_nothing_is_lost_and_what_is_repeated_is_the_same(
    operator: Operator, source: MemorySource
) -> None:
    capture(operator, overlapping())
    live, source.batch = Live(operator).take_all(), 4
    steps = 0

    def count(_: str) -> None:
        nonlocal steps
        steps += 1

    await (await begun(operator, source)).work(count)
    assert steps > 15
    for step in range(steps):
        for place in [place for place in operator.topics.logs if place[0].endswith(".new")]:
            del operator.topics.logs[place]
        world, left = await begun(operator, source), step

        def kill(_: str) -> None:
            nonlocal left
            left -= 1
            if left < 0:
                raise Killed

        with pytest.raises(Killed):
            await world.work(kill)
        await world.work()
        found, _ = world.written()
        assert as_live(found) == live.highest, step
        told = standing_of(world.control, world.commits, 0)
        assert (told.judged, told.not_judged) == (len(live.highest), 0), step


async def test_three_members_write_the_same_set_as_one(operator: Operator, source: MemorySource, live: Live) -> None:
    source.batch = 500
    world = await begun(operator, source)
    await asyncio.gather(world.work(assigned={0}), world.work(assigned={1, 2}), world.work(assigned={3}))
    found, records = world.written()
    assert as_live(found) == live.highest and records == len(live.highest)


async def test_a_partition_that_another_member_has_by_now_is_given_up(
    operator: Operator, source: MemorySource, live: Live
) -> None:
    source.batch = 100
    world = await begun(operator, source)
    mine = {0, 1}

    def lose(what: str) -> None:
        if what == "before a commit":
            mine.discard(1)

    first = asyncio.create_task(world.work(lose, mine))
    await world.work(assigned={1, 2, 3})
    await first
    assert as_live(world.written()[0]) == live.highest


async def test_a_call_that_is_not_whole_is_not_written(operator: Operator, source: MemorySource, live: Live) -> None:
    name, result = next(iter(live.highest.items()))
    operator.result(msgspec.structs.replace(result, version=result.version + 1, version_rows=result.version_rows + 1))
    world = await begun(operator, source)
    worked = await world.work()
    assert name not in world.written()[0]
    assert [(each.call_id, each.why) for each in worked.not_judged] == [(name, Unjudged.FEWER_ROWS)]
    assert standing_of(world.control, world.commits, 0).not_judged == 1


async def test_commits_of_an_earlier_replay_of_that_name_do_not_count(
    operator: Operator, source: MemorySource, live: Live
) -> None:
    world = await begun(operator, source)
    await world.work()
    again = msgspec.structs.replace(world.control, correction=world.control.correction + 1)
    assert not is_done(again, progress_of(again, world.commits))
    world.commits[0] = Committed(5, "set by hand")
    assert progress_of(world.control, world.commits)[0][0] == 0


async def test_brokers_that_are_away_for_a_while_are_waited_for(
    operator: Operator, source: MemorySource, live: Live, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(member, "_RETRY_SECONDS", 0.0)
    world, away = await begun(operator, source), 5

    def fail(what: str) -> None:
        nonlocal away
        away -= what == "before a send"
        if away >= 0 and what == "before a send":
            raise Unreachable("no Kafka broker at ..")

    await world.work(fail)
    assert away < 0 and as_live(world.written()[0]) == live.highest
    monkeypatch.setattr(member, "_PATIENCE_SECONDS", 0.0)
    away, world = 1 << 30, await begun(operator, source)
    with pytest.raises(Unreachable):
        await world.work(fail)


async def test_a_cancelled_replay_stops_its_members_and_can_be_resumed(
    operator: Operator, source: MemorySource, live: Live
) -> None:
    world = await begun(operator, source)
    await cancelled("new", world.log)
    with pytest.raises(Stopped):
        await world.work()
    await resumed("new", world.log)
    await world.work()
    assert as_live(world.written()[0]) == live.highest
    with pytest.raises(UserError, match="is done"):
        await resumed("new", world.log)
    with pytest.raises(UserError, match="there is no replay other"):
        await cancelled("other", world.log)


async def test_a_member_with_other_rules_or_of_another_version_is_refused(
    operator: Operator, source: MemorySource, live: Live
) -> None:
    world = await begun(operator, source)
    settings = operator.settings
    rules, profile = rules_of(world.control, settings)
    assert (rules.hash, profile.hash) == (load_rules(settings.rules).hash, PbxProfile.of(settings).hash)
    other = settings.model_copy(update={"numbers": settings.numbers.model_copy(update={"internal_digits": 3})})
    with pytest.raises(UserError, match="judge otherwise"):
        rules_of(world.control, other)
    with pytest.raises(UserError, match=r"0\.0\.9, and this is"):
        rules_of(msgspec.structs.replace(world.control, product="0.0.9"), settings)


async def test_the_correction_is_above_all_that_stand_there(
    operator: Operator, source: MemorySource, live: Live
) -> None:
    result = next(iter(live.highest.values()))
    operator.result(msgspec.structs.replace(result, correction=1 << 50))
    assert (await begun(operator, source)).control.correction == (1 << 50) + 1


@pytest.mark.parametrize("name", ["", "A", "a b", "-a", "a" * 41, "a.b", "a/b"])
def test_a_name_that_a_topic_cannot_bear_is_refused(name: str) -> None:
    with pytest.raises(UserError, match="cannot be the name of a replay"):
        checked_name(name)
