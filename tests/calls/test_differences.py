"""Whether two results of a call differ to a reader: one comparison for classify --compare and for replays."""

from typing import Any

import pytest
from msgspec.structs import replace

from streams.calls.differences import (
    JOINED,
    NOT_COMPARED,
    are_alike,
    compared_digest,
    compared_hash,
    differing,
    has_joined,
)
from streams.calls.result import CallResult
from tests.crm.calls import call_result

CALL = replace(call_result(1), outcome="answered", queue="sales")


def differ(before: CallResult, after: CallResult) -> bool:
    """By the digests, which must say the same as the comparison of members."""
    joined = has_joined(before)
    by_digest = compared_digest(before, joined=joined) != compared_digest(after, joined=joined)
    assert by_digest is bool(differing(before.record(), after.record()))
    assert by_digest is not are_alike(compared_hash(before), compared_hash(after))
    return by_digest


def other(name: str) -> Any:
    value = getattr(CALL, name)
    if isinstance(value, bool):
        return not value
    if isinstance(value, int | float):
        return value + 1
    return ("x",) if isinstance(value, tuple) else "other"


@pytest.mark.parametrize("name", CallResult.__struct_fields__)
def test_every_member_counts_but_version_rules_and_reasons(name: str) -> None:
    assert differ(CALL, replace(CALL, **{name: other(name)})) is (name not in NOT_COMPARED)


def test_a_result_of_before_an_upgrade_does_not_differ_for_what_joined_since() -> None:
    old = replace(CALL, outcome=None, queue=None)
    assert not differ(old, CALL)
    assert differ(old, replace(CALL, client="+74950000000"))
    assert differ(CALL, replace(CALL, queue=None))
    assert {"queue", "outcome"} == JOINED


def test_the_hash_in_deliveries_keeps_its_form() -> None:
    """It is compared with those that an earlier process stored: a member that joins results must not change it."""
    assert compared_hash(CALL) == "d4a877528abdf9aea7715daac4993525"
    assert compared_hash(replace(CALL, outcome=None, queue=None)) == "d4a877528abdf9ae"
