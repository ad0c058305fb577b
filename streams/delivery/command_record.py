"""A command to the owner of a delivery: the fields of schemas/delivery_command.avsc."""

from typing import Any

import msgspec

from streams.clock import UtcMicros
from streams.delivery.record import Action, OperatorCommand


class Command(msgspec.Struct, frozen=True, kw_only=True):
    """An operator's command about one call's delivery to one CRM."""

    id: str
    call_id: str
    crm: str
    action: Action
    by: str
    at: UtcMicros
    note: str = ""
    result: bytes | None = None
    """The call's result, as it stands on its topic; None: the delivery has it."""
    source_topic: str = ""
    source_partition: int = 0
    source_offset: int = 0
    result_schema: str = ""
    """The schema header (schemas/headers.py) of the record that held `result`; empty: it had none."""

    @property
    def remembered(self) -> OperatorCommand:
        """The part that the delivery remembers."""
        return OperatorCommand(self.id, self.action, self.by, self.at, self.note)

    def record(self) -> dict[str, Any]:
        """The fields as the Avro codec takes them."""
        return {**msgspec.structs.asdict(self), "action": self.action.value}

    @classmethod
    def from_record(cls, record: dict[str, Any]) -> "Command":
        """The command that the Avro codec read. Raises msgspec.ValidationError."""
        return msgspec.convert(record, cls)
