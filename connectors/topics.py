"""`cel2crm topics apply`: makes the topics of topics.yaml, and raises what can be raised safely."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import yaml

from connectors.placeholders import Value, fill
from streams.crm.registry import registered
from streams.errors import UserError
from streams.kafka.admin import ExistingTopic, KafkaAdmin
from streams.settings import Settings
from streams.topics import PARTITIONS_PAGE

DECLARATION = Path(__file__).parent / "topics.yaml"

MILLISECONDS_A_DAY = 24 * 3600 * 1000

KEEPING = ("retention.ms", "retention.bytes", "delete.retention.ms")
"""Settings of which a lower value deletes records. -1 is without limit."""


@dataclass(frozen=True, slots=True)
class Topic:
    """One topic as it is declared, under its full name."""

    name: str
    partitions: int
    replication: int
    config: Mapping[str, str]
    by_call: bool = True
    """Whether kafka.partitions says how many it has."""


@dataclass(frozen=True, slots=True)
class TopicChange:
    """The change that `apply_topics` made, or would make, to one topic."""

    topic: str
    action: Literal["create", "alter", "unchanged"]
    details: tuple[str, ...] = ()


async def apply_topics(settings: Settings, *, dry_run: bool = False, shrink: bool = False) -> list[TopicChange]:
    """Make the declared topics that are missing and bring the settings of the others up to the declaration.

    `shrink` allows a lower retention, by which Kafka deletes records. Nothing at all is done when anything is refused.
    Raises UserError: no broker; a topic that has other partitions or another cleanup policy; a lower retention.
    """
    declared = declared_topics(settings)
    async with KafkaAdmin(settings.kafka) as admin:
        existing = await admin.topics([topic.name for topic in declared])
        refusals = [
            refusal
            for topic in declared
            if (present := existing.get(topic.name))
            for refusal in refusals_of(topic, present, shrink=shrink)
        ]
        if refusals:
            raise UserError("topics cannot be changed like that:\n" + "\n".join(f"  {line}" for line in refusals))
        changes = [change_of(topic, existing.get(topic.name)) for topic in declared]
        if not dry_run:
            for topic, change in zip(declared, changes, strict=True):
                if change.action == "create":
                    await admin.create(topic.name, topic.partitions, topic.replication, topic.config)
                elif change.action == "alter":
                    await admin.alter(topic.name, topic.config)
            await admin.until_known([change.topic for change in changes if change.action == "create"])
    return changes


async def topic_table(settings: Settings) -> list[tuple[str, str, str, str, str, str]]:
    """A line for each declared topic: name, partitions, replicas, cleanup policy, retention, state. Changes nothing."""
    declared = declared_topics(settings)
    async with KafkaAdmin(settings.kafka) as admin:
        existing = await admin.topics([topic.name for topic in declared])
    return [_table_line(topic, existing.get(topic.name)) for topic in declared]


async def missing_topics(settings: Settings, names: Sequence[str]) -> list[str]:
    """The topics among `names` (full ones) that the broker does not have. Raises UserError when no broker answers."""
    async with KafkaAdmin(settings.kafka) as admin:
        existing = await admin.topics(names)
    return [name for name in names if name not in existing]


async def require_topics(settings: Settings, names: Sequence[str]) -> None:
    """Raises UserError where one of these topics is not there."""
    if missing := await missing_topics(settings, names):
        raise UserError(f"topics are missing: {', '.join(missing)}", "Run: cel2crm topics apply")


def declared_topics(settings: Settings) -> list[Topic]:
    """The topics of topics.yaml for these settings, in its order."""
    tree = yaml.safe_load(DECLARATION.read_text(encoding="utf-8"))
    values: dict[str, Value] = {
        "kafka.topic_prefix": settings.kafka.topic_prefix,
        "kafka.partitions": settings.kafka.partitions,
        "kafka.replication_factor": settings.kafka.replication_factor,
        "kafka.retention_days": settings.kafka.retention_days,
        "durability.min_insync_replicas": 2 if settings.kafka.replication_factor >= 3 else 1,
    }
    names: dict[str | None, list[dict[str, Value]]] = {
        "pbx": [{"pbx.name": pbx.name} for pbx in (settings.pbx, *settings.other_pbxs)],
        "crm": [{"crm.name": name} for name in registered().kinds],
        "hashed": [{}] if settings.privacy.hashed_topic else [],
    }
    topics = []
    for entry, declaration in tree["topics"].items():
        for each in names.get(declaration.get("each"), [{}]):
            filled = fill({**tree["defaults"], **declaration}, {**values, **each})
            common = fill(tree["defaults"]["config"], values)
            by_call = declaration["partitions"] == "<kafka.partitions>"
            topics.append(_topic(filled, filled.get("name", settings.kafka.topic(entry)), common, by_call=by_call))
    return topics


def refusals_of(topic: Topic, present: ExistingTopic, *, shrink: bool = False) -> list[str]:
    """Why a topic cannot be brought to its declaration, in words with the remedy; empty where it can."""
    refusals = []
    if present.partitions != topic.partitions:
        refusals.append(
            f"{topic.name} has {present.partitions} partitions, not {topic.partitions}: keys would move to other "
            "partitions, away from their state. "
            + (
                f"Where kafka.partitions was changed, set it back to {present.partitions}; where the topic was given "
                if topic.by_call
                else "Where it was given "
            )
            + f"partitions, Kafka takes none away: {PARTITIONS_PAGE} says how to go on."
        )
    policy, wanted = present.config.get("cleanup.policy", "delete"), topic.config["cleanup.policy"]
    if policy != wanted:
        refusals.append(
            f"{topic.name} has cleanup.policy {policy}, not {wanted}: "
            + ("compaction erases earlier records" if wanted == "compact" else "what was compacted may be incomplete")
            + f". Look what the topic holds; then delete it, or set the policy by hand:"
            f" kafka-configs.sh --alter --entity-type topics --entity-name {topic.name}"
            f" --add-config cleanup.policy={wanted}"
        )
    if not shrink:
        refusals += [
            f"{topic.name} keeps records longer than declared ({name} {present.config[name]}, declared {value}): "
            "Kafka would delete records. Raise kafka.retention_days, or give --shrink if that is meant."
            for name, value in topic.config.items()
            if name in KEEPING and name in present.config and _limit(present.config[name]) > _limit(value)
        ]
    return refusals


def change_of(topic: Topic, present: ExistingTopic | None) -> TopicChange:
    """The change that brings a topic to its declaration; for topics that are not refused."""
    if present is None:
        plural = "" if topic.partitions == 1 else "s"
        details = [f"{topic.partitions} partition{plural}", topic.config["cleanup.policy"]]
        return TopicChange(topic.name, "create", tuple(details))
    different = tuple(
        f"{name} {present.config.get(name, 'unset')} -> {value}"
        for name, value in topic.config.items()
        if not _same(present.config.get(name), value)
    )
    return TopicChange(topic.name, "alter" if different else "unchanged", different)


def _topic(declaration: Mapping[str, Any], name: str, common: Mapping[str, Value], *, by_call: bool) -> Topic:
    config = {"cleanup.policy": declaration["cleanup"], **common, **declaration["config"]}
    if declaration["cleanup"] == "delete":
        retention = declaration["retention"]
        config["retention.ms"] = -1 if retention == "forever" else retention * MILLISECONDS_A_DAY
    return Topic(
        name=name,
        partitions=declaration["partitions"],
        replication=declaration["replication"],
        config={key: str(value) for key, value in config.items()},
        by_call=by_call,
    )


def _table_line(topic: Topic, present: ExistingTopic | None) -> tuple[str, str, str, str, str, str]:
    if present is None:
        return topic.name, "-", "-", "-", "-", "missing"
    policy = present.config.get("cleanup.policy", "")
    retention = float(present.config.get("retention.ms", "-1"))
    kept = "" if policy == "compact" else "forever" if retention < 0 else f"{retention / MILLISECONDS_A_DAY:g} days"
    refusals = refusals_of(topic, present)
    change = change_of(topic, present)
    state = "refused: " + refusals[0] if refusals else "; ".join(change.details) or "as declared"
    return topic.name, str(present.partitions), str(present.replication), policy, kept, state


def _limit(value: str) -> float:
    number = float(value)
    return float("inf") if number < 0 else number


def _same(present: str | None, declared: str) -> bool:
    """Kafka may write a number otherwise than it was given."""
    if present is None or present == declared:
        return present == declared
    try:
        return float(present) == float(declared)
    except ValueError:
        return False
