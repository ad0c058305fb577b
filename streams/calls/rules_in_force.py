"""What an aggregate worker says of the rules by which it judges: a record of the topic rules-in-force. Pure."""

import msgspec

from streams.clock import UtcMicros


class RulesInForce(msgspec.Struct, frozen=True):
    """The value of a record, as JSON; its key is the number of the partition that the worker took over."""

    rules_hash: str
    worker: str
    """Name of its machine and number of its process."""
    since: UtcMicros
    hash_key: str = ""
    """HashKey.id of the key by which it knows erased numbers; empty: it has none, and obeys no erasure."""

    def encode(self) -> bytes:
        """The value."""
        return msgspec.json.encode(self)

    @classmethod
    def decode(cls, value: bytes) -> "RulesInForce":
        """Raises msgspec.MsgspecError."""
        return msgspec.json.decode(value, type=cls)
