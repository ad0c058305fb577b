"""How offsets are filled so that every record stands at its own."""

from collections.abc import Iterable

import pytest

from tests.upgrade.brokers import Step, steps
from tests.upgrade.stored import StoredRecord


@pytest.mark.parametrize(
    ("offsets", "end"),
    [
        ([], 0),
        ([], 2),
        ([0, 1, 2], 3),
        ([0, 1], 3),
        ([0, 2, 3, 5], 7),
        ([2, 3], 5),
        ([0, 1, 4, 5], 6),
        ([0, 4], 9),
        ([3, 9, 11], 20),
    ],
)
def test_every_record_gets_its_offset(offsets: list[int], end: int) -> None:
    records = [StoredRecord("t", 0, offset, b"key", b"value", (), 0) for offset in offsets]
    assert _played(steps(records, end)) == (offsets, end)


def test_a_single_offset_before_the_first_record_cannot_be() -> None:
    with pytest.raises(AssertionError, match="single offset"):
        list(steps([StoredRecord("t", 0, 1, b"key", b"value", (), 0)], 2))


def _played(played: Iterable[Step]) -> tuple[list[int], int]:
    """Where a broker would put the records, and where the partition ends: a transaction's end takes an offset."""
    offsets, position = [], 0
    for kind, records in played:
        assert records, "a transaction without records leaves nothing"
        for record in records:
            if record is not None:
                offsets.append(position)
            position += 1
        position += kind != "plain"
    return offsets, position
