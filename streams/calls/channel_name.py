"""Channel names, `technology/endpoint-suffix`, and what kind of channel they show."""

MEDIA_TECHNOLOGIES = frozenset({"UnicastRTP", "AudioSocket", "WebSocket"})
"""Channels that carry a call's sound to a program and back: a voice bot, speech recognition. Asterisk's own channel
drivers for it (chan_rtp for ARI externalMedia, chan_audiosocket, chan_websocket); a phone never has such a name."""

HELPER_TECHNOLOGIES = MEDIA_TECHNOLOGIES | frozenset(
    {
        *("CBAnn", "CBRec", "Announcer", "Recorder", "Snoop", "Message", "MulticastRTP"),
        *("AsyncGoto", "Surrogate", "Transfered"),  # what a masquerade leaves behind
    }
)
"""Asterisk's own channels: nobody talks on them."""

_NOBODYS = HELPER_TECHNOLOGIES | {"Local"}


PORT_TECHNOLOGIES = frozenset(
    {
        "DAHDI",
        "Zap",
        "mISDN",
        "Khomp",
        "Dongle",
        "Mobile",
        "Quectel",
        "vpb",
        "VPB",
        "Phone",
        "Console",
        "OOH323",
        "CAPI",
    }
)
"""Technologies whose channels are named after a port, a span or a modem."""


def is_local(name: str) -> bool:
    """Whether the channel is half of a Local channel: a hinge between two parts of the dialplan."""
    return name.startswith("Local/")


def is_helper(name: str) -> bool:
    """Whether the channel is one of Asterisk's own, such as a conference's announcer."""
    return name.partition("/")[0] in HELPER_TECHNOLOGIES


def is_media(name: str) -> bool:
    """Whether a program is on the channel: its sound goes to a bot or the like."""
    return name.partition("/")[0] in MEDIA_TECHNOLOGIES


def is_real(name: str) -> bool:
    """Whether a phone or a trunk is on the channel."""
    technology, slash, _ = name.partition("/")
    return slash != "" and technology not in _NOBODYS


def is_port(name: str) -> bool:
    """Whether the channel is named after a line of a card or a modem (`DAHDI/1-1`), not after who is on it."""
    return name.partition("/")[0] in PORT_TECHNOLOGIES


def endpoint(name: str) -> str:
    """The channel's name without technology and suffix: `PJSIP/trunk1-0000001a` is `trunk1`."""
    technology, _, rest = name.partition("/")
    if not rest:
        rest = name
    elif technology == "Local":
        return rest.partition("@")[0]
    return rest.rpartition("-")[0] or rest


def local_twin(name: str) -> str | None:
    """The other half of a Local channel; None for other channels."""
    if name.endswith(";1"):
        return name[:-1] + "2"
    if name.endswith(";2"):
        return name[:-1] + "1"
    return None
