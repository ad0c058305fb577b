"""Rows as no PBX should write them, each with what must become of its call.

The damaged row is the calling channel's HANGUP in a call that rang in vain: cause 19, dial status NOANSWER, result 480.
"""

import json
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from tests.calls.tables import cel, hangup

AS_USUAL, TWO_STATUSES = 480, 0
GOOD_EXTRA = hangup(19, "NOANSWER")
CALL = [
    {name: getattr(row, name) for name in row.__struct_fields__}
    for row in cel(f"""
        0 start  PJSIP/trunk1-01 0 num=79161234567 context=from-trunk exten=1001
        1 start  PJSIP/1001-02   1 num=1001 context=from-internal
        9 hangup PJSIP/1001-02   1 cause=19
        9 end    PJSIP/1001-02   1
        9 hangup PJSIP/trunk1-01 0 extra={GOOD_EXTRA}
        9 end    PJSIP/trunk1-01 0
        9 over   PJSIP/trunk1-01 0
    """)
]
DAMAGED = 4
"""The place of the damaged row among them."""


class Bad(NamedTuple):
    """One damage. `raw`: the record's bytes, where they are no JSON of the columns."""

    name: str
    result: int | None
    """None: the row is unreadable, and the call goes without it: the old way."""
    columns: Mapping[str, Any] = MappingProxyType({})
    without: tuple[str, ...] = ()
    raw: bytes | None = None


def extra(name: str, result: int | None, value: object) -> Bad:
    return Bad(f"extra {name}", result, {"extra": value})


def of_extra(member: str, value: str) -> str:
    """The good extra with one member's JSON put otherwise."""
    members = {"hangupcause": "19", "hangupsource": '""', "dialstatus": '"NOANSWER"'} | {member: value}
    return "{" + ",".join(f'"{each}":{text}' for each, text in members.items()) + "}"


def with_extra_bytes(value: bytes) -> bytes:
    """The record with these bytes between the quotes of its extra."""
    return json.dumps(CALL[DAMAGED] | {"extra": "@@"}).encode().replace(b"@@", value)


DEEP = 100_000

EXTRAS = [
    extra("is missing", TWO_STATUSES, ""),
    extra("is null", TWO_STATUSES, None),
    extra("is broken JSON", TWO_STATUSES, GOOD_EXTRA[:-2]),
    extra("is JSON and more", TWO_STATUSES, GOOD_EXTRA + "}"),
    extra("is an array", TWO_STATUSES, "[19]"),
    extra("is an array of the object", TWO_STATUSES, f"[{GOOD_EXTRA}]"),
    extra("is a number", TWO_STATUSES, 19),
    extra("is a truth value", TWO_STATUSES, True),
    extra("is a word", TWO_STATUSES, "hangup"),
    extra("is the word null", TWO_STATUSES, "null"),
    extra("is NULL", TWO_STATUSES, "NULL"),
    extra("is an empty object", TWO_STATUSES, "{}"),
    extra("is the object itself", AS_USUAL, json.loads(GOOD_EXTRA)),
    extra("is an object deeper than any", TWO_STATUSES, '{"a":' * DEEP + "1" + "}" * DEEP),
    extra("is an array deeper than any", TWO_STATUSES, '{"a":' + "[" * DEEP + "]" * DEEP + "}"),
    extra("is 1 MB of a member", TWO_STATUSES, of_extra("x", f'"{"x" * 1_000_000}"')),
    extra("is 1 MB before the members", TWO_STATUSES, '{"x":"' + "x" * 1_000_000 + '",' + GOOD_EXTRA[1:]),
    extra("is 1 MB of letters", TWO_STATUSES, "x" * 1_000_000),
    extra("has a NUL within", TWO_STATUSES, GOOD_EXTRA[:9] + "\0" + GOOD_EXTRA[9:]),
    extra("ends in a NUL", TWO_STATUSES, GOOD_EXTRA + "\0"),
    extra("names its cause twice", AS_USUAL, GOOD_EXTRA.replace("{", '{"hangupcause":16,', 1)),
    extra("holds half a letter", AS_USUAL, of_extra("hangupsource", '"PJSIP/caf\u00e9-1"')),
    extra("holds half of a pair", TWO_STATUSES, of_extra("hangupsource", '"\\ud800"')),
]

