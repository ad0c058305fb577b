"""Who called whom, and from which side: direction and the numbers of a call (docs/call-status.md, direction)."""

from dataclasses import dataclass, field, replace
from typing import cast

from streams.calls.channel_name import is_port
from streams.calls.facts import CallFacts, Channel
from streams.calls.pbx_profile import PbxProfile
from streams.calls.result import Direction


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


def extension_of(channel: Channel, profile: PbxProfile) -> str:
    """The extension of an inside channel; its endpoint where no number of it is one."""
    numbers = (channel.first_number, channel.number)
    names = numbers if is_port(channel.name) else (channel.endpoint, *numbers)
    if found := next((name for name in names if profile.is_inside(name)), None):
        return found
    # A device with a name of its own (PJSIP/yeFKZg6L) and a long extension.
    long = (each for each in numbers if each.isascii() and each.isdigit() and not profile.is_outside_number(each))
    return next(long, channel.endpoint)


def trunk_of(channel: Channel) -> str:
    """The line of an outside channel, as the PBX's administrator calls it: `DAHDI/i1/79161234567-1b` is on `i1`."""
    return channel.endpoint.partition("/")[0]


def parties(facts: CallFacts, profile: PbxProfile) -> Parties:
    """Direction and numbers of a call; `why` says what decided."""
    calling = facts.calling
    logged = next((rule for event, rule in profile.directions.events.items() if event in facts.user_events), None)
    if calling is None or logged is None:
        return _by_sides(facts, profile)
    direction = cast(Direction, logged.line.columns["direction"])
    reason = f"{direction}: the PBX logged {', '.join(sorted(facts.user_events & set(logged.values)))}"
    found = _by_sides(facts, profile)
    if found.direction == direction:
        return replace(found, why=[*found.why, reason])
    if direction == "incoming":
        return replace(_incoming(calling, ""), why=[reason])
    caller, called = extension_of(calling, profile), _dialled(calling)
    client = None
    if direction == "outgoing":
        client = _number_reached(called, [leg for leg in facts.other_channels if leg.side == "outside"])
    return Parties(direction, caller, called, client, found.trunk, None, [reason])


def _by_sides(facts: CallFacts, profile: PbxProfile) -> Parties:
    calling = facts.calling
    if calling is None:
        return Parties("unknown", why=["direction unknown: no row names a channel that a party was on"])
    if calling.originated or not calling.real:
        return _originated(facts, calling, profile)
    side, reason = calling.side, calling.side_reason
    if side == "outside":
        return _incoming(calling, reason)
    if side == "inside":
        return _from_inside(facts, calling, profile, reason)
    return Parties(
        "unknown",
        caller=calling.first_number or None,
        called=_dialled(calling),
        why=[f"direction unknown: {reason}; name the trunk in numbers.trunks"],
    )


def _incoming(calling: Channel, reason: str) -> Parties:
    caller, called = calling.first_number or None, _dialled(calling)
    return Parties("incoming", caller, called, caller, trunk_of(calling), called, [f"incoming: the caller's {reason}"])


def _from_inside(facts: CallFacts, calling: Channel, profile: PbxProfile, reason: str) -> Parties:
    caller = extension_of(calling, profile)
    legs = facts.other_channels
    called = _dialled(calling) or next((leg.number for leg in legs if leg.number), None)
    outside = [leg for leg in legs if leg.side == "outside"]
    really = next((leg.number for leg in outside if leg.number and (called or "").endswith(leg.number)), None)
    if called is not None and profile.is_inside(called) and really is None:
        goes_out, because = False, f"{called} is an inside number"  # a group may ring a mobile first
    elif legs and not facts.forwarded:
        goes_out = bool(outside) and outside[0] is legs[0]
        because = f"the first channel called, {legs[0].endpoint}, is {'a trunk' if goes_out else 'inside'}"
    else:
        goes_out = called is not None and profile.is_outside_number(called)
        because = f"{called or 'what was dialled'} is {'an outside' if goes_out else 'no outside'} number"
    trunk = trunk_of(outside[-1]) if outside else None
    if goes_out:
        client = really or _number_reached(called, outside)
        return Parties("outgoing", caller, called, client, trunk, None, [f"outgoing: the caller's {reason}; {because}"])
    return Parties("internal", caller, called, None, trunk, None, [f"internal: the caller's {reason}; {because}"])


def _originated(facts: CallFacts, calling: Channel, profile: PbxProfile) -> Parties:
    """A call that Asterisk itself began, for a person or a program: click to call, callback, call file."""
    outside, inside = facts.on_side("outside"), facts.on_side("inside")
    dialled = next((row.exten for row in facts.dials if profile.is_outside_number(row.exten)), None)
    if dialled is None and not calling.real and profile.is_outside_number(calling.endpoint):
        dialled = calling.endpoint  # Originate Local/79161234567@from-internal
    caller = extension_of(inside[0], profile) if inside else None
    if outside or dialled:
        legs_out = [leg for leg in outside if leg is not calling]
        called = dialled or next((leg.number for leg in legs_out if profile.normalised_number(leg.number)), None)
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


def _number_reached(called: str | None, outside: list[Channel]) -> str | None:
    """The client's number: what was dialled, or, of a speed dial, what the trunk was given."""
    if called is not None and called.removeprefix("+").isdigit():
        return called
    return next((leg.number for leg in outside if leg.number), None)


def _dialled(channel: Channel) -> str | None:
    return channel.dialled or channel.dnid or None
