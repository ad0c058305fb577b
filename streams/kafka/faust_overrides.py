"""Everything of Faust and aiokafka that the workers override. Pinned to one version of each, refused with any other.

tests/kafka/test_faust_overrides.py holds hashes of the upstream methods that are overridden or relied upon here: an
upgrade fails there first, and is made by reading what changed.

group_consumer.py: aiokafka's consumer in the app's own loop instead of a thread of Faust's; commits and offsets.

* `Consumer.perform_seek`: Faust seeks to the committed offsets when partitions were assigned. Here their owner takes
  them over first (its state), says where to begin, and no row is fetched before (docs/architecture.md, rule 10).
* `Consumer._commit`: Faust commits what its streams acknowledged, across gaps (open bug 606) and without metadata.
  Here nothing is committed but what the owner says, with the checkpoint's marker in the commit's metadata, and only a
  confirmed commit counts (rule 8). The owner releases its partitions before a rebalance and before the process ends.
* `Consumer._drain_messages`: upstream takes every record alone through Faust, with two tasks each: nine tenths of all
  cost. Here the records of one poll are one message (`Batch`). Before each of its partitions the agent asks
  `is_current`, as Faust does before a message. It tells what was `taken`: Faust's compiled stream calls no `ack`.
* `Agent`: more than one concurrent actor would take rows out of order. `App._create_directories`: nothing is on disk.
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from importlib.metadata import version
from typing import Any, Protocol, cast

import faust
from aiokafka.errors import ConsumerStoppedError
from faust.transport.consumer import CONSUMER_FETCHING
from faust.transport.drivers import aiokafka as driver
from faust.types import TP
from yarl import URL

from streams.errors import UserError
from streams.kafka.batches import Batch, InFlight
from streams.kafka.committed import Committed
from streams.kafka.group_consumer import GroupConsumer, KnownEnd
from streams.kafka.hard_exit import hard_exit
from streams.kafka.metrics import hold_partitions
from streams.kafka.quiet_monitor import QuietMonitor

PINNED = {"faust-streaming": "0.15.3", "aiokafka": "0.14.0"}


class Owner(Protocol):
    """The keeper of state for the partitions that the group gives to this process."""

    async def assigned(self, partitions: frozenset[TP]) -> Mapping[TP, int]:
        """Take over these partitions and say from which offset each is to be consumed. May be cancelled by `revoked`.

        A UserError ends the process as a signal does, and is told to the user; any other exception ends it hard.
        """
        ...

    def positions(self) -> Mapping[TP, int]:
        """The offset of the next record of each partition that was taken over."""
        ...

    async def revoked(self) -> None:
        """Release all partitions, at most within a few seconds: flush, commit, forget. Nothing of them may be written
        afterwards. Called before each rebalance and before the process ends."""
        ...


def refuse_other_versions() -> None:
    """Raise UserError where Faust or aiokafka are not those that the overrides were written for."""
    for name, pinned in PINNED.items():
        found = version(name)
        if found != pinned:
            raise UserError(
                f"{name} {found} is installed; the workers override parts of {name} {pinned}",
                f"Install {name}=={pinned} (pip install -c constraints.txt ..).",
            )


class Consumer(driver.Consumer):
    """Faust's consumer, commanded by the owner of the partitions."""

    _thread: GroupConsumer
    _assigned: frozenset[TP] = frozenset()
    _taking_over: "asyncio.Task[None] | None" = None
    _told_without: frozenset[str] = frozenset()

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._in_flight = InFlight()

    def _new_consumer_thread(self) -> GroupConsumer:
        return GroupConsumer(self, loop=self.loop, beacon=self.beacon)

    @property
    def _owner(self) -> Owner:
        return cast(Transport, self.transport).owner

    async def on_partitions_assigned(self, assigned: set[TP], generation_id: int = 0) -> None:
        """A new generation: the take-over begins with the first `perform_seek`."""
        self._assigned, self._taking_over = frozenset(assigned), None
        self._in_flight.forget()
        self._tell_assignment()
        await super().on_partitions_assigned(assigned, generation_id)

    def _tell_assignment(self) -> None:
        """Warn once while no partition of a topic is held: it may be right (more workers than partitions), or the topic
        is gone."""
        hold_partitions(self.app.conf.id, len(self._assigned))
        consumed = {name for agent in self.app.agents.values() for name in agent.get_topic_names()}
        without = frozenset(consumed - {tp.topic for tp in self._assigned})
        for topic in sorted(without - self._told_without):
            self.log.warning(
                "The group gives this worker no partition of %s: other workers hold them all, or the topic is gone "
                "(cel2crm topics apply); it waits for some", topic,
            )  # fmt: skip
        for topic in sorted(self._told_without - without):
            self.log.warning("The group gives this worker partitions of %s again", topic)
        self._told_without = without

    @property
    def join_error(self) -> BaseException | None:
        """The error for which the group cannot be joined; None: there is none.

        aiokafka keeps it until records are asked for, which Faust does after its start only: it would wait in vain.
        """
        return self._thread.join_error or self.fault

    @property
    def fault(self) -> BaseException | None:
        """The error for which the membership of the group has ended by itself; None: it goes on."""
        return self._thread.membership_error

    async def on_partitions_revoked(self, revoked: set[TP]) -> None:
        """Before a rebalance. Faust stops the flow first, so that no row comes in while the owner releases them."""
        await super().on_partitions_revoked(revoked)
        await self._release()

    async def on_stop(self) -> None:
        """The flow is stopped; the consumer is still a member of the group."""
        await self._release()
        await super().on_stop()

    async def perform_seek(self) -> None:
        """Take over what was assigned, once for each assignment; if that was done, go back to where its owner is.

        Faust resumes the flow after this, or after its time limit; the partitions stay paused until they are taken
        over. Records that were fetched while the flow was suspended were dropped, here or by Faust's stream.
        """
        if self._taking_over is None:
            if not self._assigned:
                return
            self.pause_partitions(self._assigned)
            self._taking_over = asyncio.ensure_future(self._take_over(self._assigned))
        elif self._taking_over.done() and (positions := self._owner.positions()):
            self._in_flight.forget()
            await self.seek_wait(positions)
        await asyncio.wait([self._taking_over])

    async def _take_over(self, assigned: frozenset[TP]) -> None:
        try:
            starts = await self._owner.assigned(assigned)
            await self.seek_wait(starts)
        except asyncio.CancelledError:
            raise
        except UserError as error:
            cast(App, self.app).refuse(error)
            return  # the partitions stay paused until the end
        except BaseException as error:
            hard_exit("partitions cannot be taken over", error)
        self.resume_partitions(assigned)

    async def _release(self) -> None:
        taking_over, self._taking_over = self._taking_over, None
        self._assigned = frozenset()
        hold_partitions(self.app.conf.id, 0)
        if taking_over is not None and not taking_over.done():
            taking_over.cancel()
            await asyncio.wait([taking_over])
        await self._owner.revoked()

    async def _commit(self, offsets: Mapping[TP, int]) -> bool:
        """Faust believes it committed, and drops its list of acknowledged offsets."""
        return True

    async def commit_marked(self, tp: TP, offset: int, metadata: str) -> bool:
        """Commit an offset with metadata. True only when the broker confirmed it; fenced by the group's generation."""
        return await self._thread.commit_marked(tp, offset, metadata)

    async def committed_marked(self, tp: TP) -> Committed | None:
        """The group's committed offset and its metadata. Raises KafkaError or TimeoutError."""
        return await self._thread.committed_marked(tp)

    async def bounds(self, tp: TP) -> tuple[int, int]:
        """The first offset that the partition still holds, and the one after its last. Raises as above."""
        return (await self.first_offsets([tp]))[tp], (await self.end_offsets([tp]))[tp]

    def known_end(self, tp: TP) -> KnownEnd | None:
        """The end of a partition as the last answer to a fetch told it: nobody is asked."""
        return self._thread.known_end(tp)

    async def first_offsets(self, partitions: Iterable[TP]) -> dict[TP, int]:
        """The first offset that each still holds. Raises as above."""
        return await self._thread.first_offsets(partitions)

    async def end_offsets(self, partitions: Iterable[TP]) -> dict[TP, int]:
        """The offset after the last record of each. Raises as above."""
        return await self._thread.end_offsets(partitions)

    def taken(self, batch: Batch) -> None:
        """The agent has taken a batch: there is room for others."""
        if batch.generation_id == self.app.consumer_generation_id:
            self._in_flight.taken(batch.size)

    def is_current(self, batch: Batch) -> bool:
        """Whether what is left of a batch is to be taken; if not, it comes again."""
        return self.app.flow_control.is_active() and batch.generation_id == self.app.consumer_generation_id

    async def _drain_messages(self, fetcher: Any) -> None:
        """Fetch, and hand the records of each poll to the agent as one message."""
        linger = cast(App, self.app).linger_seconds
        try:
            while not (self._stopped.is_set() or fetcher._stopped.is_set()):
                self.diag.set_flag(CONSUMER_FETCHING)
                await self._in_flight.until_room(lambda: self.flow_active and not self.should_stop)
                polled, active = await self._wait_next_records(1.0)
                if linger:  # each fetch costs as much as some dozens of records; before the next one goes out
                    self._thread.linger(linger if polled else 0.0)
                generation = self.app.consumer_generation_id
                await asyncio.sleep(0)
                if self.should_stop or not polled:
                    continue
                if not self.flow_active:
                    await self.perform_seek()
                    continue
                if new := {tp: each for tp, each in polled.items() if each and (active is None or tp in active)}:
                    await self._hand_over(Batch(new, generation))
                self.diag.unset_flag(CONSUMER_FETCHING)
        except (ConsumerStoppedError, asyncio.CancelledError):
            if not self.app.should_stop:
                raise
        finally:
            self.diag.unset_flag(CONSUMER_FETCHING)

    async def _hand_over(self, batch: Batch) -> None:
        if not self.flow_active or batch.generation_id != self.app.consumer_generation_id:
            return  # they come again: from where the partitions are taken over, or gone back to
        self._in_flight.handed_over(batch.size)
        await self.callback(batch)
        if self._n_acked >= (self._commit_every or self._n_acked + 1):
            self._n_acked = 0
            await self.commit()


