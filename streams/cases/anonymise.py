"""Anonymise rows: numbers, names and addresses go; events, applications, contexts, times and ids stay. Pure."""

import re
from collections.abc import Callable, Collection, Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import orjson

from streams.calls.channel_name import endpoint, is_local, is_port
from streams.cases.pseudonyms import Originals, Pseudonyms
from streams.rows.row import CelRow

_NUMBERS = ("cid_num", "cid_ani", "cid_rdnis", "cid_dnid")
_STAY = frozenset({"id", "eventtype", "eventtime", "uniqueid", "linkedid", "appname", "userdeftype"})
_ARGUMENTS_MATTER = frozenset({
    "Dial", "AppDial", "AppDial2", "AppQueue", "Queue", "VoiceMail", "VoiceMailMain", "ConfBridge", "MeetMe", "Park",
    "ParkedCall", "Pickup", "PickupChan", "ChanSpy", "ExtenSpy", "FollowMe", "Page", "Transfer",
})  # fmt: skip
"""Applications whose arguments classifying needs; those of others may hold anything, and are dropped."""
_NAMED_FIRST = frozenset({"Queue", "ConfBridge", "MeetMe"})
_STAYING_EXTRA = frozenset({
    "dialstatus", "bridge_id", "bridge1_id", "bridge2_id", "bridge_technology", "reason", "format", "language", "class",
    "parking_lot",
})  # fmt: skip
DROPPED = "(anonymised)"
_GENERIC = frozenset({"", "anonymous", "unknown", "restricted", "private", "unavailable", "asterisk", "withheld"})

