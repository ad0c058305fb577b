"""docs/operating.md explains every state of a delivery and every reason of a dead letter, and no other."""

import re

from streams.dead_letter_reasons import DeadLetterReason
from streams.delivery.record import State
from tests.docs.pages import rows

OF_PORTALS = {"serving", "disabled"}
"""States of portals, which no delivery of a call has."""


def named(heading: str) -> list[str]:
    """What the first column of the table below a heading has in backticks."""
    return [name for first, *_ in rows("operating.md", heading) for name in re.findall(r"`([^`]+)`", first)]


def test_states() -> None:
    assert sorted(named("Where is my call?")) == sorted({state.value for state in State} - OF_PORTALS)


def test_reasons_of_dead_letters() -> None:
    assert sorted(named("Dead letters")) == sorted(reason.code for reason in DeadLetterReason)


def test_what_recovers_a_dead_letter() -> None:
    words = {"backfill": "`backfill`", "retry": "`dead-letters retry`", "return": "its bytes go back", "drop": "None"}
    recoveries = {
        name: cells[3] for cells in rows("operating.md", "Dead letters") for name in re.findall(r"\w+", cells[0])
    }
    for reason in DeadLetterReason:
        assert words[reason.recovery.value] in recoveries[reason.code], reason.code
