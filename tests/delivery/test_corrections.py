"""The same version of a call judged anew by a replay: the higher correction counts, wherever versions are compared."""

from dataclasses import replace as with_
from typing import Any

import msgspec
import pytest

from streams.calls.result_headers import BACKFILL, LIVE, REPLAY
from streams.crm.bitrix24.plan import PLAN as BITRIX24
from streams.crm.shared.correction_note import note_marker
from streams.crm.webhook.steps import message_id
from streams.delivery.answers import Succeeded
from streams.delivery.commands import look_up_first
from streams.delivery.events import Arrived, CommandReceived, Due, Shadowed
from streams.delivery.machine import advance, begin
from streams.delivery.record import Action, Delivery, OperatorCommand, State
from streams.delivery.routing import history_reason
from streams.settings import PortalSettings
from tests.crm.calls import call_result
from tests.delivery.test_machine import DELIVERED, POLICY, V1, V2, answered, run

CORRECTED = with_(V2, version=V1.version, correction=1_764_000_000_000, history="it was judged anew by a replay")
LIVE_AGAIN = with_(V1, now=20)
NOTE = with_(POLICY, on_revision="note")


def delivered() -> Delivery:
    return run(*DELIVERED).delivery


def test_a_correction_is_a_later_version_of_the_same_rows_and_the_live_one_is_not() -> None:
    after = advance(delivered(), CORRECTED, BITRIX24, NOTE).delivery
    assert (after.order, after.outcome_hash) == ((V1.version, CORRECTED.correction), CORRECTED.outcome_hash)
    assert advance(after, LIVE_AGAIN, BITRIX24, NOTE).delivery is after
    assert advance(after, CORRECTED, BITRIX24, NOTE).delivery is after
    higher = advance(after, with_(CORRECTED, correction=CORRECTED.correction + 1), BITRIX24, NOTE).delivery
    assert higher.correction == CORRECTED.correction + 1
    assert advance(higher, with_(V1, version=V1.version + 1, now=30), BITRIX24, NOTE).delivery.correction == 0


def test_a_portal_hears_of_it_as_on_revision_says_and_once() -> None:
    waiting = advance(delivered(), CORRECTED, BITRIX24, NOTE).delivery
    assert (waiting.state, waiting.step) == (State.WAITING, "comment")
    opened = advance(waiting, Due(30, '{"c":3}', step="comment"), BITRIX24, NOTE).delivery
    assert opened.intent is not None and opened.intent.correction == CORRECTED.correction
    done = advance(opened, answered(opened.attempt, Succeeded({"comment": "5"}), 31), BITRIX24, NOTE).delivery
    assert (done.state, done.sent_version, done.sent_correction) == (State.DELIVERED, *done.order)
    assert done.history[-1].correction == CORRECTED.correction
    assert advance(done, with_(CORRECTED, correction=CORRECTED.correction + 1), BITRIX24, NOTE).delivery.state is (
        State.DELIVERED
    ), "the same outcome again"
    kept = advance(delivered(), CORRECTED, BITRIX24, POLICY).delivery
    assert kept.state is State.SUPERSEDED


def compared(call: Arrived, compared_hash: str, **fields: Any) -> Arrived:
    return with_(call, compared_hash=compared_hash, **fields)


def shown(compared_hash: str) -> Delivery:
    """A call that stands in the CRM, by an attempt that sent a result with this hash."""
    found = run(*DELIVERED, first=compared(V1, compared_hash)).delivery
    assert (found.state, found.sent_compared_hash) == (State.DELIVERED, compared_hash)
    return found


@pytest.mark.parametrize(
    ("sent", "later", "told"),
    [
        ("a" * 32, "a" * 32, False),
        ("a" * 32, "b" * 32, True),
        ("a" * 16, "a" * 16 + "b" * 16, False),
        ("a" * 16 + "c" * 16, "a" * 16 + "b" * 16, True),
        ("", "a" * 32, True),
    ],
    ids=["other rules alone", "another outcome", "joined since", "what joined differs", "sent by an earlier release"],
)
def test_a_later_version_of_another_outcome_alone_is_told(sent: str, later: str, told: bool) -> None:
    """V2 has another outcome_hash in any case, as every result of other rules has."""
    after = advance(shown(sent), compared(V2, later), BITRIX24, NOTE).delivery
    assert (after.state, after.step == "comment") == ((State.WAITING, True) if told else (State.DELIVERED, False))
    kept = advance(shown(sent), compared(V2, later), BITRIX24, POLICY).delivery
    assert kept.state is (State.SUPERSEDED if told else State.DELIVERED)


def test_what_was_read_by_an_earlier_release_is_compared_by_its_outcome_hash() -> None:
    again = compared(V2, "b" * 32, outcome_hash=V1.outcome_hash)
    assert advance(shown(""), again, BITRIX24, NOTE).delivery.state is State.DELIVERED


