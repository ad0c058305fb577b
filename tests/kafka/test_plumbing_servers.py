"""Fenced log and producer on a real broker; and what a worker says to a person who made a mistake."""

import asyncio
import gc
import socket
import subprocess
import sys
import uuid
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import urlsplit

import pytest
import yaml
from aiokafka.errors import KafkaTimeoutError

from streams.kafka import client, producer
from streams.kafka.fenced_log import Fenced, FencedLog, StoredRecord
from streams.kafka.producer import IdempotentProducer
from tests.brokers import brokers
from tests.chaos.links import Links
from tests.worker_installation import Installation, NewInstallation, Tail

if TYPE_CHECKING:
    from deploy.local import LocalStack


class Ended(BaseException):
    """Stands in for the hard end of the process."""


@pytest.fixture
async def installation(install: NewInstallation) -> AsyncIterator[Installation]:
    async with install() as made:
        yield made


def log_of(installation: Installation, partition: int = 1) -> FencedLog:
    topic = installation.topic("aggregate-checkpoints")
    return FencedLog(brokers(installation.bootstrap_servers), topic, partition, f"{topic}-{partition}")


@pytest.mark.servers
async def test_a_log_gives_the_last_value_of_each_key_without_tombstones(installation: Installation) -> None:
    log = await log_of(installation).fence()
    assert await log.read() == {}
    assert await log.write([(b"one", b"1"), (b"two", b"2")])
    assert await log.write([(b"one", b"3"), (b"two", None)])
    await log.close()
    successor = await log_of(installation).fence()
    assert await successor.read() == {b"one": b"3"}
    await successor.close()


@pytest.mark.servers
async def test_the_earlier_writer_of_a_fenced_log_is_told_so_and_leaves_nothing(installation: Installation) -> None:
    earlier = await log_of(installation).fence()
    assert await earlier.write([(b"key", b"before")])
    later = await log_of(installation).fence()
    with pytest.raises(Fenced):
        await earlier.write([(b"key", b"zombie")])
    assert await later.read() == {b"key": b"before"}
    await earlier.close()
    await later.close()


@pytest.mark.servers
async def test_a_fenced_writer_leaves_no_error_behind_that_nobody_looked_at(installation: Installation) -> None:
    loop = asyncio.get_running_loop()
    handler, unseen = loop.get_exception_handler(), list[dict[str, Any]]()
    loop.set_exception_handler(lambda _, context: unseen.append(context))
    try:
        earlier = await log_of(installation).fence()
        assert await earlier.write([(b"key", b"before")])
        later = await log_of(installation).fence()
        with pytest.raises(Fenced):
            await earlier.write([(b"key", b"zombie"), (b"other", b"zombie")])
        await earlier.close()
        await later.close()
        del earlier, later
        await asyncio.sleep(0)
        gc.collect()  # asyncio tells of an error that nobody looked at when its future goes
        await asyncio.sleep(0)
    finally:
        loop.set_exception_handler(handler)
    assert unseen == []


@pytest.mark.servers
async def test_a_log_is_written_to_its_own_partition_only(installation: Installation) -> None:
    log = await log_of(installation, partition=3).fence()
    await log.write([(b"key", b"value")])
    await log.close()
    other = await log_of(installation, partition=2).fence()
    assert await other.read() == {}
    await other.close()


@pytest.mark.servers
async def test_single_records_of_a_log_are_found_by_their_offsets(installation: Installation) -> None:
    log = await log_of(installation).fence()
    headers = [("schema", b"s/1")]
    offsets = [
        *(await log.write([(b"one", b"1"), (b"two", b"2")], headers=headers) or ()),
        *(await log.write([(b"one", b"3")]) or ()),
    ]
    wanted = [StoredRecord(b"one", b"1", b"s/1"), StoredRecord(b"two", b"2", b"s/1"), StoredRecord(b"one", b"3", None)]
    for turn in (1, -1):
        for offset, record in list(zip(offsets, wanted, strict=True))[::turn]:
            assert await log.read_at(offset) == record
    marker = offsets[1] + 1  # where a transaction ends stands no record: the next one is another's
    assert marker not in offsets and await log.read_at(marker) is None
    seen: list[tuple[bytes, int]] = []
    await log.scan(lambda record: seen.append((record.key, record.offset)))
    assert seen == list(zip((b"one", b"two", b"one"), offsets, strict=True))
    await log.close()


@pytest.mark.servers
async def test_a_transaction_that_fails_may_be_tried_again(installation: Installation) -> None:
    log = await log_of(installation).fence()
    too_large = b"x" * (client.MAX_RECORD_BYTES + 1)
    assert not await log.write([(b"small", b"1"), (b"large", too_large)])
    assert await log.read() == {}
    assert await log.write([(b"small", b"1")])
    assert await log.read() == {b"small": b"1"}
    await log.close()


