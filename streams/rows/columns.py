"""The names that back ends and exports give to the columns of CEL rows, and files that hold no such rows at all."""

import csv
import re
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from streams.errors import UserError
from streams.rows.row import COLUMNS

CEL_CUSTOM = (
    "eventtype", "eventtime", "cid_name", "cid_num", "cid_ani", "cid_rdnis", "cid_dnid", "exten", "context",
    "channame", "appname", "appdata", "amaflags", "accountcode", "uniqueid", "linkedid", "peer", "userfield",
    "userdeftype", "extra",
)  # fmt: skip
"""The order of Master.csv in the sample of cel_custom.conf. Some installations leave userfield out."""

SYNONYMS: Mapping[str, tuple[str, ...]] = {
    # cel_sqlite3_custom.conf; the events of the manager interface; the functions in cel_custom.conf
    "eventtype": ("eventname", "event_type"),
    "eventtime": ("event_time",),
    "linkedid": ("linked_id", "channel(linkedid)"),
    "uniqueid": ("unique_id", "channel(uniqueid)"),
    "channame": ("channel", "chan_name", "channel(channame)"),
    "cid_name": ("cidname", "calleridname", "callerid(name)"),
    "cid_num": ("cidnum", "calleridnum", "callerid(num)"),
    "cid_ani": ("cidani", "calleridani", "callerid(ani)"),
    "cid_rdnis": ("cidrdnis", "calleridrdnis", "callerid(rdnis)"),
    "cid_dnid": ("ciddnid", "calleriddnid", "callerid(dnid)"),
    "exten": ("channel(exten)",),
    "context": ("channel(context)",),
    "appname": ("application", "channel(appname)"),
    "appdata": ("applicationdata", "channel(appdata)"),
    "peer": ("bridgepeer",),
    "extra": ("eventextra", "event_extra"),
}

_REQUIRED = ("linkedid", "eventtype", "eventtime")
_WANTED = ("uniqueid", "channame", "cid_num", "context", "exten")
"""Columns without which much stays unknown; `extra` is told by itself."""

_CDR = frozenset(
    ("calldate", "clid", "src", "dst", "dcontext", "dstchannel", "lastapp", "lastdata", "billsec", "disposition")
)
_DISPOSITIONS = frozenset(("ANSWERED", "NO ANSWER", "BUSY", "FAILED", "CONGESTION"))
_EVENTS = frozenset(("CHAN_START", "CHAN_END", "ANSWER", "HANGUP", "APP_START", "APP_END", "LINKEDID_END"))
_VARIABLE = re.compile(r"\$\{(?!CSV_QUOTE)([^${}]+)\}")

READS_CEL = "cel2crm reads CEL rows: CSV with a header or JSON Lines of the table cel, not CDRs."
BY_NAME = (
    "Name its columns: --columns cel_custom for the order of the sample in cel_custom.conf, or your own mapping's: "
    "--columns eventtype,eventtime,cid_name,..,linkedid,peer,userdeftype,extra."
)


class Header(NamedTuple):
    """A file's columns by the names that the decoder looks for. `renamed`: as the file has them, where it differs."""

    names: list[str]
    renamed: dict[str, str]
    missing: tuple[str, ...]

    def remarks(self, file: str) -> list[str]:
        """Words about columns that were taken for others, and about those that are not there."""
        told = []
        other = {theirs: ours for theirs, ours in self.renamed.items() if theirs.lower() != ours.lower()}
        if other:
            told.append(f"{file}: read as {', '.join(f'{ours} ({theirs})' for theirs, ours in other.items())}")
        if "extra" in self.missing:
            told.append(without_extra(file))
        if wanted := [name for name in self.missing if name in _WANTED]:
            told.append(f"{file} has no column {', '.join(wanted)}: directions and numbers may stay unknown")
        return told


def without_extra(file: str) -> str:
    """A warning about a file whose rows have no column `extra`."""
    return f"{file} has no column extra: without hangup causes every result is 0, and there are two statuses only"


def header_of(names: Sequence[str], column: Callable[[str], str]) -> Header:
    """The header for a decoder: `column` tells what the settings call a column."""
    found, renamed = list(names), dict[str, str]()
    taken = {column(each) for each in COLUMNS} & set(names)
    for each in COLUMNS:
        target = column(each)
        if target in taken:
            continue
        accepted = (target.lower(), *(SYNONYMS.get(each, ()) if target == each else ()))
        for theirs in accepted:
            places = [place for place, name in enumerate(found) if name.strip().lower() == theirs]
            if places and found[places[0]] not in taken:
                renamed[found[places[0]]] = target
                found[places[0]] = target
                taken.add(target)
                break
    missing = tuple(each for each in COLUMNS if each != "id" and column(each) not in taken)
    return Header(found, renamed, missing)


def check_header(file: str, header: Header, names: Sequence[str], column: Callable[[str], str]) -> None:
    """Refuse a table in which no call could be told. Raises UserError, which says what the file looks like."""
    required = [column(each) for each in _REQUIRED if each in header.missing]
    if not required:
        return
    if looks := looks_like_header(names):
        raise UserError(f"{file} {looks}", BY_NAME if "cel_custom.conf" in looks else READS_CEL)
    raise UserError(
        f"{file}: its first line names no column {', '.join(required)}",
        "Give a CSV file with a header, or JSON Lines; columns of other names: database.column_name_aliases. "
        f"Found: {', '.join(names)[:200]}",
    )


def looks_like_header(names: Sequence[str]) -> str | None:
    """The kind of table that these names or cells are of, where it is none of CEL rows with a header."""
    plain = {name.strip().lower() for name in names}
    if len(plain & _CDR) >= 3:
        return "looks like call detail records (CDR: " + ", ".join(sorted(plain & _CDR)[:4]) + ")"
    cells = {name.strip() for name in names}
    if cells & _EVENTS:
        return "has no header; it looks like what Asterisk's own CSV backend writes (cel_custom.conf)"
    if len(names) >= 14 and cells & _DISPOSITIONS:
        return "looks like call detail records without a header (Asterisk's cdr-csv/Master.csv)"
    return None


def columns_named(text: str) -> tuple[str, ...]:
    """The columns of `--columns`: `cel_custom`, names, or the right side of a mapping in cel_custom.conf.

    Raises UserError where the columns that every row needs are not among them.
    """
    if text.strip() == "cel_custom":
        return CEL_CUSTOM
    if "${" in text:
        found = tuple(_VARIABLE.findall(text.rpartition("=>")[2]))
    else:
        found = tuple(name.strip() for name in next(csv.reader([text]), []))
    header = header_of(found, str)
    if lacking := [each for each in _REQUIRED if each in header.missing]:
        raise UserError(f"--columns names no {', '.join(lacking)}", BY_NAME)
    return tuple(header.names)


def columns_for(columns: tuple[str, ...], width: int) -> list[str]:
    """The names for lines of so many cells: the sample's order with or without userfield."""
    if columns == CEL_CUSTOM and width == len(CEL_CUSTOM) - 1:
        return [name for name in CEL_CUSTOM if name != "userfield"]
    return list(columns)
