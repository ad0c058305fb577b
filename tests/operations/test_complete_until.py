"""Until when calls are complete, as commands tell it."""

import json
from pathlib import Path
from typing import Any

import pytest

from streams.clock import MICROS_PER_SECOND
from tests.crm.calls import call_result
from tests.operations.memory import PARTITIONS, Operator

NOON = 1_795_390_000 * MICROS_PER_SECOND


def tell(operator: Operator, partition: int, until: int, held_by: str | None = None, pbx: str = "pbx1") -> None:
    record: dict[str, Any] = {
        "pbx": pbx, "partition": partition, "partitions": PARTITIONS, "complete_until": until,
        "captured_until": until + 60 * MICROS_PER_SECOND, "held_by": held_by, "results_ends": "[0]", "legs_ends": "[0]",
    }  # fmt: skip
    operator.put("complete-until", "complete_until", f"{pbx}/{partition}", record)


def test_the_least_of_all_partitions_counts_and_the_last_record_of_each(operator: Operator) -> None:
    for partition in range(PARTITIONS):
        tell(operator, partition, NOON - 7)
        tell(operator, partition, NOON + partition * 10, held_by=f"pbx1/1.{partition}")
    (line,) = operator.told("results", "--complete-until", "--json").splitlines()
    told = json.loads(line)
    assert (told["pbx"], told["complete_until"]) == ("pbx1", "2026-11-22T23:26:40.000Z")
    assert (told["held_by"], told["partitions"], told["partitions_told"]) == ("pbx1/1.0", PARTITIONS, PARTITIONS)
    said = operator.told("results", "--complete-until", "--pbx", "pbx1")
    assert said.startswith("pbx1: complete until 2026-11-22 23:26:40 UTC") and "call pbx1/1.0 began then" in said


def test_a_partition_that_was_never_told_of_may_be_behind_all_others(operator: Operator) -> None:
    tell(operator, 0, NOON)
    done = operator.run("results", "--complete-until")
    assert done.exit_code == 1
    assert f"known of 1 of {PARTITIONS} partitions only" in done.output


def test_nothing_was_told_yet(operator: Operator) -> None:
    done = operator.run("results", "--complete-until")
    assert "of PBX pbx1 are complete is not known yet" in str(done.exception)


@pytest.mark.parametrize("more", [("--since", "2026-11-25"), ("--follow",), ("--number", "1001")])
def test_it_is_about_no_certain_calls(operator: Operator, more: tuple[str, ...]) -> None:
    assert "as a whole" in str(operator.run("results", "--complete-until", *more).exception)


def test_export_names_it(operator: Operator, tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    operator.result(call_result(1))
    for partition in range(PARTITIONS):
        tell(operator, partition, NOON)
    assert "calls of pbx1: complete until 2026-11-22 23:26:40 UTC" in operator.told("export", "--to", str(tmp_path))
