"""The orders in which calls are due."""

from random import Random

from streams.workers.aggregate.deadlines import CoarseDeadlines, Deadlines


def test_what_is_due_comes_once_the_earliest_first() -> None:
    deadlines = Deadlines()
    for key, at in (("late", 30), ("early", 10), ("middle", 20)):
        deadlines.put(key, at)
    assert deadlines.take(9) == []
    assert deadlines.take(20) == ["early", "middle"]
    assert deadlines.take(20) == []
    assert deadlines.take(30) == ["late"]


def test_a_later_time_waits_for_the_earlier_one_and_an_earlier_one_counts_at_once() -> None:
    deadlines = Deadlines()
    deadlines.put("a", 10)
    deadlines.put("a", 20)
    assert deadlines.take(10) == ["a"]
    deadlines.put("a", 20)
    deadlines.put("a", 15)
    assert deadlines.take(15) == ["a"]
    assert deadlines.take(20) == []


def test_what_was_dropped_does_not_come_and_may_be_put_in_again() -> None:
    deadlines = Deadlines()
    deadlines.put("a", 10)
    deadlines.drop("a")
    deadlines.drop("never there")
    assert deadlines.take(10) == []
    deadlines.put("a", 10)
    deadlines.drop("a")
    deadlines.put("a", 10)
    assert deadlines.take(10) == ["a"]


def test_every_key_comes_at_its_earliest_time_whatever_was_put_and_dropped() -> None:
    rng, deadlines, expected = Random(7), Deadlines(), dict[str, int]()
    for now in range(3000):
        key = str(rng.randrange(40))
        if rng.random() < 0.3:
            deadlines.drop(key)
            expected.pop(key, None)
        else:
            at = now + rng.randrange(1, 500)
            deadlines.put(key, at)
            expected[key] = min(at, expected.get(key, at))
        due = {each for each, at in expected.items() if at <= now}
        assert set(deadlines.take(now)) == due
        expected = {each: at for each, at in expected.items() if at > now}
        assert len(deadlines._heap) <= 2 * len(deadlines._times) + 64


def test_coarse_deadlines_give_a_key_when_its_second_is_over() -> None:
    deadlines = CoarseDeadlines()
    deadlines.put("b", 5_999)
    deadlines.put("a", 4_000)
    deadlines.put("c", 5_000)
    assert deadlines.take(4_999) == []
    assert deadlines.take(5_999) == ["a"]
    assert deadlines.take(6_000) == ["b", "c"]
    deadlines.put("a", 1)  # a time that is long over
    assert deadlines.take(6_000) == ["a"]
