"""How long a call rang, waited in queues, was with a machine and was talked. Seconds."""

import msgspec

from streams.calls.answered import called_by_asterisk
from streams.calls.direction import Parties
from streams.calls.facts import CallFacts
from streams.clock import MICROS_PER_SECOND, UtcMicros


class Talk(msgspec.Struct, frozen=True):
    """When people talked. `first` and `seconds` are None where they did not, or it is not known when."""

    spans: list[list[UtcMicros]]
    first: UtcMicros | None = None
    seconds: float | None = None


def talk_span(facts: CallFacts, who: Parties) -> Talk:
    """When the call's client talked: with the calling channel, and with those to whom it left the client."""
    calling = facts.calling
    if calling is None:
        return Talk([])
    others = [channel for channel in facts.channels.values() if channel.talks and channel is not calling]
    spans = [span for channel in others for span in channel.talks]
    if facts.unlogged_peers:
        spans += [span for talks in facts.unlogged_peers.values() for span in talks]
    if calling.real and calling.talks:
        end = calling.talks[-1][1]
        if who.direction == "outgoing":
            spans = [span for each in others if each.side == "outside" for span in each.talks]
        elif who.direction == "incoming":
            spans = []  # the caller is the client: without them nobody talks with the client
        spans = calling.talks + [span for span in spans if span[0] >= end]
    elif not spans and calling.answered is not None and called_by_asterisk(facts):
        spans = [[calling.answered, max(calling.ended or facts.last, calling.answered)]]
    seconds = _union(spans) if spans else 0
    if not spans or (facts.talk_start_unknown and not seconds):
        return Talk(spans)
    return Talk(spans, min(span[0] for span in spans), None if facts.talk_open else seconds / MICROS_PER_SECOND)


def _union(spans: list[list[int]]) -> int:
    total, reached = 0, -1
    for start, end in sorted(spans):
        begin = max(start, reached)
        if end > begin:
            total += end - begin
        reached = max(reached, end)
    return total


def ringing_seconds(facts: CallFacts, who: Parties, talk: UtcMicros | None) -> float | None:
    """From the first channel called to the first answer or the talk, or until the last one rang in vain."""
    calling = facts.calling
    legs = [each for each in facts.other_channels if each.started_in_call]
    if calling is not None and not calling.real and who.direction == "outgoing":
        # Click to call through a Local channel rings the agent's own phone first.
        legs = [leg for leg in legs if leg.side == "outside"]
    if not legs:
        return None
    start = min(leg.started for leg in legs)
    answers = [leg.answered for leg in legs if leg.answered is not None]
    ends = [leg.ended for leg in legs if leg.ended is not None]
    end = min(answers) if answers else talk or max(ends, default=None)
    return None if end is None else max(0, end - start) / MICROS_PER_SECOND


def queue_seconds(facts: CallFacts, talk: Talk) -> float | None:
    """Waiting in queues: each time until the talk that it led to."""
    if not facts.queue_spans:
        return None
    waits = 0
    for start, end in facts.queue_spans:
        waits += min([end, *(begin for begin, _ in talk.spans if start <= begin <= end)]) - start
    return max(0, waits) / MICROS_PER_SECOND


def ivr_seconds(facts: CallFacts) -> float | None:
    """From the PBX's own answer to the first channel called, or to the end."""
    calling = facts.calling
    if calling is None or calling.answered is None or calling.originated:
        return None
    reached = [each.started for each in facts.channels.values() if each is not calling]
    reached += [start for start, _ in facts.queue_spans]
    end = min(reached, default=calling.ended or facts.last)
    return max(0, end - calling.answered) / MICROS_PER_SECOND if end > calling.answered else None
