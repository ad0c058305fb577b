"""What holds a number now, as it stands on the topics: counted, and the calls, deliveries and letters to be changed."""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field

from streams.calls.result import CallLeg, CallResult, Classification
from streams.delivery.erasure import is_erased
from streams.delivery.record import Delivery
from streams.erasure.search import Search
from streams.kafka.topic_client import TopicRecord
from streams.operations.dead_letters import Letter


@dataclass(slots=True)
class RecordCount:
    """Records of one topic that hold the number, those that a later one replaced included."""

    records: int = 0
    newest_ms: int = 0
    """When the last of them was written (Unix milliseconds)."""

    def add(self, record: TopicRecord) -> None:
        """Count a record."""
        self.records += 1
        self.newest_ms = max(self.newest_ms, record.timestamp_ms)


@dataclass(slots=True)
class CallStanding:
    """The truth about a call of which some record held the number at some time."""

    result: CallResult
    legs: dict[int, CallLeg] = field(default_factory=dict)
    """Of that version and correction, by number."""

    @property
    def order(self) -> tuple[int, int]:
        """Version and correction."""
        return self.result.version, self.result.correction

    @property
    def outcome(self) -> Classification:
        """Result and legs."""
        return Classification(self.result, tuple(self.legs[number] for number in sorted(self.legs)))


@dataclass(slots=True)
class Inventory:
    """What was found."""

    topics: dict[str, RecordCount] = field(default_factory=lambda: defaultdict(RecordCount))
    """By full name; topics that hold nothing are left out."""
    calls: dict[str, CallStanding] = field(default_factory=dict)
    deliveries: dict[tuple[str, str], Delivery] = field(default_factory=dict)
    """By CRM and call: the last record of each delivery that holds the number, or is of one of these calls."""
    unreadable: int = 0
    """Records that cannot be read: whether they hold it is not known."""
    letters: list[Letter] = field(default_factory=list)
    """Dead letters about it on which nothing was done yet."""
    letter_places: list[tuple[int, int]] = field(default_factory=list)
    """Of all dead letters about it: partition and offset."""
    open_calls: set[str] = field(default_factory=set)
    """Calls that the aggregate worker has in memory: under way, or over so recently that rows may come."""
    replays: set[str] = field(default_factory=set)
    """Replays whose own topics or selection hold it."""
    highest_correction: int = 0
    own: int = 0
    """Results in which it is a number of the PBX itself."""

    def to_rewrite(self, search: Search) -> dict[str, Classification]:
        """By call, what is still told with the number."""
        return {name: each.outcome for name, each in self.calls.items() if search.in_outcome(each.outcome)}

    def to_order(self) -> list[Delivery]:
        """The deliveries that their owners have still to erase."""
        return [each for each in self.deliveries.values() if not is_erased(each)]

    def in_crms(self) -> Iterator[Delivery]:
        """The deliveries of which something stands in a CRM, or may: a person erases it there."""
        for each in self.deliveries.values():
            if each.sent_version is not None or each.crm_ids or each.attempt or any(one.ids for one in each.follow_ups):
                yield each

    def nothing_to_do(self, search: Search) -> bool:
        """Whether all that can be changed has been."""
        return not (self.to_order() or self.letters or self.to_rewrite(search))
