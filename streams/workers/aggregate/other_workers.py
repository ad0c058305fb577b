"""The other workers of the group: do they judge by the same settings?

Each says by which it judges when it takes partitions over (topic rules-in-force), which all of them do whenever one
joins or leaves. So a worker looks some seconds after it was given partitions, and of two that differ the one that
began later ends with words.
"""

import os
import socket
import time
from collections.abc import Callable, Collection, Iterable

import msgspec
import structlog

from streams.calls.rules_in_force import RulesInForce, refuse_other_partitions, refuse_to_be_second, settings_hash
from streams.clock import utc_now_us
from streams.errors import UserError
from streams.kafka.producer import IdempotentProducer
from streams.kafka.topic_client import KafkaTopics, Topics
from streams.settings import Settings
from streams.topics import RULES_IN_FORCE

LOOKS = (3.0, 15.0, 60.0)
"""Seconds after partitions were given: a worker takes its own over within some seconds, many partitions within more."""

_log = structlog.get_logger("aggregate")


class OtherWorkers:
    """Says by which rules and settings this worker judges, and looks at what the others say.

    `clock`: monotonic seconds.
    """

    def __init__(
        self, settings: Settings, rules_hash: str, hash_key: str = "", clock: Callable[[], float] = time.monotonic
    ) -> None:
        """`hash_key`: as RulesInForce has it."""
        self._settings = settings
        self._hash_key = hash_key
        self._topic = settings.kafka.topic(RULES_IN_FORCE)
        self._rules_hash = rules_hash
        self._settings_hash = settings_hash(settings, rules_hash)
        self._worker = f"{socket.gethostname()}/{os.getpid()}"
        self._started = utc_now_us()
        self._clock = clock
        self._due: list[float] = []

    async def tell(self, producer: IdempotentProducer, partitions: Iterable[int]) -> None:
        """Make known by what these partitions are judged from now on: a replay must not use other rules."""
        told = self.says().encode()
        for partition in partitions:
            await producer.send(self._topic, str(partition).encode(), told)
        now = self._clock()
        self._due = [now + seconds for seconds in LOOKS]

    def says(self) -> RulesInForce:
        """What this worker says now."""
        pbxs = self._settings.pbx_names
        now = utc_now_us()
        return RulesInForce(
            self._rules_hash, self._worker, now, self._started, self._settings_hash, pbxs, self._hash_key,
            self._settings.kafka.partitions,
        )  # fmt: skip

    async def refuse_other_partitions(self) -> None:
        """Raise UserError where calls were judged on another number of partitions before; where no broker answers."""
        async with KafkaTopics(self._settings.kafka) as topics:
            told = await rules_told(topics, self._topic)
        refuse_other_partitions(self._settings.kafka.partitions, told.values())

    async def look_when_due(self, own: Collection[int]) -> UserError | None:
        """Look, if it is time. `own`: the partitions that are ours. Returns why this worker must not go on."""
        if not self._due or self._clock() < self._due[0]:
            return None
        self._due.pop(0)
        try:
            async with KafkaTopics(self._settings.kafka) as topics:
                told = await rules_told(topics, self._topic)
        except UserError as error:
            _log.warning("what the other workers judge by is not known", reason=error.problem)
            return None
        try:
            refuse_to_be_second(self.says(), {number: each for number, each in told.items() if number not in own})
        except UserError as second:
            return second
        return None


async def rules_told(topics: Topics, topic: str) -> dict[int, RulesInForce]:
    """By partition of the cel topic, what its last owner said. Raises UserError: no broker, no such topic."""
    found: dict[int, RulesInForce] = {}
    async for record in topics.read(topic):
        key = (record.key or b"").decode("utf-8", "replace")
        if not key.isdecimal():
            continue
        try:
            found[int(key)] = RulesInForce.decode(record.value or b"")
        except msgspec.MsgspecError:
            found.pop(int(key), None)
    return found
