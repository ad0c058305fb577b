"""Who talked, and who was rung."""

import re
from operator import itemgetter

from streams.calls.answered import called_by_asterisk
from streams.calls.channel_name import endpoint, is_local
from streams.calls.direction import Parties, extension_of, side_of
from streams.calls.fold import CallFacts, Channel
from streams.calls.pbx_profile import PbxProfile
from streams.clock import MICROS_PER_SECOND
from streams.rules.directions import Side


def talked_with(story: CallFacts, profile: PbxProfile) -> tuple[str, ...]:
    """Endpoints that talked, in order of their first talk, less the channel that began the call."""
    root = story.root
    firsts = [
        (channel.talks[0][0], channel.endpoint)
        for channel in story.channels.values()
        if channel.talks and channel is not root
    ]
    called = called_by_asterisk(story, profile)
    if called is not None and called.answered is not None and (called is root or not called.talks):
        firsts.append((called.answered, called.endpoint))
    firsts += [(spans[0][0], endpoint(name)) for name, spans in story.strangers.items() if spans]
    return tuple(dict.fromkeys(name for _, name in sorted(firsts, key=itemgetter(0))))


def answered_by(story: CallFacts, who: Parties, profile: PbxProfile) -> str | None:
    """Who talked last: the talk that began last decides."""
    talked = [channel for channel in story.channels.values() if channel.talks and channel is not story.root]
    if not talked:
        strangers = [name for name, spans in story.strangers.items() if spans]
        if strangers:
            return endpoint(strangers[-1])
        called = called_by_asterisk(story, profile) or story.root
        return who.called or (called.endpoint if called else None)
    other: Side = "outside" if who.direction == "outgoing" else "inside"
    # Both sides of a click to call begin to talk in one moment: the one that was called answers.
    last = max(talked, key=lambda channel: (channel.talks[-1][0], side_of(channel, profile)[0] == other))
    if side_of(last, profile)[0] == "outside":
        if who.direction == "outgoing" and not story.transfers:
            return who.client or who.called or last.number or last.endpoint
        return last.number or last.endpoint
    return extension_of(last, profile)


def outside(story: CallFacts, profile: PbxProfile) -> bool:
    """Whether a party outside the PBX is in the call."""
    return any(each.real and side_of(each, profile)[0] == "outside" for each in story.channels.values())


def _inside(story: CallFacts, profile: PbxProfile) -> list[Channel]:
    if story.inside is None:
        story.inside = [each for each in story.channels.values() if each.real and side_of(each, profile)[0] == "inside"]
    return story.inside


def extension(story: CallFacts, who: Parties, profile: PbxProfile, rang: str | None) -> str | None:
    """The inside party: who talked last, else who called, else who rang last."""
    talked = [channel for channel in _inside(story, profile) if channel.talks]
    if talked:
        return extension_of(max(talked, key=lambda channel: channel.talks[-1][0]), profile)
    if who.direction in ("outgoing", "internal") and who.caller:
        return who.caller
    if story.root_answered and not story.forwards:
        return _followed(story, profile)
    return rang


def _followed(story: CallFacts, profile: PbxProfile) -> str | None:
    """Whose mobile answered: follow-me dials it from a Local channel named after him (`Local/FMPR-1003@..`)."""
    for channel in story.channels.values():
        if channel.talks and is_local(channel.dialled_by):
            digits = re.sub(r"\D", " ", endpoint(channel.dialled_by)).split()
            if named := next((each for each in digits if profile.is_inside(each)), None):
                return named
    return None


def rang_last(story: CallFacts, profile: PbxProfile) -> str | None:
    """The extension whose phone rang in vain last; one that declined, or answered, only where no other rang.

    Phones that fell silent together (times tie within a second on FreePBX): the one that began to ring last.
    """
    inside = [channel for channel in _inside(story, profile) if channel is not story.root]
    # Who came from a call of his own did not ring; where cel.conf logs no CHAN_START that cannot be told.
    rang = [channel for channel in inside if channel.born_here] or inside * (not story.starts_logged)
    if len(rang) < 2:
        return extension_of(rang[0], profile) if rang else None
    for group in (
        [each for each in rang if each.answered is None and not each.hung_up_itself],
        [each for each in rang if each.answered is None],
        rang,
    ):
        if group:
            silent = max(each.ended or story.last for each in group)
            last = [each for each in group if (each.ended or story.last) >= silent - MICROS_PER_SECOND]
            return extension_of(max(last, key=lambda each: each.start_row.id), profile)
    return None
