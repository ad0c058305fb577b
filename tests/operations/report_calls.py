"""Calls of a call centre as its report shows them: days with a rush, trunks that fail, clients who are called back."""

import random
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from msgspec.structs import replace

from streams.calls.outcome import outcome_of
from streams.calls.result import CallResult
from streams.clock import MICROS_PER_DAY, MICROS_PER_SECOND
from streams.rules.results import RESULT_NAMES
from tests.crm.calls import call_result

FIRST_DAY = int(datetime(2026, 11, 16, tzinfo=UTC).timestamp()) * MICROS_PER_SECOND
OFFSET = 3 * 3600
_BY_HOUR = (0, 0, 0, 0, 0, 0, 1, 2, 6, 12, 15, 14, 11, 10, 13, 14, 12, 9, 5, 3, 2, 1, 0, 0)
_REASONS = (500, 34), (404, 1), (500, 38), (484, 28), (500, 127), (488, 58)


def many_calls(count: int, days: int = 14, seed: int = 3) -> Iterator[CallResult]:
    """So many calls over so many days; the same for the same seed."""
    chance = random.Random(seed)
    for number in range(count):
        day = chance.randrange(days)
        if day % 7 > 4 and chance.random() < 0.7:
            day = max(0, day - 3)
        (hour,) = chance.choices(range(24), _BY_HOUR)
        began = FIRST_DAY + day * MICROS_PER_DAY + (hour * 3600 + chance.randrange(3600) - OFFSET) * MICROS_PER_SECOND
        yield replace(call_result(number), **_fields(chance, began))


def _fields(chance: random.Random, began: int) -> dict[str, Any]:
    (direction,) = chance.choices(("incoming", "outgoing", "internal"), (60, 34, 6))
    queue = chance.choice(("sales", "support", "billing", None)) if direction == "incoming" else None
    trunk = None if direction == "internal" else chance.choice(("sipnet", "sipnet", "mtt", "gsm-gateway"))
    bad = 0.10 if trunk == "gsm-gateway" else 0.03
    answered = chance.random() < (0.62 if queue == "billing" else 0.8)
    cause = 16
    result = 200 if answered else chance.choice((408, 480, 480, 486))
    if not answered and chance.random() < bad * 4:
        result, cause = chance.choice(_REASONS)
    wait = chance.expovariate(1 / (35 if queue == "support" else 14))
    talk = min(3600.0, chance.lognormvariate(4.4, 1.1)) if answered else 0.0
    client = None if direction == "internal" else f"+7916{chance.randrange(500):07}"
    if client is not None and chance.random() < 0.02:
        client = None
    return {
        "direction": direction, "queue": queue, "trunk": trunk, "client": client, "answered": answered,
        "result": result, "result_name": RESULT_NAMES[result], "hangup_cause": cause,
        "outcome": str(outcome_of(answered, result)), "extension": str(chance.choice((101, 102, 103, 104, 107, 110))),
        "rang_last": chance.choice(("101", "104")), "did": chance.choice(("74951234567", "74957654321")),
        "started_at": began,
        "answered_at": began + int(wait * MICROS_PER_SECOND) if answered else None, "talk_seconds": talk,
        "ended_at": began + int((wait + talk) * MICROS_PER_SECOND), "utc_offset_seconds": OFFSET,
    }  # fmt: skip
