"""A worker process: one Faust app with one agent, on the partitions that its consumer group gives it.

    worker_runtime.run(settings, AggregateWorker(settings))

A `Worker` says what it consumes and keeps the state of its partitions; everything around it is here: the checks before
the start, Faust with each dangerous default set, signals, metrics, the graceful and the hard end.
"""

import asyncio
import contextlib
import logging
import signal
from collections.abc import Iterable, Mapping
from typing import Any, Protocol

import structlog
from aiokafka import AIOKafkaConsumer
from aiokafka.errors import KafkaError
from faust.types import TP, ConsumerMessage, StreamT
from prometheus_client import start_http_server

from streams.errors import UserError
from streams.kafka import logs
from streams.kafka.client import stop_client, unreachable
from streams.kafka.faust_overrides import App, Consumer, refuse_other_versions
from streams.kafka.hard_exit import hard_exit
from streams.settings import KafkaSettings, Settings

_START_SECONDS = 30.0
_STOP_SECONDS = 30.0
"""A graceful end that takes longer becomes a hard one."""

_log = structlog.get_logger("worker")


class Worker(Protocol):
    """A worker's part. All of it runs in one event loop."""

    name: str
    """`aggregate`, or a CRM's name: the consumer group is `<kafka.topic_prefix>.<name>`."""
    consumes: tuple[str, ...]
    """Short names of the topics that its rows come from; all have the same number of partitions."""
    needs: tuple[str, ...]
    """Short names of further topics that must exist."""

    async def start(self, group: Consumer) -> None:
        """Connect producers and registry. `group` commits and asks offsets once partitions are assigned.

        Raises UserError for what a person can mend.
        """
        ...

    async def assigned(self, partitions: frozenset[TP]) -> Mapping[TP, int]:
        """See faust_overrides.Owner."""
        ...

    async def revoked(self) -> None:
        """See faust_overrides.Owner."""
        ...

    async def take(self, message: ConsumerMessage) -> None:
        """Take a record: raw bytes in `key` and `value`; `tp`, `offset`, `headers`, `timestamp` (seconds).

        In the order of its partition, from the offset that `assigned` said; ignore those of partitions that are not
        assigned. A UserError ends the process as a signal does, before this record, and is told to the user; any other
        exception ends it hard. Returning means nothing for commits: only `group.commit_marked` commits."""
        ...

    async def stop(self) -> None:
        """Close what `start` opened; `revoked` was called before."""
        ...


def run(settings: Settings, worker: Worker) -> None:
    """Run a worker until SIGTERM or SIGINT. Raises UserError; anything else that goes wrong ends the process hard."""
    refuse_other_versions()
    logs.configure(settings.logging)
    asyncio.run(_run(settings, worker))


