"""Who talked with whom, and when: the talks of a story's channels, laid over each other. Pure."""

from collections.abc import Iterator
from itertools import pairwise
from typing import NamedTuple

from streams.calls.fold import CallFacts
from streams.clock import MICROS_PER_SECOND

_SEAM = MICROS_PER_SECOND // 10
"""Channels enter and leave a bridge one after the other: shorter than this, nobody talked in that company."""


class Conversation(NamedTuple):
    """The same people talking. UTC microseconds; `names` are channels' names, in order of their first talk."""

    start: int
    end: int
    names: tuple[str, ...]


def conversations(story: CallFacts) -> Iterator[Conversation]:
    """The conversations of a call, one for each company, in the order of time.

    A story knows when a channel talked, not with whom: two pairs that talk at the same time are told as four.
    """
    spans = [
        (start, end, name)
        for name, talks in _talks(story)
        for start, end in talks
    ]  # fmt: skip
    order = list(dict.fromkeys(name for _, _, name in sorted(spans)))
    edges = sorted({edge for start, end, _ in spans for edge in (start, end)})
    told: list[Conversation] = []
    for start, end in pairwise(edges):
        names = tuple(name for name in order if any(s <= start and end <= e for s, e, who in spans if who == name))
        if len(names) < 2 or (end - start < _SEAM and len(edges) > 2):
            continue
        if told and told[-1].names == names and start - told[-1].end < _SEAM:
            told[-1] = told[-1]._replace(end=end)
        else:
            told.append(Conversation(start, end, names))
    if not told and order:
        first = min(start for start, _, _ in spans)
        told.append(Conversation(first, max(end for _, end, _ in spans), tuple(order)))
    yield from told


def _talks(story: CallFacts) -> Iterator[tuple[str, list[list[int]]]]:
    for channel in story.channels.values():
        if channel.real:
            yield channel.name, channel.talks
    yield from story.strangers.items()
