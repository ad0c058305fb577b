"""Files as people have them: each is read, or refused with one line that says what it is."""

import bz2
import csv
import gzip
import io
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.calls.tables import cel, hangup
from tests.cli.commands import Done, as_process, run

LINKEDID = "1795389780.0"
CELLS = [
    {name: str(getattr(row, name)) for name in row.__struct_fields__}
    for row in cel(f"""
        0  start  PJSIP/trunk1-01 0 num=79161234567 context=from-trunk exten=74951001001
        1  start  PJSIP/1001-02   1 num=1001 context=from-internal
        3  answer PJSIP/1001-02   1
        3  answer PJSIP/trunk1-01 0
        3  enter  PJSIP/1001-02   1
        3  enter  PJSIP/trunk1-01 0 peer=PJSIP/1001-02
        33 exit   PJSIP/1001-02   1
        33 exit   PJSIP/trunk1-01 0
        33 hangup PJSIP/1001-02   1 cause=16
        33 end    PJSIP/1001-02   1
        33 hangup PJSIP/trunk1-01 0 extra={hangup(16, "ANSWER")}
        33 end    PJSIP/trunk1-01 0
        33 over   PJSIP/trunk1-01 0
    """)
]
NAMES = list(CELLS[0])


def as_csv(rows: list[dict[str, str]] = CELLS, names: list[str] = NAMES, **options: Any) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, names, extrasaction="ignore", lineterminator="\n", **options)
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def outfile(rows: list[dict[str, str]] = CELLS) -> str:
    """MySQL's SELECT .. INTO OUTFILE with FIELDS TERMINATED BY ',' ENCLOSED BY '"', below a header."""

    def cell(value: str) -> str:
        escaped = value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\\n")
        return f'"{escaped}"' if value else "\\N"

    return "\n".join(",".join(map(cell, row)) for row in [NAMES, *(list(row.values()) for row in rows)]) + "\n"


def psql(rows: list[dict[str, str]], *, frame: bool = False) -> str:
    width = {name: max(len(name), *(len(row[name]) for row in rows)) for name in NAMES}
    lines = [
        " | ".join(row[name].ljust(width[name]) for name in NAMES) for row in [{name: name for name in NAMES}, *rows]
    ]
    rule = "+".join("-" * (width[name] + 2) for name in NAMES)
    if frame:
        return "\n".join([f"+{rule}+", f"| {lines[0]} |", f"+{rule}+", *(f"| {each} |" for each in lines[1:]),
                          f"+{rule}+", f"{len(rows)} rows in set, 1 warning (0.01 sec)"]) + "\n"  # fmt: skip
    return "\n".join([f" {lines[0]}", rule, *(f" {each}" for each in lines[1:]), f"({len(rows)} строк)"]) + "\n"


def vertical(separator: str) -> str:
    told = []
    for number, row in enumerate(CELLS, start=1):
        if separator == ":":
            told.append(f"*************************** {number}. row ***************************")
            told += [f"{name:>12}: {value}" for name, value in row.items()]
        else:
            told.append(f"-[ RECORD {number} ]---------+----------------")
            told += [f"{name:<12} | {value}" for name, value in row.items()]
    return "\n".join([*told, "13 rows in set (0.00 sec)" if separator == ":" else ""]) + "\n"


def named(rows: list[dict[str, str]], **change: str) -> list[dict[str, str]]:
    return [{**row, **change} for row in rows]


SQLITE = {"cid_num": "cidnum", "cid_name": "cidname", "cid_ani": "cidani", "cid_rdnis": "cidrdnis",
          "cid_dnid": "ciddnid", "extra": "eventextra"}  # fmt: skip


def as_sqlite(rows: list[dict[str, str]]) -> list[dict[str, str]]:
    return [{SQLITE.get(name, name): value for name, value in row.items() if name != "id"} for row in rows]


