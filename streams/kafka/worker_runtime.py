"""A worker process: one Faust app with one agent, on the partitions that its consumer group gives it.

    worker_runtime.run(settings, [AggregateWorker(settings)])

A `Worker` says what it consumes and keeps the state of its partitions; everything around it is here: the checks before
the start, Faust with each dangerous default set, signals, metrics, the graceful and the hard end.
"""

import asyncio
import signal
from collections.abc import Sequence
from typing import Any, Protocol, cast

import structlog
from aiokafka.errors import KafkaError
from faust.types import StreamT

from streams.errors import UserError
from streams.kafka import logs
from streams.kafka.access import Acl
from streams.kafka.background import BEAT_SECONDS, BackgroundService, stop_all
from streams.kafka.batches import Batch
from streams.kafka.broker_wait import topics_are_there
from streams.kafka.client import Unreachable, unreachable
from streams.kafka.counted_partitions import CountedPartitions
from streams.kafka.faust_overrides import App, Consumer, refuse_other_versions
from streams.kafka.hard_exit import begin_anew, end_process, hard_exit, limit_the_end, refuse
from streams.kafka.login import faust_credentials
from streams.kafka.metrics import serve_metrics
from streams.kafka.partition_counts import watched_counts
from streams.kafka.partition_owner import HEALTH
from streams.kafka.taking import Ending, Taker, take_batch
from streams.settings import Settings

_START_SECONDS = 30.0
_STOP_SECONDS = 30.0
"""A graceful end that takes longer becomes a hard one."""
_LOOK_SECONDS = 0.2
_FAULT_SECONDS = BEAT_SECONDS

_log = structlog.get_logger("worker")


class Worker(Taker, Protocol):
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

    async def stop(self) -> None:
        """Close what `start` opened; `revoked` was called before."""
        ...


def run(
    settings: Settings,
    workers: Sequence[Worker],
    acls: Sequence[Acl] = (),
    services: Sequence[BackgroundService] = (),
) -> None:
    """Run workers until SIGTERM or SIGINT: one, or several in one event loop. Raises UserError; anything else that goes
    wrong, in any of them, ends the process hard.

    `acls`: what they must be allowed on the brokers; where they are not, they do not start. `services`: run beside
    them, from when a broker answers until the workers end.
    """
    refuse_other_versions()
    logs.configure(settings.logging)
    asyncio.run(_run(settings, workers, acls, services))


def make_app(settings: Settings, worker: Worker, ending: Ending | None = None) -> App:
    """The worker's Faust app, its agent included. Needs the running event loop.

    `ending`: asked for where the worker refuses to go on; without it that ends the process hard.
    """
    servers = [server.strip() for server in settings.kafka.bootstrap_servers.split(",")]
    app = App(
        f"{settings.kafka.topic_prefix}.{worker.name}",
        owner=CountedPartitions(worker, settings.kafka, worker.consumes),
        on_refusal=None if ending is None else ending.ask,
        linger_seconds=settings.worker.linger_seconds,
        broker=";".join(f"kafka://{server}" for server in servers),
        broker_credentials=faust_credentials(settings.kafka),
        autodiscover=False,
        store="memory://",
        # Faust's defaults that bite (docs/traps.md), each with a test:
        broker_session_timeout=settings.worker.session_timeout_seconds,
        broker_heartbeat_interval=min(3.0, settings.worker.session_timeout_seconds / 3),
        broker_request_timeout=max(90.0, settings.worker.session_timeout_seconds),
        broker_max_poll_interval=24 * 3600.0,
        broker_max_poll_records=500,
        broker_commit_interval=30.0,  # Faust's commits do nothing (faust_overrides.py)
        consumer_auto_offset_reset="earliest",
        # How soon a topic that was made again, or got partitions, is noticed; aiokafka's default is five minutes.
        consumer_metadata_max_age_ms=5000,
        consumer_group_instance_id=settings.worker.group_instance_id,
        producer_acks=-1,
        producer_request_timeout=60.0,
        stream_recovery_delay=0.0,
        stream_wait_empty=False,
        # Faust sleeps a second when the buffer is full: it must hold what may be in flight (batches.py).
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
            await take_batch(app, worker, cast(Batch, event.message), ending)

    app.agent(topic, name=f"{app.conf.id}.take", concurrency=1)(take)
    return app


async def _run(
    settings: Settings, workers: Sequence[Worker], acls: Sequence[Acl], services: Sequence[BackgroundService]
) -> None:
    ending = Ending()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ending.asked.set)
    metrics = serve_metrics(settings.worker.metrics_port, settings.worker.web_host, "worker.metrics_port")
    topics = dict.fromkeys(name for worker in workers for name in (*worker.consumes, *worker.needs))
    if not await topics_are_there(settings.kafka, tuple(topics), ending.asked, acls):
        for worker in workers:
            _log.info("stopped", worker=worker.name)
        return
    for service in services:
        service.start()
    apps = [make_app(settings, worker, ending) for worker in workers]
    for worker, app in zip(workers, apps, strict=True):
        await _started(settings, worker, app, ending)
        _log.info("started", worker=worker.name, group=app.conf.id, kafka=settings.kafka.bootstrap_servers)
    async with watched_counts(settings.kafka, topics, ending.ask):
        await _until(ending.asked, apps, services)
    if ending.error is not None:
        _log.error("the worker refuses to go on", problem=ending.error.problem)
    for worker in workers:
        _log.info("stopping", worker=worker.name)
    limit_the_end(_STOP_SECONDS + 5.0)
    try:
        async with asyncio.timeout(_STOP_SECONDS):
            stopping = asyncio.ensure_future(stop_all(services))
            await asyncio.gather(stopping, *(_stop(worker, app) for worker, app in zip(workers, apps, strict=True)))
    except (KafkaError, TimeoutError, RuntimeError) as error:
        hard_exit("a graceful end was not possible in time", error)
    metrics()
    for worker in workers:
        _log.info("stopped", worker=worker.name)
    if not stopping.result():  # Python would wait for its threads
        end_process(0) if ending.error is None else refuse(ending.error)
    if ending.error is not None:
        raise ending.error


