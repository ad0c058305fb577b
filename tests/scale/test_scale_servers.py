"""The short form of `make test-scale`: workers added and removed, and a broker killed, under load on three brokers."""

import pytest

from tests.chaos.oracle import Oracle
from tests.scale.installation import installation
from tests.scale.phases import ScaledAndLeaderKilled
from tests.scale.run import run_phase

pytestmark = pytest.mark.servers


@pytest.mark.timeout(300)
def test_no_call_is_lost_or_doubled_when_workers_come_and_go_and_a_broker_dies() -> None:
    said: list[str] = []
    with installation("1", 6.0, {"aggregate": 2, "kommo": 1}) as made:
        result = run_phase(made, Oracle(made.settings, made.crms), ScaledAndLeaderKilled, 6, said.append)
    assert result.passed, "\n".join([*said, repr(result)])
    assert result.calls > 20
    assert len(result.stops) == 3, "workers that ended by SIGTERM"
    assert not result.ended, "workers that ended by themselves"
    assert len(result.to_result) == result.calls
