"""The real core as the simulation uses it: a call to the bytes of its result and legs."""

from collections.abc import Callable

import msgspec

from streams.calls.call import Call
from streams.calls.classify import classify
from streams.calls.pbx_profile import PbxProfile
from streams.rules import load_rules
from streams.settings import Settings


def core_classifier() -> Callable[[Call], bytes]:
    """Classifies with the shipped rules."""
    settings = Settings()
    rules, profile = load_rules(settings.rules), PbxProfile.of(settings)
    encode = msgspec.msgpack.Encoder().encode

    classified: dict[tuple[object, ...], bytes] = {}

    def bytes_of(call: Call) -> bytes:
        """A schedule classifies the same rows over and over: classifying is pure (tests/calls), so once is enough."""
        key = (call.call_id, *((row.id, row.eventtype, row.uniqueid, row.channame) for row in call.rows))
        found = classified.get(key)
        if found is None:
            if len(classified) > 2_000:
                classified.clear()
            cut_short = not (call.linkedid_end or call.channels_ended)
            found = classified[key] = encode(classify(call, rules, profile, cut_short=cut_short))
        return found

    return bytes_of
