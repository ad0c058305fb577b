"""One installation on three brokers: topics with three replicas, fake portals, and as many workers as a phase wants."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import yaml
from confluent_kafka import ConsumerGroupState, KafkaException
from confluent_kafka.admin import AdminClient

from deploy.fake_crms import KommoConfig
from deploy.fake_crms.entry import STAFF
from deploy.local import StackError
from streams.settings import Settings, load_settings
from tests.chaos.oracle import read_entries
from tests.chaos.services import Services, command_line, wait_until
from tests.scale.cluster import Cluster
from tests.scale.results import ResultsSeen
from tests.scale.topic_flow import TopicFlow

PARTITIONS = 8
AGGREGATE = "aggregate"
CRMS = ("bitrix24", "kommo")
KINDS = (AGGREGATE, *CRMS)
_FAST = 400
"""Requests a second that portals and senders are set to: a real portal's limit would be what is measured."""
_SHARED_SECONDS = 90.0
_COMMAND_SECONDS = 60.0
_CAPTURE = ("connector", "capture", "the table", "PBX")
"""What `cel2crm status` cannot look at here: rows come without Kafka Connect and database."""


@dataclass(frozen=True, slots=True)
class Stop:
    """A worker that was asked to end. `seconds` from SIGTERM to its end; `status`: its exit status."""

    worker: str
    seconds: float
    status: int | None


@dataclass
class Installation:
    """Everything that phases act on."""

    cluster: Cluster
    services: Services
    portals: dict[str, str]
    settings_file: Path
    flow: TopicFlow
    results: ResultsSeen
    stops: list[Stop] = field(default_factory=list)
    _number: int = 0

    @property
    def settings(self) -> Settings:
        return load_settings(self.settings_file)

    @property
    def crms(self) -> tuple[str, ...]:
        """The CRMs with a portal."""
        return tuple(self.portals)

    def topic(self, name: str) -> str:
        """The full name of a topic or group."""
        return f"cel2crm.{name}"

    def workers(self, kind: str) -> list[str]:
        """The workers of a kind that are to run, oldest first."""
        return [name for name in self.services.names() if name.startswith(f"worker-{kind}-")]

    def scale(self, kind: str, count: int) -> None:
        """Start workers, or end the oldest ones by SIGTERM one after the other, until there are so many."""
        while len(self.workers(kind)) > count:
            self.end(self.workers(kind)[0])
        while len(self.workers(kind)) < count:
            self._number += 1
            self.services.add(
                f"worker-{kind}-{self._number}", command_line("worker", kind, settings=self.settings_file)
            )

    def end(self, worker: str) -> None:
        """SIGTERM, its end, and no new start."""
        self.end_together([worker])

    def end_together(self, workers: Sequence[str]) -> None:
        """SIGTERM to all of them at once, their ends, and no new start."""
        with ThreadPoolExecutor(len(workers)) as pool:
            self.stops += pool.map(self._stop, workers)
        for worker in workers:
            self.services.forget(worker)

    def _stop(self, worker: str) -> Stop:
        began = time.monotonic()
        self.services.stop(worker)
        return Stop(worker, time.monotonic() - began, self.cluster.exit_status(worker))

    def until_shared(self, kind: str, count: int) -> None:
        """Until the group has so many members that hold every partition between them."""
        wait_until(
            lambda: self._is_shared(kind, count), _SHARED_SECONDS, f"{count} {kind} workers share the partitions"
        )

    def _is_shared(self, kind: str, count: int) -> bool:
        group = self.topic(kind)
        admin = AdminClient({"bootstrap.servers": self.cluster.bootstrap_servers, "log_level": 0})
        try:
            found = admin.describe_consumer_groups([group], request_timeout=10)[group].result(10)
        except (KafkaException, TimeoutError):  # its coordinator is moving
            return False
        held = sum(len(each.assignment.topic_partitions) for each in found.members)
        topics = 1 if kind == AGGREGATE else 2
        stable = found.state == ConsumerGroupState.STABLE
        return stable and len(found.members) == count and held == topics * PARTITIONS

    def status(self) -> "Status":
        """What `cel2crm status --json` says, as far as it can be looked at here."""
        command = [str(word) for word in command_line("status", "--json", settings=self.settings_file)]
        began = time.monotonic()
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=_COMMAND_SECONDS)
        seconds = time.monotonic() - began
        try:
            tree = json.loads(done.stdout)
        except ValueError:
            raise AssertionError(f"cel2crm status ended with {done.returncode}: {done.stderr[-500:]}") from None
        return Status.of(tree, seconds)

    def entries(self) -> dict[str, list[dict[str, Any]]]:
        """What the portals show."""
        return read_entries(self.portals)


