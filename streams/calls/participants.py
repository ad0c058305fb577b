"""Who talked, who answered, and which extension a call was for."""

import re
from operator import itemgetter

from streams.calls.answered import called_by_asterisk
from streams.calls.channel_name import endpoint, is_local
from streams.calls.direction import Parties, extension_of
from streams.calls.facts import CallFacts
from streams.calls.pbx_profile import PbxProfile
from streams.clock import MICROS_PER_SECOND

_FOLLOW_ME = ("ext-findmefollow", "findmefollow")
"""Beginnings of the names of the contexts in which FreePBX and its kin dial a follow-me."""
_DEEPEST = 4
"""Local channels that dial each other before the search ends."""


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
    if len(firsts) > 1:
        firsts.sort(key=itemgetter(0))
    return tuple(dict.fromkeys([name for _, name in firsts]))


def answered_by(facts: CallFacts, who: Parties, profile: PbxProfile) -> str | None:
    """The party whose talk began last."""
    caller = None if facts.calling_missing else facts.calling
    talked = [channel for channel in facts.channels.values() if channel.talks and channel is not caller]
    began, unlogged = _last_unlogged(facts)
    if unlogged and all(channel.talks[-1][0] < began for channel in talked):
        return _person_on(unlogged, profile)
    if not talked:
        called = called_by_asterisk(facts)
        return who.called or (called.endpoint if called else None)
    if facts.calling is not None and (facts.calling.originated or not facts.calling.real):
        talked = [
            each for each in talked if each.side != "inside" or extension_of(each, profile) != who.caller
        ] or talked
    # Both sides of a click to call begin to talk in one moment: the one that was called answers.
    goes_out = who.direction == "outgoing"
    last = max(talked, key=lambda channel: (channel.talks[-1][0], (channel.side == "outside") is goes_out))
    if is_local(last.name):
        return _person_on(last.name, profile)
    if last.side == "outside":
        if goes_out and not facts.transfers:
            return who.client or who.called or last.number or last.endpoint
        return last.number or last.endpoint
    return extension_of(last, profile)


def _last_unlogged(facts: CallFacts) -> tuple[int, str]:
    """When the last talk began of a channel that only `peer` columns name, and its name; empty where there is none."""
    return max(((spans[-1][0], name) for name, spans in facts.unlogged_peers.items() if spans), default=(0, ""))


def _person_on(name: str, profile: PbxProfile) -> str | None:
    """Who is on a channel that has no rows here; behind half of a Local channel, whom it was dialled to reach."""
    known = endpoint(name)
    return known if not is_local(name) or profile.is_inside(known) else None


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
    """The extension whose mobile answered; None where nothing tells.

    FreePBX's follow-me of 1003 dials `Local/FMPR-1003@..&Local/FMGL-<mobile>#@..` in the context ext-findmefollow: the
    channel that dialled the mobile has the extension in its own name, or was dialled together with one that has, or by
    a row of that context.
    """
    for channel in facts.channels.values():
        if channel.talks and channel.side == "outside" and channel.dialled_by and channel is not facts.calling:
            name: str | None = channel.dialled_by
            for _ in range(_DEEPEST):
                if name is None or not is_local(name):
                    break
                named, name = _follow_me(name, facts, profile)
                if named:
                    return named
            return _in_follow_me(channel.start_row.id, facts, profile) if is_local(channel.dialled_by) else None
    return None


def _follow_me(local: str, facts: CallFacts, profile: PbxProfile) -> tuple[str | None, str | None]:
    """The extension whose follow-me a Local channel is of, and the channel that dialled it, each where told."""
    own = endpoint(local)
    if named := _extension_in(own, profile):
        return named, None
    dial = next((row for row in facts.dials if f"Local/{own}@" in row.appdata), None)
    if dial is None:
        return None, None
    named = next((each for each in re.findall(r"Local/FMPR-(\d+)", dial.appdata) if profile.is_inside(each)), None)
    if named is None and dial.context.startswith(_FOLLOW_ME):
        named = _extension_in(dial.exten, profile)
    return named, dial.channame


def _in_follow_me(before: int, facts: CallFacts, profile: PbxProfile) -> str | None:
    """The extension that last went into the context of follow-me before a row."""
    for row in reversed(facts.rows):
        if row.id < before and row.context.startswith(_FOLLOW_ME) and (named := _extension_in(row.exten, profile)):
            return named
    return None


def _extension_in(text: str, profile: PbxProfile) -> str | None:
    return next((each for each in re.sub(r"\D", " ", text).split() if profile.is_inside(each)), None)


def rang_last(facts: CallFacts, profile: PbxProfile) -> str | None:
    """The extension whose phone rang in vain last; one that declined, or answered, only where no other rang.

    Phones that fell silent together (times tie within a second on FreePBX): the one that began to ring last.
    """
    inside = [channel for channel in facts.other_channels if channel.side == "inside"]
    # Who came from a call of their own did not ring; where cel.conf logs no CHAN_START that cannot be told.
    rang = [channel for channel in inside if channel.started_in_call] or inside * (not facts.starts_logged)
    if len(rang) < 2:
        return extension_of(rang[0], profile) if rang else None
    in_vain = [each for each in rang if each.answered is None]
    group = [each for each in in_vain if not each.hung_up_itself] or in_vain or rang
    silent = max(each.ended or facts.last for each in group)
    last = [each for each in group if (each.ended or facts.last) >= silent - MICROS_PER_SECOND]
    return extension_of(max(last, key=lambda each: each.start_row.id), profile)


def queue_of(facts: CallFacts) -> str | None:
    """The queue that the call was in last, by its name in the dialplan; None: in none.

    The calling channel's own goes before those of other channels: a queue behind a Local channel, or one that somebody
    asked about the call. Asterisk 1.4 and older wrote `sales|tT`.
    """
    data = facts.queue_data.get(True) or facts.queue_data.get(False) or ""
    return data.partition(",")[0].partition("|")[0].strip() or None