JSON_LINES = "".join(json.dumps(row) + "\n" for row in CELLS)
READ: dict[str, str | bytes] = {
    "CSV in UTF-16, little": b"\xff\xfe" + as_csv().encode("utf-16-le"),
    "CSV in UTF-16, big": b"\xfe\xff" + as_csv().encode("utf-16-be"),
    "CSV in UTF-16 without a mark": as_csv().encode("utf-16-le"),
    "JSON Lines in UTF-16": b"\xff\xfe" + JSON_LINES.encode("utf-16-le"),
    "tabs in UTF-16, as Excel's Unicode text": as_csv(delimiter="\t").replace("\n", "\r\n").encode("utf-16"),
    "CSV with a mark": b"\xef\xbb\xbf" + as_csv().encode(),
    "JSON Lines with a mark": b"\xef\xbb\xbf" + JSON_LINES.encode(),
    "line ends of old Macs": as_csv().replace("\n", "\r"),
    "gz": gzip.compress(as_csv().encode()),
    "gz of UTF-16": gzip.compress(as_csv().encode("utf-16")),
    "gz of JSON Lines": gzip.compress(JSON_LINES.encode()),
    "backslashes before quotes": outfile(),
    "quotes and backslashes in a name": outfile(named(CELLS, cid_name='Ann "A\\B" C')),
    "psql": psql(CELLS),
    "psql with a bar in a name": psql(named(CELLS, cid_name="Roga | Kopyta")),
    "mysql with a bar in a name": psql(named(CELLS, cid_name="Roga | Kopyta"), frame=True),
    "a wide letter and a bar": psql(named(CELLS, cid_name="a|b")).replace("a|b ", "七|b"),
    "psql -A": as_csv(delimiter="|", quoting=csv.QUOTE_NONE, quotechar=None) + f"({len(CELLS)} rows)\n",
    "mysql -E": vertical(":"),
    "psql -x": vertical("|"),
    "a warning of the client first": "mysql: [Warning] Using a password can be insecure.\n" + as_csv(),
    "a JSON array": json.dumps(CELLS),
    "a JSON array, drawn": "\n\n" + json.dumps(CELLS, indent=1),
    "a JSON array as sqlite3 prints it": "[" + ",\n".join(map(json.dumps, CELLS)) + "]\n",
    "JSON objects over several lines": "\n".join(json.dumps(row, indent=2) for row in CELLS),
    "JSON of phpMyAdmin": json.dumps(
        [{"type": "header", "version": "5.2.1"}, {"type": "database", "name": "asteriskcdrdb"},
         {"type": "table", "name": "cel", "database": "asteriskcdrdb", "data": CELLS}]
    ),
    "JSON of DBeaver": json.dumps({"cel": CELLS}, indent=1),
    "names in upper case": as_csv().replace(",".join(NAMES), ",".join(NAMES).upper()),
    "JSON with names in upper case": "".join(
        json.dumps({name.upper(): value for name, value in row.items()}) + "\n" for row in CELLS
    ),
    "names of cel_sqlite3_custom": as_csv(as_sqlite(CELLS), list(as_sqlite(CELLS)[0])),
    "JSON with names of cel_sqlite3_custom": "".join(json.dumps(row) + "\n" for row in as_sqlite(CELLS)),
    "a JSON array with names of cel_sqlite3_custom": json.dumps(as_sqlite(CELLS)),
}  # fmt: skip


def classified(given: str | bytes, *arguments: str, status: int = 0) -> tuple[dict[str, Any], Done]:
    """The call in a file, and how the command ended."""
    done = run("classify", "--json", *arguments, given=given if isinstance(given, bytes) else given.encode())
    assert done.status == status, done.stderr
    calls = {call["linkedid"]: call for call in map(json.loads, done.stdout.splitlines())}
    return calls.get(LINKEDID, {}), done


def told(call: dict[str, Any]) -> tuple[Any, ...]:
    return tuple(call[name] for name in ("direction", "answered_by", "client", "result", "talk_seconds", "complete"))


GOOD = ("incoming", "1001", "+79161234567", 200, 30.0, True)


@pytest.mark.parametrize("given", READ.values(), ids=READ)
def test_kind_of_file_is_read(given: str | bytes) -> None:
    call, done = classified(given)
    assert told(call) == GOOD
    assert call["warnings"] == []
    assert "could not be read" not in done.stderr


def test_other_names_are_said() -> None:
    _, done = classified(READ["names of cel_sqlite3_custom"])
    assert "read as cid_name (cidname), cid_num (cidnum)" in done.stderr and "extra (eventextra)" in done.stderr


def custom(names: list[str]) -> str:
    values = [{**row, "userfield": "", "amaflags": "3", "accountcode": ""} for row in CELLS]
    text = io.StringIO()
    csv.DictWriter(text, names, extrasaction="ignore", quoting=csv.QUOTE_ALL, lineterminator="\n").writerows(values)
    return text.getvalue()


SAMPLE = ["eventtype", "eventtime", "cid_name", "cid_num", "cid_ani", "cid_rdnis", "cid_dnid", "exten", "context",
          "channame", "appname", "appdata", "amaflags", "accountcode", "uniqueid", "linkedid", "peer", "userfield",
          "userdeftype", "extra"]  # fmt: skip
