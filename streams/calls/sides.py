"""On which side of the PBX a channel's party is, inside or outside, and why (docs/call-status.md, direction)."""

from streams.calls.calling_party import asked_for_it, set_by_dialplan
from streams.calls.channel_name import is_port
from streams.calls.facts import CallFacts, Channel
from streams.calls.pbx_profile import PbxProfile
from streams.rules.directions import Side


def settle_sides(facts: CallFacts, profile: PbxProfile) -> None:
    """Set `side` and `side_reason` of a call's channels; those that were called are evidence for the calling one."""
    calling = facts.calling
    for channel in facts.channels.values():
        if channel is not calling:
            channel.side, channel.side_reason = _by_rows(channel, profile) or _by_number(channel, profile)
    if calling is not None:
        found = _by_rows(calling, profile) or _by_evidence(facts, calling, profile) or _by_number(calling, profile)
        calling.side, calling.side_reason = found


def _by_rows(channel: Channel, profile: PbxProfile) -> tuple[Side, str] | None:
    return _by_settings(channel, profile) or _by_names(channel, profile)


def _by_settings(channel: Channel, profile: PbxProfile) -> tuple[Side, str] | None:
    """The side by the operator's settings, which go first."""
    name = channel.endpoint
    if profile.is_staff(channel.first_number):
        return "inside", f"number {channel.first_number} is one of the configured inside numbers"
    if profile.trunks and profile.is_trunk(name):
        return "outside", f"{name} is a configured trunk"
    if profile.directions.endpoints and (rule := profile.directions.of_endpoint(name)) and rule.side:
        return rule.side, f"{name} is {rule.side} by the direction patterns"
    return None


def _by_names(channel: Channel, profile: PbxProfile) -> tuple[Side, str] | None:
    """The side by the number called on the channel, its context and its own name."""
    name, context = channel.endpoint, channel.start_row.context
    side = profile.side_of_context(context)
    if channel.number_dialled and _is_dialled_through(channel, profile):
        return "outside", f"{channel.number} was called on {name}"
    if channel.is_calling and side == "outside":
        return "outside", f"{name} came with context {context}"  # a trunk may be named like an extension
    if profile.is_inside(name) and not is_port(channel.name):
        return "inside", f"{name} is an extension"
    if not channel.is_calling and channel.dialled in ("", channel.number) and profile.is_outside_number(channel.number):
        return "outside", f"{channel.number} was called on {name}"
    if not channel.started_in_call and side == "inside":
        # Without its CHAN_START this is where the dialplan has led it, not where it came in.
        if channel.first_number.lower() in profile.directions.no_number:
            return "outside", f"{name} withheld its number, as no inside phone does"
        if profile.is_outside_number(channel.first_number):
            return None
    return (side, f"{name} came with context {context}") if side else None


def _is_dialled_through(leg: Channel, profile: PbxProfile) -> bool:
    """Whether Dial() gave a leg an outside number, or one of 5 or 6 digits to a gateway named like an extension."""
    gateway = profile.is_inside(leg.endpoint) and profile.is_of_no_side(leg.number)
    return gateway or profile.is_outside_number(leg.number)


def _by_evidence(facts: CallFacts, calling: Channel, profile: PbxProfile) -> tuple[Side | None, str] | None:
    """The side of a calling channel whose number alone does not tell it, by what it asked for and who was called."""
    name, number = calling.endpoint, calling.first_number
    tells_nothing = profile.is_inside(number) or profile.is_of_no_side(number)
    if not tells_nothing and profile.normalised_number(number):
        return None
    legs = facts.other_channels
    went_out = [leg for leg in legs if leg.side == "outside"]
    withheld = number.lower() in profile.directions.no_number
    if not withheld and any(asked_for_it(calling, leg.number, profile) for leg in went_out):
        return "inside", f"{calling.dialled}, which {name} asked for, went out on {went_out[0].endpoint}"
    if not went_out and (set_number := set_by_dialplan(facts, calling, profile)):
        return "outside", f"{name} got the number {set_number} from the dialplan"
    asked_outside = profile.is_outside_number(calling.start_row.exten)
    if asked_outside and legs and legs[0].side == "inside" and not went_out:
        return None, f"{calling.dialled}, which {name} asked for with number {number or '(none)'}, rang inside"
    return None


def _by_number(channel: Channel, profile: PbxProfile) -> tuple[Side | None, str]:
    """The side by the length of the caller's number."""
    number, name = channel.first_number, channel.endpoint
    if profile.is_inside(number):
        return "inside", f"number {number} is short"
    if profile.is_of_no_side(number):
        if name in (number, channel.number):
            return "inside", f"{name} is named after its number, as phones are"
        if not channel.is_calling and (channel.number_dialled or is_port(channel.name)):
            return "outside", f"{channel.number} was called on {name}"
        return None, f"number {number} of {name} may be an extension (numbers.internal_digits) or not"
    if number and profile.normalised_number(number):
        return "outside", f"number {number} is not an inside number"
    context = channel.start_row.context or "(none)"
    return None, f"neither {name}, nor context {context}, nor a number tells its side"
