"""A database that was reset, restored or replaced, a purged binlog, lost positions and memories: on real servers."""

# ruff: noqa: S608 (the names in the statements are the test's own)

import asyncio
import json

import pytest
from aiokafka import AIOKafkaProducer

from connectors.apply import connect_client
from connectors.source import connector_name, topics_of
from deploy.local import LocalStack
from streams.topics import CAPTURE_STATE
from tests.connectors.capturing import (
    applied,
    captured,
    command,
    held_after_reset,
    looked_at,
    refusal,
    reported,
    started_afresh,
    until_logged,
    until_state,
    watching,
)
from tests.connectors.installation import Installation, installed

pytestmark = pytest.mark.servers


async def test_a_reset_binlog_is_noticed_though_its_gtids_have_grown_past_the_old_ones(stack: LocalStack) -> None:
    async with installed(stack) as pbx:
        # Statements stand in the binlog as they were sent, and are compared: this one is not valid UTF-8.
        columns, values = "(eventtype, uniqueid, linkedid)", "('CHAN_START', '1.0', '1.0')"
        insert = f"INSERT INTO {pbx.name}.cel {columns} VALUES {values} /* ÿþ */"
        pbx.root("RESET MASTER", "SET sql_mode = ''", insert, charset="latin1")
        await applied(pbx.settings)
        await captured(pbx, "1795480300.1")
        await looked_at(pbx)
        held = await held_after_reset(pbx, "RESET MASTER")
        assert "2026-11-23 21:02:03" in held["missing"]  # four hours before the last captured row: no call is cut
        assert "cel2crm connectors start-afresh" in await refusal(pbx.settings)
        status = await command(pbx, "status")
        assert (status.exit_code, "capture is held: its binlog file" in status.stdout) == (1, True)
        afresh = await command(pbx, "start-afresh", "--yes")
        assert (afresh.exit_code, "cel2crm backfill --since '2026-11-23 21:02:03'" in afresh.stdout) == (0, True)
        status = await command(pbx, "status", "--json")
        assert (status.exit_code, json.loads(status.stdout)["healthy"]) == (0, True)
        await captured(pbx, "1795480300.9")


async def test_a_stop_is_resumed_and_a_purged_binlog_stays_loud_until_one_command_heals_it(stack: LocalStack) -> None:
    async with installed(stack) as pbx:
        name = connector_name(pbx.settings)
        await applied(pbx.settings)
        async with connect_client(pbx.settings) as connect:
            await connect.stop(name)
            await until_state(pbx, "STOPPED")
            assert "it is STOPPED: nothing is captured" in str((await reported(pbx.settings)).faults)
            assert await applied(pbx.settings) == "resumed"
            await captured(pbx, "1795480300.1")
            await looked_at(pbx)
            await connect.stop(name)
            await until_state(pbx, "STOPPED")
        pbx.insert(["1795480300.2"])
        await pbx.purge_binlogs()
        async with connect_client(pbx.settings) as connect:
            await connect.resume(name)
        async with watching(pbx, silence_seconds=30) as lines:
            held = await until_logged(lines, "capture is held")
            await until_state(pbx, "STOPPED")
        assert "the binlog was purged before it was read" in held["reason"]
        assert not [line for line in lines if line["event"] == "restarted"]
        assert await started_afresh(pbx.settings) == "2026-11-23 21:02:03"
        async with watching(pbx, silence_seconds=30) as lines:
            await captured(pbx, "1795480300.3")
            await until_logged(lines, "connector runs")
        assert not [line for line in lines if line["log_level"] == "error"]


async def test_a_deleted_position_is_noticed_before_and_after_the_connector_begins_again(stack: LocalStack) -> None:
    async with installed(stack) as pbx:
        name = connector_name(pbx.settings)
        await applied(pbx.settings)
        await captured(pbx, "1795480300.1")
        await looked_at(pbx)
        async with connect_client(pbx.settings) as connect:
            await connect.stop(name)
            await until_state(pbx, "STOPPED")
            await connect.delete_offset(name)
            pbx.insert(["1795480300.2"])
            assert "has lost its position" in await refusal(pbx.settings)
            await connect.resume(name)
            await until_state(pbx, "RUNNING")
            while not await connect.offset(name):  # noqa: ASYNC110
                await asyncio.sleep(0.2)
        assert "began again at" in str((await reported(pbx.settings)).faults)
        async with watching(pbx, silence_seconds=30) as lines:
            held = await until_logged(lines, "capture is held")
            await until_state(pbx, "STOPPED")
        assert "began again at" in held["reason"]


async def test_lost_memories_are_told_and_compared_with_the_topic_first(stack: LocalStack) -> None:
    async with installed(stack) as pbx:
        await applied(pbx.settings)
        await captured(pbx, "1795480300.1")
        await forgotten(pbx)
        told = await reported(pbx.settings)
        assert told.healthy
        [line] = [each for each in told.lines() if "nothing was remembered" in each]
        assert "stands in the table as captured" in line
        await looked_at(pbx)
        await pbx.empty_topic(topics_of(pbx.settings)["topics.schema-history"])
        told = await reported(pbx.settings)
        assert "the schema history topic has lost records" in told.faults[0].problem
        async with connect_client(pbx.settings) as connect:
            await connect.restart(connector_name(pbx.settings), only_failed=False)
        async with watching(pbx, silence_seconds=30) as lines:
            held = await until_logged(lines, "capture is held")
            await until_state(pbx, "STOPPED")
        assert held["reason"] == "the schema history topic has lost its records"
        await forgotten(pbx)
        pbx.root("RESET MASTER")
        pbx.insert(["1795480300.2"])
        assert "its binlog has gone back" in await refusal(pbx.settings)


async def forgotten(pbx: Installation) -> None:
    """Take the record of what is remembered away."""
    producer = AIOKafkaProducer(bootstrap_servers=pbx.settings.kafka.bootstrap_servers)
    await producer.start()
    try:
        await producer.send_and_wait(pbx.settings.kafka.topic(CAPTURE_STATE), None, key=pbx.name.encode())
    finally:
        await producer.stop()
