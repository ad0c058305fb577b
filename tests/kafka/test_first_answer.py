"""Brokers that are silent keep no client from starting."""

import asyncio
import socket
from collections.abc import Callable, Coroutine
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka.client import AIOKafkaClient
from aiokafka.errors import KafkaConnectionError

from streams.kafka import bootstrap, login
from streams.kafka.client import Unreachable
from streams.kafka.first_answer import first_answer
from streams.kafka.reach import reached
from streams.settings import KafkaSettings

Question = Callable[[], Coroutine[Any, Any, str | None]]


def says(answer: str | None) -> Question:
    async def ask() -> str | None:
        return answer

    return ask


async def silent() -> str | None:
    await asyncio.Event().wait()
    raise AssertionError


async def test_a_silent_one_is_waited_for_beside_the_next() -> None:
    dropped: list[str] = []
    async with asyncio.timeout(5):
        assert await first_answer([silent, says(None), says("b"), says("c")], dropped.append, next_seconds=0.01) == "b"
        assert await first_answer([says(None), says(None)], dropped.append) is None
    assert dropped == [], "the third was not asked"


async def test_a_second_answer_of_the_same_moment_is_dropped() -> None:
    both, dropped = asyncio.Event(), list[str]()

    def once(answer: str) -> Question:
        async def ask() -> str | None:
            await both.wait()
            return answer

        return ask

    asyncio.get_running_loop().call_later(0.1, both.set)
    async with asyncio.timeout(5):
        found = await first_answer([once("a"), once("b")], dropped.append, next_seconds=0.01)
    assert {found, *dropped} == {"a", "b"}


async def test_an_error_of_a_question_is_raised_and_nothing_goes_on() -> None:
    async def fails() -> str | None:
        raise RuntimeError

    with pytest.raises(RuntimeError):
        await first_answer([silent, fails], print, next_seconds=0.01)
    assert asyncio.all_tasks() == {asyncio.current_task()}


class Connection:
    """Of a broker that answers, or not."""

    def __init__(self, brokers: dict[str, "Connection"], host: str) -> None:
        self.closed = False
        brokers[host] = self

    async def send(self, _: object) -> str:
        return "metadata"

    def close(self) -> None:
        self.closed = True


@pytest.mark.parametrize("known", [True, False])
async def test_a_client_starts_by_the_broker_that_answers(known: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    made: dict[str, Connection] = {}

    async def create(host: str, port: int, **_: Any) -> Connection:
        if host == "silent":
            await asyncio.Event().wait()
        if host == "closed":
            raise ConnectionRefusedError
        return Connection(made, host)

    monkeypatch.setattr(bootstrap, "create_conn", create)
    monkeypatch.setattr(bootstrap, "first_answer", lambda asked, drop: first_answer(asked, drop, next_seconds=0.01))
    async with asyncio.timeout(5):
        client = AIOKafkaClient(bootstrap_servers="silent:1,closed:1,open:1")
        updated: list[str] = []
        client.cluster = SimpleNamespace(update_metadata=updated.append, brokers=lambda: ["b"] if known else [])
        await bootstrap.bootstrap(client)
        assert updated == ["metadata"]
        assert made["open"].closed == known, "kept where the cluster names no broker yet"
        client._sync_task.cancel()
        lost = AIOKafkaClient(bootstrap_servers="closed:1,closed:2")
        with pytest.raises(KafkaConnectionError, match="Unable to bootstrap"):
            await bootstrap.bootstrap(lost)


def test_every_client_of_the_product_starts_so() -> None:
    login.client_options(KafkaSettings())
    assert AIOKafkaClient.bootstrap is bootstrap.bootstrap


async def test_a_silent_broker_keeps_no_other_from_being_reached() -> None:
    """A listener that takes connections and says nothing: a process that stands still."""
    with socket.create_server(("127.0.0.1", 0)) as hanging:
        port = hanging.getsockname()[1]
        began = asyncio.get_running_loop().time()
        with pytest.raises(Unreachable):
            async with reached(KafkaSettings(bootstrap_servers=f"127.0.0.1:{port},127.0.0.1:{port}"), seconds=2.0):
                raise AssertionError
        assert 2.0 <= asyncio.get_running_loop().time() - began < 3.9, "asked one after the other"
