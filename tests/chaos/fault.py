"""What a fault declares, and what it acts with."""

import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from random import Random
from typing import ClassVar

from tests.chaos.installation import WORKERS, Installation
from tests.chaos.servers import ServerKind
from tests.chaos.services import wait_until


class Fault(ABC):
    """One thing that goes wrong, and is put right where an administrator would put it right."""

    name: ClassVar[str]
    does: ClassVar[str]
    """One line for the table's reader."""
    told: ClassVar[str] = ""
    """A pattern that something said must match; empty: the product may heal it without a word."""
    remedies: ClassVar[tuple[str, ...]] = (
        "backfill",
        "deliver",
        "dead-letters retry",
        "connectors apply",
        "topics apply",
    )
    """Beginnings of commands that the suite follows when the operator is named them."""
    servers: ClassVar[ServerKind] = "plain"
    spoils: ClassVar[bool] = False
    """Where it failed, the installation is not used for another fault."""
    at_random: ClassVar[bool] = True
    """It may come in a random run."""
    only_workers: ClassVar[bool] = False
    """It is about one worker of each kind; in a random run no others come and go meanwhile."""
    patience: ClassVar[float] = 200.0
    """Seconds without any progress after which what is still missing counts as lost, rather than late."""
    table_kept: ClassVar[bool] = True
    """The table holds every row afterwards: the ledger is compared with it."""

    def __init__(self, made: Installation, random: Random) -> None:
        self.made = made
        self.random = random
        self.duration = 1.0
        """Factor on the times that it lasts."""

    @abstractmethod
    def strike(self) -> None:
        """Do it, and remove its cause. Calls flow meanwhile."""

    def hold(self, seconds: float) -> None:
        """The time that the fault lasts."""
        time.sleep(seconds * self.duration)

    def until_calls(self, count: int, seconds: float = 90.0) -> None:
        """Let so many more calls be inserted."""
        wanted = len(self.made.flow.calls) + count
        wait_until(lambda: len(self.made.flow.calls) >= wanted, seconds, f"{count} more calls are inserted")

    @contextmanager
    def away(self, server: str) -> Iterator[None]:
        """A server of the stack is killed, and started again afterwards."""
        self.made.stack.kill(server)
        try:
            yield
        finally:
            self.made.stack.start_part(server)

    @contextmanager
    def stopped(self, *services: str) -> Iterator[None]:
        """Services are stopped, and started again afterwards."""
        services = services or WORKERS
        for name in services:
            self.made.services.stop(name)
        try:
            yield
        finally:
            for name in services:
                self.made.services.start(name)
