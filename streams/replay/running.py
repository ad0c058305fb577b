"""Replays into topics of their own: begun, joined, told, cancelled and dropped."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import msgspec

from streams.clock import utc_now_ms, utc_now_us
from streams.errors import UserError
from streams.kafka.admin import KafkaAdmin
from streams.kafka.committed import Committed
from streams.operations.connection import Connection
from streams.replay.comparison import Replay
from streams.replay.control import (
    Control,
    ControlLog,
    ReplayState,
    known,
    legs_topic,
    product_version,
    results_topic,
    rule_texts,
)
from streams.replay.member import progress_of
from streams.replay.opening import rules_hash_of
from streams.settings import Settings
from streams.topics import CALL_LEGS, CALL_RESULTS


@dataclass(frozen=True, slots=True)
class Standing:
    """How far a replay is."""

    control: Control
    members: int
    rows_done: int
    judged: int
    not_judged: int


def control_of(
    name: str, replay: Replay, judging: Settings, by: str, others: Iterable[Control] = (), *, publishes: bool = False
) -> Control:
    """The control record of a replay that is to begin; the results must have been read. `others`: those that are known.

    Raises UserError.
    """
    highest = max((replay.published.highest_correction, *(each.correction for each in others)))
    return Control(
        name=name,
        publishes=publishes,
        correction=max(utc_now_ms(), highest + 1),
        started_at=utc_now_us(),
        by=by,
        product=product_version(),
        topic=replay.source.name,
        selection=replay.selection,
        ranges=replay.ranges,
        rules=rule_texts(judging.rules),
        preset=judging.rules.preset,
        language=judging.rules.language,
        rules_hash=rules_hash_of(replay),
    )


async def begin(control: Control, log: ControlLog, settings: Settings) -> None:
    """Take the name, and make the topics. Raises UserError where it is taken, or a topic of it is there."""
    await refuse_taken(control.name, log, settings)

    def decide(found: Control | None) -> Control:
        if found is not None:
            raise _taken(control.name, found)
        return control

    await log.change(control.name, decide)
    await make_topics(control.name, settings)


async def refuse_taken(name: str, log: ControlLog, settings: Settings) -> None:
    """Raises UserError where a replay of that name is known, or a topic of it is there."""
    found = (await log.all()).get(name)
    if found is not None:
        raise _taken(name, found)
    async with KafkaAdmin(settings.kafka) as admin:
        present = await admin.topics(_topics(name, settings))
    if present:
        raise UserError(
            f"topic {min(present)} is there already, and no replay is known that made it",
            "Choose another name, or delete the topic.",
        )


def _taken(name: str, found: Control) -> UserError:
    way = f"cel2crm replay resume {name}" if found.state is not ReplayState.DONE else f"cel2crm replay drop {name}"
    return UserError(
        f"there is a replay {name} already: {found.state.value}", f"Choose another name for a new one; or {way}."
    )


async def make_topics(name: str, settings: Settings) -> None:
    """Make the replay's topics where they are missing, with partitions and settings of the live ones.

    Raises UserError: no broker, no live topics.
    """
    live = settings.kafka.topic(CALL_RESULTS), settings.kafka.topic(CALL_LEGS)
    async with KafkaAdmin(settings.kafka) as admin:
        present = await admin.topics([*live, *_topics(name, settings)])
        made = []
        for like, topic in zip(live, _topics(name, settings), strict=True):
            if like not in present:
                raise UserError(f"there is no topic {like}", "Make it with cel2crm topics apply.")
            if topic not in present:
                form = present[like]
                await admin.create(topic, form.partitions, form.replication, form.own)
                made.append(topic)
        await admin.until_known(made)


async def resumed(name: str, log: ControlLog) -> Control:
    """The replay to go on with; one that was cancelled runs again. Raises UserError: unknown, or done."""

    def decide(found: Control | None) -> Control:
        control = known(name, found)
        if control.state is ReplayState.DONE:
            raise UserError(f"replay {name} is done", "cel2crm replay status tells more.")
        if control.publishes:
            raise UserError(
                f"{name} published corrections, and was stopped",
                "Give cel2crm replay publish again: what was published does not differ any more.",
            )
        return msgspec.structs.replace(control, state=ReplayState.RUNNING)

    return known(name, await log.change(name, decide))


async def cancelled(name: str, log: ControlLog) -> Control:
    """Have the members of a replay stop. Raises UserError: unknown, or done."""

    def decide(found: Control | None) -> Control:
        control = known(name, found)
        if control.state is ReplayState.DONE:
            raise UserError(
                f"replay {name} is done: there is nothing to cancel", f"cel2crm replay drop {name} deletes it."
            )
        if control.publishes:
            raise UserError(f"{name} publishes corrections: it is stopped where it was started, by Ctrl-C")
        return msgspec.structs.replace(control, state=ReplayState.CANCELLED)

    return known(name, await log.change(name, decide))


async def dropped(name: str, log: ControlLog, settings: Settings) -> None:
    """Delete a replay: its topics, and what is known of it. Raises UserError: unknown, or members are at work."""
    control = known(name, (await log.all()).get(name))
    async with KafkaAdmin(settings.kafka) as admin:
        members = (await admin.group(control.group)).members
        if members:
            raise UserError(
                f"{members} members of replay {name} are at work", f"Stop them first: cel2crm replay cancel {name}."
            )
        await admin.delete(_topics(name, settings))
    await log.change(name, lambda _: None)


async def standings(connection: Connection, log: ControlLog, name: str | None = None) -> list[Standing]:
    """How far the replays are, or one of them. Raises UserError: no broker, unknown."""
    found = await log.all()
    wanted = (
        sorted(found.values(), key=lambda each: each.started_at) if name is None else [known(name, found.get(name))]
    )
    told = []
    async with KafkaAdmin(connection.settings.kafka) as admin:
        for control in wanted:
            group = await admin.group(control.group)
            offsets = await admin.group_offsets(control.group, control.topic)
            told.append(standing_of(control, offsets, group.members))
    return told


def standing_of(control: Control, committed: Mapping[int, Committed], members: int) -> Standing:
    """How far a replay is, by what its group has committed."""
    progress = progress_of(control, committed)
    return Standing(
        control=control,
        members=members,
        rows_done=sum(progress[each.partition][0] - each.read_from for each in control.ranges),
        judged=sum(done.judged for _, done in progress.values()),
        not_judged=sum(done.not_judged for _, done in progress.values()),
    )


def _topics(name: str, settings: Settings) -> list[str]:
    return [settings.kafka.topic(results_topic(name)), settings.kafka.topic(legs_topic(name))]
