"""What `connectors watch` says of a PBX's capture: everything committed by then is on the topic. Pure."""

from collections.abc import Mapping

import msgspec

from streams.clock import UtcMillis


class CaptureMark(msgspec.Struct, frozen=True):
    """The value of a record of the topic capture-marks, as JSON; its key is the PBX's name."""

    pbx: str
    until_ms: UtcMillis
    """The clock of the PBX's database."""
    ends: Mapping[int, int]
    """By partition of the topic cel: every row that was committed before `until_ms`, and is captured at all, stands
    before this offset."""

    def encode(self) -> bytes:
        """The value."""
        return msgspec.json.encode(self)

    @classmethod
    def decode(cls, value: bytes) -> "CaptureMark":
        """Raises msgspec.MsgspecError."""
        return msgspec.json.decode(value, type=cls)
