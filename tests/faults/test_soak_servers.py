"""A short soak on real servers; `make soak` runs the long one."""

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.faults.soak import CRMS, soak
from tests.faults.soak_run import SoakPlan

if TYPE_CHECKING:
    from deploy.local import LocalStack

pytestmark = pytest.mark.servers

SEED = 1


@pytest.mark.timeout(600)
async def test_a_soak_loses_and_doubles_nothing(stack: "LocalStack", tmp_path: Path) -> None:
    plan = SoakPlan(seconds=30, calls=300, seed=SEED, kill_every=7, pausing_faults=False)
    where = stack.endpoints
    reports = await soak(plan, CRMS, where.bootstrap_servers, where.registry_url, tmp_path)
    wrong = [line for report in reports for line in report.complaints()]
    assert not wrong, f"again: make soak SECONDS=30 CALLS=300 SEED={SEED}\n" + "\n".join(wrong)
    for report in reports:
        assert report.delivered == report.calls >= 280
        assert report.kills + report.stops >= 2 and sum(report.faults.values()) > 2
    # How many come in so short a time is chance: of one CRM 8 were seen.
    assert sum(sum(report.faults.values()) for report in reports) > 10 * len(reports) / 2
