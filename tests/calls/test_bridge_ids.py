"""Which bridge a row is of, where rows do not tell it themselves."""

import pytest

from streams.calls.bridges import _bridge_ids
from streams.rows.row import CelRow


def rows(*told: str) -> list[CelRow]:
    """`enter a one`, `exit b -`: event, channel, bridge (`-`: the row does not tell)."""
    made = []
    for number, line in enumerate(told, 1):
        event, channel, bridge = line.split()
        extra = "" if bridge == "-" else f'{{"bridge_id": "{bridge}"}}'
        made.append(
            CelRow(number, f"BRIDGE_{event.upper()}", "2026-11-22 10:00:00", "1.1", channame=channel, extra=extra)
        )
    return made


@pytest.mark.parametrize(
    ("told", "bridges"),
    [
        (("enter a -", "exit a -"), ["", ""]),
        (("enter a one", "exit a one"), ["one", "one"]),
        (("enter a -", "enter b one", "exit b one"), ["one", "one", "one"]),  # the only one that the call has
        (("enter a one", "exit a -", "enter b two"), ["one", "one", "two"]),  # the channel's last entry
        (("enter a -", "exit a one", "enter b two"), ["one", "one", "two"]),  # the channel's next exit
        (("enter a one", "enter b two", "exit c -"), ["one", "two", ""]),  # nothing tells
        (("enter a one", "enter b two", "enter c -"), ["one", "two", ""]),
        (("enter a one", "exit b -", "enter c two", "exit b -"), ["one", "", "two", ""]),
    ],
)
def test_a_row_that_does_not_tell_its_bridge(told: tuple[str, ...], bridges: list[str]) -> None:
    assert list(_bridge_ids(rows(*told)).values()) == bridges
