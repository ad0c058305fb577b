"""How long a call rang, waited, was with a machine and was talked."""

from typing import NamedTuple

from streams.calls.answered import called_by_asterisk
from streams.calls.direction import Parties, side_of
from streams.calls.fold import CallFacts
from streams.calls.pbx_profile import PbxProfile
from streams.clock import MICROS_PER_SECOND


class Talk(NamedTuple):
    """When people talked. All of it None where they did not, or it is not known when."""

    spans: list[list[int]]
    first: int | None = None
    seconds: float | None = None


def talk_span(story: CallFacts, who: Parties, profile: PbxProfile) -> Talk:
    """When the call's client talked: with the calling channel, and with those to whom it left the client."""
    root = story.root
    if root is None:
        return Talk([])
    others = [channel for channel in story.channels.values() if channel is not root]
    spans = [span for channel in others for span in channel.talks]
    spans += [span for talks in story.strangers.values() for span in talks]
    if root.real and root.talks:
        end = root.talks[-1][1]
        if who.direction == "outgoing":
            spans = [span for each in others if side_of(each, profile)[0] == "outside" for span in each.talks]
        elif who.direction == "incoming":
            spans = []  # the caller is the client: without him nobody talks with him
        spans = root.talks + [span for span in spans if span[0] >= end]
    elif not spans and root.answered is not None and called_by_asterisk(story, profile):
        spans = [[root.answered, max(root.ended or story.last, root.answered)]]
    seconds = _union(spans)
    if not spans or (story.talk_seen_late and not seconds):
        return Talk(spans)
    return Talk(spans, min(span[0] for span in spans), None if story.talk_open else seconds / MICROS_PER_SECOND)


def _union(spans: list[list[int]]) -> int:
    total, reached = 0, -1
    for start, end in sorted(spans):
        begin = max(start, reached)
        if end > begin:
            total += end - begin
        reached = max(reached, end)
    return total


def ringing_seconds(story: CallFacts, who: Parties, profile: PbxProfile, talk: int | None) -> float | None:
    """From the first channel called to the talk, or in vain."""
    root = story.root
    legs = [each for each in story.channels.values() if each is not root and each.real and each.born_here]
    if root is not None and not root.real and who.direction == "outgoing":
        # Click to call through a Local channel rings the agent's own phone first.
        legs = [leg for leg in legs if side_of(leg, profile)[0] == "outside"]
    if not legs:
        return None
    start = min(leg.started for leg in legs)
    answers = [leg.answered for leg in legs if leg.answered is not None]
    ends = [leg.ended for leg in legs if leg.ended is not None]
    end = min(answers) if answers else talk or max(ends, default=None)
    return None if end is None else max(0, end - start) / MICROS_PER_SECOND


def queue_seconds(story: CallFacts, talk: Talk) -> float | None:
    """Waiting in queues: each time until the talk that it led to."""
    if not story.queue_spans:
        return None
    waits = 0
    for start, end in story.queue_spans:
        waits += min([end, *(begin for begin, _ in talk.spans if start <= begin <= end)]) - start
    return max(0, waits) / MICROS_PER_SECOND


def ivr_seconds(story: CallFacts) -> float | None:
    """From the PBX's own answer to the first channel called, or to the end."""
    root = story.root
    if root is None or root.answered is None or root.originated:
        return None
    reached = [each.started for each in story.channels.values() if each is not root]
    reached += [start for start, _ in story.queue_spans]
    end = min(reached, default=root.ended or story.last)
    return max(0, end - root.answered) / MICROS_PER_SECOND if end > root.answered else None