# Names of the case's form that the product does not read: nothing of them is kept.
_EMPTY = {"amaflags": "3", "accountcode": "", "userfield": ""}
_FORM = (
    "id", "eventtype", "eventtime", "cid_name", "cid_num", "cid_ani", "cid_rdnis", "cid_dnid", "exten", "context",
    "channame", "appname", "appdata", "amaflags", "accountcode", "uniqueid", "linkedid", "peer", "userdeftype",
    "userfield", "extra",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Anonymised:
    """Rows as text, column by column in the form of the recordings, and the replacement of each original."""

    rows: tuple[dict[str, str], ...]
    pseudonyms: Pseudonyms
    dropped: int
    """Arguments of applications and texts of events that were left out altogether."""

    @property
    def counts(self) -> dict[str, int]:
        """The number of replacements by kind, in words."""
        known = self.pseudonyms
        return {
            "outside numbers": len(known.tails),
            "short numbers": len(known.shorts),
            "names of phones, trunks, queues and people": len(known.words),
            "hosts and addresses": len(known.hosts) + len(known.users),
            "free texts dropped": self.dropped,
        }


def anonymise(
    rows: Sequence[CelRow],
    shape: Callable[[str], Hashable],
    *,
    trunks: Collection[str] = (),
    keep_trunks: bool = False,
) -> Anonymised:
    """The rows anonymised; `shape` and `trunks` as in Pseudonyms.of."""
    pseudonyms = Pseudonyms.of(_originals(rows), shape, trunks=trunks, keep_trunks=keep_trunks)
    dropped: list[str] = []
    return Anonymised(tuple(_anonymous(row, pseudonyms, dropped) for row in rows), pseudonyms, len(dropped))


def _originals(rows: Iterable[CelRow]) -> Originals:
    found = Originals()
    for row in rows:
        for column in _NUMBERS:
            _party(getattr(row, column), found)
        found.add_text(row.exten)
        _number(row.exten, found)
        if row.cid_name.lower() not in _GENERIC:
            found.add_party(row.cid_name.strip(), found.names)
        for name in (row.channame, *row.peer.split(",")):
            _channel(name, found)
        if row.appname in _ARGUMENTS_MATTER:
            _arguments(row, found)
        for text in _texts(_extra(row.extra)):
            _channel(text, found)
            found.add_text(text)
        if _extra(row.extra) is None:
            found.add_text(row.extra)
    return found


def _party(text: str, found: Originals) -> None:
    if text.lower() in _GENERIC:
        return
    if re.fullmatch(r"\w[\w.+-]*", text):
        found.add_party(text, found.endpoints)
    else:
        found.add_text(text)


def _number(text: str, found: Originals) -> bool:
    """Whether the text is a number, noted as one."""
    if not (text.isascii() and text.isdigit()):
        return False
    found.numbers.add(text)
    return True


def _channel(name: str, found: Originals) -> None:
    """Note who is on a channel, by its name: `PJSIP/trunk1-0000001a`, `Local/1001@from-internal-00000001;1`."""
    if not re.match(r"(?!dialplan/)[A-Za-z][A-Za-z0-9]+/.", name):  # hangupsource may be dialplan/builtin
        return
    for part in re.split(r"[@/]", endpoint(name)):
        if is_port(name) and not part.isdigit():
            continue  # a line of a card: i1, g0
        if part.lower() not in _GENERIC:
            _party(part, found)
    found.add_text(name.partition("@")[0] if is_local(name) else name)


def _arguments(row: CelRow, found: Originals) -> None:
    first = row.appdata.partition(",")[0]
    found.add_text(row.appdata)
    if row.appname in _NAMED_FIRST:
        if not _number(first, found) and not re.fullmatch(r"[a-z]?[0-9]*", first):
            found.queues.add(first)
        return
    for destination in first.split("&"):
        technology, _, rest = destination.partition("/")
        if not rest:
            _number(technology.partition("@")[0], found)
            continue
        parts = re.split(r"[@/]", rest.partition("@")[0] if technology == "Local" else rest)
        for part in parts:
            if ":" not in part and not re.fullmatch(r"[grGRi][0-9]*|n|j|b|m", part):
                _party(part, found)


def _anonymous(row: CelRow, pseudonyms: Pseudonyms, dropped: list[str]) -> dict[str, str]:
    anonymous = {column: str(getattr(row, column)) for column in CelRow.__struct_fields__}
    for column, text in anonymous.items():
        if column == "context":
            anonymous[column] = pseudonyms.long_numbers(text)
        elif column == "appdata":
            anonymous[column] = _appdata(row, pseudonyms, dropped)
        elif column == "extra":
            anonymous[column] = _anonymous_extra(row, pseudonyms, dropped)
        elif column == "cid_name":
            anonymous[column] = pseudonyms.name(text)
        elif column not in _STAY:
            anonymous[column] = pseudonyms.text(text)
    anonymous |= _EMPTY
    return {column: anonymous[column] for column in _FORM}


def _appdata(row: CelRow, pseudonyms: Pseudonyms, dropped: list[str]) -> str:
    if row.appdata in ("", "(Outgoing Line)"):
        return row.appdata
    if row.appname not in _ARGUMENTS_MATTER:
        dropped.append(row.appdata)
        return DROPPED
    return pseudonyms.text(row.appdata)


def _anonymous_extra(row: CelRow, pseudonyms: Pseudonyms, dropped: list[str]) -> str:
    value = _extra(row.extra)
    if value is None:
        return pseudonyms.text(row.extra)
    return orjson.dumps(_replaced(value, pseudonyms, dropped)).decode()


def _replaced(value: Any, pseudonyms: Pseudonyms, dropped: list[str], key: str = "") -> Any:
    if isinstance(value, dict):
        return {name: _replaced(each, pseudonyms, dropped, name) for name, each in value.items()}
    if isinstance(value, list):
        return [_replaced(each, pseudonyms, dropped, key) for each in value]
    if not isinstance(value, str) or key in _STAYING_EXTRA or key.endswith("_uniqueid"):
        return value
    if key == "digit":  # what somebody keyed in may be the number of a card
        return "0" if value.isdigit() else value
    if key in ("extra", "sound"):
        dropped.append(value)
        return DROPPED
    return pseudonyms.long_numbers(value) if key == "context" else pseudonyms.text(value)


def _extra(text: str) -> Any:
    """The JSON value in `extra`, None where there is none."""
    if not text.startswith(("{", "[")):
        return None
    try:
        return msgspec.json.decode(text)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return None


def _texts(value: Any) -> Iterable[str]:
    if isinstance(value, dict):
        for key, each in value.items():
            if key not in _STAYING_EXTRA and not key.endswith("_uniqueid"):
                yield from _texts(each)
    elif isinstance(value, list):
        for each in value:
            yield from _texts(each)
    elif isinstance(value, str):
        yield value
