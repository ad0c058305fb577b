"""The event type of a row whose table holds Asterisk's number for it instead of the name.

cel_pgsql.c and cel_odbc.c store the value of `enum ast_cel_event_type` where the column is a number, as `14` or
`14.000000`. Its meaning (include/asterisk/cel.h) changed with Asterisk 12.
"""

import re

UNKNOWN = "EVENT_NUMBER_"
"""Begins the name of an event whose number has no meaning, or one of two."""

_NUMBER = re.compile(r"([0-9]{1,2})(?:\.0*)?")

_NAMES = {
    1: "CHAN_START",
    2: "CHAN_END",
    3: "HANGUP",
    4: "ANSWER",
    5: "APP_START",
    6: "APP_END",
    7: "BRIDGE_ENTER",  # before Asterisk 12 BRIDGE_START: its row names the peer, so both say the same
    8: "BRIDGE_EXIT",
    9: "PARK_START",  # before: CONF_START, which no application logs
    10: "PARK_END",
    15: "PICKUP",  # 15 to 18 before: TRANSFER, HOOKFLASH and 3WAY, which nothing logs
    16: "FORWARD",
    17: "LOCAL_OPTIMIZE",
    18: "LOCAL_OPTIMIZE_BEGIN",
    19: "STREAM_BEGIN",
    20: "STREAM_END",
    22: "LINKEDID_END",  # 22 to 25: Asterisk 1.8 to 11 alone
    23: "BRIDGE_UPDATE",
    24: "PICKUP",
    25: "FORWARD",
}
"""Numbers with one meaning, those of them that are logged at all."""


def event_name(eventtype: str, *, userdeftype: str, extra: str, peer: str) -> str:
    """The name of an event type; `EVENT_NUMBER_99` for a number whose meaning cannot be told.

    Of the numbers that changed their meaning, the other columns of the row tell which is meant: since Asterisk 12
    `extra` of a transfer is a JSON object, before it is plain text.
    """
    if userdeftype == eventtype:
        return eventtype  # the dialplan's own event, with a number for its name
    found = _NUMBER.fullmatch(eventtype.strip())
    if found is None:
        return eventtype
    number = int(found[1])
    name = _NAMES.get(number) or _by_columns(number, userdeftype, extra.startswith("{"), bool(extra or peer))
    return name or f"{UNKNOWN}{number}"


def _by_columns(number: int, userdeftype: str, is_json: bool, named: bool) -> str | None:
    """`is_json`: of `extra`; `named`: `extra` or `peer` hold something."""
    if number in (13, 21) and userdeftype:
        return "USER_DEFINED"
    if number == 14:
        return "ATTENDEDTRANSFER" if named and not is_json else "LINKEDID_END"
    if number == 21:
        return "DTMF"
    if is_json:
        return {11: "BLINDTRANSFER", 12: "ATTENDEDTRANSFER", 13: "USER_DEFINED"}.get(number)
    if named:
        return {11: "PARK_START", 12: "PARK_END", 13: "BLINDTRANSFER"}.get(number)
    return None
