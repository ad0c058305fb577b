"""What an erasure would do, and what it cannot: `cel2crm erase --dry-run`. Pure."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from streams.clock import format_time, utc_now_ms
from streams.erasure.certificate import (
    NOT_OURS,
    Entry,
    Remaining,
    entry_line,
    entry_of,
    not_ours,
    remaining_line,
    remaining_of,
)
from streams.erasure.cluster import Cluster
from streams.erasure.inventory import Inventory
from streams.erasure.search import Search
from streams.settings import Settings

_MILLIS = 1000


@dataclass(frozen=True, slots=True)
class Plan:
    """What was found, in the form of its JSON."""

    calls: int
    """Calls that are told with the number."""
    deliveries: dict[str, int]
    """By `<crm>/<portal>`, those whose owners have to erase them."""
    dead_letters: int
    """Those on which nothing was done yet."""
    open_calls: int
    own: int
    """Results in which it is a number of the PBX itself."""
    topics: tuple[Remaining, ...]
    """Every record that holds it, and until when."""
    newest: dict[str, str]
    """By topic, when the last of them was written."""
    entries: tuple[Entry, ...]
    sinks: tuple[str, ...]
    replays: tuple[str, ...]
    unreadable: int
    not_ours: tuple[str, ...] = NOT_OURS

    @property
    def is_empty(self) -> bool:
        """Whether nothing holds the number that cel2crm knows of, and nothing is left to be done."""
        return not (self.calls or self.deliveries or self.dead_letters or self.open_calls or self.topics)

    @property
    def summary(self) -> str:
        """In one line, before it is asked whether to go on."""
        return (
            f"{self.calls:,} calls are told with it, {sum(self.deliveries.values()):,} deliveries are to be erased, "
            f"{self.dead_letters:,} dead letters are open, {len(self.entries):,} entries stand in CRMs"
        )

    def to_json(self) -> dict[str, Any]:
        """For machines."""
        return asdict(self)

    def lines(self, number: str) -> Iterator[str]:
        """For people; `number`: as it may be shown."""
        if self.is_empty:
            yield f"nothing holds {number}"
            return
        yield f"{number} is held by"
        for each in self.topics:
            yield f"  {remaining_line(each)}; the last of {self.newest[each.topic]}"
        yield ""
        yield "would be done:"
        yield f"  {self.calls:,} calls written anew without it, with their legs; no CRM hears of it"
        for portal, count in self.deliveries.items():
            yield f"  {count:,} deliveries of {portal} erased by their worker; what waits for the portal is dropped"
        yield f"  {self.dead_letters:,} dead letters noted as dropped"
        for sink in self.sinks:
            yield f"  sink {sink}: older versions of these calls deleted, or the SQL for it told"
        yield "  its keyed hash on erased-numbers, which late rows, backfills, replays and exports obey"
        yield from self._further()

    def _further(self) -> Iterator[str]:
        yield ""
        yield "cannot be done here:"
        if self.open_calls:
            yield f"  {self.open_calls:,} calls are under way, or have just ended: give the command again afterwards"
        if self.own:
            yield f"  in {self.own:,} results it is a number of the PBX itself: refused without --own"
        for name in self.replays:
            yield f"  replay {name} holds it: cel2crm replay drop {name}"
        if self.unreadable:
            yield f"  {self.unreadable:,} records cannot be read"
        yield from (f"  {entry_line(each)}" for each in self.entries)
        yield from (f"  {each}" for each in self.not_ours)


def plan_of(found: Inventory, search: Search, cluster: Cluster, settings: Settings) -> Plan:
    """The plan of an inventory."""
    gone = cluster.gone({topic: held.newest_ms for topic, held in found.topics.items()}, utc_now_ms())
    return Plan(
        calls=len(found.to_rewrite(search)),
        deliveries=dict(Counter(f"{each.crm}/{each.portal}" for each in found.to_order())),
        dead_letters=len(found.letters),
        open_calls=len(found.open_calls),
        own=found.own,
        topics=tuple(remaining_of(found, gone)),
        newest={topic: format_time(held.newest_ms * _MILLIS) for topic, held in found.topics.items()},
        entries=tuple(map(entry_of, found.in_crms())),
        sinks=tuple(sink.called for sink in settings.sinks if not sink.in_lake),
        not_ours=not_ours(settings),
        replays=tuple(sorted(found.replays)),
        unreadable=found.unreadable,
    )
