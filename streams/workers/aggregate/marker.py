"""The checkpoint's marker, as it stands in the metadata of the consumer group's commits."""

from collections.abc import Mapping
from dataclasses import dataclass

import msgspec

from streams.kafka.committed import METADATA_LIMIT


class _Form(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    f: int
    t: dict[str, int]


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(_Form).decode


@dataclass(frozen=True, slots=True)
class Marker:
    """(F, T): the checkpoints hold every row before offset F; T is each PBX's stream time there (Unix milliseconds)."""

    offset: int
    times: Mapping[str, int]

    def encode(self) -> str:
        """For a commit's metadata. Of very many PBXs (about 80) those heard last are kept: the others' next row says
        the time anew, at worst letting in a row that was too late."""
        times = dict(self.times)
        while len(encoded := _encode(_Form(self.offset, times))) > METADATA_LIMIT:
            del times[min(times, key=lambda pbx: times[pbx])]
        return encoded.decode()

    @classmethod
    def decode(cls, metadata: str) -> "Marker | None":
        """None where the metadata is not ours: the offset was set by hand, with Kafka's own tools."""
        try:
            form = _decode(metadata)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            return None
        return cls(form.f, form.t)
