"""One erasure from its plan to its certificate."""

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass

from connectors.sinks.jdbc.erasure import NewVersion, SinkErasure, erase_in
from streams.clock import UtcMicros, utc_now_ms
from streams.erasure.carrying_out import Done, carry_out, make_known, refuse_disobedient
from streams.erasure.certificate import Certificate, certificate_of, left_to_do
from streams.erasure.cluster import SOURCES, Cluster
from streams.erasure.inventory import Inventory
from streams.erasure.readings import OnRead, take_inventory
from streams.erasure.remains import obeyed_until
from streams.erasure.search import Search
from streams.erasure.waiting import ends_of, until_erased
from streams.kafka.erased_topic import FOLLOW_SECONDS
from streams.operations.connection import Connection
from streams.privacy.hashing import HashKey
from streams.replay.publishing import rules_in_force
from streams.topics import CEL

_MICROS = 1000


@dataclass(slots=True)
class Erasing:
    """The erasure of one number. Every method raises UserError: no broker, no such topic, no registry."""

    connection: Connection
    cluster: Cluster
    search: Search
    on_read: OnRead
    wait_seconds: float
    """How long the owners of delivery logs are waited for."""
    settle_seconds: float = 2 * FOLLOW_SECONDS
    """How long after the hash was made known a worker may still tell of the number: not yet read, or under way."""

    async def inventory(self) -> Inventory:
        """What holds the number now."""
        return await take_inventory(self.connection, self.search, self.on_read, self.cluster.configs.__contains__)

    async def refuse_disobedient(self, key: HashKey) -> None:
        """Raises UserError where an aggregate worker runs that does not know erased numbers."""
        if self.cluster.aggregate_workers:
            partitions = await self.connection.topics.partitions(self.connection.topic(CEL))
            refuse_disobedient(key, await rules_in_force(self.connection), partitions)

    def obeyed_until(self) -> UtcMicros:
        """Until when the hash is obeyed: all that could bring the number back is gone by then."""
        now = utc_now_ms()
        sources = self.cluster.gone({self.connection.topic(each): now for each in SOURCES}, now)
        return obeyed_until(sources, now, self.connection.settings.privacy.remember_days) * _MICROS

    async def run(self, found: Inventory, key: HashKey, by: str) -> Certificate:
        """Erase what was found, and what came meanwhile; told with all that is left."""
        known = await make_known(self.connection, self.search, key, found, self.obeyed_until(), by)
        told_at = time.monotonic()
        wanted = {(each.crm, each.call_id) for each in found.to_order()}
        ends = await ends_of(self.connection, wanted)
        done = await carry_out(self.connection, self.search, found, by)
        await until_erased(self.connection, wanted, ends, self._turns)
        if self.cluster.aggregate_workers:
            await asyncio.sleep(max(0.0, told_at + self.settle_seconds - time.monotonic()))
        after = await self.inventory()
        if after.to_rewrite(self.search) or after.letters:
            again = await carry_out(self.connection, self.search, after, by)
            done = Done(
                done.ordered + again.ordered, done.rewritten + again.rewritten, done.dropped + again.dropped,
                max(done.correction, again.correction),
            )  # fmt: skip
            after = await self.inventory()
        left = left_to_do(after, len(after.to_rewrite(self.search)), self.connection.settings)
        sinks = await self._sinks(after)
        lakes = {sink.called for sink in self.connection.settings.sinks if sink.in_lake}
        left += [
            f"sink {each.sink}: its database still holds it, see below"
            for each in sinks
            if each.statements and each.sink not in lakes
        ]
        now = utc_now_ms()
        gone = self.cluster.gone({topic: held.newest_ms for topic, held in after.topics.items()}, now)
        hashed = key.of(self.search.number), key.id
        told = (known.erased_at, known.until, by)
        return certificate_of(hashed, told, done, after, left, gone, sinks, self.connection.settings)

    async def _turns(self) -> AsyncIterator[None]:
        until = time.monotonic() + self.wait_seconds
        while True:
            yield
            if time.monotonic() >= until:
                return
            await asyncio.sleep(0.5)

    async def _sinks(self, after: Inventory) -> list[SinkErasure]:
        still = after.to_rewrite(self.search)
        calls = {
            name: NewVersion(*each.order, bool(each.legs)) for name, each in after.calls.items() if name not in still
        }
        return [await erase_in(sink, calls, after.letter_places) for sink in self.connection.settings.sinks]
