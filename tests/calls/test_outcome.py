"""The outcome in one word is the table's of docs/call-status.md, for every result there is."""

import pytest
from msgspec.structs import replace

from streams.calls.differences import compared_digest, differing
from streams.calls.outcome import Outcome, outcome_of
from streams.rules.results import RESULT_NAMES
from tests.crm.calls import call_result
from tests.rules import specification


def test_every_result_has_its_word() -> None:
    assert sorted(RESULT_NAMES) == specification.RESULTS
    for result in RESULT_NAMES:
        for answered in (False, True):
            assert outcome_of(answered, result) == specification.outcome(result, answered)


def test_every_word_is_used() -> None:
    words = {outcome_of(answered, result) for result in RESULT_NAMES for answered in (False, True)}
    assert words == set(Outcome)


@pytest.mark.parametrize(("answered", "word"), [(True, "answered"), (False, "failed")])
def test_a_result_of_a_later_release_is_no_error(answered: bool, word: str) -> None:
    assert outcome_of(answered, 999) == word


def test_a_result_of_0_1_0_does_not_differ_for_the_word_that_it_lacks() -> None:
    """A replay would otherwise publish a correction of every call from before."""
    result = replace(call_result(1), outcome="answered")
    before = replace(result, outcome=None)
    assert not differing(before.record(), result.record())
    assert compared_digest(before, joined=False) == compared_digest(result, joined=False)
    assert differing(before.record(), replace(result, answered=False, outcome="missed").record()) == ["answered"]