class Transport(driver.Transport):
    """Kafka, with the consumer above."""

    Consumer = Consumer

    def __init__(self, url: list[URL], app: faust.App, owner: Owner) -> None:
        super().__init__(url, app)
        self.owner = owner


class Agent(faust.Agent):
    """An agent with one actor."""

    def __init__(self, *args: Any, concurrency: int = 1, **kwargs: Any) -> None:
        if concurrency != 1:
            raise ValueError(f"concurrency={concurrency}: rows would be taken out of order; scale by partitions")
        super().__init__(*args, concurrency=1, **kwargs)


class App(faust.App):
    """An app whose partitions belong to `owner`."""

    def __init__(
        self,
        id: str,  # noqa: A002  # Faust's name
        *,
        owner: Owner,
        on_refusal: Callable[[UserError], None] | None = None,
        linger_seconds: float = 0.0,
        **settings: Any,
    ) -> None:
        """`on_refusal`: told where the owner refuses what is assigned; None: that ends the process hard.
        `linger_seconds`: how long the brokers gather records for a fetch while they come few at a time."""
        refuse_other_versions()
        self.linger_seconds = linger_seconds
        self._on_refusal = on_refusal
        super().__init__(id, Agent=Agent, Monitor=QuietMonitor, **settings)
        self.transport = Transport(self.conf.broker_consumer, self, owner)

    def refuse(self, error: UserError) -> None:
        """End because the owner cannot take its partitions over, for a reason that a person can mend."""
        if self._on_refusal is None:
            hard_exit("partitions cannot be taken over", error)
        self._on_refusal(error)

    def _create_directories(self) -> None:
        pass

    @property
    def group(self) -> Consumer:
        """The membership of the consumer group: commits and offsets."""
        return cast(Consumer, self.consumer)