@pytest.mark.servers
async def test_a_record_of_many_times_a_fetch_is_read_complete(installation: Installation) -> None:
    log = await log_of(installation).fence()
    large = b"x" * (client.MAX_RECORD_BYTES - 1024)
    assert await log.write([(b"large", large)])
    assert await log.write([(b"small", b"1")])
    assert await log.read() == {b"large": large, b"small": b"1"}
    await log.close()


@pytest.mark.servers
async def test_drain_waits_for_everything_sent_before(installation: Installation) -> None:
    out = IdempotentProducer(brokers(installation.bootstrap_servers))
    await out.start()
    sent = [await out.send(installation.topic("call-legs"), b"k", b"%d" % number) for number in range(500)]
    await out.drain()
    assert all(future.done() and future.exception() is None for future in sent)
    assert out.waiting == 0
    await out.stop()
    async with Tail(installation.bootstrap_servers, installation.topic("call-legs")) as tail:
        await tail.until(lambda records: len(records) == len(sent))


async def test_a_record_that_is_not_taken_ends_the_process_hard(monkeypatch: pytest.MonkeyPatch) -> None:
    ends: list[tuple[str, BaseException | None]] = []
    monkeypatch.setattr(producer, "hard_exit", lambda problem, error=None: ends.append((problem, error)))
    answer: asyncio.Future[object] = asyncio.get_running_loop().create_future()
    answer.add_done_callback(IdempotentProducer(brokers("127.0.0.1:1"))._answered)
    answer.set_exception(error := KafkaTimeoutError())
    await asyncio.wait([answer])
    await asyncio.sleep(0)
    assert ends == [("a record was not taken by the brokers", error)]


async def test_a_record_that_cannot_be_handed_over_ends_the_process_hard(monkeypatch: pytest.MonkeyPatch) -> None:
    class Producer:
        async def send(self, *_: object, **__: object) -> None:
            raise KafkaTimeoutError

    def end(problem: str, error: BaseException | None = None) -> None:
        raise Ended(problem)

    monkeypatch.setattr(producer, "hard_exit", end)
    out = IdempotentProducer(brokers("127.0.0.1:1"))
    monkeypatch.setattr(out, "_producer", Producer())
    with pytest.raises(Ended, match="for letters could not be sent"):
        await out.send("letters", None, b"value")


async def test_a_hard_end_has_its_own_status_and_says_why() -> None:
    code = "from streams.kafka.hard_exit import hard_exit; hard_exit('the reason', ValueError('cause'))"
    ended = await asyncio.to_thread(subprocess.run, [sys.executable, "-c", code], capture_output=True, check=False)
    assert ended.returncode == 70
    assert b"the reason" in ended.stdout + ended.stderr
    assert b"cause" in ended.stdout + ended.stderr


async def run_worker(tree: dict[str, object], directory: Path) -> tuple[int, str]:
    file = directory / "settings.yaml"
    file.write_text(yaml.safe_dump(dict(tree)), encoding="utf-8")
    command = [sys.executable, "-m", "streams.cli.main", "worker", "aggregate", "-s", str(file)]
    ended = await asyncio.to_thread(subprocess.run, command, capture_output=True, check=False, timeout=60)
    return ended.returncode, ended.stderr.decode()


class Running:
    """A worker process, and what it has said so far. Use in `with`."""

    def __init__(self, tree: Mapping[str, object], directory: Path, code: str = "") -> None:
        """`code`: run instead of the command, with the path of the settings as its argument."""
        file = directory / "running.yaml"
        file.write_text(yaml.safe_dump(dict(tree)), encoding="utf-8")
        self._log = directory / "running.log"
        arguments = (
            ["-c", code, str(file)] if code else ["-m", "streams.cli.main", "worker", "aggregate", "-s", str(file)]
        )
        with self._log.open("wb") as log:
            self.process = subprocess.Popen([sys.executable, *arguments], stdout=log, stderr=log)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()

    @property
    def said(self) -> str:
        return self._log.read_text(encoding="utf-8")

    async def until_said(self, words: str) -> None:
        await self.until(lambda: words in self.said)

    async def until(self, is_so: Callable[[], bool], seconds: float = 60.0) -> None:
        """Wait until something is so while the worker runs."""
        async with asyncio.timeout(seconds):
            while not is_so():
                assert self.process.poll() is None, self.said
                await asyncio.sleep(0.1)

    async def ended(self, seconds: float = 60.0) -> int:
        return await asyncio.to_thread(self.process.wait, seconds)


