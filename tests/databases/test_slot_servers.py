"""A PostgreSQL whose replication slot is gone: the capture is held until a person decides."""

# ruff: noqa: S608 (the names in the statements are the test's own)

import asyncio

import pytest

from connectors.apply import connect_client
from connectors.source import connector_name
from deploy.local import LocalStack
from tests.connectors.capturing import (
    applied,
    captured,
    command,
    looked_at,
    refusal,
    reported,
    started_afresh,
    until_logged,
    until_state,
    watching,
)
from tests.connectors.postgresql_installation import PostgreSqlInstallation, installed_in_postgresql
from tests.sources import postgresql

pytestmark = pytest.mark.servers


async def test_a_slot_that_is_gone_holds_the_capture_until_it_is_started_afresh(
    stack: LocalStack, server: postgresql.Server
) -> None:
    async with installed_in_postgresql(stack, server) as pbx:
        name = connector_name(pbx.settings)
        await applied(pbx.settings)
        pbx.root("UPDATE cel SET exten = ''", "DELETE FROM cel")
        await captured(pbx, "1795480300.1")
        await looked_at(pbx)
        status = await command(pbx, "status")
        assert (status.exit_code, f"replication slot {pbx.slot}: in use" in status.stdout) == (0, True)
        async with connect_client(pbx.settings) as connect:
            await connect.stop(name)
            await until_state(pbx, "STOPPED")
            pbx.insert(["1795480300.2"])
            await _dropped(pbx)
            assert f"there is no replication slot {pbx.slot}" in await refusal(pbx.settings)
            await connect.resume(name)
        async with watching(pbx, silence_seconds=30) as lines:
            held = await until_logged(lines, "capture is held")
            await until_state(pbx, "STOPPED")
        assert "replication slot" in held["reason"] and "cel2crm connectors start-afresh" in held["remedy"]
        pbx.root(f"SELECT pg_create_logical_replication_slot('{pbx.slot}', 'pgoutput')")
        assert "the capture must not go on" in await refusal(pbx.settings)
        assert await started_afresh(pbx.settings) == "2026-11-23 21:02:03"
        await captured(pbx, "1795480300.3")
        deleted = await command(pbx, "delete")
        assert f"SELECT pg_drop_replication_slot('{pbx.slot}')" in deleted.output


async def test_a_server_that_is_restarted_loses_nothing(stack: LocalStack, server: postgresql.Server) -> None:
    async with installed_in_postgresql(stack, server) as pbx:
        await applied(pbx.settings)
        await captured(pbx, "1795480300.1")
        async with watching(pbx, silence_seconds=30):
            await asyncio.to_thread(server.stop)
            await asyncio.to_thread(server.start)
            pbx.root("TRUNCATE cel RESTART IDENTITY")
            pbx.insert(["1795480300.2"])
            keys = sorted(record.key for record in await pbx.records(2))
        assert keys == [b"1795480300.1", b"1795480300.2"]
        await looked_at(pbx)  # ids that begin again after a TRUNCATE are legal


async def test_a_slot_that_kept_too_much_is_told_before_and_after_the_server_gives_it_up(stack: LocalStack) -> None:
    if (programs := postgresql.programs()) is None:
        pytest.skip("PostgreSQL is not installed")
    options = ("wal_level=logical", "max_slot_wal_keep_size=64MB", "max_wal_size=64MB")
    with postgresql.running(programs, *options) as small:
        async with installed_in_postgresql(stack, small) as pbx:
            await applied(pbx.settings)
            await captured(pbx, "1795480300.1")
            await looked_at(pbx)
            async with connect_client(pbx.settings) as connect:
                await connect.stop(connector_name(pbx.settings))
                await until_state(pbx, "STOPPED")
            pbx.insert(["1795480300.2"])
            _switch_wal(pbx, 3)
            (told,) = [each for each in (await reported(pbx.settings)).faults if "WAL" in each.problem]
            assert "the server gives it up, and rows are missing" in told.problem
            assert "cel2crm connectors apply" in told.remedy
            _switch_wal(pbx, 8)
            assert f"replication slot {pbx.slot} has been given up by the server" in await refusal(pbx.settings)
            async with connect_client(pbx.settings) as connect:
                await connect.resume(connector_name(pbx.settings))
            async with watching(pbx, silence_seconds=30) as lines:
                held = await until_logged(lines, "capture is held")
                await until_state(pbx, "STOPPED")
            assert f"given replication slot {pbx.slot} up" in held["reason"]
            await _dropped(pbx)
            pbx.root(f"SELECT pg_create_logical_replication_slot('{pbx.slot}', 'pgoutput')")
            assert await started_afresh(pbx.settings) == "2026-11-23 21:02:03"
            await captured(pbx, "1795480300.3")


def _switch_wal(pbx: PostgreSqlInstallation, segments: int) -> None:
    """Fill so many segments of WAL (16 MB each), and let the server look at its slots."""
    for _ in range(segments):
        pbx.root("SELECT pg_logical_emit_message(false, 'test', '')", "SELECT pg_switch_wal()")
    pbx.root("CHECKPOINT")


async def _dropped(pbx: PostgreSqlInstallation) -> None:
    """Drop the slot, as soon as nobody uses it."""
    while pbx.root(f"SELECT active FROM pg_replication_slots WHERE slot_name = '{pbx.slot}' AND active"):
        pass
    pbx.root(f"SELECT pg_drop_replication_slot('{pbx.slot}')")
