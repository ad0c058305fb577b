"""A recorded call on the topic, and how it is judged: to compare what several kinds of databases bring."""

from typing import Any

from deploy.demo.recordings import read_recordings
from streams.calls.call import Call
from streams.calls.classify import classify
from streams.calls.pbx_profile import PbxProfile
from streams.rows.row import CapturedRow, RowDecoder
from streams.rules import load_rules
from streams.settings import Settings
from tests.connectors.installation import Installation

CASE = next(case for case in read_recordings() if len(case.linkedids) == 1 and len(case.rows) > 15)


async def decoded(pbx: Installation, count: int) -> list[CapturedRow]:
    """The first rows on the topic, in the order of ids."""
    decoder = RowDecoder(pbx.settings.database.column_name_aliases, pbx.name)
    rows = [decoder.decode(record.value) for record in await pbx.records(count)]
    return sorted(rows, key=lambda row: row.id)


def judged(settings: Settings, rows: list[CapturedRow]) -> dict[str, Any]:
    """The call of these rows as it is judged, but for its PBX."""
    call = Call("any", rows[0].linkedid)
    for row in rows:
        call.add(row)
    outcome = classify(call, load_rules(settings.rules), PbxProfile.of(Settings()), cut_short=False)
    return {name: value for name, value in outcome.result.record().items() if name != "processed_at"}
