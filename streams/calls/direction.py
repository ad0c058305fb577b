"""Who called whom, and from which side: direction and the numbers of a call (call-status.md, section 5)."""

from dataclasses import dataclass, field, replace
from typing import cast

from streams.calls.channel_name import is_port
from streams.calls.fold import CallFacts, Channel
from streams.calls.pbx_profile import PbxProfile
from streams.calls.result import Direction
from streams.rules.directions import Side


@dataclass(slots=True)
class Parties:
    """The two ends of a call."""

    direction: Direction
    caller: str | None = None
    called: str | None = None
    client: str | None = None
    """The outside party's number as logged."""
    trunk: str | None = None
    did: str | None = None
    why: list[str] = field(default_factory=list)


def side_of(channel: Channel, profile: PbxProfile) -> tuple[Side | None, str]:
    """On which side a channel's party is, and what says so."""
    if channel.side is None:
        channel.side = _side_of(channel, profile)
    return channel.side


def _side_of(channel: Channel, profile: PbxProfile) -> tuple[Side | None, str]:
    return _by_settings(channel, profile) or _by_names(channel, profile) or _by_number(channel, profile)


def _by_settings(channel: Channel, profile: PbxProfile) -> tuple[Side, str] | None:
    """What the operator says goes first."""
    name = channel.endpoint
    if profile.is_staff(channel.first_number):
        return "inside", f"number {channel.first_number} is one of the configured inside numbers"
    if profile.trunks and profile.is_trunk(name):
        return "outside", f"{name} is a configured trunk"
    if profile.directions.endpoints and (rule := profile.directions.of_endpoint(name)) and rule.side:
        return rule.side, f"{name} is {rule.side} by the direction patterns"
    return None


def _by_names(channel: Channel, profile: PbxProfile) -> tuple[Side, str] | None:
    """What was called on it, its context, its own name."""
    name, context = channel.endpoint, channel.start_row.context
    side = profile.side_of_context(context)
    if channel.number_dialled and _is_outside_number(channel.number, profile):
        return "outside", f"{channel.number} was called on {name}"
    came_in = channel.calling and channel.born_here and side == "outside"
    if came_in and _is_outside_number(channel.first_number, profile):
        return "outside", f"{name} came with context {context}"  # a trunk may be named like an extension
    if profile.is_inside(name) and not is_port(channel.name):
        return "inside", f"{name} is an extension"
    if not channel.calling and channel.dialled in ("", channel.number) and _is_outside_number(channel.number, profile):
        return "outside", f"{channel.number} was called on {name}"
    if not channel.born_here and side == "inside":
        # Without its CHAN_START this is where the dialplan has led it, not where it came in.
        if channel.first_number.lower() in profile.directions.no_number:
            return "outside", f"{name} withheld its number, as no inside phone does"
        if _is_outside_number(channel.first_number, profile):
            return None
    return (side, f"{name} came with context {context}") if side else None


def _by_number(channel: Channel, profile: PbxProfile) -> tuple[Side | None, str]:
    """The length of the caller's number."""
    number = channel.first_number
    if number and profile.outside_number(number):
        if profile.is_inside(number):
            return "inside", f"number {number} is short"
        return "outside", f"number {number} is no inside number"
    context = channel.start_row.context or "(none)"
    return None, f"neither {channel.endpoint}, nor context {context}, nor a number tells its side"


def extension_of(channel: Channel, profile: PbxProfile) -> str:
    """What people call an inside channel: its extension."""
    numbers = (channel.first_number, channel.number)
    names = numbers if is_port(channel.name) else (channel.endpoint, *numbers)
    if found := next((name for name in names if profile.is_inside(name)), None):
        return found
    # A device with a name of its own (PJSIP/yeFKZg6L) and a long extension.
    long = (each for each in numbers if each.isascii() and each.isdigit() and not _is_outside_number(each, profile))
    return next(long, channel.endpoint)


def trunk_of(channel: Channel) -> str:
    """What the PBX's administrator calls an outside channel's line: `DAHDI/i1/79161234567-1b` is on span `i1`."""
    return channel.endpoint.partition("/")[0]


def parties(story: CallFacts, profile: PbxProfile) -> Parties:
    """Direction and numbers of a call; `why` says what decided."""
    root = story.root
    told = next((rule for event, rule in profile.directions.events.items() if event in story.user_events), None)
    if root is None or told is None:
        return _by_sides(story, profile)
    direction = cast(Direction, told.line.columns["direction"])
    reason = f"{direction}: the PBX logged {', '.join(sorted(story.user_events & set(told.values)))}"
    found = _by_sides(story, profile)
    if found.direction == direction:
        return replace(found, why=[*found.why, reason])
    if direction == "incoming":
        return replace(_incoming(root, ""), why=[reason])
    caller, called = extension_of(root, profile), _dialled(root)
    client = None
    if direction == "outgoing":
        client = _number_reached(called, [leg for leg in _legs(story, root) if side_of(leg, profile)[0] == "outside"])
    return Parties(direction, caller, called, client, found.trunk, None, [reason])


