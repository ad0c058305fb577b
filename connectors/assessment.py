"""The outcome of comparing a capture's memory with what database, connector and topics show."""

from dataclasses import dataclass

from connectors.capture_state import AnyState
from connectors.fault import Fault


@dataclass(frozen=True, slots=True)
class Assessment:
    """`interruption`: why the capture must not go on, None where it may. `state`: what to remember then."""

    state: AnyState
    interruption: str | None = None
    remarks: tuple[str, ...] = ()
    """Worth a line once: nothing was lost by it."""
    warnings: tuple[Fault, ...] = ()
    """Wrong until a person mends it, though capture goes on."""
    details: tuple[str, ...] = ()
    """Further lines for `connectors status`."""
