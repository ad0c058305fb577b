"""Asterisk's event types and applications, grouped by what they mean for a call."""

BRIDGE_ENTRIES = frozenset({"BRIDGE_ENTER", "BRIDGE_START", "CONF_ENTER"})
BRIDGE_EXITS = frozenset({"BRIDGE_EXIT", "BRIDGE_END", "CONF_EXIT"})
BRIDGE_EVENTS = BRIDGE_ENTRIES | BRIDGE_EXITS
"""The names with START, END and CONF are those of very old versions (before Asterisk 12)."""

ENDED = frozenset({"HANGUP", "CHAN_END", "LINKEDID_END"})
"""Rows of a channel that is over: where the dialplan had led it is nothing that anybody asked for."""

ENDINGS = frozenset({"APP_END", "HANGUP", "CHAN_END", "FORWARD"}) | BRIDGE_EXITS
"""Rows with which a channel goes on to nothing new."""

IGNORED_EVENTS = frozenset({
    "CHAN_START", "LINKEDID_END", "LOCAL_OPTIMIZE", "LOCAL_OPTIMIZE_BEGIN", "PARK_END", "STREAM_BEGIN", "STREAM_END",
    "DTMF", "BRIDGE_UPDATE",
})  # fmt: skip
"""Asterisk's own events that say nothing about a call's outcome by themselves."""

BOT = "bot"
"""What a result calls a program that a call's sound goes to: on a channel of its own (`channel_name.is_media`), or by
the application AudioSocket()."""

QUEUE = "Queue"
"""The application that holds a caller until a member of a queue answers; its data begin with the queue's name."""

AUTOMATA = {
    QUEUE: "queue",
    "VoiceMail": "voicemail",
    "VoiceMailMain": "voicemail",
    "ConfBridge": "conference",
    "MeetMe": "conference",
    "Park": "parking",
    "ParkAndAnnounce": "parking",
    "AudioSocket": BOT,
}
"""Applications that hold a caller without a person, and what a result calls them."""

ORIGINATED = "AppDial2"
"""The application of a channel that Asterisk itself called: AMI Originate, a call file."""

TRACKED_APPS = frozenset({*AUTOMATA, ORIGINATED, "Dial"})
"""Applications that change a call's facts on whichever row they stand."""

NO_NUMBER = frozenset({"", "s", "h", "i", "t", "T", "o", "a", "e", "fax", "failed"})
"""Extensions of the dialplan that nobody dials."""
