"""A portal's throttle: rate, circuit breaker, pause."""

import time

from streams.clock import MICROS_PER_SECOND
from streams.settings import PortalSettings, RateLimit
from streams.workers.deliver.throttle import (
    FAILURES_TO_OPEN,
    FIRST_PROBE_US,
    LAST_PROBE_US,
    LONGEST_OPEN_US,
    RARE_PROBE_US,
    PortalThrottle,
)

PORTAL = PortalSettings(name="main", crm="kommo")


def throttle() -> PortalThrottle:
    return PortalThrottle(PORTAL, draw=lambda: 1.0)


def test_some_failures_in_a_row_close_it_for_ever_longer_up_to_a_limit() -> None:
    tested, now, waits = throttle(), 0, []
    for _ in range(FAILURES_TO_OPEN + 6):
        assert tested.admits(now)
        tested.failed(now, "503")
        waits.append(tested.closed_for_us(now))
        now += waits[-1]
    open_waits = [1, 2, 4, 8, 10, 10, 10]
    assert waits == [*[0] * (FAILURES_TO_OPEN - 1), *(seconds * MICROS_PER_SECOND for seconds in open_waits)]
    assert LONGEST_OPEN_US == 10 * MICROS_PER_SECOND


def test_after_it_was_closed_one_request_at_a_time_until_one_succeeds() -> None:
    tested = throttle()
    for _ in range(FAILURES_TO_OPEN):
        tested.failed(0, "time out")
    assert not tested.admits(MICROS_PER_SECOND // 2)
    assert tested.admits(MICROS_PER_SECOND)
    assert not tested.admits(MICROS_PER_SECOND)
    tested.not_used()
    assert tested.admits(MICROS_PER_SECOND)
    assert not tested.succeeded(0)
    assert tested.admits(MICROS_PER_SECOND) and tested.admits(MICROS_PER_SECOND)


def test_answers_to_what_went_out_before_it_closed_do_not_close_it_longer() -> None:
    tested = throttle()
    for _ in range(100):
        tested.failed(0, "time out")
    assert tested.closed_for_us(0) == MICROS_PER_SECOND
    paused = throttle()
    for _ in range(100):
        paused.pause(0, "unpaid")
    assert paused.closed_for_us(0) == FIRST_PROBE_US


def test_an_address_that_is_blocked_is_tried_once_an_hour() -> None:
    tested, now = throttle(), 0
    for _ in range(3):
        tested.pause(now, "blocked", rarely=True)
        assert tested.closed_for_us(now) == RARE_PROBE_US
        now += RARE_PROBE_US
        assert tested.admits(now) and not tested.admits(now)


def test_a_portal_that_asks_for_time_gets_it() -> None:
    tested = throttle()
    tested.failed(0, "429", until=77 * MICROS_PER_SECOND)
    assert tested.closed_for_us(MICROS_PER_SECOND) == 76 * MICROS_PER_SECOND


def test_a_paused_portal_is_tried_ever_more_seldom_and_says_when_it_is_back() -> None:
    tested, now = throttle(), 0
    for _ in range(12):
        tested.pause(now, "unpaid")
        now += tested.closed_for_us(now)
        assert tested.admits(now) and not tested.admits(now)
    tested.pause(now, "unpaid")
    assert tested.closed_for_us(now) == LAST_PROBE_US
    assert not tested.failing
    assert not tested.succeeded(0)  # an answer to what went out before it was paused
    assert tested.pause_reason is not None
    assert tested.succeeded(tested.pauses)
    assert tested.pause_reason is None and not tested.closed_for_us(now)


def test_a_disabled_portal_is_not_even_tried() -> None:
    tested = throttle()
    assert tested.admits(0)
    tested.disable("HTTP 410")
    assert not tested.succeeded(0)  # an answer to what went out before
    tested.pause(0, "HTTP 404")
    assert not tested.admits(10**12) and tested.closed_for_us(10**12)
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
    assert PortalSettings(name="main", crm="bitrix24").rate == RateLimit(burst=50, per_second=2)
    assert PortalSettings(name="main", crm="kommo").rate == RateLimit(burst=1, per_second=6.5)  # below 7 in any second
