"""A portal's gate: rate, circuit breaker, pause."""

import time

from streams.clock import MICROS_PER_SECOND
from streams.settings import PortalSettings, RateLimit
from streams.workers.deliver.throttle import (
    DEFAULT_RATES,
    FAILURES_TO_OPEN,
    FIRST_PROBE,
    LAST_PROBE,
    LONGEST_OPEN,
    PortalThrottle,
)

PORTAL = PortalSettings(name="main", crm="kommo")


def gate() -> PortalThrottle:
    return PortalThrottle(PORTAL, draw=lambda: 1.0)


def test_some_failures_in_a_row_close_it_for_ever_longer_up_to_a_limit() -> None:
    tested, now, waits = gate(), 0, []
    for _ in range(FAILURES_TO_OPEN + 6):
        assert tested.admits(now)
        tested.failed(now, "503")
        waits.append(tested.closed_for(now))
        now += waits[-1]
    open_waits = [1, 2, 4, 8, 10, 10, 10]
    assert waits == [*[0] * (FAILURES_TO_OPEN - 1), *(seconds * MICROS_PER_SECOND for seconds in open_waits)]
    assert LONGEST_OPEN == 10 * MICROS_PER_SECOND


def test_after_it_was_closed_one_request_at_a_time_until_one_succeeds() -> None:
    tested = gate()
    for _ in range(FAILURES_TO_OPEN):
        tested.failed(0, "time out")
    assert not tested.admits(MICROS_PER_SECOND // 2)
    assert tested.admits(MICROS_PER_SECOND)
    assert not tested.admits(MICROS_PER_SECOND)
    tested.unused()
    assert tested.admits(MICROS_PER_SECOND)
    assert not tested.succeeded()
    assert tested.admits(MICROS_PER_SECOND) and tested.admits(MICROS_PER_SECOND)


def test_answers_to_what_went_out_before_it_closed_do_not_close_it_longer() -> None:
    tested = gate()
    for _ in range(100):
        tested.failed(0, "time out")
    assert tested.closed_for(0) == MICROS_PER_SECOND
    paused = gate()
    for _ in range(100):
        paused.pause(0, "unpaid")
    assert paused.closed_for(0) == FIRST_PROBE


def test_a_portal_that_asks_for_time_gets_it() -> None:
    tested = gate()
    tested.failed(0, "429", until=77 * MICROS_PER_SECOND)
    assert tested.closed_for(MICROS_PER_SECOND) == 76 * MICROS_PER_SECOND


def test_a_paused_portal_is_tried_ever_more_seldom_and_says_when_it_is_back() -> None:
    tested, now = gate(), 0
    for _ in range(12):
        tested.pause(now, "unpaid")
        now += tested.closed_for(now)
        assert tested.admits(now) and not tested.admits(now)
    tested.pause(now, "unpaid")
    assert tested.closed_for(now) == LAST_PROBE
    assert not tested.failing
    assert tested.succeeded()
    assert tested.paused_for is None and not tested.closed_for(now)


def test_a_disabled_portal_is_not_even_tried() -> None:
    tested = gate()
    assert tested.admits(0)
    tested.disable("HTTP 410")
    assert not tested.succeeded()  # an answer to what went out before
    tested.pause(0, "HTTP 404")
    assert not tested.admits(10**12) and tested.closed_for(10**12)
    assert tested.disabled and not tested.failing


async def test_the_rate_is_kept_and_shared() -> None:
    portal = PortalSettings(name="main", crm="kommo", rate_limit=RateLimit(burst=10, per_second=100))
    tested = PortalThrottle(portal)
    tested.set_share(0.5)
    began = time.monotonic()
    for _ in range(15):
        await tested.pace()
    assert time.monotonic() - began >= 0.19  # 5 at once, the others at 50 a second


def test_the_default_rates_are_the_vendors() -> None:
    assert DEFAULT_RATES["bitrix24"] == RateLimit(burst=50, per_second=2)
    assert DEFAULT_RATES["kommo"] == RateLimit(burst=1, per_second=6.5)  # below 7 in any second
