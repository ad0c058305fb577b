"""PostgreSQL that changes under the capture: a failover to a standby, ALTER TABLE, purges, a table by partitions."""

import asyncio
import json

import pytest

from deploy.local import LocalStack
from streams.kafka.topic_client import KafkaTopics
from streams.operations.backfill import signals_of
from tests.connectors.capturing import (
    applied,
    captured,
    command,
    looked_at,
    refusal,
    reported,
    until_logged,
    until_state,
    watching,
)
from tests.connectors.postgresql_installation import LOGICAL, PostgreSqlInstallation, installed_in_postgresql
from tests.sources import postgresql

pytestmark = pytest.mark.servers


async def keys(pbx: PostgreSqlInstallation) -> list[str]:
    """The linkedids of the rows on the topic."""
    async with KafkaTopics(pbx.settings.kafka) as topics:
        return sorted([(record.key or b"").decode() async for record in topics.read(pbx.topic)])


async def test_a_promoted_standby_without_the_slot_is_told_and_every_row_comes_in_the_end(stack: LocalStack) -> None:
    if (programs := postgresql.programs()) is None:
        pytest.skip("PostgreSQL is not installed")
    with postgresql.running(programs, *LOGICAL) as primary:
        async with installed_in_postgresql(stack, primary) as pbx:
            await applied(pbx.settings)
            await captured(pbx, "1795480300.1")
            await looked_at(pbx)
            with postgresql.standby(programs, primary, *LOGICAL) as second:
                async with watching(pbx, silence_seconds=30) as lines:
                    await _until_followed(primary, second)
                    await asyncio.to_thread(primary.stop)
                    second.run("SELECT pg_promote()")
                    # The name that the PBX writes to leads to the other server now: here, its port.
                    await asyncio.to_thread(second.stop)
                    await asyncio.to_thread(second.start)
                    pbx.insert(["1795480300.2"])  # while nobody reads: no slot keeps it
                    held = await until_logged(lines, "capture is held")
                    await until_state(pbx, "STOPPED")
                assert f"there is no replication slot {pbx.slot} any more" in held["reason"]
                assert "2026-11-23 21:02:03" in held["missing"]
                assert "cel2crm connectors start-afresh" in held["remedy"]
                told = str((await reported(pbx.settings)).faults)
                assert "capture is held" in told and "cel2crm connectors start-afresh" in told
                assert f"there is no replication slot {pbx.slot}" in await refusal(pbx.settings)
                pbx.root(f"SELECT pg_create_logical_replication_slot('{pbx.slot}', 'pgoutput')")
                assert "the capture must not go on" in await refusal(pbx.settings)
                afresh = await command(pbx, "start-afresh", "--yes")
                assert (afresh.exit_code, "cel2crm backfill --since '2026-11-23 21:02:03'" in afresh.stdout) == (
                    0,
                    True,
                )
                await captured(pbx, "1795480300.3")
                assert await keys(pbx) == ["1795480300.1", "1795480300.3"]
                # The backfill that it names asks for the calls of that time by their linkedids.
                async with KafkaTopics(pbx.settings.kafka) as topics:
                    await topics.send(signals_of(pbx.settings, ["1795480300.2"]))
                rows = [json.loads(record.value) for record in await pbx.records(3)]
                assert [row["linkedid"] for row in rows if row["__op"] == "r"] == ["1795480300.2"]
                assert (await reported(pbx.settings)).healthy


async def _until_followed(primary: postgresql.Server, second: postgresql.Server) -> None:
    """Wait until the standby has all that the primary has written so far."""
    ((end,),) = primary.rows("SELECT pg_current_wal_lsn()")
    async with asyncio.timeout(30):
        while not second.rows(f"SELECT 1 WHERE pg_last_wal_replay_lsn() >= '{end}'"):  # noqa: ASYNC110
            await asyncio.sleep(0.1)


async def test_a_table_that_is_changed_and_purged_meanwhile_loses_nothing(
    stack: LocalStack, server: postgresql.Server
) -> None:
    async with installed_in_postgresql(stack, server) as pbx:
        await applied(pbx.settings)
        await captured(pbx, "1795480300.1")
        pbx.root("ALTER TABLE cel ADD COLUMN site int DEFAULT 7")
        await captured(pbx, "1795480300.2")
        pbx.root("ALTER TABLE cel ALTER COLUMN appdata TYPE text", "DELETE FROM cel")
        await captured(pbx, "1795480300.3")
        await looked_at(pbx)
        rows = {row["linkedid"]: row for row in [json.loads(record.value) for record in await pbx.records(3)]}
        assert [rows[f"1795480300.{n}"].get("site") for n in (1, 2, 3)] == [None, 7, 7]
        assert {row["__op"] for row in rows.values()} == {"c"}
        # A column that is read: what the calls lack is told, with the setting for its new name.
        pbx.root("ALTER TABLE cel RENAME COLUMN eventextra TO more")
        assert "cel has no column eventextra: check database.column_name_aliases.cel_extra" in await refusal(
            pbx.settings
        )


async def test_partitions_come_as_one_table_and_one_that_is_dropped_is_a_purge(
    stack: LocalStack, server: postgresql.Server
) -> None:
    async with installed_in_postgresql(stack, server) as pbx:
        pbx.root(
            "ALTER PUBLICATION cel2crm DROP TABLE cel",
            "ALTER TABLE cel RENAME TO old",
            "CREATE TABLE cel (LIKE old INCLUDING DEFAULTS) PARTITION BY RANGE (id)",
            "ALTER TABLE cel ADD PRIMARY KEY (id)",
            "CREATE TABLE cel_1 PARTITION OF cel FOR VALUES FROM (1) TO (3)",
            "CREATE TABLE cel_2 PARTITION OF cel FOR VALUES FROM (3) TO (100)",
            f"GRANT SELECT ON cel TO {pbx.name}",
            "ALTER PUBLICATION cel2crm ADD TABLE cel",
        )
        assert "publish_via_partition_root" in await refusal(pbx.settings)
        pbx.root("ALTER PUBLICATION cel2crm SET (publish_via_partition_root = true)")
        await applied(pbx.settings)
        await captured(pbx, "1795480300.1", "1795480300.2")
        await looked_at(pbx)
        pbx.root("DROP TABLE cel_1")
        await captured(pbx, "1795480300.3")
        await looked_at(pbx)
        assert (await reported(pbx.settings)).healthy