def _by_sides(story: CallFacts, profile: PbxProfile) -> Parties:
    root = story.root
    if root is None:
        return Parties("unknown", why=["direction unknown: no row names a channel that a party was on"])
    if root.originated or not root.real:
        return _originated(story, root, profile)
    side, reason = side_of(root, profile)
    if side == "outside":
        return _incoming(root, reason)
    if side == "inside":
        return _from_inside(story, root, profile, reason)
    return Parties(
        "unknown",
        caller=root.first_number or None,
        called=_dialled(root),
        why=[f"direction unknown: {reason}; name the trunk in numbers.trunks"],
    )


def _incoming(root: Channel, reason: str) -> Parties:
    caller, called = root.first_number or None, _dialled(root)
    return Parties("incoming", caller, called, caller, trunk_of(root), called, [f"incoming: the caller's {reason}"])


def _from_inside(story: CallFacts, root: Channel, profile: PbxProfile, reason: str) -> Parties:
    caller = extension_of(root, profile)
    legs = _legs(story, root)
    called = _dialled(root) or next((leg.number for leg in legs if leg.number), None)
    outside = [leg for leg in legs if side_of(leg, profile)[0] == "outside"]
    really = next((leg.number for leg in outside if leg.number and (called or "").endswith(leg.number)), None)
    if called is not None and profile.is_inside(called) and really is None:
        goes_out, because = False, f"{called} is an inside number"  # a group may ring a mobile first
    elif legs and not story.forwards:
        goes_out = bool(outside) and outside[0] is legs[0]
        because = f"the first channel called, {legs[0].endpoint}, is {'a trunk' if goes_out else 'inside'}"
    else:
        goes_out = called is not None and _is_outside_number(called, profile)
        because = f"{called or 'what was dialled'} is {'an outside' if goes_out else 'no outside'} number"
    trunk = trunk_of(outside[-1]) if outside else None
    if goes_out:
        client = really or _number_reached(called, outside)
        return Parties("outgoing", caller, called, client, trunk, None, [f"outgoing: the caller's {reason}; {because}"])
    return Parties("internal", caller, called, None, trunk, None, [f"internal: the caller's {reason}; {because}"])


def _originated(story: CallFacts, root: Channel, profile: PbxProfile) -> Parties:
    """A call that Asterisk itself began, for a person or a program: click to call, callback, call file."""
    real = [channel for channel in story.channels.values() if channel.real]
    sides = {channel.uniqueid: side_of(channel, profile)[0] for channel in real}
    outside = [channel for channel in real if sides[channel.uniqueid] == "outside"]
    inside = [channel for channel in real if sides[channel.uniqueid] == "inside"]
    dialled = next((row.exten for row in story.dials if _is_outside_number(row.exten, profile)), None)
    if dialled is None and not root.real and _is_outside_number(root.endpoint, profile):
        dialled = root.endpoint  # Originate Local/79161234567@from-internal
    caller = extension_of(inside[0], profile) if inside else None
    if outside or dialled:
        legs_out = [leg for leg in outside if leg is not root]
        called = dialled or next((leg.number for leg in legs_out if profile.outside_number(leg.number)), None)
        why = ["outgoing: Asterisk itself began the call and called out"]
        if called is None:
            why.append("the number that was called is in no row: a call file gives only its own caller id")
        trunk = trunk_of(outside[-1]) if outside else None
        return Parties("outgoing", caller, called, called, trunk, None, why)
    if len(inside) > 1:
        why = ["internal: Asterisk itself began the call, between extensions"]
        return Parties("internal", caller, extension_of(inside[1], profile), None, None, None, why)
    if inside:
        why = [f"outgoing: Asterisk called {caller} first, as click to call does, and got no further"]
        return Parties("outgoing", caller, None, None, None, None, why)
    return Parties("unknown", why=["direction unknown: Asterisk itself began the call, and no party's side is known"])


def _legs(story: CallFacts, root: Channel) -> list[Channel]:
    return [channel for channel in story.channels.values() if channel is not root and channel.real]


def _number_reached(called: str | None, outside: list[Channel]) -> str | None:
    """The client's number: what was dialled, or, of a speed dial, what the trunk was given."""
    if called is not None and called.removeprefix("+").isdigit():
        return called
    return next((leg.number for leg in outside if leg.number), None)


def _dialled(channel: Channel) -> str | None:
    return channel.dialled or channel.dnid or None


def _is_outside_number(number: str, profile: PbxProfile) -> bool:
    digits = number.removeprefix("+")
    long_enough = len(digits) in profile.directions.outside_digits  # shorter ones are feature codes
    return digits.isascii() and digits.isdigit() and long_enough and not profile.is_inside(number)