CAUSES = [
    extra(f"has the cause {value[:30]}", TWO_STATUSES, of_extra("hangupcause", value))
    for value in (
        '"19"', "null", "true", "false", "[19]", '{"a":19}', "-1", "128", "9999", "19.0", "1.9e1", "1e999", "NaN",
        "Infinity", "-Infinity", "9223372036854775808", "1" + "0" * 400, "-9223372036854775809", "019", "0x13", '""',
    )
]  # fmt: skip

STATUSES = [
    # Nobody can say which row of the table a dial status fits that is none: result 0.
    extra(f"has the dial status {value}", 0, of_extra("dialstatus", value))
    for value in ("null", "3", "true", "[]", "{}", '"FOO"', '"noanswer"', '"NO ANSWER"', '"\\u0000"', '"ОТВЕТ"')
]

SOURCES = [
    extra(f"has the hangup source {value}", AS_USUAL, of_extra("hangupsource", value))
    for value in ("null", "3", "[]", '"\\u0000"', '"dialplan/builtin"', f'"{"x" * 3000}"')
]

COLUMNS = [
    Bad("eventtime in year 0", AS_USUAL, {"eventtime": "0000-01-01 00:00:00"}),
    Bad("eventtime all zeros", AS_USUAL, {"eventtime": "0000-00-00 00:00:00"}),
    Bad("eventtime in year 1, east", AS_USUAL, {"eventtime": "0001-01-01T00:00:00+14:00"}),
    Bad("eventtime in year 9999", AS_USUAL, {"eventtime": "9999-12-31 23:59:59"}),
    Bad("eventtime negative", AS_USUAL, {"eventtime": "-1"}),
    Bad("eventtime a word", AS_USUAL, {"eventtime": "soon"}),
    Bad("eventtime a number", AS_USUAL, {"eventtime": 1795389789}),
    Bad("eventtime a float", AS_USUAL, {"eventtime": 1795389789.5}),
    Bad("eventtime huge", AS_USUAL, {"eventtime": 10**300}),
    Bad("eventtime a truth value", AS_USUAL, {"eventtime": True}),
    Bad("eventtime with a NUL", AS_USUAL, {"eventtime": "2026-11-22 23:23:09\0"}),
    Bad("eventtype unknown", TWO_STATUSES, {"eventtype": "HANGUP_LATER"}),
    Bad("eventtype a number", TWO_STATUSES, {"eventtype": 6}),
    Bad("eventtype in small letters", TWO_STATUSES, {"eventtype": "hangup"}),
    Bad("eventtype empty", None, {"eventtype": ""}),
    Bad("eventtype null", None, {"eventtype": None}),
    Bad("eventtype a list", None, {"eventtype": ["HANGUP"]}),
    Bad("linkedid empty", None, {"linkedid": ""}),
    Bad("linkedid null", None, {"linkedid": None}),
    Bad("linkedid an object", None, {"linkedid": {"a": 1}}),
    Bad("channame empty", AS_USUAL, {"channame": ""}),
    Bad("channame null", AS_USUAL, {"channame": None}),
    Bad("channame without a slash", AS_USUAL, {"channame": "trunk1"}),
    Bad("channame slashes alone", AS_USUAL, {"channame": "///"}),
    Bad("channame 1 MB", AS_USUAL, {"channame": "x/" * 500_000}),
    Bad("channame a list", None, {"channame": ["PJSIP/trunk1-01"]}),
    Bad("peer commas alone", AS_USUAL, {"peer": ",,,"}),
    Bad("caller id a number", AS_USUAL, {"cid_num": 79161234567}),
    Bad("caller id NUL", AS_USUAL, {"cid_num": "\0"}),
    Bad("caller id digits of another script", AS_USUAL, {"cid_num": "٧٩١٦١٢٣٤٥٦٧"}),
    Bad("caller id a percent sign", AS_USUAL, {"cid_num": "sip:%"}),
    Bad("id a number as text", AS_USUAL, {"id": "5"}),
    Bad("id zero", AS_USUAL, {"id": 0}),
    Bad("id negative", None, {"id": -5}),
    Bad("id 2^63", None, {"id": 1 << 63}),
    Bad("id huge", None, {"id": 10**300}),
    Bad("id of 5,000 digits as text", None, {"id": "5" * 5000}),
    Bad("id a fraction", None, {"id": 5.5}),
    Bad("id a word", None, {"id": "five"}),
    Bad("id digits of another script", None, {"id": "٥"}),
    Bad("id a truth value", None, {"id": True}),
    Bad("id a list", None, {"id": [5]}),
    Bad("only what is needed", TWO_STATUSES,
        without=("cid_name", "cid_num", "cid_ani", "cid_rdnis", "cid_dnid", "exten", "context", "channame", "appname",
                 "appdata", "peer", "userdeftype", "extra")),
    Bad("without uniqueid", AS_USUAL, without=("uniqueid",)),
    Bad("without linkedid", None, without=("linkedid",)),
    Bad("without eventtype", None, without=("eventtype",)),
    Bad("with columns of no use", AS_USUAL, {"amaflags": [], "userfield": {"a": [None]}, "": 0}),
]  # fmt: skip

