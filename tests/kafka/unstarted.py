"""A worker's Faust app without a broker, and an owner of partitions that does nothing."""

from collections.abc import Mapping
from typing import Any

from faust.types import TP

from streams.kafka.faust_overrides import App, Consumer
from streams.kafka.worker_runtime import make_app
from streams.settings import Settings


class IdleOwner:
    """A worker that takes over whatever it is given, from where a test says."""

    name = "aggregate"
    consumes: tuple[str, ...] = ("cel",)
    needs: tuple[str, ...] = ()

    def __init__(self) -> None:
        self.at: dict[TP, int] = {}

    async def start(self, group: Consumer) -> None: ...

    async def assigned(self, partitions: frozenset[TP]) -> Mapping[TP, int]:
        return self.at

    def positions(self) -> Mapping[TP, int]:
        return self.at

    async def revoked(self) -> None: ...

    async def take(self, tp: TP, records: Any) -> None: ...

    async def stop(self) -> None: ...


def unstarted(settings: Settings, owner: IdleOwner | None = None) -> App:
    """An app that no broker is needed for."""
    return make_app(settings, owner or IdleOwner())
