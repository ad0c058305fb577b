"""The certificate of an erasure: what was done and what remains until when, as JSON and as text. No number is in it."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from connectors.sinks.jdbc.erasure import SinkErasure
from streams.clock import UtcMicros, UtcMillis, format_iso
from streams.delivery.record import Delivery
from streams.erasure.carrying_out import Done
from streams.erasure.inventory import Inventory
from streams.erasure.remains import Gone
from streams.settings import Settings

NOT_OURS = (
    "The PBX's own database (cdr, cel) and its recordings: never written by cel2crm. Erase there first: a backfill "
    "after the hash is forgotten would bring the number back.",
    "Files that were exported or printed and given away, files of raw rows (`export --rows`), what readers of "
    "the topics copied, and backups of Kafka.",
)
_MILLIS = 1000


@dataclass(frozen=True, slots=True)
class Entry:
    """Something that stands in a CRM, or may: a person erases it there."""

    crm: str
    portal: str
    call_id: str
    state: str
    ids: dict[str, str]
    """What the CRM calls it."""


@dataclass(frozen=True, slots=True)
class Remaining:
    """Records that nobody can change."""

    topic: str
    records: int
    until: str | None
    """ISO 8601; None: there is no such time."""
    words: str


@dataclass(frozen=True, slots=True)
class Certificate:
    """All of it, in the form of its JSON."""

    number: str
    """Its keyed hash."""
    key: str
    """Which key that is by: its id."""
    at: str
    by: str
    obeyed_until: str
    deliveries_erased: int
    calls_rewritten: int
    correction: int
    dead_letters_dropped: int
    left: tuple[str, ...]
    """What is still to be done by giving the command again; none: it is complete."""
    remains: tuple[Remaining, ...]
    entries: tuple[Entry, ...]
    sinks: tuple[SinkErasure, ...]
    not_ours: tuple[str, ...] = NOT_OURS

    @property
    def complete(self) -> bool:
        """Whether nothing is left that the command could do."""
        return not self.left

    def to_json(self) -> dict[str, Any]:
        """For machines."""
        return {"complete": self.complete, **asdict(self)}

    def lines(self) -> Iterator[str]:
        """For people."""
        yield f"Erasure of the number with the keyed hash {self.number} (key {self.key})"
        yield f"{self.at}, by {self.by}"
        yield ""
        yield "Done:"
        how = f"origin erasure, correction {self.correction}"
        yield f"  {self.calls_rewritten:,} calls written anew without the number ({how})"
        yield f"  {self.deliveries_erased:,} deliveries ordered to be erased by their workers"
        yield f"  {self.dead_letters_dropped:,} dead letters noted as dropped"
        yield f"  late rows, backfills, replays and exports leave it out of calls from before until {self.obeyed_until}"
        yield from _section("Not done yet; give the command again:", self.left)
        yield from _section("Remains on Kafka, and cannot be changed:", map(remaining_line, self.remains))
        yield from _section("In CRMs, to be erased there by a person:", map(entry_line, self.entries))
        yield from _section("In databases of sinks:", (line for each in self.sinks for line in _sink_lines(each)))
        yield from _section("Not known to cel2crm, and not its own to change:", self.not_ours)


def certificate_of(
    hashed: tuple[str, str],
    known: tuple[UtcMicros, UtcMicros, str],
    done: Done,
    after: Inventory,
    left: Sequence[str],
    gone: Mapping[str, Gone],
    sinks: Sequence[SinkErasure],
    settings: Settings,
) -> Certificate:
    """`hashed`: the number's hash, and the id of its key; `known`: when it was erased, until when that is obeyed, by
    whom; `gone`: by full name of a topic."""
    number, key = hashed
    at, until, by = known
    return Certificate(
        number=number,
        key=key,
        at=format_iso(at),
        by=by,
        obeyed_until=format_iso(until),
        deliveries_erased=done.ordered,
        calls_rewritten=done.rewritten,
        correction=done.correction,
        dead_letters_dropped=done.dropped,
        left=tuple(left),
        remains=tuple(remaining_of(after, gone)),
        entries=tuple(map(entry_of, after.in_crms())),
        sinks=tuple(sinks),
        not_ours=not_ours(settings),
    )


def not_ours(settings: Settings) -> tuple[str, ...]:
    """What cel2crm does not change, in sentences."""
    lakes = (sink.called for sink in settings.sinks if sink.in_lake)
    return (
        *NOT_OURS,
        *(
            f"The tables of the lake {name}, raw rows among them: delete the calls there, then expire its snapshots."
            for name in lakes
        ),
    )


def remaining_of(found: Inventory, gone: Mapping[str, Gone]) -> Iterator[Remaining]:
    """The records that hold it, by topic; `gone`: by full name."""
    unknown = Gone(None, "its settings are not known")
    for topic, held in sorted(found.topics.items()):
        when = gone.get(topic, unknown)
        yield Remaining(topic, held.records, _iso(when.by_ms), when.words)


def entry_of(delivery: Delivery) -> Entry:
    """What a delivery left in its CRM."""
    ids = dict(delivery.crm_ids)
    for each in delivery.follow_ups:
        ids.update(each.ids)
    return Entry(delivery.crm, delivery.portal, delivery.call_id, delivery.state.value, ids)


def left_to_do(after: Inventory, rewritten: int, settings: Settings) -> list[str]:
    """What another run of the command would do, and what has to happen before; `rewritten`: calls still to be."""
    left = []
    if orders := after.to_order():
        portals = sorted({f"{each.crm}/{each.portal}" for each in orders})
        left.append(
            f"{len(orders):,} deliveries are not erased yet ({', '.join(portals)}): their workers carry it out when "
            "they run, and once a request that is out has ended"
        )
    if rewritten:
        left.append(f"{rewritten:,} calls are told with the number since: rows of them came meanwhile")
    if after.open_calls:
        minutes = settings.aggregate.grace_seconds / 60
        left.append(
            f"{len(after.open_calls):,} calls are under way, or ended within {minutes:g} minutes: checkpoints hold them"
        )
    if after.replays:
        left.append(f"replays hold it, on topics of their own: cel2crm replay drop {' '.join(sorted(after.replays))}")
    if after.unreadable:
        left.append(f"{after.unreadable:,} records cannot be read: whether they hold it is not known")
    return left


def _section(head: str, lines: Any) -> Iterator[str]:
    told = [f"  {line}" for line in lines]
    if told:
        yield from ("", head, *told)


def remaining_line(each: Remaining) -> str:
    """In one line."""
    until = "no date" if each.until is None else f"gone by {each.until}"
    return f"{each.topic}: {each.records:,} records, {until} ({each.words})"


def entry_line(each: Entry) -> str:
    """In one line."""
    ids = ", ".join(f"{name} {value}" for name, value in each.ids.items()) or "no id is known: look by the call's time"
    return f"{each.crm}, portal {each.portal}: call {each.call_id} ({each.state}): {ids}"


def _sink_lines(each: SinkErasure) -> Iterator[str]:
    if each.problem:
        yield f"{each.sink} ({each.where}): nothing was done: {each.problem}"
    else:
        waiting = f", {each.waiting:,} calls wait for their new version" if each.waiting else ""
        yield f"{each.sink} ({each.where}): {each.deleted:,} older rows deleted{waiting}"
    if each.statements:
        yield "  as the owner of the database, once its sink is 0 records behind (cel2crm connectors status):"
        yield from (f"    {statement}" for statement in each.statements)


def _iso(moment_ms: UtcMillis | None) -> str | None:
    return None if moment_ms is None else format_iso(moment_ms * _MILLIS)