def test_a_call_that_was_refused_is_tried_again_for_another_outcome_alone() -> None:
    refused = msgspec.structs.replace(begin(compared(V1, "a" * 32), BITRIX24), state=State.REFUSED)
    assert advance(refused, compared(V2, "a" * 32), BITRIX24, NOTE).delivery.state is State.REFUSED
    assert advance(refused, compared(V2, "b" * 32), BITRIX24, NOTE).delivery.state is State.NEW


@pytest.mark.parametrize("state", [State.NEW, State.WAITING, State.PAUSED, State.REGISTERED])
def test_a_call_that_waits_for_its_portal_is_still_delivered(state: State) -> None:
    waiting = msgspec.structs.replace(begin(V1, BITRIX24), state=state)
    after = advance(waiting, CORRECTED, BITRIX24, POLICY).delivery
    assert (after.state, after.skip, after.result) == (state, None, CORRECTED.result)


def test_it_rings_in_no_crm_where_the_call_is_not_known_or_was_skipped() -> None:
    fresh = begin(CORRECTED, BITRIX24)
    assert (fresh.state, fresh.skip) == (State.SKIPPED, CORRECTED.history)
    skipped = begin(with_(V1, history="it ended before the portal was served"), BITRIX24)
    assert advance(skipped, CORRECTED, BITRIX24, POLICY).delivery.state is State.SKIPPED
    ordered = CommandReceived(40, OperatorCommand("o1", Action.DELIVER, "me", 40), CORRECTED)
    assert advance(skipped, ordered, BITRIX24, POLICY).delivery.state is State.NEW


def test_a_kind_of_call_that_a_portal_does_not_get_is_kept_out_by_a_correction_too() -> None:
    after = advance(begin(V1, BITRIX24), with_(CORRECTED, skip="an internal call"), BITRIX24, POLICY).delivery
    assert (after.state, after.skip) == (State.SKIPPED, "an internal call")


def test_a_command_with_an_earlier_correction_does_not_bring_it_back() -> None:
    after = advance(delivered(), CORRECTED, BITRIX24, POLICY).delivery
    order = CommandReceived(50, OperatorCommand("o1", Action.DELIVER, "me", 50), with_(V1, now=50))
    assert advance(after, order, BITRIX24, POLICY).delivery.correction == CORRECTED.correction
    newer = with_(CORRECTED, correction=CORRECTED.correction + 1)
    order = CommandReceived(50, OperatorCommand("o2", Action.DELIVER, "me", 50), newer)
    again = advance(after, order, BITRIX24, POLICY).delivery
    assert again.correction == newer.correction
    assert again.doubt is not None and (again.doubt.version, again.doubt.correction) == (V1.version, 0), "what is shown"


def test_what_is_looked_up_is_what_the_crm_shows() -> None:
    shown = msgspec.structs.replace(delivered(), sent_correction=7, correction=9)
    assert (look_up_first(shown, 1, BITRIX24, "ordered").doubt or _none()).correction == 7
    unsent = msgspec.structs.replace(shown, sent_version=None, sent_correction=0)
    assert (look_up_first(unsent, 1, BITRIX24, "ordered").doubt or _none()).correction == 9


def _none() -> Any:
    raise AssertionError("no doubt")


def test_a_shadowed_call_remembers_the_correction_that_would_have_gone_out() -> None:
    shadowed = advance(begin(with_(CORRECTED, history=None), BITRIX24), Shadowed(5, "{}"), BITRIX24, POLICY).delivery
    assert shadowed.sent_correction == CORRECTED.correction


def test_old_records_have_no_correction() -> None:
    record = {**delivered().record()}
    for name in ("correction", "sent_correction", "compared_hash", "sent_compared_hash"):
        record.pop(name)
    read = Delivery.from_record(record)
    assert (read.order, read.sent_correction) == ((V1.version, 0), 0)


def test_ids_and_markers_of_live_versions_stay_and_those_of_corrections_are_others() -> None:
    live, corrected = message_id("pbx1/1.1", 7), message_id("pbx1/1.1", 7, 1_764)
    assert message_id("pbx1/1.1", 7, 0) == live != corrected
    assert message_id("pbx1/1.1", 7, 1_765) != corrected
    marker = note_marker(delivered(), 7)
    assert not f"({note_marker(delivered(), 7, 5)})".count(f"{marker})")


@pytest.mark.parametrize(
    ("origin", "backfill", "kept_out"),
    [
        (LIVE, False, False),
        (BACKFILL, False, True),
        (BACKFILL, True, False),
        (REPLAY, False, True),
        (REPLAY, True, True),
    ],
)
def test_a_replay_rings_at_no_portal_by_itself(origin: str, backfill: bool, kept_out: bool) -> None:
    portal = PortalSettings(name="main", crm="bitrix24", deliver_backfill=backfill)
    assert (history_reason(call_result(1), portal, 0, origin) is not None) is kept_out
