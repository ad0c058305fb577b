"""Whose turn it is at a portal: nobody waits for the end of what does not end."""

from dataclasses import dataclass, field

from streams.delivery.record import Delivery, State
from streams.workers.deliver.due_calls import DueCalls

NOW = 1_000_000


@dataclass(eq=False)
class Owner:
    """Owns calls that are due, but for those that a test takes away."""

    over: set[str] = field(default_factory=set)

    def is_due(self, call_id: str, now: int) -> bool:
        return call_id not in self.over


def delivery(call_id: str, state: State = State.NEW, queued_at: int = 0) -> Delivery:
    return Delivery(call_id=call_id, crm="kommo", portal="main", state=state, queued_at=queued_at)


def turns(calls: DueCalls[Owner], now: int = NOW) -> list[str]:
    """Who is taken, until nobody is due."""
    taken = []
    while (turn := calls.take(now)) is not None:
        taken.append(turn[1])
    return taken


def test_repeats_and_lookups_take_turns_with_calls_that_came() -> None:
    calls, owner = DueCalls[Owner](), Owner()
    for number in range(1, 5):
        calls.add(owner, delivery(f"came {number}", queued_at=number), 0, "")
    for number in range(1, 3):
        calls.add(owner, delivery(f"unsure {number}", State.UNSURE), 100 + number, "")
    calls.add(owner, delivery("later", State.UNSURE), NOW + 1, "")
    assert len(calls) == 7
    assert turns(calls) == ["came 1", "unsure 1", "came 2", "unsure 2", "came 3", "came 4"]
    assert turns(calls, NOW + 1) == ["later"]


def test_a_lookup_has_its_turn_however_many_calls_come() -> None:
    calls, owner = DueCalls[Owner](), Owner()
    calls.add(owner, delivery("unsure", State.UNSURE), NOW, "")
    for number in range(3):
        calls.add(owner, delivery(f"came {number}"), 0, "")
    taken = []
    for number in range(3, 9):
        calls.add(owner, delivery(f"came {number}"), 0, "")
        turn = calls.take(NOW)
        assert turn is not None
        taken.append(turn[1])
    assert taken[1] == "unsure"


def test_a_registered_call_goes_first_and_what_follows_a_call_last() -> None:
    calls, owner = DueCalls[Owner](), Owner()
    calls.add(owner, delivery("recording", State.DELIVERED), 1, "recording")
    calls.add(owner, delivery("unsure", State.UNSURE), 1, "")
    calls.add(owner, delivery("came"), 0, "")
    calls.add(owner, delivery("registered", State.REGISTERED), 0, "")
    assert len(calls) == 3
    assert turns(calls) == ["registered", "came", "unsure", "recording"]


def test_calls_go_in_the_order_in_which_they_came_also_where_a_clock_was_set() -> None:
    calls, owner = DueCalls[Owner](), Owner()
    for queued_at in (3, 1, NOW + 3600, 2):  # as a new owner finds them in the log
        calls.add(owner, delivery(f"came {queued_at}", queued_at=queued_at), 0, "")
    assert calls.next_due(NOW) == 0
    assert turns(calls) == ["came 1", "came 2", "came 3", f"came {NOW + 3600}"]


def test_a_registered_call_that_must_wait_is_kept() -> None:
    calls, owner = DueCalls[Owner](), Owner()
    calls.add(owner, delivery("waits", State.REGISTERED), NOW + 5, "")
    owner.over.add("waits")
    assert calls.next_due(NOW) == NOW + 5
    owner.over.clear()
    assert (turns(calls), turns(calls, NOW + 5)) == ([], ["waits"])


def test_who_is_no_longer_due_or_owned_is_dropped() -> None:
    calls, owner, other = DueCalls[Owner](), Owner(), Owner()
    for name in ("a", "b"):
        calls.add(owner, delivery(f"{name} came"), 0, "")
        calls.add(owner, delivery(f"{name} unsure", State.UNSURE), 1, "")
        calls.add(other, delivery(f"{name} of another", State.UNSURE), NOW + 1, "")
    owner.over |= {"a came", "a unsure"}
    assert calls.next_due(NOW) == 0
    assert turns(calls) == ["b came", "b unsure"]
    calls.drop(frozenset({other}))
    assert calls.next_due(NOW) is None and not calls
