"""What an aggregate worker says of the rules and settings by which it judges, on the topic rules-in-force. Pure."""

import hashlib
from collections.abc import Iterable, Mapping

import msgspec
import orjson

from streams.clock import UtcMicros, format_time
from streams.errors import UserError
from streams.settings import Settings
from streams.topics import PARTITIONS_PAGE

_OF_ONE_PROCESS = {"flush_seconds", "snapshot_seconds", "max_unreadable_share", "unreadable_window"}
"""Settings of `aggregate` that change no result: two workers may differ in them."""


class RulesInForce(msgspec.Struct, frozen=True):
    """The value of a record, as JSON; its key is the number of the partition that the worker took over."""

    rules_hash: str
    worker: str
    """Name of its machine and number of its process."""
    since: UtcMicros
    started: UtcMicros = 0
    """When the process began; 0: a release before 0.2.0 does not say it."""
    settings_hash: str = ""
    """Of all settings by which calls are judged (`settings_hash`); empty: a release before 0.2.0."""
    pbxs: tuple[str, ...] = ()
    hash_key: str = ""
    """HashKey.id of the key by which it knows erased numbers; empty: it has none, and obeys no erasure."""
    partitions: int = 0
    """How many partitions the cel topic had then; 0: a release before 0.2.0 does not say it."""

    def encode(self) -> bytes:
        """The value."""
        return msgspec.json.encode(self)

    @classmethod
    def decode(cls, value: bytes) -> "RulesInForce":
        """Raises msgspec.MsgspecError."""
        return msgspec.json.decode(value, type=cls)


def settings_hash(settings: Settings, rules_hash: str) -> str:
    """Changes with every setting that changes a call's result: rules, and of each PBX numbers, zone and aliases."""
    limits = settings.aggregate.model_dump(mode="json", exclude=_OF_ONE_PROCESS)
    pbxs = {each.pbx.name: [each.pbx.timezone, each.database.column_name_aliases] for each in settings.each_pbx()} | {
        each.name: [each.timezone] for each in settings.other_pbxs if not settings.pbxs
    }
    told = orjson.dumps([rules_hash, limits, pbxs], option=orjson.OPT_SORT_KEYS)
    return hashlib.sha256(told).hexdigest()[:12]


def refuse_to_be_second(ours: RulesInForce, told: Mapping[int, RulesInForce]) -> None:
    """Raise UserError where another live worker, which began before this one, judges by other settings.

    `told`: by partition, what the owners of partitions that are not ours say. Only those count that took theirs over
    since this process began: each does so whenever a worker joins or leaves, so older words are of one that is gone.
    """
    for partition, theirs in sorted(told.items()):
        if not theirs.settings_hash or theirs.settings_hash == ours.settings_hash or theirs.worker == ours.worker:
            continue
        if theirs.since < ours.started or (theirs.started, theirs.worker) > (ours.started, ours.worker):
            continue
        raise UserError(
            f"worker {theirs.worker}, which runs since {format_time(theirs.started)}, judges calls of the same group "
            f"by other settings (partition {partition}): {_difference(ours, theirs)}",
            "Two that judge otherwise would give a call one result today and another tomorrow. Give every worker of "
            "the group the same settings file, and start them again.",
        )


def refuse_other_partitions(partitions: int, told: Iterable[RulesInForce]) -> None:
    """Raise UserError where calls were judged on another number of partitions before: then topics and settings were
    changed together, and calls' states lie on others than their next rows."""
    before = max((each.partitions for each in told), default=0)
    if before and before != partitions:
        raise UserError(
            f"calls were judged on {before} partitions until now, and kafka.partitions is {partitions}: their next "
            "rows would be on other partitions than their state, and calls be lost or entered twice",
            "Set kafka.partitions back. Where the topics were given partitions, Kafka takes none away: "
            f"{PARTITIONS_PAGE} says how to go on.",
        )


def _difference(ours: RulesInForce, theirs: RulesInForce) -> str:
    if set(ours.pbxs) != set(theirs.pbxs):
        return f"PBXs there: {', '.join(theirs.pbxs)}; here: {', '.join(ours.pbxs)}"
    if ours.rules_hash != theirs.rules_hash:
        return f"rules and numbers there: {theirs.rules_hash}; here: {ours.rules_hash}"
    return "a time zone, an alias of a column, or a time of aggregate"
