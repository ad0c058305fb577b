"""The memory of the last comparison of a PBX's table, the `cel` topic and the results: what `cel2crm gaps` found.

One record a PBX on the compacted topic `capture-state`, JSON, key `<pbx>/gaps` (a PBX's name has no slash). Written by
`connectors watch`, and by `cel2crm gaps` where it compared at least as much; the last writer is right, as each
looked for itself. An empty memory means that nothing was compared yet: `watch` compares at once, and
`connectors status` says that nothing is known.
"""

import msgspec

from connectors.row_mark import RowMark
from streams.kafka.topic_client import Outgoing, Topics
from streams.settings import Settings
from streams.topics import CAPTURE_STATE


class GapOutcome(msgspec.Struct, frozen=True):
    """The outcome of one comparison."""

    compared_at_ms: int
    """When it ended (Unix milliseconds)."""
    compared_from_id: int = 0
    """The first row id that was compared."""
    compared_to: RowMark | None = None
    """The last row of the table up to which nothing is missing: the next one in small begins behind it. None: the
    table is empty, or nothing on the topic could be compared."""
    missing_rows: int = 0
    """Rows of the table that never reached the topic, found by both looks."""
    calls_without_result: int = 0
    """Calls whose rows the topic holds and no result shows, nor dead letter, nor open call; found by both looks."""
    unsettled_rows: int = 0
    """Rows that are not on the topic, though the connector did not come so far that they should be: no gap yet."""
    remedies: tuple[str, ...] = ()
    """Commands that heal what was found, as shown to a person."""
    problem: str = ""
    """Why the last comparison could not be made or finished; the numbers are then those of the one before."""

    @property
    def found(self) -> bool:
        """Whether something is missing."""
        return bool(self.missing_rows or self.calls_without_result)

    @property
    def told(self) -> str:
        """What is missing, in a sentence; empty: nothing."""
        parts = []
        if self.missing_rows:
            parts.append(f"{self.missing_rows:,} rows of the table never reached the topic")
        if self.calls_without_result:
            parts.append(f"{self.calls_without_result:,} calls on the topic have no result with all their rows")
        return "gaps: " + "; ".join(parts) if parts else ""

    def remedy(self, most: int | None = None) -> str:
        """The commands that heal it, the first `most` of them where that is given, or the one that names them."""
        if not self.remedies:
            return "See: cel2crm gaps"
        more = "; more by: cel2crm gaps" if most is not None and len(self.remedies) > most else ""
        return f"Run: {'; '.join(self.remedies[:most])}{more}"


async def read_gap_outcome(settings: Settings, topics: Topics) -> GapOutcome | None:
    """The outcome that is remembered of the settings' PBX; None: nothing is.

    A record that cannot be read (a later version's) counts as none. Raises UserError: no broker, no such topic.
    """
    key, value = _key(settings), None
    async for record in topics.read(settings.kafka.topic(CAPTURE_STATE)):
        if record.key == key:
            value = record.value
    if value is None:
        return None
    try:
        return msgspec.json.decode(value, type=GapOutcome)
    except msgspec.MsgspecError:
        return None


async def write_gap_outcome(settings: Settings, topics: Topics, outcome: GapOutcome) -> None:
    """Remember an outcome. Raises UserError: no broker, no such topic."""
    topic = settings.kafka.topic(CAPTURE_STATE)
    await topics.send([Outgoing(topic, _key(settings), msgspec.json.encode(outcome), 0)])


def _key(settings: Settings) -> bytes:
    return f"{settings.pbx.name}/gaps".encode()
