"""What the workers override of Faust and aiokafka, pinned: an upgrade fails here first.

When a hash differs: read what upstream changed in that method, follow it in streams/kafka/faust_overrides.py where it
matters, and write the new hash down.
"""

import asyncio
import hashlib
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

import faust
import pytest
from aiokafka.client import AIOKafkaClient
from aiokafka.cluster import ClusterMetadata
from aiokafka.consumer.consumer import AIOKafkaConsumer
from aiokafka.consumer.fetcher import Fetcher as RecordFetcher
from aiokafka.consumer.group_coordinator import GroupCoordinator
from aiokafka.producer.message_accumulator import MessageAccumulator, MessageBatch
from aiokafka.producer.transaction_manager import TransactionManager
from faust.app.base import App as FaustApp
from faust.tables.recovery import Recovery
from faust.transport.conductor import Conductor, ConductorCompiler
from faust.transport.consumer import Consumer as BaseConsumer
from faust.transport.consumer import Fetcher
from faust.transport.drivers import aiokafka as driver
from faust.types import TP
from mode.threads import ServiceThread
from prometheus_client import REGISTRY

from streams.errors import UserError
from streams.kafka import bootstrap, faust_overrides, gone_topics
from streams.kafka.faust_overrides import Agent, Consumer, refuse_other_versions
from streams.settings import Settings
from streams.topics import CEL, DELIVERY_COMMANDS
from tests.kafka.unstarted import IdleOwner, unstarted

UPSTREAM: dict[Callable[..., Any], str] = {
    # Overridden.
    BaseConsumer._drain_messages: "44a2500309e83c63",
    BaseConsumer.perform_seek: "0e8c130ff4b0afd8",
    BaseConsumer.on_partitions_assigned: "29ce96596f05a18c",
    BaseConsumer.on_partitions_revoked: "d04b7ae72c6fc206",
    BaseConsumer.on_stop: "45b1d2210ce2b526",
    driver.Consumer.on_stop: "173f86b366f3608e",
    driver.Consumer._new_consumer_thread: "0870ec53dea75083",
    driver.AIOKafkaConsumerThread._commit: "932852ce7a23f658",
    driver.AIOKafkaConsumerThread._create_consumer: "a4dc6ba0681a298c",
    bootstrap.UPSTREAM: "198943b004e55849",
    gone_topics.UPSTREAM_ASK: "06dc51ed3e0d38b8",
    gone_topics.UPSTREAM_COMMIT: "c3a3ea5613f39cac",
    ServiceThread._gather_remaining_tasks: "6f65b92dd1012485",
    ServiceThread._keepalive2: "3bc84ca2133f05b0",
    ServiceThread._thread_keepalive.fun: "6ba5ca9dcbd62b0b",
    ServiceThread.stop: "32d026539c3665b2",
    FaustApp._create_directories: "a9f571c3b04abec3",
    # Relied upon: how a service of a thread lives, with a task of the app's loop in its place (group_consumer.py);
    ServiceThread.__init__: "82979878990cdff5",
    ServiceThread.start: "f11841038a033a05",
    ServiceThread.crash: "68a766aadc5f7196",
    ServiceThread._serve: "67809eae09573ac7",
    ServiceThread._shutdown_thread: "d7377862e73421a2",
    # what calls the above, in which order, and what happens to records meanwhile.
    BaseConsumer.getmany: "4b168d84882a70d6",
    BaseConsumer._wait_next_records: "6218e1969a636b3f",
    BaseConsumer._commit_offsets: "1a69799041188441",
    BaseConsumer.ack: "5fcf41cf45153475",
    driver.Consumer._to_message: "7c24f6511b2fcef7",
    driver.AIOKafkaConsumerThread._seek_wait: "9d221e816d940467",
    driver.AIOKafkaConsumerThread._create_worker_consumer: "c2701bfc3e6f6cad",
    Recovery._resume_streams: "d986a6710c1aca98",
    Recovery._wait: "ec7429b70176f8c6",
    Recovery.on_rebalance: "aa4d997a1795ceae",
    FaustApp._on_partitions_revoked: "d5c895bbe57dc73a",
    FaustApp._on_partitions_assigned: "de932b7927db85b3",
    FaustApp._stop_consumer: "55854a5de12c3f52",
    FaustApp.on_stop: "bfe5a933defb2324",
    Conductor._compile_message_handler: "9fbc0538097aa4ec",
    ConductorCompiler.build: "837cf521368c1ee4",
    Fetcher._fetcher.fun: "68f894f0b577d810",
    faust.Stream._py_aiter: "3a48ee257a65435b",
    AIOKafkaConsumer.commit: "79b057d88220e5a2",
    GroupCoordinator.commit_offsets: "5cbe31af28d6cc06",
    GroupCoordinator.fetch_committed_offsets: "6c049c7379165952",
    GroupCoordinator._coordination_routine: "75273e127d4a4f5d",
    GroupCoordinator._push_error_to_user: "743ff515bd7e2e38",
    GroupCoordinator._on_join_prepare: "4d9524afc0ee2c2f",
    GroupCoordinator._on_join_complete: "0b0b3d204b408f3c",
    # Where group_consumer.py says how fetches wait, and reads where partitions end.
    RecordFetcher._get_actions_per_node: "1dab2cf937d165d0",
    RecordFetcher._proc_fetch_request: "59bf948fff47eed5",
    RecordFetcher._fetch_requests_routine: "2a8ec5932644c9b0",
    driver.AIOKafkaConsumerThread._fetch_records: "39a2c6c79fc1455a",
    driver.AIOKafkaConsumerThread.getmany: "26fc5fc9f3b667e1",
    # What gone_topics.py paces, and the words that it lets through once.
    AIOKafkaClient._md_synchronizer: "e0421bffa9a7735a",
    AIOKafkaClient.force_metadata_update: "cb7befef21c8f3f9",
    ClusterMetadata.update_metadata: "6c2cce8f96dcc199",
    # Where fenced_log.py takes the errors from that nobody else can look at.
    TransactionManager.fatal_error: "8e9fd08dc50042c4",
    TransactionManager.wait_for_transaction_end: "67dc578aafc32bbf",
    MessageAccumulator.fail_all: "f1e12e8100bfcb8c",
    MessageBatch.failure: "719b2122c318e955",
}


