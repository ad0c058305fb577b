"""The real core as the simulation uses it: a call to the bytes of its result and legs."""

from collections.abc import Callable

import msgspec

from streams.calls.call import Call
from streams.calls.judge import judge
from streams.calls.site import Site
from streams.rules import load_rules
from streams.settings import Settings


def core_judge() -> Callable[[Call], bytes]:
    """Judges with the shipped rules."""
    settings = Settings()
    rules, site = load_rules(settings.rules), Site.of(settings)
    encode = msgspec.msgpack.Encoder().encode

    def bytes_of(call: Call) -> bytes:
        return encode(judge(call, rules, site, cut_short=not (call.linkedid_end or call.channels_ended)))

    return bytes_of
