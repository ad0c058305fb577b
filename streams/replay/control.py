"""The control record of a replay: what its members do, all the same, on the compacted topic `replays` (key: name).

Selection, ranges and rules are fixed before the first member begins. Progress is not here: it is the offsets of the
consumer group `<prefix>.replay.<name>`. Should the topic be lost, a replay that was under way cannot be resumed: its
topics stay, and it is begun anew under another name.
"""

import asyncio
import random
import re
import tempfile
from collections.abc import Callable, Mapping
from enum import StrEnum
from importlib.metadata import version
from pathlib import Path
from typing import Protocol

import msgspec
from aiokafka.errors import KafkaError

from streams.calls.pbx_profile import PbxProfile
from streams.clock import UtcMicros, UtcMillis
from streams.errors import UserError
from streams.kafka.client import unreachable
from streams.kafka.fenced_log import Fenced, FencedLog
from streams.operations.connection import Connection
from streams.replay.ranges import PartitionRange
from streams.replay.selection import Selection
from streams.rules import Rules, hash_in_force, load_rules
from streams.settings import RuleSettings, Settings
from streams.topics import CALL_LEGS, CALL_RESULTS, REPLAYS, Topic

_ATTEMPTS = 8
_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,39}")


class ReplayState(StrEnum):
    """What its members do."""

    RUNNING = "running"
    """Or stopped, where it has none: it can be resumed."""
    DONE = "done"
    CANCELLED = "cancelled"


class Control(msgspec.Struct, frozen=True, kw_only=True):
    """The value of a control record, as JSON."""

    name: str
    state: ReplayState = ReplayState.RUNNING
    correction: UtcMillis
    """Of every record that it writes; also what tells it from an earlier replay of that name."""
    started_at: UtcMicros
    by: str
    publishes: bool = False
    """Corrections go into the live topics, by one process; else everything goes into topics of its own."""
    product: str
    """Version of cel2crm."""
    topic: str
    """The cel topic."""
    selection: Selection
    ranges: list[PartitionRange]
    rules: dict[str, str]
    """Texts of the rule files, by their setting."""
    preset: str
    language: str
    rules_hash: str

    @property
    def group(self) -> str:
        """The consumer group of its members."""
        return f"{self.topic.rpartition('.')[0]}.replay.{self.name}"

    @property
    def rows(self) -> int:
        """Rows that are read, at most."""
        return sum(each.rows for each in self.ranges)


def checked_name(name: str) -> str:
    """A name that topics may bear. Raises UserError."""
    if not _NAME.fullmatch(name):
        raise UserError(
            f"{name!r} cannot be the name of a replay",
            "Lower case letters, digits and hyphens, at most 40: rules-2026.",
        )
    return name


def results_topic(name: str) -> Topic:
    """The short name of its topic of results."""
    return Topic(f"{CALL_RESULTS}.{name}", CALL_RESULTS.schema)


def legs_topic(name: str) -> Topic:
    """The short name of its topic of legs."""
    return Topic(f"{CALL_LEGS}.{name}", CALL_LEGS.schema)


def product_version() -> str:
    """The version of this cel2crm."""
    return version("cel2crm")


def rule_texts(settings: RuleSettings) -> dict[str, str]:
    """The texts of the rule files in force, by their setting. Raises UserError for one that cannot be read."""
    found = {}
    for name in type(settings).model_fields:
        path = getattr(settings, name)
        if isinstance(path, Path):
            try:
                found[name] = path.read_text(encoding="utf-8")
            except (OSError, UnicodeDecodeError) as error:
                raise UserError(f"{path} cannot be read: {error}") from None
    return found


def rules_of(control: Control, settings: Settings) -> tuple[Rules, PbxProfile]:
    """The rules by which every member judges. Raises UserError where this machine's product or settings differ."""
    if control.product != product_version():
        raise UserError(
            f"replay {control.name} was begun by cel2crm {control.product}, and this is {product_version()}",
            "Two versions may judge differently: join it with the same one.",
        )
    ruling = settings.rules.model_copy(update={"preset": control.preset, "language": control.language})
    rules, profile = rules_in(control.rules, settings.model_copy(update={"rules": ruling}))
    if hash_in_force(rules.hash, profile.hash) != control.rules_hash:
        raise UserError(
            f"this machine's settings judge otherwise than those with which replay {control.name} was begun",
            "Give every member the same settings: pbx, numbers, rules, aggregate and database.column_name_aliases.",
        )
    return rules, profile


