"""Names and numbers that callers could choose to harm whoever looks at them."""

import json
from typing import Any

from streams.printable import printable
from tests.calls.tables import cel, hangup

HOSTILE = {
    "a closing tag of Rich": "7[/b]",
    "a tag of Rich": "[bold red on white]7",
    "a hyperlink of Rich": "[link=http://evil.example]7[/link]",
    "an emoji of Rich": ":warning:7",
    "clears the screen": "7\x1b[2J\x1b[H",
    "sets the title": "\x1b]0;pwned\x07",
    "fills the clipboard": "\x1b]52;c;ZXZpbA==\x1b\\",
    "a hyperlink of the terminal": "\x1b]8;;http://evil.example\x1b\\7\x1b]8;;\x1b\\",
    "a C1 control sequence": "\x9b31m7",
    "a C1 string": "\x90evil\x9c",
    "backspaces": "7\x08\x08\x08",
    "delete": "79\x7f16",
    "a bell": "7\x07",
    "turned round": "\u202e6197",
    "isolated": "\u2066\u20677\u2069",
    "marks of direction": "\u200f7\u200e\u061c",
    "of no width": "79\u200b\u200d\u2060\ufeff16",
    "a separator of lines": "7\u2028forged\u2029forged",
    "a line of its own": "7\nCall pbx1/1.1: incoming, answered by 1001, 200 Success",
    "over the line": "7\roverwritten",
    "a tab": "7\t7",
    "tags that nobody sees": "7\U000e0041\U000e007f",
    "a letter without shape": "\u31647\u115f",
    "for private use": "\ue0007",
    "a formula": "=cmd|' /C calc'!A0",
    "a formula with at": "@SUM(1+1)*2",
    "a formula with plus": "+1+cmd",
    "a formula with minus": "-2+3+cmd",
    "a formula behind a tab": "\t=1+1",
    "HTML": "\"><script>alert(1)</script><img src=x onerror=alert(2)>",
    "an attribute": "' onmouseover='alert(1)",
    "formats": "%s%n{0}{__class__}",
    "backslashes": "\\x1b[31m\\",
    "long": "7" * 300,
    "wide": "七" * 40,
    "marks upon marks": "7" + "\u0301" * 40,
}  # fmt: skip


def unsafe(text: str) -> str:
    """What of an output a terminal would obey or hide; empty: nothing."""
    return "".join(letter for line in text.split("\n") for letter in line if printable(letter) != letter)


def hostile_calls() -> dict[str, list[dict[str, Any]]]:
    """A call for each of them, that has it wherever a caller's data can stand; by linkedid."""
    calls: dict[str, list[dict[str, Any]]] = {}
    for number, text in enumerate(HOSTILE.values()):
        rows = cel(f"""
            0 start  PJSIP/trunk1-01 0 num=79161234567 context=from-trunk exten=1001
            1 start  PJSIP/1001-02   1 num=1001 context=from-internal
            9 hangup PJSIP/1001-02   1 cause=19
            9 end    PJSIP/1001-02   1
            9 hangup PJSIP/trunk1-01 0 extra={hangup(19, "NOANSWER")}
            9 end    PJSIP/trunk1-01 0
            9 over   PJSIP/trunk1-01 0
        """)
        linkedid = f"1795389780.{number + 100}"
        extra = json.dumps({"hangupcause": 19, "hangupsource": f"PJSIP/{text}-01", "dialstatus": "NOANSWER"})
        calls[linkedid] = []
        for row in rows:
            columns = {name: getattr(row, name) for name in row.__struct_fields__}
            own = row.uniqueid == rows[0].uniqueid
            columns |= {
                "id": len(calls) * 100 + row.id,
                "linkedid": linkedid,
                "uniqueid": linkedid if own else f"{linkedid}9",
                "cid_num": text if own else columns["cid_num"],
                "cid_name": text,
                "cid_dnid": text,
                "exten": text if own else columns["exten"],
                "channame": f"PJSIP/{text}-0000000{1 if own else 2}",
                "appdata": text,
                "extra": extra if columns["extra"] else "",
            }
            calls[linkedid].append(columns)
    return calls
