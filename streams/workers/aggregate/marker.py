"""The checkpoint's marker, as it stands in the metadata of the consumer group's commits."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import msgspec

from streams.kafka.committed import METADATA_LIMIT


class _Form(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    f: int
    t: dict[str, int]
    l: dict[str, int] = msgspec.field(default_factory=dict)  # noqa: E741 - short: a commit's metadata is small


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(_Form).decode


@dataclass(frozen=True, slots=True)
class Marker:
    """(F, T): the checkpoints hold every row before offset F; T is each PBX's stream time there (Unix milliseconds)."""

    offset: int
    times: Mapping[str, int]
    lost_until: Mapping[str, int] = field(default_factory=dict)
    """Until when rows were lost, as far as it matters there (lost_rows.py). The markers of 0.1.0 do not have it."""

    def encode(self) -> str:
        """For a commit's metadata. Of very many PBXs (about 80) those heard last are kept: the others' next row says
        the time anew, at worst letting in a row that was too late, or withholding a call that lacks nothing."""
        times, lost_until = dict(self.times), dict(self.lost_until)
        while len(encoded := _encode(_Form(self.offset, times, lost_until))) > METADATA_LIMIT:
            silent = min(times, key=lambda pbx: times[pbx])
            del times[silent]
            lost_until.pop(silent, None)
        return encoded.decode()

    @classmethod
    def decode(cls, metadata: str) -> "Marker | None":
        """None where the metadata is not ours: the offset was set by hand, with Kafka's own tools."""
        try:
            form = _decode(metadata)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            return None
        return cls(form.f, form.t, form.l)
