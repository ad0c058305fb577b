"""The checkpoint protocol under faults: nothing lost, nothing wrong; and every rule of it is needed."""

import os
from dataclasses import replace

import pytest

from streams.workers.aggregate.partition_state import PartitionState
from tests.simulate import identity, play
from tests.workers.aggregate.rules_left_out import LEFT_OUT
from tests.workers.aggregate.simulated_partition import Rules, Violation, simulate

SCHEDULES = 5_000
FEW = 300
"""For every `make test-fast`."""
ENOUGH = 12_000
"""Schedules within which each left out rule shows; most do within a hundred."""


def test_the_first_schedules_break_no_invariant() -> None:
    assert not [failure for _, failure in play(0, FEW, 1) if failure]


def test_a_call_of_before_keeps_its_settle_time_where_offsets_set_by_hand_lost_the_stream_time() -> None:
    simulate(12331, identity, Rules(losses=1.0, loss_chance=0.1))


def test_an_owner_that_asked_for_the_end_long_before_replays_what_was_committed_since() -> None:
    simulate(700120002276, identity)


def test_a_call_of_which_lost_rows_were_told_holds_back_no_time() -> None:
    simulate(700240003401, identity)


@pytest.mark.slow
def test_no_schedule_breaks_an_invariant() -> None:
    failures = [failure for _, failure in play(0, SCHEDULES, os.cpu_count() or 1) if failure]
    assert not failures


@pytest.mark.slow
@pytest.mark.parametrize("left_out", LEFT_OUT)
def test_a_left_out_rule_breaks_one(left_out: str) -> None:
    rules = replace(LEFT_OUT[left_out], twins=0.0)  # rare violations show in known schedules
    seed = _first_violation(rules)
    assert seed is not None, f"{ENOUGH} schedules do not miss the rule: {left_out}"
    whole = replace(rules, fence=True, await_sent=True, confirmed_only=True, new=PartitionState)
    simulate(seed, identity, whole)  # with the rule the same schedule holds


def _first_violation(rules: Rules) -> int | None:
    for seed in range(ENOUGH):
        try:
            simulate(seed, identity, rules)
        except Violation:
            return seed
    return None
