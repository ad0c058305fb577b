"""Results of the recorded calls, as the aggregate worker classifies them, under made-up call ids."""

from collections.abc import Iterator
from functools import cache
from random import Random

import orjson
from msgspec.structs import replace

from deploy.demo.recordings import read_recordings
from streams.calls.call import Call
from streams.calls.classify import classify
from streams.calls.pbx_profile import PbxProfile
from streams.calls.result import CallLeg, CallResult
from streams.clock import MICROS_PER_SECOND, utc_now_us
from streams.delivery.eligibility import skip_reason
from streams.rows.row import RowDecoder
from streams.rules import load_rules
from streams.settings import Settings
from tests.calls.hashed import hashed
from tests.worker_installation import captured


@cache
def recorded_calls() -> tuple[tuple[CallResult, tuple[CallLeg, ...]], ...]:
    """Results and legs of the recorded calls, as the aggregate worker makes them."""
    settings = Settings()
    rules, profile, decoder = load_rules(settings.rules), PbxProfile.of(settings), RowDecoder()
    calls: dict[str, Call] = {}
    for case in read_recordings():
        for number, row in enumerate(case.rows, 1):
            decoded = decoder.decode(orjson.dumps({**captured(row), "id": number}))
            calls.setdefault(decoded.linkedid, Call(decoded.pbx, decoded.linkedid)).add(decoded)
    made = [classify(call, rules, profile, cut_short=False) for call in calls.values()]
    return tuple((each.result, each.legs) for each in made)


def recorded_results() -> tuple[CallResult, ...]:
    """One result a recorded call."""
    return tuple(result for result, _ in recorded_calls())


def many_results(count: int, seed: int) -> Iterator[CallResult]:
    """Calls that ended now, one in twenty of them internal; of eight external ones seven with a number of their own."""
    rng = Random(seed)
    external = [one for one in recorded_results() if skip_reason(one) is None]
    internal = [one for one in recorded_results() if one.direction == "internal" and one.client is None]
    for number in range(1, count + 1):
        template = rng.choice(internal if number % 20 == 0 else external)
        ended = utc_now_us()
        linkedid = f"{ended // MICROS_PER_SECOND}.{number}"
        moved = replace(
            template,
            call_id=f"{template.pbx}/{linkedid}",
            linkedid=linkedid,
            started_at=ended - 30 * MICROS_PER_SECOND,
            ended_at=ended,
        )
        if moved.client is not None and number % 8:
            moved = replace(moved, client=f"+7916{number:07d}")
        yield hashed(moved)
