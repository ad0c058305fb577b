"""Two workers of one group that judge by other settings: the second says so and stops."""

from typing import Any

import msgspec
import pytest

from streams.calls.rules_in_force import RulesInForce, refuse_to_be_second, settings_hash
from streams.errors import UserError
from streams.settings import Settings

OURS = RulesInForce("r1", "host/2", since=200, started=100, settings_hash="s1", pbxs=("a", "b"))
THEIRS = RulesInForce("r1", "host/1", since=190, started=50, settings_hash="s2", pbxs=("a", "b"))


def changed(**values: Any) -> RulesInForce:
    return msgspec.structs.replace(THEIRS, **values)


@pytest.mark.parametrize(
    ("theirs", "words"),
    [
        (THEIRS, "a time zone, an alias of a column, or a time of aggregate"),
        (changed(rules_hash="r2"), "rules and numbers there: r2; here: r1"),
        (changed(pbxs=("a",)), "PBXs there: a; here: a, b"),
        (changed(started=100), "judges calls of the same group by other settings"),  # the same microsecond: by name
    ],
)
def test_the_second_says_what_differs_and_stops(theirs: RulesInForce, words: str) -> None:
    with pytest.raises(UserError, match=words) as refused:
        refuse_to_be_second(OURS, {3: theirs})
    assert "worker host/1" in refused.value.problem and "partition 3" in refused.value.problem
    assert "the same settings file" in refused.value.remedy


@pytest.mark.parametrize(
    "theirs",
    [
        changed(settings_hash="s1"),
        changed(settings_hash=""),  # a release that does not say it
        changed(worker="host/2"),  # ourselves, before a rebalance
        changed(since=99),  # said before we began: by one that is gone
        changed(started=101),  # it began after us: it is the second
    ],
)
def test_the_first_goes_on_and_so_does_one_among_equals(theirs: RulesInForce) -> None:
    refuse_to_be_second(OURS, {3: theirs})


def test_one_of_two_that_differ_stops_and_not_both() -> None:
    with pytest.raises(UserError):
        refuse_to_be_second(OURS, {3: THEIRS})
    refuse_to_be_second(THEIRS, {1: OURS})


def test_what_an_earlier_release_says_is_read() -> None:
    told = RulesInForce.decode(b'{"rules_hash":"r","worker":"h/1","since":5}')
    assert (told.started, told.settings_hash, told.pbxs) == (0, "", ())


def tree(**sections: Any) -> Settings:
    return Settings.model_validate(sections)


PBXS = [{"name": "a", "timezone": "Europe/Moscow"}, {"name": "b"}]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (tree(), tree(pbx={"timezone": "Europe/Moscow"})),
        (tree(), tree(database={"column_name_aliases": {"cel_extra": "eventextra"}})),
        (tree(), tree(aggregate={"grace_seconds": 60})),
        (tree(pbxs=PBXS), tree(pbxs=PBXS[:1])),
        (tree(pbxs=PBXS), tree(pbxs=[PBXS[0], {"name": "b", "timezone": "Asia/Tokyo"}])),
    ],
)
def test_what_changes_a_result_changes_the_hash(one: Settings, other: Settings) -> None:
    assert settings_hash(one, "r") != settings_hash(other, "r")
    assert settings_hash(one, "r") != settings_hash(one, "r2")


@pytest.mark.parametrize(
    "other",
    [
        tree(database={"host": "elsewhere"}),
        tree(aggregate={"flush_seconds": 1, "snapshot_seconds": 30}),
        tree(worker={"group_instance_id": "w2"}),
    ],
)
def test_what_concerns_one_process_does_not(other: Settings) -> None:
    assert settings_hash(Settings(), "r") == settings_hash(other, "r")
