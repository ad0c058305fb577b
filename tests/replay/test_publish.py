"""`cel2crm replay publish` over topics in memory: exactly the calls that diff named, once, by the live rules alone."""

import asyncio
import json
import tempfile
from collections.abc import Iterator
from dataclasses import replace as with_
from pathlib import Path
from typing import IO, Any

import msgspec
import pytest

from schemas import written_as
from streams.calls.differences import compared_hash
from streams.calls.pbx_profile import PbxProfile
from streams.calls.result import CallResult
from streams.calls.result_headers import origin_of
from streams.calls.rules_in_force import RulesInForce
from streams.cli.replay import publish
from streams.crm.bitrix24.plan import PLAN as BITRIX24
from streams.delivery.events import Arrived
from streams.delivery.machine import advance
from streams.delivery.record import State
from streams.kafka.topic_client import Outgoing
from streams.rules import hash_in_force, load_rules
from streams.topics import RULES_IN_FORCE
from tests.cli.commands import run
from tests.delivery.test_machine import DELIVERED, POLICY
from tests.delivery.test_machine import run as run_machine
from tests.operations.memory import PARTITIONS, Operator
from tests.replay.memory import Live, MemorySource
from tests.replay.test_comparison import outcomes, replayed
from tests.replay.test_member import MemoryLog


@pytest.fixture
def tree(tmp_path: Path) -> dict[str, Any]:
    """Settings whose rules were changed since the calls were judged: busy calls count as rejected."""
    file = tmp_path / "rules.yaml"
    file.write_text("results:\n  - cause: 17\n    result: 603\n", encoding="utf-8")
    portal = {"name": "main", "crm": "bitrix24", "default_user": "1", "on_revision": "note"}
    return {"rules": {"file": str(file)}, "portals": [portal]}


class World:
    """What the command meets."""

    def __init__(self, operator: Operator, source: MemorySource) -> None:
        self.operator, self.log, self.members = operator, MemoryLog(), 1
        self.taken = asyncio.run(source.ends())
        settings = operator.settings
        self.hash = hash_in_force(load_rules(settings.rules).hash, PbxProfile.of(settings).hash)
        for partition in range(PARTITIONS):
            self.says(partition, self.hash)

    def says(self, partition: int, rules_hash: str) -> None:
        value = RulesInForce(rules_hash, f"host/{partition}", 1).encode()
        topic = self.operator.settings.kafka.topic(RULES_IN_FORCE)
        self.operator.topics.put(Outgoing(topic, str(partition).encode(), value, 0))

    def corrections(self) -> dict[str, CallResult]:
        """What was published, by call; each call once."""
        topic, found = self.operator.settings.kafka.topic("call-results"), dict[str, CallResult]()
        for partition in range(PARTITIONS):
            for record in self.operator.topics.logs[topic, partition]:
                fields = self.operator.serializer.decode_own(record.value, "call_result", written_as(record.headers))
                result = CallResult.from_record(fields)
                if result.correction:
                    assert origin_of(record.headers) == "replay" and result.call_id not in found
                    found[result.call_id] = result
        return found

    def legs(self) -> list[dict[str, Any]]:
        """The legs that were published."""
        topic = self.operator.settings.kafka.topic("call-legs")
        records = [record for each in range(PARTITIONS) for record in self.operator.topics.logs[topic, each]]
        return [
            dict(self.operator.serializer.decode_own(each.value, "call_leg", written_as(each.headers)))
            for each in records
        ]


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch, operator: Operator, source: MemorySource, live: Live) -> Iterator[World]:
    """Live workers, that have taken everything, and judge by the settings' rules."""
    made = World(operator, source)

    async def members(_: object) -> int:
        return made.members

    async def taken(_: object) -> dict[int, int]:
        return dict(made.taken)

    monkeypatch.setattr(publish, "live_members", members)
    monkeypatch.setattr(publish, "taken_offsets", taken)
    monkeypatch.setattr(publish, "control_log", lambda _: made.log)
    yield made


def busy(live: Live) -> set[str]:
    return {name for name, each in live.highest.items() if each.result == 486 and each.hangup_cause == 17}


def test_exactly_the_calls_that_diff_names_are_published_and_the_second_time_none(world: World, live: Live) -> None:
    named = {json.loads(line).get("call_id") for line in run("replay", "diff", "--json").stdout.splitlines()} - {None}
    done = run("replay", "publish", "--yes", "--json")
    told = json.loads(done.stdout)
    found = world.corrections()
    assert done.status == 0 and named == busy(live) == set(found) and told["published"] == len(named)
    for name, result in found.items():
        assert (result.result, result.version) == (603, live.highest[name].version)
        assert result.correction == told["correction"]
    assert {leg["call_id"] for leg in world.legs()} == named
    assert {leg["correction"] for leg in world.legs()} == {told["correction"]}
    (control,) = asyncio.run(world.log.all()).values()
    assert (control.publishes, control.state.value, control.correction) == (True, "done", told["correction"])
    again = run("replay", "publish", "--yes", "--json")
    assert json.loads(again.stdout)["published"] == 0 and world.corrections() == found
    assert run("replay", "diff").status == 0


