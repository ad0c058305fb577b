"""The plan of `dead-letters retry` and `drop`: exactly the letters that a person confirms, with what recovers them.

The letters are read once. The plan holds the bytes that its steps will send, so that nothing is selected anew after the
confirmation; how much it may hold is limited, and what is beyond is left to the next call of the command.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from streams.dead_letter_reasons import Recovery
from streams.delivery.record import Action
from streams.operations.connection import Connection
from streams.operations.dead_letter_topic import letters_of
from streams.operations.dead_letters import Filter, Letter
from streams.operations.resolutions import ResolutionLog

MOST_BYTES = 256 * 1024 * 1024
"""Limit of the results and records that a plan holds in memory."""

Headers = list[tuple[str, bytes | None]]


@dataclass(slots=True)
class RecoveryStep:
    """One thing to be done: a call's delivery is ordered or dropped, a record returned, or a letter put aside."""

    letters: list[Letter]
    """The letters that are resolved by it, in the order of their topic: several where they are about one call."""
    key: bytes | None = None
    value: bytes | None = None
    """The bytes to be sent along: the result of the last letter, or the record to be returned."""
    headers: Headers = field(default_factory=list)

    @property
    def last(self) -> Letter:
        """The letter that holds the newest result."""
        return self.letters[-1]

    @property
    def size(self) -> int:
        """Bytes that are held."""
        return len(self.key or b"") + len(self.value or b"") + sum(len(value or b"") for _, value in self.headers)

    @property
    def is_order(self) -> bool:
        """Whether the step is a command to the worker that owns the call's delivery."""
        return self.last.recovery is Recovery.RETRY


@dataclass(slots=True)
class RecoveryPlan:
    """The acts of a command, before any is done."""

    action: Action
    """RETRY or DROP."""
    resolutions: ResolutionLog
    """The resolutions that were known when the letters were selected."""
    steps: dict[object, RecoveryStep] = field(default_factory=dict)
    """By component and call, or by place: in the order of the letters."""
    backfills: set[str] = field(default_factory=set)
    """Calls that a retry leaves alone, since only a backfill recovers them."""
    hopeless: int = 0
    """Letters that a retry leaves alone, since nothing recovers them."""
    beyond: int = 0
    """Letters that are left to the next call of the command, since the plan holds `most_bytes` already."""
    most_bytes: int = MOST_BYTES
    _held: int = 0

    @property
    def letters(self) -> int:
        """Letters that will be resolved."""
        return sum(len(step.letters) for step in self.steps.values())

    @property
    def orders(self) -> dict[tuple[str, str | None], int]:
        """By CRM and portal: the deliveries that will be ordered or dropped."""
        counts: dict[tuple[str, str | None], int] = {}
        for step in self.steps.values():
            if step.is_order:
                where = step.last.component, step.last.portal
                counts[where] = counts.get(where, 0) + 1
        return counts

    @property
    def returned(self) -> int:
        """Records that will go back to their topics."""
        if self.action is Action.DROP:
            return 0
        return sum(step.last.recovery is Recovery.RETURN for step in self.steps.values())

    def add(self, letter: Letter, fields: dict[str, Any]) -> None:
        """Plan for a letter; `fields`: its record."""
        recovery = letter.recovery
        if self.action is Action.RETRY and recovery not in (Recovery.RETRY, Recovery.RETURN):
            if recovery is Recovery.BACKFILL and (letter.call_id or letter.remedy):
                self.backfills.add(letter.call_id or str(letter.remedy))
            else:
                self.hopeless += 1
            return
        key = (letter.component, letter.call_id) if recovery is Recovery.RETRY else letter.place
        known = self.steps.get(key)
        step = RecoveryStep([*(known.letters if known else ()), letter])
        if self.action is Action.RETRY:
            step.value = fields["value"]
            step.headers = [(header["name"], header["value"]) for header in fields["headers"]]
            if recovery is Recovery.RETURN:
                step.key = fields["key"]
        held = self._held + step.size - (known.size if known else 0)
        if held > self.most_bytes and self.steps:
            self.beyond += 1
            return
        self._held = held
        self.steps[key] = step

    def batches(self, size: int) -> Iterator[list[RecoveryStep]]:
        """The steps, in order, at most `size` at once."""
        steps = list(self.steps.values())
        for start in range(0, len(steps), size):
            yield steps[start : start + size]


async def plan_recovery(
    connection: Connection, wanted: Filter, action: Action, *, most_bytes: int = MOST_BYTES
) -> RecoveryPlan:
    """Plan RETRY or DROP of the letters that are meant. Nothing is written. Raises UserError."""
    plan = RecoveryPlan(action, ResolutionLog(connection), most_bytes=most_bytes)
    async for letter, fields in letters_of(connection, wanted, plan.resolutions):
        plan.add(letter, fields)
    return plan