@dataclass(frozen=True, slots=True)
class Status:
    """What an operator is told. `seconds`: how long the command took."""

    said: tuple[str, ...]
    waiting: int
    seconds: float

    @classmethod
    def of(cls, tree: Mapping[str, Any], seconds: float) -> "Status":
        """Of what the command prints."""
        said = [each["problem"] for each in tree["findings"] if each["area"] not in {"capture", "gaps"}]
        said += [
            f"cannot be looked at: {each['subject']} ({each['why']})"
            for each in tree["unanswered"]
            if not any(word in each["subject"] for word in _CAPTURE)
        ]
        waiting = sum(each["waiting"] or 0 for part in ("workers", "portals") for each in tree[part] or ())
        return cls(tuple(said), waiting, seconds)


@contextmanager
def installation(seed: str, calls_per_second: float, counts: Mapping[str, int]) -> Iterator[Installation]:
    """Servers, portals, workers and calls; all of it ends with the block. `counts`: workers by kind; a CRM that has
    none has no portal."""
    with ExitStack() as running:
        cluster = Cluster()
        cluster.start()
        running.callback(cluster.stop)
        cluster.until_whole()
        endpoints = cluster.endpoints
        directory = endpoints.directory / "product"
        directory.mkdir()
        portals = {name: _portal(cluster, name, directory) for name in CRMS if name in counts}
        settings_file = _settings(cluster, portals, directory)
        services = running.enter_context(Services(cluster))
        servers = cluster.bootstrap_servers
        flow = TopicFlow(endpoints, servers, "cel2crm.cel", PARTITIONS, seed, calls_per_second)
        results = ResultsSeen(servers, "cel2crm.call-results", PARTITIONS, endpoints.registry_url)
        urls = {name: portal["url"] for name, portal in portals.items()}
        made = Installation(cluster, services, urls, settings_file, flow, results)
        _apply_topics(made)
        cluster.until_whole()
        running.enter_context(flow)
        running.enter_context(results)
        for kind, count in counts.items():
            made.scale(kind, count)
        for kind, count in counts.items():
            made.until_shared(kind, count)
        _warm_up(made)
        yield made


def _warm_up(made: Installation) -> None:
    """Until a call has come to each portal: what workers do once, at their start, is no part of a phase."""
    made.flow.start()
    wait_until(lambda: all(made.entries().values()), 120, "a call is in each portal")
    made.flow.pause()


def _apply_topics(made: Installation) -> None:
    command = [str(word) for word in command_line("topics", "apply", settings=made.settings_file)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=_COMMAND_SECONDS)
    if done.returncode:
        raise StackError(f"topics apply ended with {done.returncode}: {done.stderr[-1500:]}")


def _portal(cluster: Cluster, name: str, directory: Path) -> dict[str, str]:
    limits: Mapping[str, Sequence[str]] = {
        "bitrix24": ["--bucket-size", str(2 * _FAST), "--drain-per-second", str(_FAST), "--webhook-allowed"],
        "kommo": ["--requests-per-second", str(2 * _FAST)],
    }
    process = f"portal-{name}"
    command: list[str | Path] = [sys.executable, "-m", "deploy.fake_crms", name, "--state-dir", directory / name]
    cluster.run(process, [*command, *limits[name]])
    found: list[dict[str, str]] = []

    def listens() -> bool:
        lines = cluster.log(process).read_text(encoding="utf-8").splitlines()
        found.extend(json.loads(line) for line in lines if line.startswith("{"))
        return bool(found)

    wait_until(listens, 60, f"the fake {name} listens")
    return found[0]


def _settings(cluster: Cluster, portals: Mapping[str, Mapping[str, str]], directory: Path) -> Path:
    common = {
        "users": {user.inner: str(user.id) for user in STAFF if user.inner and user.active},
        "default_user": str(STAFF[0].id),
        "deliver_from": (datetime.now(UTC) - timedelta(hours=1)).isoformat(),
        "rate_limit": {"burst": _FAST, "per_second": _FAST / 2},
        "settle_seconds": 2,
        "request_timeout_seconds": 6,
    }
    kafka = {"bootstrap_servers": cluster.bootstrap_servers, "partitions": PARTITIONS, "replication_factor": 3}
    tree = {
        "kafka": kafka,
        "registry": {"url": cluster.endpoints.registry_url},
        "portals": [
            {"name": name, "crm": name, **_way_in(name, portal, directory), **common}
            for name, portal in portals.items()
        ],
    }
    path = directory / "cel2crm.yaml"
    path.write_text(yaml.safe_dump(tree, sort_keys=False), encoding="utf-8")
    return path


def _way_in(name: str, portal: Mapping[str, str], directory: Path) -> dict[str, str]:
    if name == "bitrix24":
        return {"webhook_url_file": _secret(directory, "bitrix24-webhook", portal["webhook_url"])}
    return {"url": portal["url"], "token_file": _secret(directory, "kommo-token", KommoConfig().long_lived_token)}


def _secret(directory: Path, name: str, value: str) -> str:
    path = directory / name
    path.touch(mode=0o600)
    path.write_text(value, encoding="utf-8")
    return str(path)
