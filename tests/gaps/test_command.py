"""`cel2crm gaps` as a command, and the watcher's small comparison, in memory."""

import asyncio
import json

import pytest

from connectors.gap_memory import GapOutcome, read_gap_outcome
from connectors.row_mark import RowMark
from streams.cli import gaps as cli
from streams.gaps import small
from streams.gaps.small import SmallComparison
from tests.cli.commands import run
from tests.gaps.memory import Row, World

ROWS = [Row(number, number, number * 60) for number in range(1, 1001)]
COMMAND = f"cel2crm backfill --call {ROWS[19].linkedid} --pbx pbx1"


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    """Row 20 never reached the topic."""
    made = World()
    monkeypatch.setattr(cli, "open_comparison", made.open_comparison)
    monkeypatch.setattr(small, "open_comparison", made.open_comparison)
    made.write(ROWS)
    made.capture([*ROWS[:19], *ROWS[20:]])
    made.show(ROWS)
    return made


def remembered(world: World) -> GapOutcome | None:
    return asyncio.run(read_gap_outcome(world.settings, world.topics))


def test_gaps_end_with_1_and_none_with_0_and_both_are_remembered(world: World) -> None:
    done = run("gaps")
    assert (done.status, COMMAND in done.stdout) == (1, True)
    outcome = remembered(world)
    assert outcome is not None and outcome.found and outcome.remedies == (COMMAND,)
    world.capture([ROWS[19]], __op="r")
    done = run("gaps", "--json")
    assert (done.status, json.loads(done.stdout)["gaps"]) == (0, False)
    outcome = remembered(world)
    assert outcome is not None and not outcome.found
    assert outcome.compared_to is not None and outcome.compared_to.id == 1000


def test_a_part_is_not_remembered_as_the_whole(world: World) -> None:
    done = run("gaps", "--since", "500")
    assert done.status == 0 and done.stdout.startswith("no gaps: compared 501 rows")
    assert remembered(world) is None


def test_a_capture_that_stands_still_ends_with_1_and_says_what_to_do(world: World) -> None:
    world.progress.stands_still = True
    done = run("gaps", "--patience", "2")
    assert (done.status, "See cel2crm connectors status" in done.stdout) == (1, True)


@pytest.mark.parametrize("since", ["yesterday", "2026-11-24T08:00:00+03:00", "-5"])
def test_a_bound_that_is_none_is_refused(world: World, since: str) -> None:
    assert run("gaps", f"--since={since}").status == 2


async def compared(world: World, last: GapOutcome | None) -> GapOutcome:
    return await SmallComparison(world.settings).compare(last)


async def test_the_watcher_goes_on_where_nothing_was_missing_and_looks_at_gaps_again(world: World) -> None:
    first = await compared(world, None)
    assert (first.missing_rows, first.compared_to and first.compared_to.id) == (1, 19)
    again = await compared(world, first)
    assert (again.missing_rows, again.compared_from_id) == (1, 4), "from a quarter of an hour before row 19 on"
    world.capture([ROWS[19]], __op="r")
    healed = await compared(world, again)
    assert (healed.found, healed.compared_to and healed.compared_to.id) == (False, 1000)
    assert (await compared(world, healed)).compared_from_id == 985


async def test_a_truncated_table_is_compared_from_its_beginning(world: World) -> None:
    world.capture([ROWS[19]], __op="r")
    last = await compared(world, None)
    later = [Row(number, 2000 + number, 70_000 + number) for number in range(1, 11)]
    world.table.rows = list(later)
    world.capture(later[3:])
    world.show(later)
    found = await compared(world, last)
    assert (found.missing_rows, found.remedies[0].count("--call")) == (3, 3)


async def test_without_a_memory_the_last_ids_are_compared(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(small, "RECENT_IDS", 100)
    assert (await compared(world, None)).compared_from_id == 900
    assert (await compared(world, GapOutcome(0, compared_to=RowMark(5, "u", "no time")))).compared_from_id == 900
