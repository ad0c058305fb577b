"""The facts of a call: those of its rows, and the side of the PBX that each channel's party is on."""

from streams.calls.call import Call
from streams.calls.facts import CallFacts
from streams.calls.fold import fold_rows
from streams.calls.pbx_profile import PbxProfile
from streams.calls.sides import settle_sides


def fold_call(call: Call, profile: PbxProfile) -> CallFacts:
    """The facts of a call's rows, with the side of the PBX that each channel's party is on."""
    facts = fold_rows(call.rows, call.linkedid, profile.timezone_of(call.pbx))
    settle_sides(facts, profile)
    return facts
