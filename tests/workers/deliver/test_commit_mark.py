"""The metadata of a delivery worker's commits."""

import pytest

from streams.workers.deliver.commit_mark import commit_mark, is_ours, log_since_of


@pytest.mark.parametrize("since", [0, 1_795_870_000_000_000])
def test_a_mark_says_since_when_the_log_tells_of_every_call(since: int) -> None:
    mark = commit_mark(since)
    assert is_ours(mark) and log_since_of(mark) == since


def test_the_mark_of_a_log_that_never_was_lost_is_as_before() -> None:
    assert commit_mark(0) == "cel2crm"


@pytest.mark.parametrize("metadata", ["", "cel2crm2", "by hand", "cel2crm-log-since=5"])
def test_an_offset_of_others_is_not_ours(metadata: str) -> None:
    assert not is_ours(metadata)


@pytest.mark.parametrize("metadata", ["cel2crm log-since=", "cel2crm log-since=x", "cel2crm log-since=-5"])
def test_a_damaged_mark_tells_no_time(metadata: str) -> None:
    assert is_ours(metadata) and log_since_of(metadata) == 0
