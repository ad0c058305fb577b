"""Records of the CEL topic as rows, with a commit time that can be believed."""

import msgspec

from streams.calls.topic_rows import topic_decoder
from streams.errors import UnreadableRow
from streams.rows.row import CapturedRow
from streams.settings import Settings

_DAY_MS = 24 * 3600 * 1000


class RecordDecoder:
    """Decodes a record's value; checks the row's commit time against when the record was written."""

    def __init__(self, settings: Settings) -> None:
        self._rows = topic_decoder(settings)

    def decode(self, value: bytes | None, record_ms: int) -> CapturedRow:
        """The row of a record that was written at `record_ms` (Unix milliseconds; negative: not known).

        A commit time far ahead is refused, for stream time never goes back. Raises UnreadableRow.
        """
        captured = self._rows.decode(value)
        if record_ms < 0:
            return captured
        if not captured.commit_ms:
            return msgspec.structs.replace(captured, commit_ms=record_ms)
        if captured.commit_ms > record_ms + _DAY_MS:
            raise UnreadableRow(
                f"its commit time is over a day ahead of the record's: {captured.commit_ms} ms; "
                "is the clock of the PBX right?"
            )
        return captured
