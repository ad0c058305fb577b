"""A call among others: transfers and pickups in words, and channels that come from or go on under another linkedid."""

from streams.calls.call import Call, age_of, epoch_of
from streams.calls.channel_name import endpoint
from streams.calls.facts import CallFacts
from streams.calls.transfers import NOT_YET, Transfer
from streams.clock import MICROS_PER_SECOND, UtcMicros

_SEAM = MICROS_PER_SECOND
_TAKEN_OVER = 2 * MICROS_PER_SECOND
"""A leg that goes on longer than this after the channel that dialled it was taken over (FreePBX's times are whole
seconds)."""


def transfers_in_words(facts: CallFacts) -> tuple[str, ...]:
    """One sentence a transfer, in the order of rows: `1001 transferred to 1002 after asking`."""
    return tuple([_transfer_in_words(transfer, facts) for transfer in facts.transfers])


def _transfer_in_words(transfer: Transfer, facts: CallFacts) -> str:
    if transfer.blind:
        return f"{transfer.by} transferred to {transfer.extension or 'an unknown extension'}"
    target = transfer.target or _talks_next(facts, transfer.at, transfer.by)
    if not transfer.unanswered:
        return f"{transfer.by} transferred to {target or 'an unknown channel'} after asking"
    if transfer.application not in (None, "Dial"):
        return f"{transfer.by} transferred to {transfer.application} before anybody answered"
    return f"{transfer.by} transferred to {target or 'somebody'} before the answer"


def _talks_next(facts: CallFacts, moment: UtcMicros, by: str) -> str | None:
    """The endpoint with which the transferred party talks first afterwards.

    The row of a transfer comes after those of the bridges that it made (Asterisk 13): a talk counts that began a moment
    before and goes on.
    """
    talks = [
        (channel.endpoint, channel.talks) for channel in facts.channels.values() if channel is not facts.calling
    ] + [(endpoint(name), spans) for name, spans in facts.unlogged_peers.items()]
    began = [
        (start, name)
        for name, spans in talks
        for start, end in spans
        if start >= moment - _SEAM and end > moment and name != by
    ]
    return min(began)[1] if began else None


def pickups_in_words(facts: CallFacts) -> tuple[str, ...]:
    """One sentence a pickup, in the order of rows: `1002 picked up for 1001`."""
    return tuple([f"{'somebody' if by is None else by} picked up for {rang}" for by, rang in facts.pickups])


def linked_calls(call: Call, facts: CallFacts) -> tuple[str, ...]:
    """The calls from which channels came into this one, by linkedid.

    Who picks a call up began a call of their own: their uniqueid is its linkedid. Whom a transfer brings was called in
    the call of the transferring party's second channel.
    """
    came = [each.uniqueid for each in facts.channels.values() if not each.started_in_call and each is not facts.calling]
    if not came:
        return ()
    consulted = {transfer.target_uniqueid: transfer.consulted for transfer in facts.transfers}
    linked = []
    for uniqueid in came:
        if uniqueid != call.linkedid:
            began = consulted.get(uniqueid, consulted.get(NOT_YET))
            linked.append(began if began is not None and epoch_of(began) else uniqueid)
    return tuple(dict.fromkeys(linked))


def went_on(call: Call, facts: CallFacts) -> bool:
    """Whether LINKEDID_END came while a channel had not ended: it went on under another linkedid."""
    return call.linkedid_end and None in [each.ended for each in facts.channels.values() if each.real]


def taken_over(facts: CallFacts) -> bool:
    """Whether the call is the question of a transfer that did not wait for the answer.

    The place of the channel that asked was taken by the transferred one: an inside phone's channel ended, having talked
    with nobody, while all those that it called rang on. They have no end here, or a later one.
    """
    calling = facts.calling
    if calling is None or calling.side != "inside" or calling.ended is None or calling.talks:
        return False
    ended, legs = calling.ended, [each for each in facts.other_channels if each.started_in_call]
    ringing = [leg for leg in legs if leg.ended is None or leg.ended > ended]
    answered_before = any(leg.answered is not None and leg.answered <= ended for leg in ringing)
    went_on = any(leg.ended is None or leg.ended - ended > _TAKEN_OVER for leg in ringing)
    return went_on and not answered_before and not any(leg.talks for leg in legs)


def part_of(facts: CallFacts) -> str | None:
    """The oldest channel of another call that a transfer names: its uniqueid is that call's linkedid."""
    named = [uniqueid for transfer in facts.transfers for uniqueid in transfer.named]
    others = [uniqueid for uniqueid in named if epoch_of(uniqueid) and uniqueid not in facts.channels]
    return min(others, key=age_of, default=None)
