"""Who talked, who answered, and which extension a call was for."""

import re
from operator import itemgetter

from streams.calls.answered import called_by_asterisk
from streams.calls.channel_name import endpoint, is_local
from streams.calls.direction import Parties, extension_of
from streams.calls.facts import CallFacts
from streams.calls.pbx_profile import PbxProfile
from streams.clock import MICROS_PER_SECOND
from streams.rules.directions import Side


def talked_with(facts: CallFacts) -> tuple[str, ...]:
    """Endpoints that talked, in order of their first talk, less the channel that began the call."""
    calling = facts.calling
    firsts = [
        (channel.talks[0][0], channel.endpoint)
        for channel in facts.channels.values()
        if channel.talks and channel is not calling
    ]
    called = called_by_asterisk(facts)
    if called is not None and called.answered is not None and (called is calling or not called.talks):
        firsts.append((called.answered, called.endpoint))
    firsts += [(spans[0][0], endpoint(name)) for name, spans in facts.unlogged_peers.items() if spans]
    return tuple(dict.fromkeys(name for _, name in sorted(firsts, key=itemgetter(0))))


def answered_by(facts: CallFacts, who: Parties, profile: PbxProfile) -> str | None:
    """The party whose talk began last."""
    caller = None if facts.calling_missing else facts.calling
    talked = [channel for channel in facts.channels.values() if channel.talks and channel is not caller]
    if not talked:
        unlogged = [name for name, spans in facts.unlogged_peers.items() if spans]
        if unlogged:
            return endpoint(unlogged[-1])
        called = called_by_asterisk(facts) or facts.calling
        return who.called or (called.endpoint if called else None)
    if facts.calling is not None and (facts.calling.originated or not facts.calling.real):
        talked = [
            each for each in talked if each.side != "inside" or extension_of(each, profile) != who.caller
        ] or talked
    other: Side = "outside" if who.direction == "outgoing" else "inside"
    # Both sides of a click to call begin to talk in one moment: the one that was called answers.
    last = max(talked, key=lambda channel: (channel.talks[-1][0], channel.side == other))
    if last.side == "outside":
        if who.direction == "outgoing" and not facts.transfers:
            return who.client or who.called or last.number or last.endpoint
        return last.number or last.endpoint
    return extension_of(last, profile)


def extension(facts: CallFacts, who: Parties, profile: PbxProfile, rang: str | None) -> str | None:
    """The inside party: who talked last, else who called, else who rang last."""
    talked = [channel for channel in facts.on_side("inside") if channel.talks]
    if talked:
        return extension_of(max(talked, key=lambda channel: channel.talks[-1][0]), profile)
    if who.direction in ("outgoing", "internal") and who.caller:
        return who.caller
    if facts.calling_connected and not facts.forwarded:
        return _followed(facts, profile)
    return rang


def _followed(facts: CallFacts, profile: PbxProfile) -> str | None:
    """The extension whose mobile answered: follow-me dials from a Local channel with its name (`Local/FMPR-1003@..`).

    None where no such channel dialled one that talked.
    """
    for channel in facts.channels.values():
        if channel.talks and is_local(channel.dialled_by):
            digits = re.sub(r"\D", " ", endpoint(channel.dialled_by)).split()
            if named := next((each for each in digits if profile.is_inside(each)), None):
                return named
    return None


def rang_last(facts: CallFacts, profile: PbxProfile) -> str | None:
    """The extension whose phone rang in vain last; one that declined, or answered, only where no other rang.

    Phones that fell silent together (times tie within a second on FreePBX): the one that began to ring last.
    """
    inside = [channel for channel in facts.on_side("inside") if channel is not facts.calling]
    # Who came from a call of their own did not ring; where cel.conf logs no CHAN_START that cannot be told.
    rang = [channel for channel in inside if channel.started_in_call] or inside * (not facts.starts_logged)
    if len(rang) < 2:
        return extension_of(rang[0], profile) if rang else None
    for group in (
        [each for each in rang if each.answered is None and not each.hung_up_itself],
        [each for each in rang if each.answered is None],
        rang,
    ):
        if group:
            silent = max(each.ended or facts.last for each in group)
            last = [each for each in group if (each.ended or facts.last) >= silent - MICROS_PER_SECOND]
            return extension_of(max(last, key=lambda each: each.start_row.id), profile)
    return None
