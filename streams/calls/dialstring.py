"""What Dial() was asked to call: the numbers in its `appdata`, where no channel's row holds them.

A dialplan that dials inside a Gosub shows the extension `s` on every row, and so do the legs' caller ids.
"""

from functools import lru_cache


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
        number = number.partition("@")[0].partition(":")[0].lstrip("+")
        if number.isascii() and number.isdigit():
            found.append((endpoint, number))
    return tuple(found)
