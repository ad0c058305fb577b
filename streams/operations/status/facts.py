"""What was seen of an installation at one moment. Facts are gathered apart from what is concluded of them."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from connectors.client import ConnectorStatus
from connectors.fault import Fault
from connectors.gap_memory import GapOutcome
from connectors.row_mark import RowMark
from connectors.sinks.report import SinkReport
from streams.clock import UtcMicros, UtcMillis
from streams.operations.complete_until import PbxComplete
from streams.operations.dead_letters import Group
from streams.operations.portal_status import PortalStatus


@dataclass(frozen=True, slots=True)
class Unanswered:
    """A question that nobody answered: no broker, no database, or not in time."""

    subject: str
    """The thing that could not be looked at, in words: `the workers`."""
    why: str
    remedy: str = ""


@dataclass(frozen=True, slots=True)
class Backlog:
    """Rows of the PBX's table that are not on the topic, as far as they were counted."""

    rows: int
    first: RowMark
    """The oldest of them."""
    linkedid: str
    """Of `first`."""
    seconds: float = 0.0
    """How long `first` was seen missing, in this look at the installation."""


@dataclass(frozen=True, slots=True)
class CaptureFacts:
    """The connector, and how far it is. A member None: not known, or there is none."""

    name: str
    connector: ConnectorStatus | None = None
    connector_known: bool = False
    """Whether Kafka Connect answered: `connector` None then means that it has none of that name."""
    heartbeat_known: bool = False
    seconds_since_heartbeat: float | None = None
    hold: Fault | None = None
    """Why the capture is held until a person decides."""
    warnings: tuple[Fault, ...] = ()
    captured: RowMark | None = None
    """The last row on the topic."""
    last_row: RowMark | None = None
    """The row with the highest id in the table."""
    backlog: Backlog | None = None
    pbx: str = ""
    """Name of its PBX where there are several; empty: there is one."""
    gaps: GapOutcome | None = None
    """Of a further PBX (Facts.further_captures): what the last comparison found."""
    backlog_known: bool = False
    """Whether table and topic could be compared: `backlog` None then means that the topic has every row."""


@dataclass(frozen=True, slots=True)
class PartitionProgress:
    """How far a consumer group is on a partition. Offsets: `first` <= record < `end`; `next` is taken next."""

    topic: str
    partition: int
    holder: str | None
    """The address of the process that holds it; None: nobody does."""
    first: int
    next: int
    """The committed offset; without one, or where it is beyond the end, the first that is there."""
    end: int
    waiting_since: UtcMillis | None = None
    """When the record at `next` was written; None: none waits, or its time is not known."""
    moved: bool = False
    """Whether the group has committed further since the first look."""

    @property
    def waiting(self) -> int:
        """Records that are not taken yet, as far as the group has committed."""
        return self.end - max(self.next, self.first)

    @property
    def expired(self) -> int:
        """Records that retention removed before they were taken."""
        return max(0, self.first - self.next)


@dataclass(frozen=True, slots=True)
class WorkerFacts:
    """The processes of one kind of worker: its consumer group."""

    name: str
    """`aggregate`, or a CRM's name."""
    state: str
    """Of the consumer group, as Kafka names it (kafka/admin.py, ConsumerGroup)."""
    members: int
    partitions: tuple[PartitionProgress, ...]
    watched_seconds: float = 0.0
    """Between the first look and this one."""
    missing_topics: tuple[str, ...] = ()
    """Topics that it takes records from, and that are not there."""

    @property
    def rebalancing(self) -> bool:
        """Whether the group is sharing its partitions out anew: nobody holds one meanwhile."""
        return self.state.endswith("Rebalance")


@dataclass(frozen=True, slots=True)
class UnreadableMemory:
    """Records of a worker's own memory that it stops at."""

    worker: str
    places: tuple[str, ...]
    """`<topic>/<partition>/<offset>`."""


@dataclass(frozen=True, slots=True)
class DeadLetterFacts:
    """Unresolved dead letters of one component, reason and portal."""

    group: Group
    command: str
    """The one command that recovers them, or puts them aside."""


@dataclass(frozen=True, slots=True)
class Facts:
    """Everything that was seen. A member None was not looked at, or not answered: `unanswered` says why."""

    at: UtcMicros
    """When the last answer came."""
    seconds: float = 0.0
    """How long it took to look."""
    capture: CaptureFacts | None = None
    workers: Mapping[str, WorkerFacts] = field(default_factory=dict)
    repartitioned: Fault | None = None
    """Topics have other numbers of partitions than were chosen."""
    portals: tuple[PortalStatus, ...] | None = None
    unreadable: tuple[UnreadableMemory, ...] = ()
    dead_letters: tuple[DeadLetterFacts, ...] | None = None
    gaps: GapOutcome | None = None
    """What the last comparison of table and topics found; None also where nothing was compared yet."""
    gaps_known: bool = False
    sinks: tuple[SinkReport, ...] = ()
    """Those of the settings that could be looked at."""
    complete: tuple[PbxComplete, ...] | None = None
    """Until when calls are complete, of each PBX that was told of."""
    unanswered: tuple[Unanswered, ...] = ()
    further_captures: tuple[CaptureFacts, ...] = ()
    """Of several PBXs, all but the first."""