async def _stop(worker: Worker, app: App) -> None:
    await app.stop()
    await worker.stop()


async def _started(settings: Settings, worker: Worker, app: App, ending: Ending) -> None:
    """Start the worker and Faust.

    A start that fails ends the process with its message, and one during which the end is asked for ends it too: what
    Faust has begun by then, its tasks, may wait for ever for what will not come. Where the brokers went away
    since they were waited for, the process begins anew. Nothing is committed yet.
    """
    starting = asyncio.ensure_future(_start(settings, worker, app))
    asked = asyncio.ensure_future(ending.asked.wait())
    await asyncio.wait([starting, asked], return_when=asyncio.FIRST_COMPLETED)
    asked.cancel()
    if ending.error is not None:  # partitions are assigned, and refused, while Faust starts
        refuse(ending.error)
    if not starting.done():
        _log.info("stopped before it was started", worker=worker.name)
        end_process(0)
    error = starting.exception()
    if isinstance(error, Unreachable):
        begin_anew(error.problem)
    if isinstance(error, UserError):
        refuse(error)
    if error is not None:
        hard_exit("the worker could not be started", error)


async def _start(settings: Settings, worker: Worker, app: App) -> None:
    """Raises UserError: for a person to mend."""
    await worker.start(app.group)
    starting = asyncio.ensure_future(app.start())
    try:
        async with asyncio.timeout(_START_SECONDS):
            while not starting.done():
                if (fault := app.group.join_error or app._crash_reason) is not None:
                    raise _not_started(settings, fault)
                await asyncio.wait([starting], timeout=_LOOK_SECONDS)
        starting.result()
    except (KafkaError, TimeoutError) as error:
        fault = app.group.join_error or app._crash_reason
        raise (unreachable(settings.kafka, error) if fault is None else _not_started(settings, fault)) from None
    finally:
        starting.cancel()


def _not_started(settings: Settings, fault: BaseException) -> UserError:
    if isinstance(fault, OSError | TimeoutError) or (isinstance(fault, KafkaError) and fault.retriable):
        return unreachable(settings.kafka, fault)
    said = str(fault) or type(fault).__name__
    return UserError(
        f"the consumer group at {settings.kafka.bootstrap_servers} cannot be joined: {said}",
        "worker.session_timeout_seconds must be one that the brokers allow (group.min.session.timeout.ms, "
        "group.max.session.timeout.ms), worker.group_instance_id one that no other process has."
        if isinstance(fault, KafkaError)
        else "Look at the lines before this one.",
    )


async def _until(stop: asyncio.Event, apps: Sequence[App], services: Sequence[BackgroundService] = ()) -> None:
    """Wait until the end is asked for. A crash of Faust, or of a membership, ends the process hard."""
    crashes: list[Any] = [each for app in apps for each in (app._crashed, app._stopped)]
    events = [asyncio.ensure_future(each.wait()) for each in (stop, *crashes)]
    while all(app.group.fault is None for app in apps):
        HEALTH.beat()
        for service in services:
            service.look()
        done, _ = await asyncio.wait(events, timeout=_FAULT_SECONDS, return_when=asyncio.FIRST_COMPLETED)
        if done:
            break
    if not stop.is_set():
        causes = [cause for app in apps if (cause := app._crash_reason or app.group.fault) is not None]
        hard_exit("Faust ended by itself", causes[0] if causes else None)
    for waiting in events:
        waiting.cancel()