async def test_a_broker_that_is_away_is_waited_for_until_a_signal(tmp_path: Path) -> None:
    with Links() as links:
        broker = links.open("kafka", target_port=0)
        links.cut("kafka")
        with Running(
            {"kafka": {"bootstrap_servers": broker.address}, "logging": {"format": "json"}}, tmp_path
        ) as worker:
            await worker.until_said("waiting for a broker")
            tried = broker.accepted
            await worker.until(lambda: broker.accepted >= tried + 2)
            await ended_by_signal(worker, broker.address)


async def ended_by_signal(worker: Running, address: str) -> None:
    """The worker ends when it is told to, having said once what it waits for."""
    worker.process.terminate()
    assert await worker.ended(10) == 0
    [told] = [line for line in worker.said.splitlines() if "waiting for a broker" in line]
    assert f"no Kafka broker at {address}" in told and "kafka.bootstrap_servers" in told
    assert "Traceback" not in worker.said


@pytest.mark.servers
async def test_a_worker_starts_when_its_broker_comes_back_also_if_it_goes_again_before_the_join(
    installation: Installation, tmp_path: Path
) -> None:
    where = urlsplit(installation.tree["registry"]["url"])
    with Links() as links:
        broker = links.open("kafka", int(installation.bootstrap_servers.rpartition(":")[2]))
        registry = links.open("registry", where.port or 80)
        links.cut("kafka")
        registry.silent = True
        tree = {**installation.tree, "registry": {"url": where._replace(netloc=registry.address).geturl()}}
        tree["kafka"] = {**tree["kafka"], "bootstrap_servers": broker.address}
        with Running(tree, tmp_path) as worker:
            await worker.until_said("waiting for a broker")
            links.restore("kafka")
            # The topics are looked at before the registry is asked; the producer and the group come next.
            await worker.until(lambda: registry.accepted > 0)
            links.cut("kafka")
            registry.silent = False
            await worker.until_said("begins anew")
            links.restore("kafka")
            await worker.until_said('"started"')
            worker.process.terminate()
            assert await worker.ended(40) == 0


NO_SESSION = """
import sys
from pathlib import Path
from streams.errors import UserError
from streams.kafka import worker_runtime
from streams.settings import load_settings
from streams.workers.aggregate.worker import AggregateWorker

settings = load_settings(Path(sys.argv[1]))
worker = settings.worker.model_copy(update={"session_timeout_seconds": 100_000.0})
settings = settings.model_copy(update={"worker": worker})
worker_runtime.run(settings, [AggregateWorker(settings)])
"""
"""A worker whose session no broker allows: its join fails for good, inside Faust's start."""


@pytest.mark.servers
async def test_a_start_that_fails_inside_faust_ends_with_its_message(
    installation: Installation, tmp_path: Path
) -> None:
    with Running(installation.tree, tmp_path, NO_SESSION) as worker:
        assert await worker.ended() == 2
        assert "cannot be joined" in worker.said
        assert "InvalidSessionTimeoutError" in worker.said
        assert "worker.session_timeout_seconds" in worker.said.splitlines()[-1]


@pytest.mark.servers
async def test_a_signal_ends_a_start_that_waits_for_what_does_not_answer(
    installation: Installation, tmp_path: Path
) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        silent.settimeout(60)
        with Running({**installation.tree, "registry": {"url": url}}, tmp_path) as worker:
            connection, _ = await asyncio.to_thread(silent.accept)
            with closing(connection):
                worker.process.terminate()
                assert await worker.ended(10) == 0


@pytest.mark.servers
async def test_missing_topics_are_one_clear_message(stack: "LocalStack", tmp_path: Path) -> None:
    prefix = f"t{uuid.uuid4().hex[:8]}"
    kafka = {"bootstrap_servers": stack.endpoints.bootstrap_servers, "topic_prefix": prefix}
    status, said = await run_worker({"kafka": kafka}, tmp_path)
    assert status == 2
    assert f"{prefix}.cel" in said
    assert "cel2crm topics apply" in said
    assert "Traceback" not in said


@pytest.mark.servers
async def test_a_metrics_port_in_use_is_one_clear_message(
    installation: Installation, stack: "LocalStack", tmp_path: Path
) -> None:
    taken = int(stack.endpoints.bootstrap_servers.rpartition(":")[2])
    status, said = await run_worker({**installation.tree, "worker": {"metrics_port": taken}}, tmp_path)
    assert status == 2
    assert f"metrics cannot be served on 127.0.0.1:{taken}" in said
    assert "Traceback" not in said
