"""Commands that an operator is named, as they are understood."""

import pytest

from tests.chaos.remedies import named_commands


@pytest.mark.parametrize(
    ("words", "commands"),
    [
        ("    cel2crm backfill --ids 22-74 --pbx pbx1", ["backfill --ids 22-74 --pbx pbx1"]),
        (
            "Run: cel2crm backfill --call 1764.1 --call 1764.2 --pbx pbx1; cel2crm backfill --ids 1-5 --pbx pbx1; "
            "more by: cel2crm gaps",
            ["backfill --call 1764.1 --call 1764.2 --pbx pbx1", "backfill --ids 1-5 --pbx pbx1"],
        ),
        ("gaps: nothing is remembered: connectors watch compares, or: cel2crm gaps", []),
        ("cel2crm backfill --since '2026-11-23 21:02:03'", ["backfill --since '2026-11-23 21:02:03'"]),
        ("cel2crm backfill --call CALL", []),
    ],
)
def test_commands_with_all_that_they_need(words: str, commands: list[str]) -> None:
    assert named_commands(words) == commands
