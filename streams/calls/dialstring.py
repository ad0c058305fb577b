"""Who dialled a leg, and the number that Dial() was given: its `appdata` holds it where no channel's row does.

A dialplan that dials inside a Gosub shows the extension `s` on every row, and so do the legs' caller ids.
"""

import re
from collections.abc import Mapping
from functools import lru_cache

from streams.calls.channel_name import is_port
from streams.calls.facts import Channel

_GROUP = re.compile(r"[gGrR]\d+[cdr]*")
"""A group of ports, as Dial() names it: `DAHDI/g0/number`."""


@lru_cache(maxsize=4096)
def dialled(appdata: str) -> tuple[tuple[str, str], ...]:
    """Endpoint and number of each destination that names both, in order.

    Spellings: `PJSIP/number@endpoint`, `PJSIP/endpoint/sip:number@host`, `SIP/endpoint/number`,
    `IAX2/user:secret@host/number`, `DAHDI/g0/number`; several joined by `&`; options after a comma.
    """
    found = []
    for destination in appdata.partition(",")[0].split("&"):
        technology, _, rest = destination.strip().partition("/")
        first, slash, last = rest.partition("/")
        if technology == "Local" or not rest:
            continue
        if slash:
            endpoint = first.rpartition("@")[2].partition(":")[0]
            number = last.partition("sip:")[2] if "sip:" in last else last
        else:
            number, at, endpoint = first.partition("@")
            if not at:
                continue
        number = number.partition("@")[0].partition(":")[0].lstrip("wW+")  # w: a port waits before it dials
        if number.isascii() and number.isdigit():
            found.append((endpoint, number))
    return tuple(found)


def settle_dialler(leg: Channel, dialling: Mapping[tuple[str, str], int]) -> None:
    """Set `dialled_by`, and `number` to the number that Dial() was given: caller ids may hold the dialling one's.

    `dialling`: see CallFacts. The last Dial() of the leg's endpoint before the leg began counts, else the first after.
    """
    began = leg.start_row.id
    found = [
        (row_id <= began, row_id if row_id <= began else -row_id, channel, number)
        for (channel, appdata), row_id in dialling.items()
        for endpoint, number in dialled(appdata)
        if _is_of(leg, endpoint)
    ]
    if found:
        *_, leg.dialled_by, number = max(found)
        if number not in (leg.number, leg.first_number):
            leg.number = number
        leg.number_dialled = True


def _is_of(leg: Channel, endpoint: str) -> bool:
    """Whether a leg is on what Dial() named: the endpoint, a port's line (`i1/79161234567`), or any port of a group."""
    if not is_port(leg.name):
        return endpoint == leg.endpoint
    line = leg.endpoint.partition("/")[0]
    return endpoint.lower() == line.lower() or _GROUP.fullmatch(endpoint) is not None
