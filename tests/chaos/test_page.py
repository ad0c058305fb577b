"""The tables of the reliability page: one for each run, the last result of each fault, what failed by name."""

from pathlib import Path

import pytest

from tests.chaos.page import put_into, tables
from tests.chaos.results import Result

DOES = {"binlog-purged": "the binlog is purged | while Connect is stopped"}


def result(fault: str = "binlog-purged", mode: str = "alone", **values: object) -> Result:
    found = Result(fault, mode, "1", "abc", recovery=4.4, calls=10, seconds=60.0, commit="1234567890")
    for name, value in values.items():
        setattr(found, name, value)
    return found


def test_a_row_says_what_was_told_and_what_was_done() -> None:
    found = result(told="watch: no database at 127.0.0.1:3306", told_after=12.0, missing_before_remedies=3)
    found.followed = ["cel2crm connectors start-afresh --yes -> 0 (9 s)"]
    lines = list(tables([found], DOES))
    assert lines[-2] == (
        "| `binlog-purged`: the binlog is purged \\| while Connect is stopped | watch: no database at (address); then "
        "`cel2crm connectors start-afresh --yes` | 12 s | 4 s | 10 | 3 | 0 | 0 | 1234567 |"
    )


def test_the_last_result_of_a_fault_counts_and_what_failed_is_named() -> None:
    lines = list(tables([result(silent=2), result()], DOES))
    assert "1 faults, 10 calls in 1 minutes: 0 silent, 0 doubled, 0 wrong." in lines
    lines = list(tables([result(), result(silent=2)], DOES))
    assert "1 faults, 10 calls in 1 minutes: 2 silent, 0 doubled, 0 wrong; failed: binlog-purged." in lines


def test_a_random_run_is_a_table_of_its_own_with_every_result() -> None:
    lines = list(tables([result(), result(mode="random"), result(mode="random", recovery=None, doubled=1)], DOES))
    assert "### Faults at random, workers coming and going, seed 1" in lines
    assert "| `binlog-purged` | 2 | 4 s | never (1) | 20 | 0 | 0 | 1 |" in lines


def test_tables_take_the_place_of_those_in_the_page(tmp_path: Path) -> None:
    page = tmp_path / "page.txt"
    page.write_text("before\n<!-- tables -->\nold\n<!-- end of tables -->\nafter\n", encoding="utf-8")
    put_into(page, ["new"])
    assert page.read_text(encoding="utf-8") == "before\n<!-- tables -->\n\nnew\n<!-- end of tables -->\nafter\n"
    page.write_text("no marks", encoding="utf-8")
    with pytest.raises(ValueError, match="has no <!-- tables -->"):
        put_into(page, ["new"])
