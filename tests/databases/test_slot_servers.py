"""A PostgreSQL whose replication slot is gone: the capture is held until a person decides."""

# ruff: noqa: S608 (the names in the statements are the test's own)

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


async def _dropped(pbx: PostgreSqlInstallation) -> None:
    """Drop the slot, as soon as nobody uses it."""
    while pbx.root(f"SELECT active FROM pg_replication_slots WHERE slot_name = '{pbx.slot}' AND active"):
        pass
    pbx.root(f"SELECT pg_drop_replication_slot('{pbx.slot}')")
