"""Records of the CEL topic as rows, with a commit time that can be believed."""

import msgspec

from streams.errors import UnreadableRow
from streams.rows.row import CapturedRow, RowDecoder
from streams.settings import Settings

_DAY_SECONDS = 24 * 3600


class RecordDecoder:
    """Decodes a record's value; checks the row's commit time against when the record was written."""

    def __init__(self, settings: Settings) -> None:
        self._rows = RowDecoder(settings.database.column_name_aliases, settings.pbx.name)

    def decode(self, value: bytes | None, record_seconds: float | None) -> CapturedRow:
        """The row of a record that was written at `record_seconds` (Unix time; None: not known).

        A commit time far ahead is refused, for stream time never goes back. Raises UnreadableRow.
        """
        captured = self._rows.decode(value)
        if record_seconds is None:
            return captured
        if not captured.commit_ms:
            return msgspec.structs.replace(captured, commit_ms=round(record_seconds * 1000))
        if captured.commit_ms / 1000 > record_seconds + _DAY_SECONDS:
            raise UnreadableRow(
                f"its commit time is over a day ahead of the record's: {captured.commit_ms} ms; "
                "is the clock of the PBX right?"
            )
        return captured