class Ending:
    """Why a worker ends gracefully: a signal, or a fault outside the program that a person mends."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()
        self.error: UserError | None = None

    async def stop_for(self, error: UserError) -> None:
        """Ask for the end because of `error`, and take no further record until it comes."""
        self.error = error
        self.asked.set()
        await asyncio.Event().wait()


def make_app(settings: Settings, worker: Worker, ending: Ending | None = None) -> App:
    """The worker's Faust app, its agent included. Needs the running event loop.

    `ending`: asked for where the worker refuses to go on; without it that ends the process hard.
    """
    servers = [server.strip() for server in settings.kafka.bootstrap_servers.split(",")]
    app = App(
        f"{settings.kafka.topic_prefix}.{worker.name}",
        owner=worker,
        broker=";".join(f"kafka://{server}" for server in servers),
        autodiscover=False,
        store="memory://",
        # Faust's defaults that bite (docs/traps.md), each with a test:
        broker_session_timeout=settings.worker.session_timeout_seconds,
        broker_heartbeat_interval=min(3.0, settings.worker.session_timeout_seconds / 3),
        broker_request_timeout=max(90.0, settings.worker.session_timeout_seconds),
        broker_max_poll_interval=24 * 3600.0,
        broker_max_poll_records=500,
        consumer_auto_offset_reset="earliest",
        consumer_group_instance_id=settings.worker.group_instance_id,
        producer_acks=-1,
        producer_request_timeout=60.0,
        stream_recovery_delay=0.0,
        stream_wait_empty=False,
        # Faust sleeps a second when the buffer is full: it must hold more than a second of work.
        stream_buffer_maxsize=16_384,
        topic_allow_declare=False,
        topic_disable_leader=True,
        topic_replication_factor=settings.kafka.replication_factor,
        web_enabled=False,
        web_host="127.0.0.1",
        web_tables_enabled=False,
        web_in_thread=False,
        worker_redirect_stdouts=False,
    )
    names = [settings.kafka.topic(name) for name in worker.consumes]
    topic = app.topic(*names, key_type=bytes, value_type=bytes, key_serializer="raw", value_serializer="raw")

    async def take(stream: StreamT[bytes]) -> None:
        async for event in stream.events():
            try:
                await worker.take(event.message)
            except asyncio.CancelledError:
                raise
            except BaseException as error:
                if ending is not None and isinstance(error, UserError):
                    await ending.stop_for(error)
                message = event.message
                hard_exit(f"{message.topic}/{message.partition}/{message.offset} could not be processed", error)

    app.agent(topic, name=f"{app.conf.id}.take", concurrency=1)(take)
    return app


async def _run(settings: Settings, worker: Worker) -> None:
    ending = Ending()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ending.asked.set)
    await require_topics(settings.kafka, worker.consumes, worker.needs)
    metrics = _serve_metrics(settings)
    app = make_app(settings, worker, ending)
    await worker.start(app.group)
    try:
        async with asyncio.timeout(_START_SECONDS):
            await app.start()
    except (KafkaError, TimeoutError) as error:
        raise unreachable(settings.kafka.bootstrap_servers, error) from None
    _log.info("started", worker=worker.name, group=app.conf.id, kafka=settings.kafka.bootstrap_servers)
    await _until(ending.asked, app)
    if ending.error is not None:
        _log.error("the worker refuses to go on", worker=worker.name, problem=ending.error.problem)
    _log.info("stopping", worker=worker.name)
    try:
        async with asyncio.timeout(_STOP_SECONDS):
            await app.stop()
            await worker.stop()
    except (KafkaError, TimeoutError, RuntimeError) as error:
        hard_exit("a graceful end was not possible in time", error)
    metrics()
    _log.info("stopped", worker=worker.name)
    if ending.error is not None:
        raise ending.error


async def _until(stop: asyncio.Event, app: App) -> None:
    """Wait until the end is asked for. A crash of Faust ends the process hard."""
    signalled = asyncio.ensure_future(stop.wait())
    crashed = asyncio.ensure_future(app._crashed.wait())
    ended = asyncio.ensure_future(app._stopped.wait())
    await asyncio.wait([signalled, crashed, ended], return_when=asyncio.FIRST_COMPLETED)
    if not stop.is_set():
        hard_exit("Faust ended by itself", app._crash_reason)
    for waiting in (signalled, crashed, ended):
        waiting.cancel()


async def require_topics(kafka: KafkaSettings, consumes: Iterable[str], needs: Iterable[str]) -> None:
    """Raise UserError where no broker answers or a topic is missing (topics are never made by a worker)."""
    consumer = AIOKafkaConsumer(bootstrap_servers=kafka.bootstrap_servers, request_timeout_ms=10_000)
    chatter = logging.getLogger("aiokafka")
    level = chatter.level
    chatter.setLevel(logging.CRITICAL)  # what it says of a broker that is away, the UserError says better
    try:
        async with asyncio.timeout(15):
            await consumer.start()
            existing = await consumer.topics()
    except (KafkaError, OSError, TimeoutError) as error:
        raise unreachable(kafka.bootstrap_servers, error) from None
    finally:
        await stop_client(consumer, 5.0)
        chatter.setLevel(level)
    wanted = [kafka.topic(name) for name in (*consumes, *needs)]
    if missing := [name for name in wanted if name not in existing]:
        raise UserError(
            f"no such topic on {kafka.bootstrap_servers}: {', '.join(missing)}",
            "Make the topics with `cel2crm topics apply`; kafka.topic_prefix must be the same.",
        )


def _serve_metrics(settings: Settings) -> Any:
    """Serve Prometheus metrics where a port is set; returns what ends it."""
    port = settings.worker.metrics_port
    if port is None:
        return lambda: None
    try:
        server, thread = start_http_server(port, addr=settings.worker.web_host)
    except OSError as error:
        raise UserError(
            f"metrics cannot be served on {settings.worker.web_host}:{port}: {error.strerror}",
            "Set worker.metrics_port to a free port, or leave it out.",
        ) from None

    def end() -> None:
        server.shutdown()
        server.server_close()
        with contextlib.suppress(RuntimeError):
            thread.join(5)

    return end