OWN = ["linkedid", "eventtype", "eventtime", "channame", "uniqueid", "context", "cid_num", "exten", "peer", "extra"]
MAPPING = (
    "Own.csv => ${CHANNEL(linkedid)},${CSV_QUOTE(${eventtype})},${CSV_QUOTE(${eventtime})},${CHANNEL(channame)},"
    "${CHANNEL(uniqueid)},${CHANNEL(context)},${CSV_QUOTE(${CALLERID(num)})},${CHANNEL(exten)},${BRIDGEPEER},"
    "${CSV_QUOTE(${eventextra})}"
)


@pytest.mark.parametrize(
    ("names", "columns"),
    [
        (SAMPLE, "cel_custom"),
        ([name for name in SAMPLE if name != "userfield"], "cel_custom"),
        (OWN, ",".join(OWN)),
        (OWN, MAPPING),
    ],
    ids=["the sample's order", "without userfield", "names", "a mapping of cel_custom.conf"],
)
def test_a_file_without_a_header_is_read_by_the_names_of_its_columns(
    names: list[str], columns: str, tmp_path: Path
) -> None:
    call, _ = classified(custom(names), "--columns", columns)
    assert told(call) == GOOD
    file = tmp_path / "Master.csv"
    file.write_text(custom(names), encoding="utf-8")
    explained = run("explain", LINKEDID, str(file), "--columns", columns)
    assert explained.status == 0 and "answered by 1001" in explained.stdout


def test_columns_without_the_needed_ones_are_refused() -> None:
    _, done = classified(custom(SAMPLE), "--columns", "eventtype,eventtime", status=2)
    assert "--columns names no linkedid" in done.stderr


