"""Faults that tests order: what goes wrong, how often and where, repeatable from a seed."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

# Modes in which the vendor itself answers with an error: each portal has the bodies (see `vendor_error`).
VENDOR_MODES = frozenset(
    {
        *("500", "503", "429", "401", "402", "403", "404"),
        *("no_auth", "expired_token", "invalid_credentials", "insufficient_scope", "wrong_auth_type", "access_denied"),
        *("overload", "payment_required", "portal_deleted", "user_access_error", "authorization_error"),
        "400",  # the vendor finds fault with this very request
    }
)
# Modes of the network and of what stands between, and whether the request takes effect in the portal all the same.
WIRE_MODES: dict[str, bool] = {
    "reset": False,  # the connection is reset, nothing was done
    "lost_answer": True,  # done, then the connection is reset
    "half_answer": True,  # done, then the answer ends in the middle
    "half_head": True,  # done, then the answer ends in the middle of its headers
    "bad_chunks": True,  # done, then an answer in chunks that are not valid
    "hang": False,  # nothing is sent for `seconds`, then the connection is closed
    "slow": True,  # done at once, the answer comes after `seconds`
    "late": True,  # done after `seconds` only, whether or not the sender still waits
    "late_lost": True,  # the same, and then the connection is reset
    "html": False,  # a proxy's page, 502 unless `status` says otherwise
    "gateway_json": False,  # a proxy's own JSON, 504 unless `status` says otherwise
    "other_status": True,  # the right body under another status, 203 unless `status` says otherwise
    "garbage200": True,  # 200 with something that is not JSON
    "empty200": True,  # 200 without a body
    "moved": False,  # 302 to `location` (default: the same portal by its other name, localhost)
    "duplicate": True,  # a proxy sends the request twice; the second answer arrives
    "duplicate_later": True,  # answered properly; a proxy sends the request again after `seconds`
    "refuse": False,  # nobody listens for `seconds`, beginning with this request, which is reset
    "restart": True,  # done, then the portal is killed; after `seconds` it is back with what its state folder holds
}
MODES = VENDOR_MODES | WIRE_MODES.keys()
DEFAULT_SECONDS = {
    "hang": 60.0,
    "slow": 1.0,
    "late": 1.0,
    "late_lost": 1.0,
    "duplicate_later": 1.0,
    "refuse": 2.0,
    "restart": 2.0,
}


class BadFaultError(ValueError):
    """The order of a fault is wrong: the message says what, and what is allowed."""


@dataclass(slots=True)
class Fault:
    """The order of one fault. It applies to requests whose operation is one of `methods` (empty: all), after the first
    `skip` of them, with `probability`, at most `times` times. `effect` overrides whether the request takes effect,
    `code` the vendor's name of an error, where it has one: vendors add names."""

    mode: str
    probability: float = 1.0
    seed: int = 0
    times: int | None = None
    skip: int = 0
    methods: tuple[str, ...] = ()
    seconds: float | None = None
    status: int | None = None
    location: str | None = None
    retry_after: float | None = None
    effect: bool | None = None
    code: str | None = None
    id: int = 0
    fired: int = 0
    _seen: int = 0
    _random: random.Random = field(default_factory=random.Random)

    def __post_init__(self) -> None:
        if self.mode not in MODES:
            raise BadFaultError(f"unknown fault mode {self.mode!r}; known: {', '.join(sorted(MODES))}")
        if not 0 <= self.probability <= 1:
            raise BadFaultError(f"probability {self.probability!r} is not between 0 and 1")
        self.methods = tuple(name.lower() for name in self.methods)
        self._random = random.Random(self.seed)
        if self.seconds is None:
            self.seconds = DEFAULT_SECONDS.get(self.mode)

    @property
    def takes_effect(self) -> bool:
        """Whether the portal carries out the request although the sender does not get a proper answer."""
        return WIRE_MODES.get(self.mode, False) if self.effect is None else self.effect

    def names_operation(self, operation: str, verb: str = "") -> bool:
        """Whether the order names the operation: `register` names `telephony.externalcall.register`, `post contacts`
        only POST requests of `contacts`."""
        known = (operation, f"{verb.lower()} {operation}")
        return any(name in known or operation.endswith("." + name) for name in self.methods)

    def applies(self, operation: str, verb: str = "") -> bool:
        """Whether the fault applies to this request. Each matching request draws once, so that a seed gives the same
        run again."""
        if self.methods and not self.names_operation(operation, verb):
            return False
        if self.times is not None and self.fired >= self.times:
            return False
        self._seen += 1
        if self._seen <= self.skip or self._random.random() >= self.probability:
            return False
        self.fired += 1
        return True

    def as_json(self) -> dict[str, object]:
        """The order and how often it was applied, as the control interface gives it."""
        return {key: value for key, value in asdict(self).items() if not key.startswith("_")}


_ORDER_FIELDS: dict[str, tuple[type, ...]] = {
    "mode": (str,),
    "probability": (int, float),
    "seed": (int,),
    "times": (int, type(None)),
    "skip": (int,),
    "methods": (list, tuple),
    "seconds": (int, float, type(None)),
    "status": (int, type(None)),
    "location": (str, type(None)),
    "retry_after": (int, float, type(None)),
    "effect": (bool, type(None)),
    "code": (str, type(None)),
}


class FaultPlan:
    """The faults in force; the first one that applies decides about a request."""

    def __init__(self) -> None:
        self._faults: list[Fault] = []
        self._last_id = 0

    def order(self, wanted: Mapping[str, Any]) -> Fault:
        """Add a fault described by the fields of `Fault`. Raises BadFaultError."""
        for name, value in wanted.items():
            if name not in _ORDER_FIELDS:
                raise BadFaultError(f"unknown field {name!r}; known: {', '.join(_ORDER_FIELDS)}")
            if not isinstance(value, _ORDER_FIELDS[name]):
                raise BadFaultError(f"field {name!r} cannot be {value!r}")
        if "mode" not in wanted:
            raise BadFaultError(f"field 'mode' is missing; known modes: {', '.join(sorted(MODES))}")
        self._last_id += 1
        fault = Fault(**{**wanted, "methods": tuple(wanted.get("methods", ()))}, id=self._last_id)
        self._faults.append(fault)
        return fault

    def clear(self, fault_id: int | None = None) -> None:
        """End one fault, or all."""
        self._faults = [fault for fault in self._faults if fault_id is not None and fault.id != fault_id]

    def pick(self, operation: str, verb: str = "") -> Fault | None:
        """The fault that applies to this request, if any."""
        return next((fault for fault in self._faults if fault.applies(operation, verb)), None)

    def pick_inside_batch(self, operation: str) -> Fault | None:
        """The fault that applies to one command of a batch: only vendor errors that name the command."""
        return next(
            (
                fault
                for fault in self._faults
                if fault.mode in VENDOR_MODES and fault.names_operation(operation) and fault.applies(operation)
            ),
            None,
        )

    def as_json(self) -> list[dict[str, object]]:
        """All faults in force or used up."""
        return [fault.as_json() for fault in self._faults]
