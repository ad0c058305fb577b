"""Until when the calls of each PBX are complete, as the aggregate workers have told."""

from collections import defaultdict
from dataclasses import dataclass
from typing import Any

from schemas import MalformedRecord
from streams.clock import UtcMicros
from streams.errors import UserError
from streams.operations.connection import Connection
from streams.topics import COMPLETE_UNTIL


@dataclass(frozen=True, slots=True)
class PbxComplete:
    """How far a PBX is."""

    pbx: str
    until: UtcMicros | None
    """Every call that began before is on the results' topic, or in the dead letters; None: not every partition was told
    of yet."""
    captured: UtcMicros
    """Clock of the PBX's database up to which its rows are captured and were taken: the least of the partitions."""
    held_by: str | None
    """The call under way that keeps `until` from being later, if one does."""
    partitions: int
    told: int
    """Of how many partitions it was told."""


async def read_complete_until(connection: Connection) -> list[PbxComplete]:
    """Each PBX, by name. Raises UserError: no broker; no topic, before `cel2crm topics apply` of this release."""
    partitions: defaultdict[str, dict[int, dict[str, Any]]] = defaultdict(dict)
    async for record in connection.topics.read(connection.topic(COMPLETE_UNTIL)):
        if record.value is None:
            continue
        try:
            fields = await connection.read(record, COMPLETE_UNTIL.schema)
        except MalformedRecord:
            continue
        partitions[fields["pbx"]][fields["partition"]] = fields
    return [_of_pbx(pbx, list(told.values())) for pbx, told in sorted(partitions.items())]


def complete_of(found: list[PbxComplete], pbx: str) -> PbxComplete:
    """The PBX of that name among them. Raises UserError: nothing was told of it."""
    for each in found:
        if each.pbx == pbx:
            return each
    raise UserError(
        f"until when the calls of PBX {pbx} are complete is not known yet",
        "cel2crm connectors watch and the aggregate workers tell it, a minute or two after they have started.",
    )


def _of_pbx(pbx: str, told: list[dict[str, Any]]) -> PbxComplete:
    wanted = max(each["partitions"] for each in told)
    first = min(told, key=lambda each: each["complete_until"])
    return PbxComplete(
        pbx,
        first["complete_until"] if len(told) == wanted else None,
        min(each["captured_until"] for each in told),
        first["held_by"],
        wanted,
        len(told),
    )
