"""Since when a portal is served, and that a trial's calls are not sent afterwards."""

from typing import Any

from streams.clock import MICROS_PER_SECOND
from streams.delivery.portal_records import record_of, served_since
from streams.delivery.record import Delivery
from streams.settings import PortalSettings

NOVEMBER = 1_793_491_200 * MICROS_PER_SECOND


def portal(**fields: Any) -> PortalSettings:
    return PortalSettings(name="main", crm="kommo", **fields)


def started(settings: PortalSettings, known: Delivery | None, now: int) -> tuple[Delivery | None, int]:
    """What the log holds after a worker started, and since when it serves the portal."""
    known = record_of(settings, known, now) or known
    return known, served_since(settings, known, now)


def test_by_default_from_when_it_was_first_served() -> None:
    known, since = started(portal(), None, 5)
    assert since == 5
    assert started(portal(), known, 99) == (known, 5)


def test_from_the_configured_time() -> None:
    assert started(portal(deliver_from="2026-11-01T00:00:00Z"), None, 5) == (None, NOVEMBER)


def test_a_trial_over_the_calls_of_the_trial_are_not_sent() -> None:
    for fields in ({}, {"deliver_from": "2026-11-01T00:00:00Z"}):
        trial, since = started(portal(shadow=True, **fields), None, NOVEMBER + 5)
        assert since == (NOVEMBER if fields else NOVEMBER + 5)
        assert started(portal(shadow=True, **fields), trial, NOVEMBER + 7)[1] == since
        real, since = started(portal(**fields), trial, NOVEMBER + 9)
        assert since == NOVEMBER + 9
        assert started(portal(**fields), real, NOVEMBER + 20)[1] == since


def test_a_second_trial_ends_like_the_first() -> None:
    known: Delivery | None = None
    for now, shadow in ((1, False), (2, True), (3, False), (4, True), (5, False)):
        known, since = started(portal(shadow=shadow), known, now)
        assert since == now


def test_a_time_after_the_trial_counts() -> None:
    trial, _ = started(portal(shadow=True), None, 5)
    assert started(portal(deliver_from="2026-11-01T00:00:00Z"), trial, 9)[1] == NOVEMBER
