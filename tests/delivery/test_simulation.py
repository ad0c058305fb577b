"""Thousands of schedules, each from a seed: every call once in the CRM, nothing lost, the log tells the truth."""

import pytest

from tests.delivery.simulated_crms import CRMS
from tests.delivery.simulation import Broken, World
from tests.delivery.violations import violations

SCHEDULES = 600
FEW = 50
"""For every `make test-fast`."""
BREAKS = [
    *((broken, ("kommo", "bitrix24")) for broken in Broken),
    (Broken.LOOKUP, ("webhook",)),
    (Broken.VERSIONS, ("webhook",)),
]


@pytest.mark.parametrize("crm", list(CRMS))
@pytest.mark.parametrize("schedules", [FEW, pytest.param(SCHEDULES, marks=pytest.mark.slow)])
def test_every_call_is_delivered_once_whatever_happens(crm: str, schedules: int) -> None:
    for seed in range(schedules):
        assert simulate(seed, crm) == [], f"seed {seed}, {crm}"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("broken", "crms"), BREAKS, ids=[f"{broken.name.lower()}-{crms[0]}" for broken, crms in BREAKS]
)
def test_the_simulation_notices_when_a_rule_is_left_out(broken: Broken, crms: tuple[str, ...]) -> None:
    assert any(_goes_wrong(seed, crm, broken) for seed in range(1000) for crm in crms)


def _goes_wrong(seed: int, crm: str, broken: Broken) -> bool:
    try:
        return bool(simulate(seed, crm, broken))
    except (AssertionError, KeyError):  # no end, or a step without what the one before it should have left
        return True


def simulate(seed: int, crm: str, broken: Broken | None = None) -> list[str]:
    """Run one schedule; what it broke."""
    world = World(seed, crm, broken)
    world.run()
    return violations(world)
