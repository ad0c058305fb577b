"""What a call has to do with others: transfers, pickups, and channels that go on under another linkedid."""

from streams.calls.call import Call, age_of, epoch_of
from streams.calls.channel_name import endpoint
from streams.calls.fold import CallFacts, json_object

_TRANSFER_CHANNELS = ("channel2", "transferee_channel", "transfer_target_channel")
"""Whom a transfer row names besides the channel that it is logged on."""


def transfers(story: CallFacts) -> tuple[str, ...]:
    told = []
    for row, moment in zip(story.transfers, story.transferred_at, strict=True):
        extra = json_object(row.extra) or {}
        by = endpoint(row.channame)
        if row.eventtype == "BLINDTRANSFER":
            plain = row.extra if row.extra.isalnum() else ""  # before Asterisk 12: the extension alone
            told.append(f"{by} transferred to {extra.get('extension') or plain or 'an unknown extension'}")
        else:
            target = extra.get("transfer_target_channel_name") or extra.get("channel2_name")
            known = isinstance(target, str) and target != "N/A"
            named = endpoint(str(target)) if known else _talks_next(story, moment, by) or "an unknown channel"
            told.append(f"{by} transferred to {named} after asking")
    return tuple(told)


def _talks_next(story: CallFacts, moment: int, by: str) -> str | None:
    """Whom the transferred one talks with afterwards: rows of Asterisk 16 and older do not name the target."""
    began = [
        (start, channel.endpoint)
        for channel in story.channels.values()
        for start, _ in channel.talks
        if start >= moment and channel is not story.root and channel.endpoint != by
    ]
    return min(began)[1] if began else None


def pickups(story: CallFacts) -> tuple[str, ...]:
    told = []
    for row in story.pickups:
        by = (json_object(row.extra) or {}).get("pickup_channel") or row.peer  # before Asterisk 12: the peer
        told.append(
            f"{endpoint(by) if isinstance(by, str) and by else 'somebody'} picked up for {endpoint(row.channame)}"
        )
    return tuple(told)


def linked_calls(call: Call, story: CallFacts) -> tuple[str, ...]:
    """The calls from which channels came into this one.

    Who picks a call up began a call of his own: his uniqueid is its linkedid. Whom a transfer brings was called in the
    call of the transferer's second channel.
    """
    consulted = {}
    for row in story.transfers:
        extra = json_object(row.extra) or {}
        consulted[extra.get("transfer_target_channel_uniqueid")] = extra.get("channel2_uniqueid")
    linked = []
    for channel in story.channels.values():
        if not channel.born_here and channel.uniqueid != call.linkedid and story.root is not channel:
            began = consulted.get(channel.uniqueid, consulted.get("N/A"))  # N/A: transferred while it still rang
            linked.append(began if isinstance(began, str) and epoch_of(began) else channel.uniqueid)
    return tuple(dict.fromkeys(linked))


def went_on(call: Call, story: CallFacts) -> bool:
    """LINKEDID_END came while a channel had not ended: it went on under another linkedid."""
    return call.linkedid_end and any(each.ended is None and each.real for each in story.channels.values())


def part_of(story: CallFacts) -> str | None:
    """The oldest channel of another call that a transfer names: its uniqueid is that call's linkedid."""
    others = []
    for row in story.transfers:
        extra = json_object(row.extra) or {}
        named = (extra.get(f"{each}_uniqueid") for each in _TRANSFER_CHANNELS)
        others += [each for each in named if isinstance(each, str) and epoch_of(each) and each not in story.channels]
    return min(others, key=age_of, default=None)