def damaged(data: bytes) -> bytes:
    return data[: len(data) // 2]


CDR = "calldate,clid,src,dst,dcontext,channel,dstchannel,lastapp,duration,billsec,disposition,uniqueid,linkedid\n"
MASTER = '"","79161234567","1001","from-trunk","x","PJSIP/a","PJSIP/b","Dial","b,20","2026-11-22 10:00:00",,' \
    '"2026-11-22 10:00:10",10,0,"NO ANSWER","DOCUMENTATION","1795389780.0",""\n'  # fmt: skip
REFUSED: dict[str, tuple[str | bytes, str]] = {
    "Asterisk's own CSV": (custom(SAMPLE), "cel_custom.conf"),
    "a CDR export": (CDR + "2026-11-22,x,1,2,c,a,b,Dial,1,1,ANSWERED,1.1,1.1\n", "looks like call detail records"),
    "a CDR export in JSON": (
        json.dumps(dict.fromkeys(CDR.strip().split(","), "1")) + "\n", "looks like call detail records",
    ),
    "Asterisk's own CDR": (MASTER, "looks like call detail records without a header"),
    "no row can be read": (as_csv(named(CELLS, eventtype="")), "none of its 13 rows could be read"),
    "no line of JSON can be read": ("{broken\n" * 3, "none of its 3 rows could be read"),
    "a zip": (b"PK\x03\x04\x14\0\0\0", "looks like a zip archive or a spreadsheet"),
    "bzip2": (bz2.compress(as_csv().encode()), "is compressed with bzip2"),
    "SQLite": (b"SQLite format 3\0" + bytes(100), "is an SQLite database"),
    "binary": (bytes(range(256)) * 4, "is binary"),
    "half a gz": (damaged(gzip.compress(as_csv().encode(), 0)), "is damaged"),
    "an SQL dump": ("-- MySQL dump 10.19\nCREATE TABLE `cel` (\n", "looks like an SQL dump"),
    "a web page": ("<!doctype html>\n<html>\n", "looks like HTML or XML"),
    "queue_log": ("1795389780|1795389780.0|700|NONE|ENTERQUEUE||79161234567|1\n", "queue_log"),
    "half a JSON array": (json.dumps(CELLS)[:-50], "cannot be read"),
    "a JSON array of no rows": ("[1, 2]", "none of its 2 rows could be read"),
    "a header of one long cell": ('"' + "x" * (17 << 20) + '"\n1\n', "cannot be read as CSV"),
}  # fmt: skip


@pytest.mark.parametrize(("given", "words"), REFUSED.values(), ids=REFUSED)
def test_kind_of_file_is_refused_and_named(given: str | bytes, words: str) -> None:
    _, done = classified(given, status=2)
    assert words in done.stderr


def test_a_directory_and_a_file_without_permission(tmp_path: Path) -> None:
    file = tmp_path / "rows.csv"
    file.write_text(as_csv(), encoding="utf-8")
    assert "Is a directory" in as_process("classify", str(tmp_path)).stderr
    if os.geteuid():
        file.chmod(0)
        assert "Permission denied" in as_process("classify", str(file)).stderr


def test_an_empty_file_is_said_and_no_fault() -> None:
    _, done = classified("")
    assert "standard input holds no rows" in done.stderr


def broken(line: int, change: Callable[[str], str], text: str) -> str:
    lines = text.splitlines(keepends=True)
    lines[line] = change(lines[line])
    return "".join(lines)


LOST: dict[str, str] = {
    "too many cells": broken(7, lambda line: "x,y," + line, as_csv()),
    "a quote without its partner": broken(7, lambda line: '"' + line, as_csv()),
    "broken JSON": broken(6, lambda line: line[:-9] + "\n", JSON_LINES),
    "a bar where no frame tells": "".join(
        line
        for line in psql([{**row, "cid_name": "a | b" if row["id"] == "5" else ""} for row in CELLS]).splitlines(True)
        if not line.startswith("---")
    ),
    "an empty event": as_csv([{**row, "eventtype": "" if row["id"] == "5" else row["eventtype"]} for row in CELLS]),
}


@pytest.mark.parametrize("given", LOST.values(), ids=LOST)
def test_rows_that_cannot_be_read_mark_their_call(given: str) -> None:
    other = [{**row, "linkedid": "1795389999.7", "id": str(int(row["id"]) + 100)} for row in CELLS]
    more = as_csv(other).partition("\n")[2] if given.startswith("id,") else "".join(json.dumps(r) + "\n" for r in other)
    call, done = classified(given + more if given[:1] in "i{" else given, status=1)
    assert call["complete"] is False and "rows_unreadable" in call["warnings"]
    assert "could not be read" in call["incomplete_reason"]
    assert "could not be read" in done.stderr
    for each in map(json.loads, done.stdout.splitlines()):
        if each["linkedid"] != LINKEDID:
            assert each["complete"] is True and each["warnings"] == []


def test_a_lost_row_of_no_known_call_marks_those_that_are_open() -> None:
    lines = JSON_LINES.splitlines(keepends=True)
    call, done = classified("".join([*lines[:5], "rubbish\n", *lines[5:]]), status=1)
    assert call["complete"] is False
    assert "nothing tells the call" in done.stderr
    call, _ = classified("".join([*lines, "rubbish\n"]), status=1)
    assert call["complete"] is True


def test_a_quote_without_its_partner_takes_no_other_line() -> None:
    _, done = classified(LOST["a quote without its partner"], status=1)
    assert "1 row could not be read" in done.stderr


@pytest.mark.parametrize("given", [as_csv(names=NAMES[:-1]), "".join(
    json.dumps({name: value for name, value in row.items() if name != "extra"}) + "\n" for row in CELLS
)], ids=["CSV", "JSON Lines"])  # fmt: skip
def test_a_missing_extra_is_said(given: str) -> None:
    call, done = classified(given)
    assert call["result"] == 0
    assert "has no column extra" in done.stderr


def test_a_lost_row_is_said_by_explain(tmp_path: Path) -> None:
    file = tmp_path / "rows.csv"
    file.write_text(LOST["too many cells"], encoding="utf-8")
    done = run("explain", LINKEDID, str(file))
    assert "1 row could not be read" in done.stderr
    assert "1 rows that are, or may be, of this call could not be read" in done.stdout


@pytest.mark.slow  # starts processes
@pytest.mark.parametrize("name", ["too many cells", "broken JSON", "an empty event"])
def test_several_processes_mark_the_same_calls(name: str, tmp_path: Path) -> None:
    file = tmp_path / "rows"
    file.write_text(LOST[name], encoding="utf-8")
    one, two = (run("classify", "--json", "--jobs", jobs, str(file)) for jobs in "12")
    assert (two.status, two.stdout) == (one.status, one.stdout)
    assert one.status == 1 and "rows_unreadable" in one.stdout


@pytest.mark.slow  # starts processes
@pytest.mark.parametrize("name", READ)
def test_several_processes_read_what_one_reads(name: str, tmp_path: Path) -> None:
    given, file = READ[name], tmp_path / "rows"
    file.write_bytes(given if isinstance(given, bytes) else given.encode())
    done = run("classify", "--json", "--jobs", "2", str(file))
    assert done.status == 0, done.stderr
    assert told(json.loads(done.stdout)) == GOOD


def test_several_processes_refuse_what_one_refuses(tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    file.write_text(str(REFUSED["a CDR export in JSON"][0]) * 3, encoding="utf-8")
    one, two = (run("classify", "--json", "--jobs", jobs, str(file)) for jobs in "12")
    assert (one.status, two.status) == (2, 2)
    assert "looks like call detail records" in one.stderr and "looks like call detail records" in two.stderr
