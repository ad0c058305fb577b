"""Who called whom, and from which side: direction and the numbers of a call (docs/call-status.md, direction)."""

from collections.abc import Sequence
from itertools import takewhile
from typing import cast

import msgspec

from streams.calls.calling_party import callers_number, did_of, is_dialable
from streams.calls.channel_name import is_port
from streams.calls.facts import CallFacts, Channel
from streams.calls.number_reached import number_reached
from streams.calls.pbx_profile import PbxProfile
from streams.calls.result import Direction
from streams.rules.directions import SideRule

_PASSED_ON = frozenset({"FORWARD", "BLINDTRANSFER", "ATTENDEDTRANSFER"})


class Parties(msgspec.Struct):
    """The two ends of a call."""

    direction: Direction
    caller: str | None = None
    called: str | None = None
    client: str | None = None
    """The outside party's number as logged."""
    client_number: str | None = None
    """The same as a CRM can use it."""
    trunk: str | None = None
    did: str | None = None
    why: list[str] = msgspec.field(default_factory=list)


def extension_of(channel: Channel, profile: PbxProfile) -> str:
    """The extension of an inside channel; its endpoint where no number of it is one."""
    numbers = (channel.first_number, channel.number)
    names = numbers if is_port(channel.name) else (channel.endpoint, *numbers)
    for name in names:
        if profile.is_inside(name):
            return name
    for number in numbers:  # a device with a name of its own (PJSIP/yeFKZg6L) and a long extension
        if number.isascii() and number.isdigit() and not profile.is_outside_number(number):
            return number
    return channel.endpoint


def trunk_of(channel: Channel) -> str:
    """The line of an outside channel, as the PBX's administrator calls it: `DAHDI/i1/79161234567-1b` is on `i1`."""
    return channel.endpoint.partition("/")[0]


def parties(facts: CallFacts, profile: PbxProfile) -> Parties:
    """Direction and numbers of a call; `why` says what decided."""
    calling = facts.calling
    if calling is None or (logged := _logged(facts, calling, profile)) is None:
        return _by_sides(facts, profile)
    direction = cast(Direction, logged.line.columns["direction"])
    reason = f"{direction}: the PBX logged {', '.join(sorted(facts.user_events & set(logged.values)))}"
    found = _by_sides(facts, profile)
    if found.direction == direction:
        return msgspec.structs.replace(found, why=[*found.why, reason])
    if direction == "incoming":
        return _incoming(facts, calling, profile, [reason])
    caller, called = extension_of(calling, profile), _asked_for(calling, facts.other_channels)
    client: tuple[str | None, str | None] = (None, None)
    if direction == "outgoing":
        client = number_reached(called, facts.on_side("outside"), profile)
    return Parties(direction, caller, called, *client, found.trunk, None, [reason])


def _logged(facts: CallFacts, calling: Channel, profile: PbxProfile) -> SideRule | None:
    """The first line whose user event tells the call's direction.

    A trunk's call that goes out again is still the client's, and a forwarded or transferred one that of who began it.
    """
    for event, rule in profile.directions.events.items():
        if event not in facts.user_events or rule.line.columns["direction"] == "forwarded":
            continue
        goes_out = rule.line.columns["direction"] == "outgoing"
        if not goes_out or not (_came_from_trunk(calling, profile) or _was_passed_on(facts, event, profile)):
            return rule
    return None


def _came_from_trunk(calling: Channel, profile: PbxProfile) -> bool:
    """Whether a setting, a pattern or the context says that the calling channel is a trunk's; its number may not."""
    if calling.side != "outside" or calling.originated:
        return False
    rule = profile.directions.of_endpoint(calling.endpoint)
    if profile.is_trunk(calling.endpoint) or (rule is not None and rule.side == "outside"):
        return True
    return calling.started_in_call and profile.side_of_context(calling.start_row.context) == "outside"


def _was_passed_on(facts: CallFacts, event: str, profile: PbxProfile) -> bool:
    """Whether the call was forwarded or transferred before the user event was logged."""
    logged = (row.userdeftype if row.eventtype == "USER_DEFINED" else row.eventtype for row in facts.rows)
    forwarded = {
        name for name, rule in profile.directions.events.items() if rule.line.columns["direction"] == "forwarded"
    }
    return any(name in _PASSED_ON or name in forwarded for name in takewhile(lambda name: name != event, logged))


def _by_sides(facts: CallFacts, profile: PbxProfile) -> Parties:
    calling = facts.calling
    if calling is None:
        return Parties("unknown", why=["direction unknown: no row names a channel that a party was on"])
    if calling.originated or not calling.real:
        return _originated(facts, calling, profile)
    side, reason = calling.side, calling.side_reason
    if side == "outside":
        return _incoming(facts, calling, profile, [f"incoming: the caller's {reason}"])
    if side == "inside":
        return _from_inside(facts, calling, profile, reason)
    return Parties(
        "unknown",
        caller=calling.first_number or None,
        called=_asked_for(calling),
        why=[f"direction unknown: {reason}; name the trunk in numbers.trunks"],
    )


