"""Live and replayed, the highest version of each recorded call is the same bytes but for `correction`: in whatever
batches, after kills, with one member and with three."""

import asyncio
import random
from collections.abc import Callable, Iterable, Iterator

import pytest

from schemas import written_as
from streams.calls.classify import classify
from streams.calls.pbx_profile import PbxProfile
from streams.kafka.topic_client import TopicRecord
from streams.replay.control import legs_topic, results_topic
from streams.replay.running import standing_of
from streams.rules import load_rules
from tests.operations.memory import PARTITIONS, Operator
from tests.replay.memory import Live, MemorySource
from tests.replay.test_member import Killed, World, begun

Legs = dict[str, dict[int, bytes]]


def live_legs(operator: Operator, live: Live) -> Legs:
    """The legs of each call as the aggregate worker writes them, by their number."""
    rules, profile = load_rules(operator.settings.rules), PbxProfile.of(operator.settings)
    found: Legs = {}
    for call, cut_short in live.calls.values():
        for leg in classify(call, rules, profile, cut_short=cut_short).legs:
            found.setdefault(leg.call_id, {})[leg.leg] = operator.serializer.encode("call_leg", leg.record())
    return found


def bytes_of(world: World, records: Iterable[TopicRecord], schema: str) -> Iterator[tuple[dict[str, object], bytes]]:
    """Records of the replay, and their bytes with the correction taken away."""
    for record in records:
        fields = world.operator.serializer.decode_own(record.value, schema, written_as(record.headers))
        assert fields["correction"] == world.control.correction
        live = {**fields, "correction": 0}
        yield live, world.operator.serializer.encode(schema, live)


def logged(world: World, topic: str) -> list[TopicRecord]:
    name = world.operator.settings.kafka.topic(topic)
    return [record for each in range(PARTITIONS) for record in world.operator.topics.logs[name, each]]


def killer(seed: int, steps: int) -> Callable[[str], None]:
    """Kills the process that it is given to at one of its first `steps` sends and commits."""
    left = random.Random(seed).randrange(steps)

    def kill(_: str) -> None:
        nonlocal left
        left -= 1
        if left < 0:
            raise Killed

    return kill


async def work(world: World, members: int, kills: int) -> int:
    """Members share the partitions; as often as `kills` says all of them are killed somewhere, and others go on.

    The number of members that were killed.
    """
    killed = 0
    for number in range(kills + 1):
        shares = [frozenset(range(each, PARTITIONS, members)) for each in range(members)]
        kill = [killer(100 * number + each, 12) if number < kills else lambda _: None for each in range(members)]
        works = (world.work(how, share) for how, share in zip(kill, shares, strict=True))
        ended = await asyncio.gather(*works, return_exceptions=True)
        killed += sum(isinstance(each, Killed) for each in ended)
        if wrong := [each for each in ended if isinstance(each, Exception)]:
            raise wrong[0]
    return killed


@pytest.mark.parametrize(
    ("batch", "members", "kills"), [(1, 1, 0), (7, 1, 3), (500, 3, 0), (40, 3, 3), (10_000, 1, 2), (10_000, 3, 1)]
)
async def test_every_recorded_call(
    operator: Operator, source: MemorySource, live: Live, batch: int, members: int, kills: int
) -> None:
    source.batch = batch
    world = await begun(operator, source)
    assert bool(await work(world, members, kills)) is bool(kills)
    encode, legs = operator.serializer.encode, live_legs(operator, live)
    expected = {name: encode("call_result", result.record()) for name, result in live.highest.items()}
    found = dict[str, bytes]()
    for fields, value in bytes_of(world, logged(world, results_topic("new")), "call_result"):
        assert found.setdefault(str(fields["call_id"]), value) == value
    assert found == expected and len(expected) > 200
    found_legs: Legs = {}
    for fields, value in bytes_of(world, logged(world, legs_topic("new")), "call_leg"):
        of_call = found_legs.setdefault(str(fields["call_id"]), {})
        assert of_call.setdefault(int(str(fields["leg"])), value) == value
    assert found_legs == legs
    told = standing_of(world.control, world.commits, 0)
    assert (told.judged, told.not_judged) == (len(expected), 0)
