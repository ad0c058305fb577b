"""The words of a call's story: applications, endings, spans and lists."""

from collections.abc import Iterable

from streams.clock import MICROS_PER_SECOND

APPLICATIONS: dict[str, str] = {
    "Queue": "entered queue {0}",
    "VoiceMail": "the voicemail of {0} took the call",
    "VoiceMailMain": "listened to voicemail",
    "ConfBridge": "entered conference {0}",
    "MeetMe": "entered conference {0}",
    "Playback": "heard {0}",
    "BackGround": "heard the menu {0}",
    "Read": "was asked for digits",
    "Echo": "heard an echo",
    "MusicOnHold": "heard music",
    "ChanSpy": "listened in on {0}",
    "ExtenSpy": "listened in on {0}",
    "Page": "paged {0}",
    "FollowMe": "the follow-me of {0} took the call",
}
"""Applications that a story mentions, with their first argument."""

PARK_ENDS = {
    "ParkedCallTimeOut": "nobody took the parked call in time",
    "ParkedCallGiveUp": "gave up while parked",
    "ParkedCallForwarded": "the parked call was forwarded",
    "ParkedCallFailed": "parking failed",
}
STREAMS = frozenset({"STREAM_BEGIN", "STREAM_END"})
ASTERISK_EVENTS = frozenset({
    "CHAN_START", "CHAN_END", "ANSWER", "HANGUP", "APP_START", "APP_END", "BRIDGE_ENTER", "BRIDGE_EXIT", "BRIDGE_START",
    "BRIDGE_END", "CONF_ENTER", "CONF_EXIT", "CONF_START", "CONF_END", "PARK_START", "PARK_END", "BLINDTRANSFER",
    "ATTENDEDTRANSFER", "TRANSFER", "PICKUP", "FORWARD", "LINKEDID_END", "LOCAL_OPTIMIZE", "LOCAL_OPTIMIZE_BEGIN",
    "STREAM_BEGIN", "STREAM_END", "DTMF", "3WAY_START", "3WAY_END", "HOOKFLASH",
    "BRIDGE_UPDATE",
})  # fmt: skip
"""Every other event type is the dialplan's own (CELGenUserEvent)."""


def format_seconds(micros: int) -> str:
    """A span of microseconds for people: `0.7 s`, `90 s`, `2 min 30 s`, `1:02:05`."""
    seconds = micros / MICROS_PER_SECOND
    if seconds >= 120:
        minutes, rest = divmod(round(seconds), 60)
        hours, minutes = divmod(minutes, 60)
        return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes} min {rest:02} s"
    exact = 0.05 <= seconds < 10 and micros % MICROS_PER_SECOND
    return f"{seconds:.1f} s" if exact else f"{seconds:.0f} s"


def join_names(names: Iterable[str]) -> str:
    """`a, b and c`."""
    *first, last = dict.fromkeys(names)
    return f"{', '.join(first)} and {last}" if first else last
