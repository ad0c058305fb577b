"""The table of finished calls does what a dict in the order of its last changes does."""

from random import Random

import pytest

from streams.workers.deliver.finished_calls import FinishedCall, FinishedCalls


def put(table: FinishedCalls, key: bytes, time: int) -> None:
    table.put(key, 10 * time, time % 3, time, time)


def kept(time: int) -> FinishedCall:
    return FinishedCall(10 * time, time % 3, time, time)


@pytest.mark.parametrize("seed", range(10))
def test_whatever_happens_it_keeps_what_a_dict_keeps(seed: int) -> None:
    random, table, known = Random(seed), FinishedCalls(), dict[bytes, int]()
    calls = random.choice((5, 100, 2000))
    for time in range(20_000):
        key = b"pbx1/%d" % random.randrange(calls)
        match random.choices(("put", "remove", "forget"), (60, 40, 0.3))[0]:
            case "put":
                known[key] = time
                put(table, key, time)
            case "remove":
                assert table.remove(key) == (known.pop(key, None) is not None)
            case "forget":
                before = time - random.randrange(2 * calls)
                old = {key for key, changed in known.items() if changed < before}
                assert sorted(table.pop_ended(before)) == sorted(old)
                known = {key: changed for key, changed in known.items() if key not in old}
        assert len(table) == len(known)
        assert table.get(key) == (kept(known[key]) if key in known else None)
    for number in range(calls):
        key = b"pbx1/%d" % number
        assert table.get(key) == (kept(known[key]) if key in known else None)


class SameHash(bytes):
    """Keys that all fall onto one slot."""

    def __hash__(self) -> int:
        return 5

    __eq__ = bytes.__eq__


def test_calls_whose_keys_share_a_hash_are_never_taken_for_one() -> None:
    table, keys = FinishedCalls(), [SameHash(b"pbx1/%d" % number) for number in range(50)]
    for time, key in enumerate(keys):
        assert table.get(key) is None
        put(table, key, time)
    assert [table.get(key) for key in keys] == [kept(time) for time in range(50)]
    assert table.remove(keys[7])
    assert table.get(keys[7]) is None and table.get(keys[8]) == kept(8)


def test_any_number_that_the_log_can_hold_is_kept() -> None:
    table, numbers = FinishedCalls(), (2**63 - 1, 2**63 - 1, 0, 2**62)
    table.put(b"", *numbers)
    long_key = b"k" * 100_000
    table.put(long_key, *numbers)
    assert table.get(b"") == table.get(long_key) == FinishedCall(*numbers)


def test_a_call_that_ended_later_than_those_behind_it_keeps_them() -> None:
    table = FinishedCalls()
    put(table, b"late", 10)
    for number in range(100):
        put(table, b"%d" % number, 5)
    gone = table.pop_ended(6)
    assert b"late" not in gone and len(table) == 101 - len(gone)
    assert sorted([*gone, *table.pop_ended(11)]) == sorted([b"late", *(b"%d" % number for number in range(100))])


def test_memory_follows_the_calls_that_are_kept() -> None:
    table, calls = FinishedCalls(), 20_000
    for time in range(calls):
        put(table, b"pbx1/1764360000.%07d" % time, time)
    assert table.bytes_held / calls < 90
    for time in range(calls, 20 * calls):  # as time goes by: each one forgotten, another one ended
        put(table, b"pbx1/1764360000.%07d" % time, time)
        if time % 1000 == 0:
            table.pop_ended(time - calls)
    assert table.bytes_held / len(table) < 180
    assert table.pop_ended(20 * calls) and len(table) == 0
    assert table.bytes_held < 100_000
