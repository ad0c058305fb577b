"""Since when a portal is served, that a trial's calls are not sent afterwards, and what 0.1 has recorded."""

from typing import Any

import pytest

from streams.clock import MICROS_PER_SECOND
from streams.delivery.portal_records import (
    PortalRecords,
    PortalState,
    disabled_key,
    disabled_state,
    is_settled,
    service_of,
    serving_key,
    serving_state,
)
from streams.delivery.record import Delivery, State
from streams.settings import PortalSettings

NOVEMBER = 1_793_491_200 * MICROS_PER_SECOND


def portal(**fields: Any) -> PortalSettings:
    return PortalSettings(name="main", crm="kommo", **fields)


def started(settings: PortalSettings, known: PortalState | None, now: int) -> tuple[PortalState, int]:
    """What is recorded after a worker started, and since when it serves the portal."""
    known = serving_state(settings, known, now)
    assert is_settled(settings, known)
    return known, service_of(settings, known, now).calls_from


def test_by_default_from_when_it_was_first_served() -> None:
    known, since = started(portal(), None, 5)
    assert since == 5
    assert started(portal(), known, 99) == (known, 5)


def test_from_the_configured_time() -> None:
    known, since = started(portal(deliver_from="2026-11-01T00:00:00Z"), None, 5)
    assert since == NOVEMBER
    assert started(portal(), known, 99)[1] == 5, "without the setting: from when it was first served"


def test_a_trial_over_the_calls_of_the_trial_are_not_sent() -> None:
    for fields in ({}, {"deliver_from": "2026-11-01T00:00:00Z"}):
        trial, since = started(portal(shadow=True, **fields), None, NOVEMBER + 5)
        assert since == (NOVEMBER if fields else NOVEMBER + 5)
        assert started(portal(shadow=True, **fields), trial, NOVEMBER + 7)[1] == since
        real, since = started(portal(**fields), trial, NOVEMBER + 9)
        assert since == NOVEMBER + 9
        assert started(portal(**fields), real, NOVEMBER + 20)[1] == since


def test_a_second_trial_ends_like_the_first() -> None:
    known: PortalState | None = None
    for now, shadow in ((1, False), (2, True), (3, False), (4, True), (5, False)):
        known, since = started(portal(shadow=shadow), known, now)
        assert since == now


def test_a_time_after_the_trial_counts() -> None:
    trial, _ = started(portal(shadow=True), None, 5)
    assert started(portal(deliver_from="2026-11-01T00:00:00Z"), trial, 9)[1] == NOVEMBER


@pytest.mark.parametrize(
    ("settings", "known", "settled"),
    [
        ({}, None, False),
        ({}, {}, True),
        ({"deliver_from": "2026-11-01T00:00:00Z"}, None, True),
        ({"deliver_from": "2026-11-01T00:00:00Z", "shadow": True}, None, False),
        ({"shadow": True}, {}, False),
        ({"shadow": True}, {"shadow": True}, True),
        ({}, {"shadow": True}, False),
    ],
)
def test_calls_wait_until_the_time_is_durable(settings: dict[str, Any], known: Any, settled: bool) -> None:
    state = None if known is None else PortalState(crm="kommo", portal="main", serving_since=1, **known)
    assert is_settled(portal(**settings), state) is settled


# Records of 0.1.


def old(state: State, at: int, **fields: Any) -> Delivery:
    name = {State.SERVING: "portal:main", State.DISABLED: "disabled:main"}[state]
    return Delivery(call_id=name, crm="kommo", portal="main", state=state, queued_at=at, updated_at=at, **fields)


def records(new: PortalState | None, *before: Delivery) -> PortalRecords:
    made = PortalRecords("kommo")
    if new is not None:
        made.take(serving_key("kommo", "main"), new)
    made.replace_old({each.call_id.encode(): each for each in before})
    return made


@pytest.mark.parametrize(("new", "before", "since"), [(None, 7, 7), (5, None, 5), (5, 7, 5), (7, 5, 5)])
def test_the_earlier_time_counts(new: int | None, before: int | None, since: int) -> None:
    state = None if new is None else PortalState(crm="kommo", portal="main", serving_since=new, updated_at=new)
    found = records(state, *([old(State.SERVING, before)] if before else [])).serving("main")
    assert found is not None and found.serving_since == since


def test_a_trial_of_0_1_goes_on() -> None:
    trial = records(None, old(State.SERVING, 5, step="shadow", steps_done=("shadow",))).serving("main")
    assert started(portal(shadow=True), trial, 9) == (trial, 5)
    assert started(portal(), trial, 9)[1] == 9


def test_after_a_step_back_to_0_1_the_later_turn_counts() -> None:
    trial = PortalState(crm="kommo", portal="main", serving_since=5, shadow=True, was_shadow=True, updated_at=5)
    real = old(State.SERVING, 8, steps_done=("shadow",))
    assert started(portal(), records(trial, real).serving("main"), 20)[1] == 8


def test_any_record_that_a_portal_is_disabled_counts() -> None:
    made = records(None, old(State.DISABLED, 3, reason="HTTP 410", sent="old"))
    assert [state.fingerprint for state in made.disabled("main")] == ["old"]
    made.take(disabled_key("kommo", "main", 3), disabled_state("kommo", "main", "new", "HTTP 410", 9))
    made.take(disabled_key("kommo", "main", 0), disabled_state("kommo", "main", "new", "gone", 9))
    assert {state.fingerprint for state in made.disabled("main")} == {"old", "new"}
    for partition in (0, 3):
        made.take(disabled_key("kommo", "main", partition), None)
    made.take_old(b"disabled:main", None)
    assert made.disabled("main") == [] and made.disabled_portals == {}


def test_the_portals_of_other_crms_are_left_out() -> None:
    made = records(None)
    made.take(serving_key("webhook", "main"), PortalState(crm="webhook", portal="main", serving_since=1))
    made.take(b"kommo", PortalState(crm="kommo", portal="", serving_since=1))
    assert made.serving("main") is None


def test_a_state_is_the_same_after_its_record() -> None:
    state = disabled_state("kommo", "main", "abc", "HTTP 410", 9)
    assert PortalState.from_record(state.record()) == state