def test_a_portal_that_wants_notes_hears_of_exactly_those(world: World, live: Live) -> None:
    run("replay", "publish", "--yes")
    corrections = world.corrections()
    assert {name for name, result in live.highest.items() if told_later(result, corrections.get(name))} == busy(live)


def test_a_late_row_by_the_changed_rules_brings_a_note_of_no_call_that_diff_does_not_name(
    world: World, live: Live, source: MemorySource
) -> None:
    anew = outcomes(replayed(world.operator, source)[0])
    assert set(anew) == set(live.highest)
    found = set()
    for name, result in live.highest.items():
        later = msgspec.structs.replace(anew[name], version=result.version + 1)
        assert later.outcome_hash != result.outcome_hash, "it covers the hash of the rules"
        if told_later(result, later):
            found.add(name)
    assert found == busy(live)


def told_later(result: CallResult, *later: CallResult | None) -> bool:
    """Whether a portal that has a call, and wants notes, is told after these results, and the first one again."""
    policy = with_(POLICY, on_revision="note")
    delivery = run_machine(*DELIVERED, first=arrived(result)).delivery
    assert delivery.state is State.DELIVERED
    for each in (*filter(None, later), result):
        delivery = advance(delivery, arrived(each), BITRIX24, policy).delivery
    return delivery.step == "comment"


def arrived(result: CallResult) -> Arrived:
    return Arrived(
        now=1, call_id=result.call_id, portal="main", version=result.version, correction=result.correction,
        outcome_hash=result.outcome_hash, compared_hash=compared_hash(result), result=b"r",
        call_ended_at=result.ended_at, history="judged anew by a replay" if result.correction else None,
    )  # fmt: skip


def test_it_is_refused_while_a_live_worker_judges_by_other_rules(world: World) -> None:
    world.says(2, "0123456789ab")
    done = run("replay", "publish", "--yes")
    assert done.status == 2 and not world.corrections()
    assert f"worker host/2 judges by rules 0123456789ab, and these settings are rules {world.hash}" in done.stderr


def test_it_is_refused_where_a_live_worker_does_not_say_by_which(world: World) -> None:
    world.operator.topics.logs[world.operator.settings.kafka.topic(RULES_IN_FORCE), 0].clear()
    done = run("replay", "publish", "--yes")
    assert (done.status, "nobody knows by which rules" in done.stderr, world.corrections()) == (2, True, {})


def test_without_a_live_worker_it_asks_even_for_one_call(world: World, live: Live) -> None:
    world.members = 0
    call = min(busy(live))
    done = run("replay", "publish", "--call", call)
    assert (done.status, "not confirmed; nothing was done" in done.stderr, world.corrections()) == (2, True, {})
    assert "no aggregate worker runs" in done.stderr
    assert run("replay", "publish", "--call", call, "--yes").status == 0 and set(world.corrections()) == {call}


def test_calls_whose_results_are_still_to_come_from_the_worker_are_left_out(world: World, live: Live) -> None:
    world.taken = dict.fromkeys(range(PARTITIONS), 0)
    done = run("replay", "publish", "--yes", "--json")
    told = json.loads(done.stdout)
    assert (done.status, told["published"], told["still_to_come"]) == (1, 0, len(busy(live)))
    assert not world.corrections()


def test_calls_that_cannot_be_judged_are_never_published(world: World, live: Live, operator: Operator) -> None:
    name = min(busy(live))
    more = live.highest[name]
    operator.result(msgspec.structs.replace(more, version=more.version + 1, version_rows=more.version_rows + 1))
    done = run("replay", "publish", "--yes")
    assert done.status == 1 and f"not judged: {name}" in done.stdout
    assert set(world.corrections()) == busy(live) - {name}


def test_a_live_result_of_the_same_rows_does_not_count_over_a_correction(
    world: World, live: Live, operator: Operator
) -> None:
    run("replay", "publish", "--yes")
    for name in busy(live):
        operator.result(live.highest[name])
    assert run("replay", "diff").status == 0


@pytest.mark.parametrize("command", ["diff", "publish"])
def test_a_full_disk_for_what_differs_is_told_and_publishes_nothing(
    world: World, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    """/dev/full takes what is buffered, and refuses it when it is written: as late as it can be."""

    def full() -> IO[bytes]:
        return Path("/dev/full").open("w+b")

    monkeypatch.setattr(tempfile, "TemporaryFile", full)
    done = run("replay", command, *(["--yes"] if command == "publish" else []))
    assert (done.status, "differing calls cannot be kept in" in done.stderr) == (2, True), done
    assert "No space left on device" in done.stderr
    assert world.corrections() == {} and asyncio.run(world.log.all()) == {}
