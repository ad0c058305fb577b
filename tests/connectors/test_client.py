"""The client of Kafka Connect, against a Connect that does what is asked of it."""

import pytest
from aiohttp.test_utils import TestServer, unused_port

from connectors.client import ConnectClient, ConnectUnreachable
from streams.errors import UserError
from tests.connectors.fake_connect import FakeConnect, client_of

CONFIG = {"connector.class": "io.example.Source", "database.hostname": "db", "database.password": "${file:/p:k}"}


async def test_applying_twice_changes_nothing() -> None:
    fake = FakeConnect("RUNNING")
    async with client_of(fake) as client:
        answers = [
            await client.apply("c", CONFIG),
            await client.apply("c", CONFIG),
            await client.apply("c", CONFIG | {"a": "1"}),
        ]
    assert (answers, fake.puts) == (["created", "unchanged", "updated"], 2)


async def test_a_rebalance_is_waited_out() -> None:
    fake = FakeConnect("RUNNING")
    fake.conflicts = fake.expected_rebalances = 1
    async with client_of(fake) as client:
        assert await client.apply("c", CONFIG) == "created"


async def test_a_failed_task_is_one_line() -> None:
    async with client_of(FakeConnect("FAILED")) as client:
        status = await client.status("c")
    assert status is not None
    assert not status.running
    assert [failure.reason for failure in status.failures] == [
        "the database refuses user cel2crm: wrong password, or no such user"
    ]


async def test_a_connector_that_is_not_there_has_no_status_and_is_not_deleted() -> None:
    async with client_of(FakeConnect("MISSING")) as client:
        assert await client.status("c") is None
        assert await client.config("c") is None
        assert await client.delete("c") is False


async def test_faults_name_the_field_and_never_the_secret() -> None:
    async with client_of(FakeConnect("RUNNING")) as client:
        faults = await client.validate(CONFIG)
    assert len(faults) == 2
    assert faults[0].startswith("database.hostname = db: the database refuses user cel2crm")
    assert faults[1] == "database.password: *** is too short"


async def test_a_stopped_connector_is_created_asked_for_its_position_and_resumed() -> None:
    fake = FakeConnect("RUNNING")
    async with client_of(fake) as client:
        assert await client.offset("c") is None
        await client.create_stopped("c", CONFIG)
        assert (await client.status("c") or pytest.fail()).state == "STOPPED"
        fake.offset = {"file": "binlog.000001", "pos": 4, "gtids": "0-1-8"}
        assert await client.offset("c") == fake.offset
        await client.delete_offset("c")
        assert await client.offset("c") == {}
        await client.resume("c")
        assert (await client.status("c") or pytest.fail()).running


async def test_no_connect_is_one_clear_message() -> None:
    port = unused_port()
    async with ConnectClient(f"http://user:hunter2@127.0.0.1:{port}") as client:
        with pytest.raises(ConnectUnreachable, match=rf"no Kafka Connect at http://127\.0\.0\.1:{port} ") as caught:
            await client.status("c")
    assert "hunter2" not in str(caught.value)
    assert "connect.url" in caught.value.remedy


async def test_another_server_is_not_taken_for_connect() -> None:
    server = TestServer(FakeConnect("RUNNING").app())
    async with server, ConnectClient(str(server.make_url("/elsewhere"))) as client:
        with pytest.raises(UserError, match="cannot apply connector c: HTTP 404"):
            await client.apply("c", CONFIG)
