"""The whole matrix in one process: every fault at every step of every way into a CRM, owners killed and stopped.

Each cell: each call stands once in the portal with the right status, the log says so, no dead letter that should not
be. A failure prints the cell's id; `python -m tests.faults ID` runs it again.
"""

import asyncio
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from unittest import mock

import msgspec
import pytest

from streams.delivery.answers import OutcomeUnknown, RetryLater
from streams.delivery.events import Answered, Event, Recovered
from streams.delivery.machine import advance
from streams.delivery.plan import Plan, Policy
from streams.delivery.record import Delivery
from streams.delivery.transitions import Transition
from streams.http import request as http
from streams.workers.deliver import attempt, partition
from tests.faults.cells import cells
from tests.faults.fenced_memory import Writer
from tests.faults.run_cells import AT_ONCE, run_cells
from tests.faults.ways import WAYS

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def wrong() -> dict[str, list[str]]:
    """The violations by cell; all cells are run at once."""
    return asyncio.run(run_cells(cells(), AT_ONCE))


@pytest.mark.parametrize("way", WAYS)
def test_every_call_is_delivered_once_and_rightly(way: str, wrong: dict[str, list[str]]) -> None:
    names = [cell.id for cell in cells() if cell.name.partition("-")[0] == way]
    assert len(names) > 30
    failed = {cell: wrong[cell] for cell in names if cell in wrong}
    assert not failed, "\n".join("\n".join([cell, *words]) for cell, words in failed.items())


LEFT_OUT = {
    "the first lookup that finds nothing is believed": ("kommo:kommo-late_index-late", "settle"),
    "a new owner does not wait out the request of the one before": ("kommo:kommo-nap-call-send", "owner_wait"),
    "the request goes out although its time is over": ("kommo:kommo-sleep-call-send", "deadline_check"),
    "the log takes writes of an owner that was replaced": ("kommo:kommo-sleep-call-intent", "fence"),
    "an unknown outcome is sent again without looking": ("kommo:kommo-calls-lost_answer", "lookup"),
}


@pytest.mark.parametrize("rule", LEFT_OUT)
def test_the_matrix_notices_when_a_rule_is_left_out(rule: str) -> None:
    cell, broken = LEFT_OUT[rule]
    with left_out(broken):
        assert asyncio.run(run_cells([one for one in cells() if one.id.startswith(f"{cell}:")]))


@pytest.mark.parametrize("way", ["bitrix24", "webhook"])
def test_a_request_from_the_gap_makes_no_second_entry_where_the_crm_compares(way: str) -> None:
    """A worker that is stopped between the last check and the bytes: what that can do, and where it can do nothing."""
    asleep = [one for one in cells() if one.name.startswith(f"{way}-sleep")]
    assert len(asleep) >= 10
    with left_out("deadline_check"):
        assert not asyncio.run(run_cells(asleep))


@contextmanager
def left_out(rule: str) -> Iterator[None]:
    """The product without one of its rules."""

    def broken_advance(delivery: Delivery, event: Event, plan: Plan, policy: Policy) -> Transition:
        if rule == "settle":
            policy = replace(policy, settle_us=0)
        if rule == "owner_wait" and isinstance(event, Recovered):
            recovered = advance(delivery, event, plan, policy)
            return recovered._replace(delivery=msgspec.structs.replace(recovered.delivery, wait_until=event.now))
        if rule == "lookup" and isinstance(event, Answered) and isinstance(event.answer, OutcomeUnknown):
            event = replace(event, answer=RetryLater(event.answer.why))
        return advance(delivery, event, plan, policy)

    with ExitStack() as patches:
        if rule == "deadline_check":
            patches.enter_context(mock.patch.object(http, "boot_seconds", lambda: 0.0))
        elif rule == "fence":
            patches.enter_context(mock.patch.object(Writer, "fenced", False))
        else:
            for module in (attempt, partition):
                patches.enter_context(mock.patch.object(module, "advance", broken_advance))
        yield