RECORDS = [
    Bad("no JSON", None, raw=b"HANGUP"),
    Bad("broken JSON", None, raw=json.dumps(CALL[DAMAGED]).encode()[:-9]),
    Bad("an array", None, raw=b"[" + json.dumps(CALL[DAMAGED]).encode() + b"]"),
    Bad("a number", None, raw=b"{19" + b"}"),
    Bad("no UTF-8 in a text", None, raw=with_extra_bytes(b"caf\xe9")),
    Bad("no UTF-8 at all", None, raw=b"{\xff\xfe\x00}"),
    Bad("a NUL byte in a text", None, raw=with_extra_bytes(b"\x00")),
    Bad("half a surrogate pair", None, raw=with_extra_bytes(b"\\ud800")),
    Bad("NaN for a column", None, raw=b'{"id":NaN,' + json.dumps(CALL[DAMAGED]).encode()[1:]),
    Bad("Infinity for a column", None, raw=b'{"cid_num":Infinity,' + json.dumps(CALL[DAMAGED]).encode()[1:]),
    Bad("deeper than any", None, raw=b'{"extra":' + b"[" * DEEP + b"]" * DEEP + b"}"),
    Bad("a column twice", AS_USUAL, raw=b'{"eventtype":"ANSWER",' + json.dumps(CALL[DAMAGED]).encode()[1:]),
    Bad("a column of no use deeper than any", AS_USUAL,
        raw=b'{"x":' + b"[" * 900 + b"]" * 900 + b"," + json.dumps(CALL[DAMAGED]).encode()[1:]),
    Bad("a column of no use deeper than is read", None,
        raw=b'{"x":' + b"[" * 5000 + b"]" * 5000 + b"," + json.dumps(CALL[DAMAGED]).encode()[1:]),
    Bad("a number of 400 digits for extra", None, raw=with_extra_bytes(b"@@").replace(b'"@@"', b"1" * 400)),
    Bad("extra as a value, 300 deep", TWO_STATUSES,
        raw=with_extra_bytes(b"@@").replace(b'"@@"', b'{"a":' * 300 + b"1" + b"}" * 300)),
]  # fmt: skip

EVERY_BAD = [*EXTRAS, *CAUSES, *STATUSES, *SOURCES, *COLUMNS, *RECORDS]

LINKEDIDS = {
    "150 characters": "1" * 150,
    "with a system's name": "my-pbx_7-1795389780.0",
    "with slashes": "a/b/../c//1795389780.0",
    "with unicode": "звонок-№1-☎️-1795389780.0",
    "of blanks": "  ",
    "a NUL": "\0",
    "with quotes and a newline": "\"\n,\t'",
    "a number": "1795389780",
}


def damaged(bad: Bad, linkedid: str) -> list[bytes]:
    """The call's records, one of them damaged, under a linkedid."""
    records = [json.dumps(row | {"linkedid": linkedid}).encode() for row in CALL]
    row = {**CALL[DAMAGED], "linkedid": linkedid, **bad.columns}
    for name in bad.without:
        del row[name]
    if bad.raw is None:
        records[DAMAGED] = json.dumps(row, ensure_ascii=False).encode(errors="surrogatepass")
    else:
        records[DAMAGED] = bad.raw.replace(json.dumps(CALL[0]["linkedid"]).encode(), json.dumps(linkedid).encode())
    return records
