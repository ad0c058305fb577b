"""What this process says on rules-in-force: by which rules it judges, and whether it knows erased numbers."""

import os
import socket

from streams.calls.rules_in_force import RulesInForce
from streams.clock import utc_now_us


def told_rules(rules_hash: str, hash_key: str) -> bytes:
    """The value of its record; `hash_key`: by which key it knows erased numbers, empty: by none."""
    return RulesInForce(rules_hash, f"{socket.gethostname()}/{os.getpid()}", utc_now_us(), hash_key).encode()
