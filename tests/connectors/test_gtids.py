"""GTIDs of MariaDB and MySQL: which transactions they are."""

from collections.abc import Mapping

import pytest

from connectors.gtids import Ranges, contains, gtid_ranges, gtid_text, same_gtids

ONE, TWO = "3e11fa47-71ca-11e1-9e33-c80aa9429562", "eb02f4c7-ebaf-11f1-987c-02fc00000001"


@pytest.mark.parametrize(
    ("gtids", "ranges"),
    [
        ("", {}),
        (None, {}),
        ("0-1-8", {"0": ((1, 8),)}),
        ("0-1-8,0-2-9,1-1-7", {"0": ((1, 9),), "1": ((1, 7),)}),
        (f"{ONE}:1-5:7,\n{TWO}:3", {ONE: ((1, 5), (7, 7)), TWO: ((3, 3),)}),
        (f"{ONE}:6-9:1-5", {ONE: ((1, 9),)}),
        (f"{ONE}:1-5:billing:1-3:9", {ONE: ((1, 5),), f"{ONE}:billing": ((1, 3), (9, 9))}),
    ],
)
def test_gtids_are_read_as_ranges_of_each_source(gtids: str | None, ranges: Mapping[str, Ranges]) -> None:
    assert gtid_ranges(gtids) == ranges


@pytest.mark.parametrize(
    ("gtids", "others", "inside"),
    [
        ("0-1-9", "0-2-8", True),
        ("0-1-9", "0-1-10", False),
        ("0-1-9", "1-1-1", False),
        ("", "", True),
        ("", "0-1-1", False),
        (f"{ONE}:1-9", f"{ONE}:2-8", True),
        (f"{ONE}:1-4:6-9", f"{ONE}:4-6", False),
        (f"{ONE}:1-9", f"{TWO}:1", False),
        (f"{ONE}:1-9,{TWO}:1-2", f"{TWO}:1-2,{ONE}:1", True),
        (f"{ONE}:1-9", f"{ONE}:billing:1", False),
    ],
)
def test_a_set_contains_another_only_with_every_transaction_of_it(gtids: str, others: str, inside: bool) -> None:
    assert contains(gtids, others) is inside


def test_the_same_transactions_may_be_written_in_several_ways() -> None:
    assert same_gtids(f"{ONE}:1-3:4-6,\n{TWO}:1", f"{TWO}:1,{ONE}:1-6")
    assert not same_gtids(f"{ONE}:1-3", f"{ONE}:1-4")
    assert gtid_text(f"{ONE}:1-3,\n{TWO}:1") == f"{ONE}:1-3,{TWO}:1"
    assert gtid_text("") == "(none)"