UPSTREAM_CYTHON = {"transport/_cython/conductor.pyx": "dde1f974267881cf", "_cython/streams.pyx": "0041622f4a251188"}
"""The compiled twins of ConductorCompiler.build and Stream._py_aiter, which run where the wheel has them."""


@pytest.mark.parametrize("method", UPSTREAM, ids=lambda method: method.__qualname__)
def test_upstream_is_what_the_overrides_were_written_for(method: Callable[..., Any]) -> None:
    assert digest(method) == UPSTREAM[method], f"upstream changed {method.__module__}.{method.__qualname__}"


@pytest.mark.parametrize("source", UPSTREAM_CYTHON)
def test_upstream_compiled_code_is_what_the_overrides_were_written_for(source: str) -> None:
    text = (Path(faust.__file__).parent / source).read_bytes()
    assert hashlib.sha256(text).hexdigest()[:16] == UPSTREAM_CYTHON[source]


def test_another_version_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    refuse_other_versions()
    monkeypatch.setattr(faust_overrides, "version", lambda name: "0.16.0")
    with pytest.raises(UserError, match=r"0\.16\.0 is installed"):
        refuse_other_versions()


async def test_more_than_one_concurrent_actor_is_refused() -> None:
    app = unstarted(Settings())
    with pytest.raises(ValueError, match="out of order"):
        app.agent(app.topic("rows"), concurrency=2)(_nothing)
    assert [agent.concurrency for agent in app.agents.values()] == [1]
    assert all(isinstance(agent, Agent) for agent in app.agents.values())


async def test_a_worker_without_partitions_of_a_topic_says_so_once(caplog: pytest.LogCaptureFixture) -> None:
    cel, commands = "cel2crm.cel", "cel2crm.delivery-commands"
    owner = IdleOwner()
    owner.consumes = (CEL, DELIVERY_COMMANDS)
    group = unstarted(Settings(), owner).group
    some = {TP(cel, 0), TP(commands, 0)}
    for held in (set(), set(), some | {TP(cel, 1)}, some, {TP(commands, 0)}, {TP(commands, 0)}, some):
        group._assigned = frozenset(held)
        group._tell_assignment()
        assert REGISTRY.get_sample_value("cel2crm_held_partitions") == len(held)
    told = [record.getMessage() for record in caplog.records if "partition" in record.getMessage()]
    told_of = [("no partition of" in line, cel if cel in line else commands) for line in told]
    assert told_of == [(True, cel), (True, commands), (False, cel), (False, commands), (True, cel), (False, cel)]


async def test_faust_defaults_that_bite_are_set() -> None:
    app = unstarted(Settings())
    conf = app.conf
    assert conf.producer_request_timeout == 60.0  # 1200 s
    assert conf.producer_acks == -1
    assert conf.topic_allow_declare is False
    assert conf.topic_replication_factor == Settings().kafka.replication_factor
    assert (conf.web_enabled, conf.web_tables_enabled, conf.web_host) == (False, False, "127.0.0.1")
    assert conf.broker_session_timeout == 15.0  # 60 s
    assert conf.broker_heartbeat_interval <= conf.broker_session_timeout / 3
    assert conf.broker_request_timeout >= conf.broker_session_timeout
    assert conf.stream_wait_empty is False
    assert conf.store.scheme == "memory"
    assert conf.consumer_auto_offset_reset == "earliest"
    assert conf.consumer_metadata_max_age_ms == 5000  # five minutes, in which a topic made again is not noticed


async def test_the_consumer_is_served_in_the_apps_own_loop() -> None:
    consumer = unstarted(Settings()).group._thread
    assert consumer.thread_loop is consumer.parent_loop is asyncio.get_running_loop()


async def test_faust_itself_commits_nothing() -> None:
    app = unstarted(Settings())
    assert isinstance(app.group, Consumer)
    assert await app.group._commit({TP("cel", 0): 7}) is True  # believed; and no broker was asked


async def test_static_membership_and_session_come_from_the_settings() -> None:
    tree = {"worker": {"group_instance_id": "aggregate-0", "session_timeout_seconds": 9}}
    app = unstarted(Settings.model_validate(tree))
    assert (app.conf.consumer_group_instance_id, app.conf.broker_session_timeout) == ("aggregate-0", 9.0)


def digest(method: Callable[..., Any]) -> str:
    """Of the method's source as installed."""
    return hashlib.sha256(inspect.getsource(method).encode()).hexdigest()[:16]


async def _nothing(stream: Any) -> None:
    async for _ in stream:
        pass
