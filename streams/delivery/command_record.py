"""A command to the owner of a delivery: the fields of schemas/delivery_command.avsc."""

from typing import Any

import msgspec

from streams.delivery.record import Action, Order


class Command(msgspec.Struct, frozen=True):
    """What an operator orders of one call's delivery to one CRM. `at`: UTC microseconds from 1970."""

    id: str
    call_id: str
    crm: str
    action: Action
    by: str
    at: int
    note: str = ""
    result: bytes | None = None
    source_topic: str = ""
    source_partition: int = 0
    source_offset: int = 0

    @property
    def order(self) -> Order:
        """What the delivery remembers of it."""
        return Order(self.id, self.action, self.by, self.at, self.note)

    def record(self) -> dict[str, Any]:
        """For the Avro codec."""
        return {**msgspec.structs.asdict(self), "action": self.action.value}

    @classmethod
    def from_record(cls, record: dict[str, Any]) -> "Command":
        """What the Avro codec read. Raises msgspec.ValidationError."""
        return msgspec.convert(record, cls)
