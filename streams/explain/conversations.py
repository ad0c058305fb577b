"""Who talked with whom, and when: the talks of a call's channels, laid over each other. Pure."""

from collections.abc import Iterator
from itertools import pairwise
from typing import NamedTuple

from streams.calls.facts import CallFacts
from streams.clock import MICROS_PER_SECOND, UtcMicros

_SEAM = MICROS_PER_SECOND // 10
"""Channels enter and leave a bridge one after the other: a company of a shorter time did not talk (microseconds)."""


class Conversation(NamedTuple):
    """The same people talking. `names`: their channels' names, in order of their first talk."""

    start: UtcMicros
    end: UtcMicros
    names: tuple[str, ...]


def conversations(facts: CallFacts) -> Iterator[Conversation]:
    """The conversations of a call, one for each company, in the order of time.

    Facts say when a channel talked, not with whom: two pairs that talk at the same time count as four.
    """
    spans = [(start, end, name) for name, talks in _talks(facts) for start, end in talks]
    order = list(dict.fromkeys(name for _, _, name in sorted(spans)))
    edges = sorted({edge for start, end, _ in spans for edge in (start, end)})
    found: list[Conversation] = []
    for start, end in pairwise(edges):
        names = tuple(name for name in order if any(s <= start and end <= e for s, e, who in spans if who == name))
        if len(names) < 2 or (end - start < _SEAM and len(edges) > 2):
            continue
        if found and found[-1].names == names and start - found[-1].end < _SEAM:
            found[-1] = found[-1]._replace(end=end)
        else:
            found.append(Conversation(start, end, names))
    if not found and order:
        first = min(start for start, _, _ in spans)
        found.append(Conversation(first, max(end for _, end, _ in spans), tuple(order)))
    yield from found


def _talks(facts: CallFacts) -> Iterator[tuple[str, list[list[int]]]]:
    for channel in facts.channels.values():
        if channel.real:
            yield channel.name, channel.talks
    yield from facts.unlogged_peers.items()
