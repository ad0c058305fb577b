"""Thousands of bad nights, each from a seed: every call once in the CRM, nothing lost, the log tells the truth."""

import pytest

from tests.crm.simulation import Broken, simulate

SCHEDULES = 1000


@pytest.mark.parametrize("crm", ["bitrix24", "kommo"])
def test_every_call_is_delivered_once_whatever_happens(crm: str) -> None:
    for seed in range(SCHEDULES):
        assert simulate(seed, crm) == [], f"seed {seed}, {crm}"


@pytest.mark.parametrize("broken", list(Broken), ids=lambda broken: broken.name.lower())
def test_the_simulation_notices_when_a_rule_is_left_out(broken: Broken) -> None:
    assert any(_goes_wrong(seed, crm, broken) for seed in range(SCHEDULES) for crm in ("kommo", "bitrix24"))


def _goes_wrong(seed: int, crm: str, broken: Broken) -> bool:
    try:
        return bool(simulate(seed, crm, broken))
    except (AssertionError, KeyError):  # no end, or a step without what the one before it should have left
        return True
