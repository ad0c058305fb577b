"""Table, topic and results compared, in memory: exactly what is missing is named, and nothing else."""

import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.calls.call import Call, call_id
from streams.calls.snapshot import Snapshot
from streams.dead_letter_reasons import DeadLetterReason
from streams.gaps.captured import STANDSTILL_SECONDS
from streams.gaps.comparison import Since
from streams.gaps.findings import Findings
from streams.kafka.topic_client import Outgoing, partition_of
from streams.rows.row import CelRow
from streams.settings import PbxSettings, Settings
from streams.sources.window import EARLIER, Bound
from streams.topics import AGGREGATE_CHECKPOINTS, CALL_RESULTS
from tests.gaps.memory import PARTITIONS, Row, World

ROWS = [Row(number, number // 4, number) for number in range(1, 41)]


def ids(found: Findings) -> set[tuple[int, int, int]]:
    return {(each.first_id, each.last_id, each.rows) for each in found.stretches}


@given(st.sets(st.sampled_from(ROWS)), st.sets(st.sampled_from(ROWS)), st.sets(st.sampled_from(ROWS)))
async def test_what_the_table_holds_and_the_topic_lacks_from_its_first_row_on(
    captured: set[Row], deleted: set[Row], twice: set[Row]
) -> None:
    """Purged rows, holes in the ids, rows from before capture and rows that came twice are none."""
    world = World()
    world.write(row for row in ROWS if row not in deleted)
    world.capture(sorted(captured))
    world.capture(sorted(captured & twice), __op="r")
    world.show(captured)
    found = await world.compare()
    first = min(captured, default=None)
    missing = {row for row in ROWS if first is not None and row > first} - captured - deleted
    assert found.missing_rows == len(missing)
    assert found.missing_calls == len({row.call for row in missing})
    assert not found.calls
    assert found.nothing_kept == (first is None)


async def test_the_command_names_the_calls_or_the_ids_from_their_first_row_on() -> None:
    world = World()
    many = [Row(number, number // 2, number) for number in range(1, 101)]
    world.write(many)
    world.capture([*many[:21], *many[70:73], *many[74:]])  # row 21 is of call 10, whose row 20 is there
    found = await world.compare()
    assert found.missing_rows == 50
    (stretch,) = found.stretches
    assert stretch.command("pbx1") == "cel2crm backfill --ids 22-74 --pbx pbx1"
    world.capture(many[22:70])
    found = await world.compare()
    assert found.remedies[0] == f"cel2crm backfill --call {many[21].linkedid} --call {many[73].linkedid} --pbx pbx1"
    world.capture([many[21], many[73]], __op="r")
    assert not (await world.compare()).missing_rows, "backfilled"


async def test_a_call_that_began_before_the_stretch_is_in_the_ids_of_the_command() -> None:
    world = World()
    calls = [Row(number, 999 if number == 5 else number, number) for number in range(1, 60)]
    world.write([*calls, Row(60, 999, 60), *(Row(n, n, n) for n in range(61, 90))])
    world.capture(calls)
    found = await world.compare()
    (stretch,) = found.stretches
    assert (stretch.first_id, stretch.command("pbx1")) == (60, "cel2crm backfill --ids 5-89 --pbx pbx1")


async def test_rows_under_way_are_none_and_the_second_look_waits_for_the_connector() -> None:
    world = World()
    world.write(ROWS)
    world.capture(ROWS[:30])
    world.show(ROWS)
    world.progress.arriving = [[], ROWS[30:35], [], ROWS[35:]]
    found = await world.compare()
    assert (found.found, found.unsettled, world.slept) == (False, 0, 1.5)


async def test_a_row_that_the_connector_has_passed_is_a_gap_at_once() -> None:
    world = World()
    world.write(ROWS)
    world.capture([*ROWS[:20], *ROWS[21:]])
    world.show(ROWS)
    found = await world.compare()
    assert (found.missing_rows, ids(found), world.slept) == (1, {(21, 21, 1)}, 0)
    assert found.compared_to is not None and found.compared_to.id == 20


async def test_a_capture_that_stands_still_settles_nothing() -> None:
    world = World()
    world.write(ROWS)
    world.capture(ROWS[:20])
    world.show(ROWS)
    world.progress.stands_still = True
    found = await world.compare(patience=3.0)
    assert (found.missing_rows, found.unsettled, world.slept) == (0, 20, 3.0)
    assert found.compared_to is not None and found.compared_to.id == 20


async def test_a_connector_that_does_not_run_is_not_waited_for() -> None:
    world = World()
    world.write(ROWS)
    world.capture(ROWS[:20])
    world.progress.stands_still, world.progress.works = True, False
    assert (await world.compare(patience=180.0)).unsettled == 20
    assert world.slept == STANDSTILL_SECONDS


async def test_a_row_that_was_purged_between_the_two_looks_is_none() -> None:
    world = World()
    world.write(ROWS)
    world.capture(ROWS[1:20])
    world.progress.arriving = [[]]

    async def purge(_: str) -> bool:
        world.table.rows = world.table.rows[:25]
        return True

    world.progress.passed = purge  # type: ignore[method-assign, assignment]
    assert ids(await world.compare()) == {(21, 25, 5)}


async def test_ids_that_began_again_after_a_truncate() -> None:
    world = World()
    world.write(ROWS)
    world.capture(ROWS)
    later = [Row(number, 100 + number, 100 + number) for number in range(1, 31)]
    world.table.rows = list(later)
    world.capture(later[10:])
    assert ids(await world.compare()) == {(1, 10, 10)}, "row 1 of before is no row 1 of now"
    world.capture(later[:10], __op="r")
    assert not (await world.compare()).missing_rows


async def test_history_that_was_brought_into_the_table_is_none() -> None:
    """A table that was made anew with older rows under new ids."""
    world = World()
    world.capture([Row(number, number, 5000 + number) for number in range(10, 20)])
    world.table.rows = [Row(number, 50 + number, number) for number in range(1, 40)]
    found = await world.compare()
    assert (found.missing_rows, found.before) == (0, 39)


async def test_rows_that_expired_on_their_partition_are_not_compared_and_told() -> None:
    world = World()
    world.write(ROWS)
    world.capture(ROWS)
    part = partition_of(ROWS[0].linkedid.encode(), PARTITIONS)
    own = [row for row in ROWS if partition_of(row.linkedid.encode(), PARTITIONS) == part]
    world.topics.begins[world.cel, part] = 5
    first = min(row.id for row in ROWS if row not in own[:5])
    found = await world.compare()
    assert (found.missing_rows, found.before) == (0, len([row for row in own[:5] if row.id > first]))
    world.table.rows.append(Row(41, own[0].call, 41))
    assert ids(await world.compare()) == {(41, 41, 1)}
    world.topics.begins[world.cel, part] = len(own)
    found = await world.compare()
    assert not found.missing_rows, "nothing of the partition is left to compare with"


async def test_rows_of_another_pbx_on_the_same_topic_are_no_rows_of_this_one() -> None:
    world = World()
    world.write(ROWS)
    world.capture(ROWS[:5])
    world.capture(ROWS[5:], __source_name="branch")
    assert (await world.compare()).missing_rows == 35


@pytest.mark.parametrize("uniqueid", ["\x1b[2J", "é\N{SNOWMAN}", "' or 1=1 --", "a" * 5000, "[bold]x", "%s"])
async def test_hostile_channels_are_compared_like_others(uniqueid: str) -> None:
    world = World()
    rows = [Row(number, number, number, f"{uniqueid}{number}") for number in range(1, 5)]
    world.write(rows)
    world.capture([*rows[:2], *rows[3:]])
    assert ids(await world.compare()) == {(3, 3, 1)}


# --since.


@given(st.integers(-10, 60), st.sets(st.integers(1, 50), max_size=30))
async def test_since_a_time_finds_the_first_id_by_halving(at: int, holes: set[int]) -> None:
    world = World()
    world.write(Row(number, number, number * 3600) for number in range(1, 51) if number not in holes)
    wall = 1_763_942_400_000_000 + at * 3_600_000_000
    since = await Since.of(Bound(wall=wall + EARLIER), world.table)
    assert all(row.at >= at * 3600 for row in world.table.rows if row.id >= since.first_id)
    assert all(row.at < at * 3600 for row in world.table.rows if row.id < since.first_id)
    assert world.table.looked_up <= 7


async def test_since_leaves_alone_what_is_older() -> None:
    world = World()
    rows = [Row(number, number, number * 3600) for number in range(1, 101)]
    world.write(rows)
    world.capture([rows[0], *rows[2:60], *rows[61:]])
    assert (await world.compare()).missing_rows == 2
    found = await world.compare(await Since.of(Bound(row_id=50), world.table))
    assert (ids(found), found.table_rows) == ({(61, 61, 1)}, 51)
    found = await world.compare(await Since.of(Bound(row_id=500), world.table))
    assert (found.missing_rows, found.table_rows) == (0, 0)


@pytest.mark.parametrize(
    ("zone", "hours"),
    [(None, 14 + 1 + 4), ("Europe/Moscow", 3 + 1 + 4), ("America/New_York", -5 + 1 + 4), ("Asia/Kolkata", 5.5 + 1 + 4)],
)
def test_the_topic_is_read_from_before_the_first_row_whatever_the_zone(zone: str | None, hours: float) -> None:
    settings = Settings(pbx=PbxSettings(timezone=zone))
    wall_ms = 1_764_000_000_000
    assert Since(1, wall_ms * 1000).written_since_ms(settings) == wall_ms - hours * 3_600_000
    assert Since(1, None).written_since_ms(settings) is None
    assert Since(1, 5).written_since_ms(settings) == 0


async def test_a_wrong_clock_that_leads_to_the_wrong_part_of_the_topic_makes_no_gap() -> None:
    world = World()
    world.write(ROWS)
    world.capture([*ROWS[:20], *ROWS[21:]])
    world.show(ROWS)
    found = await world.compare(Since(1, 1 << 60))  # by the PBX's clock far ahead of every record
    assert (found.topic_rows, ids(found)) == (0, {(21, 21, 1)})


# The other way: what the topic holds and nothing shows.


@given(st.sets(st.sampled_from(ROWS)), st.sets(st.sampled_from(ROWS)), st.lists(st.sampled_from(ROWS), max_size=10))
async def test_a_call_of_which_no_result_shows_all_rows(shown: set[Row], newer: set[Row], again: list[Row]) -> None:
    world = World()
    world.write(ROWS)
    world.capture([*ROWS, *again])
    world.show(shown)
    world.show(newer)
    found = await world.compare()
    rows = {call: {row for row in ROWS if row.call == call} for call in {row.call for row in ROWS}}
    lacking = {call for call, each in rows.items() if not (each <= shown or each <= newer)}
    assert [call.linkedid for call in found.calls] == [f"1764000000.{call}" for call in sorted(lacking)]


async def test_what_the_worker_has_not_taken_yet_waits_and_is_no_gap() -> None:
    world = World()
    world.write(ROWS)
    world.capture(ROWS)
    world.taken_until = {}
    found = await world.compare()
    assert (found.found, found.waiting_rows) == (False, 40)
    world.taken_until = dict.fromkeys(range(PARTITIONS), 1000)  # of an earlier topic of this name
    assert (await world.compare()).waiting_rows == 40


def lettered(world: World, offset: int, partition: int, reason: DeadLetterReason, call: str) -> None:
    record = {
        "component": "aggregate", "reason": reason.code, "failed_at": 1, "call_id": call, "topic": world.cel,
        "partition": partition, "offset": offset, "headers": [],
    }  # fmt: skip
    world.operator.put("dead-letters", "dead_letter", call, record)


async def test_rows_with_a_dead_letter_are_accounted_for() -> None:
    world = World()
    rows = ROWS[3:7]  # one call
    world.write(rows)
    world.capture(rows)
    part = partition_of(rows[0].linkedid.encode(), PARTITIONS)
    for offset in range(3):
        lettered(world, offset, part, DeadLetterReason.LATE_ROW, f"pbx1/{rows[0].linkedid}")
    assert len((await world.compare()).calls) == 1, "the fourth row has none"
    lettered(world, 3, part, DeadLetterReason.LATE_ROW, f"pbx1/{rows[0].linkedid}")
    assert not (await world.compare()).found


@pytest.mark.parametrize("reason", [DeadLetterReason.NOT_CLASSIFIED, DeadLetterReason.ROWS_LOST])
async def test_a_letter_about_a_whole_call_accounts_for_all_its_rows(reason: DeadLetterReason) -> None:
    world = World()
    world.write(ROWS[3:7])
    world.capture(ROWS[3:7])
    lettered(world, 999, 0, reason, f"pbx1/{ROWS[3].linkedid}")
    assert not (await world.compare()).found


def checkpointed(world: World, rows: list[Row], *, ended: bool, age_seconds: float) -> None:
    call = Call("pbx1", rows[0].linkedid)
    for row in rows:
        call.add(CelRow(row.id, "CHAN_START", row.eventtime, row.linkedid, row.linkedid))
    last = round((time.time() - age_seconds) * 1000)
    value = Snapshot(0, last, ended, False, call.to_bytes()).encode()
    topic = world.settings.kafka.topic(AGGREGATE_CHECKPOINTS)
    world.topics.put(Outgoing(topic, call_id("pbx1", rows[0].linkedid).encode(), value, 0))


@pytest.mark.parametrize(
    ("held", "ended", "age_seconds", "gaps"),
    [
        (4, False, 60, 0),
        (4, False, 4 * 3600 - 60, 0),
        (4, False, 4 * 3600 + 120, 1),  # overdue
        (3, False, 60, 1),  # the checkpoint lacks a row
        (4, True, 60, 1),  # it has ended: its result must be there
    ],
)
async def test_an_open_call_within_its_time_is_none(held: int, ended: bool, age_seconds: float, gaps: int) -> None:
    world = World()
    world.write(ROWS[3:7])
    world.capture(ROWS[3:7])
    checkpointed(world, ROWS[3 : 3 + held], ended=ended, age_seconds=age_seconds)
    assert len((await world.compare()).calls) == gaps


async def test_a_result_that_comes_before_the_second_look_is_no_gap() -> None:
    world = World()
    world.write(ROWS)
    world.capture(ROWS)
    asked: list[int] = []
    taken = world.taken

    async def late() -> Any:
        asked.append(1)
        if len(asked) == 3:
            world.show(ROWS)
        return await taken()

    world.taken = late  # type: ignore[method-assign]
    assert not (await world.compare()).found and len(asked) >= 3


async def test_a_result_that_retention_removed_before_its_rows_is_none() -> None:
    world = World()
    world.write(ROWS[3:7])
    world.capture(ROWS[3:7])
    results = world.settings.kafka.topic(CALL_RESULTS)
    part = partition_of(f"pbx1/{ROWS[3].linkedid}".encode(), PARTITIONS)
    for _ in range(2):
        world.topics.put(Outgoing(results, b"pbx1/another", b"", part))
    world.topics.begins[results, part] = 1
    world.topics.logs[results, part][1] = world.topics.logs[results, part][1]._replace(timestamp_ms=1 << 50)
    assert not (await world.compare()).found
    world.topics.begins.clear()
    assert (await world.compare()).found


async def test_calls_that_the_table_holds_no_more_are_told_without_a_command() -> None:
    world = World()
    world.capture(ROWS[3:7])
    world.write(ROWS[20:])
    world.capture(ROWS[20:])
    world.show(ROWS[20:])
    found = await world.compare()
    assert (len(found.calls), set(found.purged), list(found.remedies)) == (1, {ROWS[3].linkedid}, [])
