"""The reasons that a result carries, word for word: what an operator reads when a status looks wrong."""

from collections.abc import Callable

import pytest
from msgspec.structs import astuple

from streams.calls.fold import fold_rows
from streams.calls.hangup import HangupFacts, hangup_facts
from streams.calls.pbx_profile import PbxProfile
from streams.calls.result import CallResult
from tests.calls.tables import cel, classified, folded, hangup, outcome

OutcomeOf = Callable[[], CallResult]
"""Classified within the test: what is classified at import, mutation testing cannot change."""

RANG = """
    0 start  PJSIP/trunk1-01 0 num=79161234567 context=from-trunk exten=1001
    1 start  PJSIP/1001-02   1 num=1001 context=from-internal
    {talk}
    9 hangup PJSIP/1001-02   1 cause=16
    9 end    PJSIP/1001-02   1
    {end}
    9 over   PJSIP/trunk1-01 0
"""
TALK = "3 enter PJSIP/1001-02 1\n3 enter PJSIP/trunk1-01 0 peer=PJSIP/1001-02"
WITHOUT_PEERS = "3 enter PJSIP/1001-02 1\n3 enter PJSIP/trunk1-01 0"


def rang_outcome(
    extra: str | None = hangup(16, "NOANSWER"), talk: str = "", profile: PbxProfile | None = None
) -> CallResult:
    end = "" if extra is None else f"9 hangup PJSIP/trunk1-01 0 extra={extra}\n9 end PJSIP/trunk1-01 0"
    return outcome(RANG.format(talk=talk, end=end), profile=profile)


def facts(extra: str, profile: PbxProfile | None = None) -> HangupFacts:
    rows = cel(RANG.format(talk="", end=f"9 hangup PJSIP/trunk1-01 0 extra={extra}"))
    return hangup_facts(fold_rows(rows, rows[0].linkedid, None), profile or PbxProfile())


@pytest.mark.parametrize(
    ("outcome_of", "sentence"),
    [
        (rang_outcome, "not answered: the calling channel was never in a bridge with another person's"),
        (
            lambda: rang_outcome(talk=TALK),
            "answered: the calling channel was in a bridge with another person's, last at row 4",
        ),
        (
            lambda: rang_outcome(talk=WITHOUT_PEERS),
            "answered: the calling channel was in a bridge at the same time as another person's"
            " (no row names a peer), last at row 4",
        ),
        (
            lambda: rang_outcome(hangup(16, "ANSWER"), profile=PbxProfile(bridges_logged=False)),
            "answered: no BRIDGE rows are logged, the dial status decides",
        ),
        (
            lambda: rang_outcome(profile=PbxProfile(bridges_logged=False)),
            "not answered: no BRIDGE rows are logged, the dial status decides",
        ),
        (
            lambda: rang_outcome(hangup(16, "ANSWER")),
            "not answered: dial status is ANSWER, but no row shows a bridge; if cel.conf logs"
            " no BRIDGE events, set aggregate.bridges_logged: false",
        ),
        (lambda: outcome("0 over PJSIP/trunk1-01 0"), "not answered: no calling channel"),
        (lambda: outcome("0 start CBAnn/8-05;1 1"), "not answered: no calling channel"),
    ],
)
def test_whether_a_person_talked_and_what_says_so(outcome_of: OutcomeOf, sentence: str) -> None:
    call = outcome_of()
    assert sentence in call.why
    assert call.answered == (not sentence.startswith("not "))


@pytest.mark.parametrize(
    ("outcome_of", "sentence"),
    [
        (rang_outcome, "row 5: the calling channel ended with cause 16, dial status NOANSWER"),
        (
            lambda: rang_outcome('{"hangupcause":17}'),
            "row 5: the calling channel ended with cause 17, dial status empty",
        ),
        (lambda: rang_outcome(None), "no HANGUP row of the calling channel: processed the old way"),
        (lambda: rang_outcome("[]"), "extra of row 5 holds no hangup cause: the old way"),
        (
            lambda: rang_outcome(profile=PbxProfile(two_status_mode=True)),
            "database.column_name_aliases.cel_extra asks for the old way",
        ),
    ],
)
def test_what_the_callers_hangup_says(outcome_of: OutcomeOf, sentence: str) -> None:
    assert sentence in outcome_of().why


@pytest.mark.parametrize(
    ("outcome_of", "result", "sentence"),
    [
        (rang_outcome, 408, "cause 16, dial status NOANSWER: 408 Request timeout"),
        (
            lambda: rang_outcome(hangup(19, "ANSWER"), talk=TALK),
            200,
            "the last attempt was answered and the talk lasted until hangup: 200 Success",
        ),
        (lambda: rang_outcome("[]"), 0, "result 0: processed the old way, with two statuses"),
        (lambda: rang_outcome(hangup(2)), 0, "no line for cause 2, dial status empty: the old way"),
        (lambda: rang_outcome(hangup(2, "BUSY")), 0, "no line for cause 2, dial status BUSY: the old way"),
        (
            lambda: rang_outcome('{"hangupcause":17,"dialstatus":3}'),
            0,
            "no line for cause 17, dial status empty: the old way",
        ),
    ],
)
def test_which_rule_decided(outcome_of: OutcomeOf, result: int, sentence: str) -> None:
    call = outcome_of()
    assert (call.result, call.rule) == (result, sentence)
    assert sentence in call.why


def test_facts_name_the_row_they_were_read_from() -> None:
    assert astuple(facts(hangup(17, "BUSY", "PJSIP/x-1")))[:5] == (True, 17, "BUSY", "PJSIP/x-1", 5)
    assert astuple(facts("{}"))[:5] == (False, None, None, None, 5)
    assert astuple(facts(hangup(17), PbxProfile(two_status_mode=True)))[:5] == (False, None, None, None, 5)


def test_facts_that_are_not_texts_are_none() -> None:
    assert astuple(facts('{"hangupcause":17,"dialstatus":3,"hangupsource":7}'))[:4] == (True, 17, None, None)
    assert astuple(facts('{"hangupcause":17,"hangupsource":""}'))[:4] == (True, 17, "", None)


def test_call_without_an_end_says_that_its_rows_stop() -> None:
    rows = cel("0 start PJSIP/trunk1-01 0 num=79161234567 context=from-trunk exten=1001")
    call = classified(rows).result
    assert (call.complete, call.incomplete_reason) == (False, "cut short: its rows stop without an end")
    assert "cut short: its rows stop without an end" in call.why


def test_missed_call_says_nothing_of_missing_bridges() -> None:
    assert rang_outcome().warnings == ()
    assert rang_outcome(hangup(16, "ANSWER")).warnings == ("no_bridge_rows",)


def test_repeated_row_is_said_to_be_known() -> None:
    rows = cel(RANG.format(talk="", end=""))
    call = folded(rows)
    assert not call.add(rows[0])
    assert call.knows(rows[0].id)
    assert not call.knows(77)
