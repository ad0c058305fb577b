"""The state of the sinks in words: `cel2crm connectors status`."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import msgspec

from connectors.client import ConnectorStatus
from connectors.fault import Fault
from connectors.sinks.connected import Sink, SinkConnector, open_sink, records_behind
from connectors.sinks.kinds import kind_of
from streams.errors import UserError
from streams.settings import Settings, SinkSettings

_WATCH = "cel2crm connectors watch restarts what fails; nothing is lost while the topics keep it."


@dataclass(frozen=True, slots=True)
class SinkPartReport:
    """One connector. `status` None: not applied, or deleted; `behind` None: not known then."""

    part: str
    name: str
    status: ConnectorStatus | None
    behind: int | None
    faults: tuple[Fault, ...]

    @property
    def line(self) -> str:
        """In one line."""
        if self.status is None:
            return f"{self.part}: not there"
        states = {self.status.state, *(task.state for task in self.status.tasks)} - {"RUNNING"}
        state = ", ".join(sorted(states)) or "RUNNING"
        records = "record" if self.behind == 1 else "records"
        return f"{self.part}: {state}, {self.behind} {records} behind"


@dataclass(frozen=True, slots=True)
class SinkReport:
    """The state of a sink, to be told."""

    name: str
    where: str
    parts: tuple[SinkPartReport, ...]
    faults: tuple[Fault, ...]
    """Of the sink as a whole."""

    @property
    def healthy(self) -> bool:
        """Whether records go into the database."""
        return not self.faults and not any(part.faults for part in self.parts)

    def lines(self) -> list[str]:
        """For a person: the sink with its faults, then its connectors with theirs; what is one fault is told once."""
        lines = [f"sink {self.name} ({self.where})", *_told(self.faults)]
        known = set(self.faults)
        for part in self.parts:
            lines += [f"  {part.line}", *_told(fault for fault in part.faults if fault not in known)]
            known |= set(part.faults)
        return lines

    def as_json(self) -> dict[str, Any]:
        """For machines."""
        return {
            "name": self.name,
            "healthy": self.healthy,
            "faults": msgspec.to_builtins(self.faults),
            "connectors": [
                {
                    **(msgspec.to_builtins(part.status) if part.status else {"name": part.name, "state": "MISSING"}),
                    "part": part.part,
                    "behind": part.behind,
                    "faults": msgspec.to_builtins(part.faults),
                }
                for part in self.parts
            ],
        }


async def report_sinks(settings: Settings) -> list[SinkReport]:
    """Look at every sink of the settings; changes nothing. Raises UserError: no broker, no Connect."""
    return [await report_sink(settings, sink) for sink in settings.sinks]


async def report_sink(settings: Settings, sink: SinkSettings) -> SinkReport:
    """Look at one sink: its database with tables and views, or its catalog, and its connectors."""
    kind, faults = kind_of(sink), list[Fault]()
    try:
        faults += [Fault(line, kind.remedy(sink)) for line in await kind.refusals(sink)]
    except UserError as error:
        faults.append(Fault(error.problem, f"{error.remedy} {_WATCH}"))
    async with open_sink(settings, sink) as opened:
        parts = tuple([await _part(opened, connector) for connector in opened.connectors])
    return SinkReport(sink.called, kind.where(sink), parts, tuple(faults))


async def _part(sink: Sink, connector: SinkConnector) -> SinkPartReport:
    status = await sink.connect.status(connector.name)
    behind = None if status is None else await records_behind(sink, connector)
    return SinkPartReport(connector.part, connector.name, status, behind, sink_faults(status, sink.settings.called))


def sink_faults(status: ConnectorStatus | None, name: str) -> tuple[Fault, ...]:
    """Why nothing goes into the table, as far as the connector shows."""
    apply = f"Run: cel2crm connectors apply --sink {name}"
    if status is None:
        return (Fault("not applied yet, or deleted", apply),)
    if status.failures:
        return tuple(
            Fault(failure.reason, failure.remedy or "See the log of Kafka Connect.") for failure in status.failures
        )
    return () if status.running else (Fault(f"it is {status.state}", apply),)


def _told(faults: Iterable[Fault]) -> list[str]:
    return [line for fault in faults for line in fault.lines("    ")]
