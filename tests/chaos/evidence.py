"""What is kept of a fault that failed, before its installation goes: logs, and what is known of its calls."""

import json
import re
import shutil
from pathlib import Path

from tests.chaos.installation import Installation
from tests.chaos.oracle import linkedid_of
from tests.chaos.results import Result

_CALL = re.compile(r"(?:missing|doubled|wrong): (\S+) in|^call (\S+) ")
_MOST = 4
"""Calls that are asked for."""


def keep(made: Installation, result: Result, directory: Path) -> Path:
    """Copy the logs, and write down each call's rows, entries and deliveries. The folder. Raises OSError."""
    folder = directory / f"{result.fault}-{result.began_at:.0f}"
    shutil.copytree(made.stack.log("watch").parent, folder / "logs", dirs_exist_ok=True)
    found = (_CALL.match(each) for each in result.examples)
    linkedids = list(dict.fromkeys(match[1] or match[2] for match in found if match))[:_MOST]
    entries = made.entries()
    for linkedid in linkedids:
        rows = made.sql("select id, eventtime, eventtype, uniqueid from cel where linkedid = %s order by id", linkedid)
        shown = {name: [each for each in own if linkedid_of(each) == linkedid] for name, own in entries.items()}
        told = [made.cel2crm("deliveries", linkedid).text, made.cel2crm("explain", linkedid, "--topic").text]
        text = "\n".join([json.dumps(shown, indent=1), *(str(row) for row in rows), *told])
        (folder / f"{linkedid}.txt").write_text(text, encoding="utf-8")
    return folder
