"""The real core as the simulation uses it: a call to the bytes of its result and legs."""

from collections.abc import Callable

import msgspec

from streams.calls.call import Call
from streams.calls.classify import judge
from streams.calls.pbx_profile import PbxProfile
from streams.rules import load_rules
from streams.settings import Settings


def core_judge() -> Callable[[Call], bytes]:
    """Judges with the shipped rules."""
    settings = Settings()
    rules, site = load_rules(settings.rules), PbxProfile.of(settings)
    encode = msgspec.msgpack.Encoder().encode

    judged: dict[tuple[object, ...], bytes] = {}

    def bytes_of(call: Call) -> bytes:
        """A schedule judges the same rows over and over: judging is pure (tests/calls), so once is enough."""
        key = (call.call_id, *((row.id, row.eventtype, row.uniqueid, row.channame) for row in call.rows))
        found = judged.get(key)
        if found is None:
            if len(judged) > 2_000:
                judged.clear()
            cut_short = not (call.linkedid_end or call.channels_ended)
            found = judged[key] = encode(judge(call, rules, site, cut_short=cut_short))
        return found

    return bytes_of