def rules_in(texts: Mapping[str, str], settings: Settings) -> tuple[Rules, PbxProfile]:
    """The rules whose files have these texts (`rule_texts`), by everything else as the settings have it."""
    with tempfile.TemporaryDirectory(prefix="cel2crm-") as directory:
        files: dict[str, Path | None] = {}
        for field in RuleSettings.model_fields:
            if field == "file" or field.endswith("_file"):
                files[field] = None
                if field in texts:
                    file = files[field] = Path(directory) / f"{field}.yaml"
                    file.write_text(texts[field], encoding="utf-8")
        judging = settings.model_copy(update={"rules": settings.rules.model_copy(update=files)})
        return load_rules(judging.rules), PbxProfile.of(judging)


class ControlLog(Protocol):
    """The topic. Every method raises UserError: no broker, no such topic."""

    async def all(self) -> Mapping[str, Control]:
        """The replays that are known, by name."""
        ...

    async def change(self, name: str, decide: Callable[[Control | None], Control | None]) -> Control | None:
        """Replace a record by what `decide` makes of it, None to delete it; nobody else changes it meanwhile.

        Raises what `decide` raises.
        """
        ...


class KafkaControlLog:
    """See ControlLog. Whoever changes something fences the topic, reads it to the end, and writes in a transaction."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._topic = connection.topic(REPLAYS)

    async def all(self) -> Mapping[str, Control]:
        """See ControlLog."""
        found: dict[str, Control] = {}
        async for record in self._connection.topics.read(self._topic):
            name = (record.key or b"").decode("utf-8", "replace")
            if record.value is None:
                found.pop(name, None)
            else:
                found[name] = _decoded(name, record.value)
        return found

    async def change(self, name: str, decide: Callable[[Control | None], Control | None]) -> Control | None:
        """See ControlLog."""
        kafka = self._connection.settings.kafka
        await self._connection.topics.partitions(self._topic)
        for attempt in range(_ATTEMPTS):
            log = FencedLog(kafka, self._topic, 0, self._topic, unsettled=_unsettled)
            try:
                return await self._changed(log, name, decide)
            except Fenced:  # another one changes something: theirs is to be read first
                await asyncio.sleep((attempt + 1) * random.uniform(0.1, 0.5))
            except (KafkaError, OSError, TimeoutError) as error:
                raise unreachable(kafka, error) from None
            finally:
                await log.close()
        raise UserError("other replays are being begun or changed at this moment", "Give the command again.")

    async def _changed(
        self, log: FencedLog, name: str, decide: Callable[[Control | None], Control | None]
    ) -> Control | None:
        """Raises Fenced, KafkaError, OSError or TimeoutError; UserError; what `decide` raises."""
        await log.fence()
        value = (await log.read()).get(name.encode())
        before = None if value is None else _decoded(name, value)
        after = decide(before)
        if after != before:
            encoded = None if after is None else msgspec.json.encode(after)
            if await log.write([(name.encode(), encoded)]) is None:
                raise UserError(f"{self._topic} could not be written", "Give the command again.")
        return after


def _decoded(name: str, value: bytes) -> Control:
    try:
        return msgspec.json.decode(value, type=Control)
    except msgspec.MsgspecError as error:
        raise UserError(
            f"the control record of replay {name} cannot be read: {error}",
            "If a later release of cel2crm wrote it, use that one.",
        ) from None


def _unsettled(problem: str, error: BaseException) -> None:
    raise UserError(f"{problem} ({error})", "cel2crm replay status says what stands there now.")


def known(name: str, found: Control | None) -> Control:
    """A replay that must be there. Raises UserError."""
    if found is None:
        raise UserError(f"there is no replay {name}", "cel2crm replay status names those that are known.")
    return found
