"""A call among others: transfers and pickups in words, and channels that come from or go on under another linkedid."""

from streams.calls.call import Call, age_of, epoch_of
from streams.calls.facts import CallFacts
from streams.calls.transfers import NOT_YET, Transfer
from streams.clock import UtcMicros


def transfers_in_words(facts: CallFacts) -> tuple[str, ...]:
    """One sentence a transfer, in the order of rows: `1001 transferred to 1002 after asking`."""
    return tuple(_transfer_in_words(transfer, facts) for transfer in facts.transfers)


def _transfer_in_words(transfer: Transfer, facts: CallFacts) -> str:
    if transfer.blind:
        return f"{transfer.by} transferred to {transfer.extension or 'an unknown extension'}"
    target = transfer.target
    if target is None:
        target = _talks_next(facts, transfer.at, transfer.by) or "an unknown channel"
    return f"{transfer.by} transferred to {target} after asking"


def _talks_next(facts: CallFacts, moment: UtcMicros, by: str) -> str | None:
    """The endpoint with which the transferred party talks first afterwards."""
    began = [
        (start, channel.endpoint)
        for channel in facts.channels.values()
        for start, _ in channel.talks
        if start >= moment and channel is not facts.calling and channel.endpoint != by
    ]
    return min(began)[1] if began else None


def pickups_in_words(facts: CallFacts) -> tuple[str, ...]:
    """One sentence a pickup, in the order of rows: `1002 picked up for 1001`."""
    return tuple(f"{'somebody' if by is None else by} picked up for {rang}" for by, rang in facts.pickups)


def linked_calls(call: Call, facts: CallFacts) -> tuple[str, ...]:
    """The calls from which channels came into this one, by linkedid.

    Who picks a call up began a call of their own: their uniqueid is its linkedid. Whom a transfer brings was called in
    the call of the transferring party's second channel.
    """
    consulted = {transfer.target_uniqueid: transfer.consulted for transfer in facts.transfers}
    linked = []
    for channel in facts.channels.values():
        if not channel.started_in_call and channel.uniqueid != call.linkedid and facts.calling is not channel:
            began = consulted.get(channel.uniqueid, consulted.get(NOT_YET))
            linked.append(began if began is not None and epoch_of(began) else channel.uniqueid)
    return tuple(dict.fromkeys(linked))


def went_on(call: Call, facts: CallFacts) -> bool:
    """Whether LINKEDID_END came while a channel had not ended: it went on under another linkedid."""
    return call.linkedid_end and any(each.ended is None and each.real for each in facts.channels.values())


def part_of(facts: CallFacts) -> str | None:
    """The oldest channel of another call that a transfer names: its uniqueid is that call's linkedid."""
    named = [uniqueid for transfer in facts.transfers for uniqueid in transfer.named]
    others = [uniqueid for uniqueid in named if epoch_of(uniqueid) and uniqueid not in facts.channels]
    return min(others, key=age_of, default=None)
