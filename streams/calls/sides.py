"""On which side of the PBX a channel's party is, inside or outside, and why (docs/call-status.md, direction)."""

from streams.calls.channel_name import is_port
from streams.calls.facts import Channel
from streams.calls.pbx_profile import PbxProfile
from streams.rules.directions import Side


def settle_side(channel: Channel, profile: PbxProfile) -> None:
    """Set `side` and `side_reason` of a channel whose rows are all folded."""
    found = _by_settings(channel, profile) or _by_names(channel, profile) or _by_number(channel, profile)
    channel.side, channel.side_reason = found


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
    if channel.number_dialled and profile.is_outside_number(channel.number):
        return "outside", f"{channel.number} was called on {name}"
    came_in = channel.is_calling and channel.started_in_call and side == "outside"
    if came_in and profile.is_outside_number(channel.first_number):
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


def _by_number(channel: Channel, profile: PbxProfile) -> tuple[Side | None, str]:
    """The side by the length of the caller's number."""
    number = channel.first_number
    if number and profile.normalised_number(number):
        if profile.is_inside(number):
            return "inside", f"number {number} is short"
        return "outside", f"number {number} is not an inside number"
    context = channel.start_row.context or "(none)"
    return None, f"neither {channel.endpoint}, nor context {context}, nor a number tells its side"