def _incoming(facts: CallFacts, calling: Channel, profile: PbxProfile, why: list[str]) -> Parties:
    number, did = callers_number(facts, calling, profile), did_of(facts, calling, profile)
    client = profile.normalised_number(number) if number else None
    return Parties(
        "incoming",
        caller=number or calling.first_number or None,
        called=did or _asked_for(calling),
        client=number,
        client_number=client,
        trunk=trunk_of(calling),
        did=did,
        why=why,
    )


def _from_inside(facts: CallFacts, calling: Channel, profile: PbxProfile, reason: str) -> Parties:
    caller = extension_of(calling, profile)
    legs = facts.other_channels
    called = _asked_for(calling, legs)
    outside = [leg for leg in legs if leg.side == "outside"]
    # Who came from a call of their own was not called: callers that an agent who logged in took.
    reached = [leg for leg in legs if leg.started_in_call or not facts.starts_logged]
    went_out = called is not None and any(leg.number and called.endswith(leg.number) for leg in outside)
    if called is not None and profile.is_inside(called) and not went_out:
        goes_out, because = False, f"{called} is an inside number"  # a group may ring a mobile first
    elif reached and not facts.forwarded:
        goes_out = reached[0].side == "outside"
        because = f"the first channel called, {reached[0].endpoint}, is {'a trunk' if goes_out else 'inside'}"
    else:
        goes_out = called is not None and profile.is_outside_number(called)
        because = f"{called or 'what was dialled'} is {'an outside' if goes_out else 'no outside'} number"
    trunk = trunk_of(outside[-1]) if outside else None
    if goes_out:
        client = number_reached(called, outside, profile)
        return Parties(
            "outgoing", caller, called, *client, trunk, None, [f"outgoing: the caller's {reason}; {because}"]
        )
    return Parties("internal", caller, called, None, None, trunk, None, [f"internal: the caller's {reason}; {because}"])


def _originated(facts: CallFacts, calling: Channel, profile: PbxProfile) -> Parties:
    """A call that Asterisk itself began, for a person or a program: click to call, callback, call file."""
    outside, inside = facts.on_side("outside"), facts.on_side("inside")
    dialled = next((row.exten for row in facts.dials if profile.is_outside_number(row.exten)), None)
    if dialled is None and not calling.real and profile.is_outside_number(calling.endpoint):
        dialled = calling.endpoint  # Originate Local/79161234567@from-internal
    caller = extension_of(inside[0], profile) if inside else None
    if not inside and (pair := _called_one_after_the_other(outside)):
        first, second = pair
        why = [f"outgoing: Asterisk called {first.number} first, and then {second.number}, who talked with each other"]
        client = number_reached(second.number, [second], profile)
        return Parties("outgoing", first.number, second.number, *client, trunk_of(second), None, why)
    if outside or dialled:
        legs_out = [leg for leg in outside if leg is not calling]
        called = dialled or next((leg.number for leg in legs_out if profile.normalised_number(leg.number)), None)
        why = ["outgoing: Asterisk itself began the call and called out"]
        if called is None:
            why.append("the number that was called is in no row: a call file gives only its own caller id")
        trunk = trunk_of(outside[-1]) if outside else None
        client = number_reached(called, legs_out, profile)
        return Parties("outgoing", caller, called, *client, trunk, None, why)
    if len(inside) > 1:
        why = ["internal: Asterisk itself began the call, between extensions"]
        return Parties("internal", caller, extension_of(inside[1], profile), why=why)
    if inside:
        why = [f"outgoing: Asterisk called {caller} first, as click to call does, and got no further"]
        return Parties("outgoing", caller, why=why)
    return Parties("unknown", why=["direction unknown: Asterisk itself began the call, and no party's side is known"])


def _called_one_after_the_other(outside: list[Channel]) -> tuple[Channel, Channel] | None:
    """The first two outside channels, where the second was called after the first had answered, and both talked.

    Click to call on an employee's mobile that no setting names: in every product the first called is the caller.
    """
    if len(outside) < 2:
        return None
    first, second = outside[:2]
    both = first.talks and second.talks and first.number and second.number and first.number != second.number
    return (first, second) if both and first.answered is not None and first.answered <= second.started else None


def _asked_for(calling: Channel, legs: Sequence[Channel] = ()) -> str | None:
    """The number that the calling channel asked for; a name only where it came with it, and no leg has a number."""
    asked = calling.dialled or calling.dnid
    if is_dialable(asked):
        return asked
    number = next((leg.number for leg in legs if leg.number), None)
    return number or (asked if asked and asked == calling.start_row.exten else None)
