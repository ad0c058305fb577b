"""Partitions are chosen once: a call's rows, result and state lie where its key hashes to by their number.

A topic that gets partitions while calls are known (kafka-topics.sh --alter) sends later rows and versions of a call to
another partition than its state: parts of calls would be judged, and calls entered twice, without a word. So a worker
looks before it starts, whenever partitions are assigned to it, and all the time while it runs, and refuses to go on.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Mapping
from contextlib import asynccontextmanager

import structlog
from aiokafka.errors import KafkaError

from streams.errors import UserError
from streams.kafka.hard_exit import hard_exit
from streams.kafka.reach import reached
from streams.kafka.requests import MetadataRequest
from streams.settings import KafkaSettings
from streams.topics import PARTITIONS_PAGE, Topic

LOOK_SECONDS = 10.0
"""Between two looks of a running worker: producers that write the topics learn of new partitions after minutes."""
_ANSWER_SECONDS = 10.0

_log = structlog.get_logger("worker")


def chosen_counts(kafka: KafkaSettings, names: Iterable[str]) -> dict[str, int]:
    """How many partitions each of these topics has by the settings, by full name; a name that is no Topic is left out.

    `names`: short ones.
    """
    topics = [name for name in names if isinstance(name, Topic)]
    return {kafka.topic(topic): kafka.partitions if topic.by_call else 1 for topic in topics}


def changed(chosen: Mapping[str, int], found: Mapping[str, int]) -> UserError | None:
    """The error about topics that have other numbers of partitions than were chosen; None: they have those.

    `found`: by full name; topics that are not there are left out.
    """
    different = [
        f"topic {name} has {found[name]} partitions, not {count}"
        for name, count in chosen.items()
        if found.get(name, count) != count
    ]
    if not different:
        return None
    return UserError(
        f"{'; '.join(different)}: calls would be looked for on other partitions than those of their state, and be lost "
        "or entered twice",
        "Where kafka.partitions was changed, set it back. Where the topic was given partitions, Kafka takes none away: "
        f"{PARTITIONS_PAGE} says how to go on.",
    )


async def found_counts(kafka: KafkaSettings, names: Collection[str]) -> dict[str, int]:
    """How many partitions topics have now, by full name; those that are not there are left out.

    Raises UserError (no broker, no login), KafkaError, OSError or TimeoutError.
    """
    async with asyncio.timeout(_ANSWER_SECONDS), reached(kafka) as broker:
        answer = await broker.send(MetadataRequest(sorted(names)))
    return {topic: len(partitions) for code, topic, _, partitions, *_ in answer.topics if code == 0}


@asynccontextmanager
async def watched_counts(
    kafka: KafkaSettings,
    names: Iterable[str],
    refuse: Callable[[UserError], None],
    *,
    seconds: float = LOOK_SECONDS,
) -> AsyncIterator[None]:
    """Look again and again during the block; `refuse` is told as soon as a topic has another number of partitions.

    `names`: short ones.
    """
    watching = asyncio.create_task(_watch(kafka, chosen_counts(kafka, names), refuse, seconds))
    try:
        yield
    finally:
        watching.cancel()


async def _watch(
    kafka: KafkaSettings, chosen: Mapping[str, int], refuse: Callable[[UserError], None], seconds: float
) -> None:
    while True:
        await asyncio.sleep(seconds)
        try:
            found = await found_counts(kafka, chosen)
        except (UserError, KafkaError, OSError, TimeoutError) as error:
            _log.info("the topics' partitions could not be looked at; that is tried again", error=repr(error))
            continue
        except Exception as error:  # nobody waits for this task: it would end in silence
            hard_exit("the topics' partitions can no longer be looked at", error)
        if (different := changed(chosen, found)) is not None:
            refuse(different)
            return
