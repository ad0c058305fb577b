"""One installation of the whole product on servers of its own: every connection through a link, services restarted."""

import json
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml

from deploy.demo.pipeline import create_capture_user, write_settings
from deploy.local import Endpoints, StackError
from deploy.local.ports import HOST
from streams.settings import Settings, load_settings
from tests.chaos.call_flow import CallFlow, connect
from tests.chaos.links import Link, Links
from tests.chaos.oracle import PORTALS, read_entries
from tests.chaos.servers import ChaosStack, ServerKind, clients_port, link_port
from tests.chaos.services import Services, command_line, wait_until

WORKERS = ("worker-aggregate", "worker-bitrix24", "worker-kommo", "worker-webhook")
WATCH = "watch"
PARTITIONS = 4
CONNECTOR = "cel2crm-pbx1"
START_SECONDS = 240.0
COMMAND_SECONDS = 300.0
SESSION_SECONDS = 10
_FAST = 400
"""Requests a second that portals and senders are set to: a real portal's limit would take minutes."""
_TAKEN_OVER = "partition taken over"


@dataclass(frozen=True, slots=True)
class Said:
    """What a command printed, and its exit status. `seconds`: how long it ran."""

    command: str
    status: int
    text: str
    seconds: float


@dataclass
class Installation:
    """Everything that faults act on."""

    stack: ChaosStack
    links: Links
    services: Services
    portals: dict[str, str]
    """Each portal's own address, without the link."""
    settings_file: Path
    flow: CallFlow
    _masters: dict[str, dict[str, str]] = field(default_factory=dict)

    @property
    def endpoints(self) -> Endpoints:
        return self.stack.endpoints

    @property
    def settings(self) -> Settings:
        return load_settings(self.settings_file)

    def topic(self, name: str) -> str:
        """The full name of a topic."""
        return self.settings.kafka.topic(name)

    def cel2crm(self, *words: str, given: str | None = None, seconds: float = COMMAND_SECONDS) -> Said:
        """Run a command of the product to its end, as an operator does; killed after `seconds` (status -9)."""
        began = time.monotonic()
        try:
            done = subprocess.run(
                [str(word) for word in command_line(*words, settings=self.settings_file)],
                input=given, stdin=subprocess.DEVNULL if given is None else None, capture_output=True, text=True,
                check=False, timeout=seconds,
            )  # fmt: skip
            status, text = done.returncode, done.stdout + done.stderr
        except subprocess.TimeoutExpired as error:
            status, text = -9, f"{_text(error.stdout)}{_text(error.stderr)}"
        return Said(f"cel2crm {' '.join(words)}", status, text, time.monotonic() - began)

    def sql(self, statement: str, *values: Any) -> tuple[tuple[Any, ...], ...]:
        """Run a statement as root on the database itself."""
        with connect(self.endpoints) as connection, connection.cursor() as cursor:
            cursor.execute(statement, values or None)
            return tuple(cursor.fetchall())

    def connect_rest(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        """A request to Kafka Connect itself. Raises OSError, HTTPError included."""
        data = None if method == "GET" else json.dumps(body).encode() if body is not None else b""
        request = urllib.request.Request(  # noqa: S310 - loopback
            self.endpoints.connect_url + path, method=method, data=data, headers={"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310
            text = answer.read()
        return json.loads(text) if text else None

    def connector_runs(self) -> bool:
        """Whether Connect itself says that the connector and its task run."""
        try:
            status = self.connect_rest("GET", f"/connectors/{CONNECTOR}/status")
        except OSError:
            return False
        tasks = status["tasks"]
        return bool(tasks) and all(each["state"] == "RUNNING" for each in (status["connector"], *tasks))

    def order(self, portal: str, command: str, body: Mapping[str, Any] | None = None) -> Any:
        """A command to a fake portal's control interface; a fault is ordered with `faults`."""
        request = urllib.request.Request(  # noqa: S310 - loopback
            f"{self.portals[portal]}/_fake/{command}", method="POST", data=json.dumps(body or {}).encode(),
            headers={"Content-Type": "application/json"},
        )  # fmt: skip
        with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310
            return json.load(answer)

    def ask_portal(self, portal: str, question: str) -> Any:
        """What a fake portal's control interface answers: `log`, `summary`, .."""
        with urllib.request.urlopen(f"{self.portals[portal]}/_fake/{question}", timeout=10) as answer:  # noqa: S310
            return json.load(answer)

    def entries(self) -> dict[str, list[dict[str, Any]]]:
        """What the portals show."""
        return read_entries(self.portals)

    def taken_over(self, worker: str) -> int:
        """How many times this worker's log says that it took a partition over."""
        return self.services.log(worker).read_text(encoding="utf-8", errors="replace").count(_TAKEN_OVER)

    def start_and_wait(self, *workers: str, env: Mapping[str, str] | None = None) -> None:
        """Start workers together, and wait until each holds its partitions."""
        before = {worker: self.taken_over(worker) for worker in workers}
        for worker in workers:
            self.services.start(worker, env)
        for worker in workers:
            self._until_taken_over(worker, before[worker])

    def _until_taken_over(self, worker: str, before: int = 0) -> None:
        wait_until(
            lambda: self.taken_over(worker) >= before + PARTITIONS, START_SECONDS, f"{worker} holds its partitions"
        )

    def add_worker(self, kind: str, name: str) -> None:
        """One more worker of a kind."""
        self.services.add(name, command_line("worker", kind, settings=self.settings_file))

    def authorise(self, portal: str = "kommo") -> Said:
        """What an administrator does: gets a code from the portal and gives it to the product."""
        code = self.order(portal, "authorise")["code"]
        return self.cel2crm("portal", "authorise", portal, "--code-file", "-", given=code)


def _text(output: bytes | str | None) -> str:
    return output.decode(errors="replace") if isinstance(output, bytes) else output or ""


@contextmanager
def installation(kind: ServerKind, seed: str) -> Iterator[Installation]:
    """Servers, links, portals, capture, workers and calls; all of it ends with the block."""
    with ExitStack() as running:
        links = running.enter_context(Links())
        stack = ChaosStack(kind)
        stack.start()
        running.callback(stack.stop)
        for broker in stack.brokers:
            links.open(broker, stack.port(clients_port(broker)), stack.port(link_port(broker)))
        endpoints = stack.endpoints
        stack.create_pbx_database()
        create_capture_user(endpoints)
        directory = endpoints.directory / "product"
        directory.mkdir()
        given = {name: _portal(stack, name, directory) for name in PORTALS}
        portals = {name: portal["url"] for name, portal in given.items()}
        settings_file = _settings(stack, links, given, directory)
        services = running.enter_context(Services(stack))
        flow = running.enter_context(CallFlow(endpoints, seed))
        made = Installation(stack, links, services, portals, settings_file, flow)
        _bring_up(made)
        yield made


def _bring_up(made: Installation) -> None:
    made.order("bitrix24", "settings", {"webhook_allowed": True})
    said = made.cel2crm("topics", "apply")
    # Of several brokers, one may not know yet what another has just made: an operator gives the command again.
    _must(made.cel2crm("topics", "apply") if said.status else said)
    _must(made.cel2crm("connectors", "apply"))
    _must(made.authorise())
    for worker in WORKERS:
        made.add_worker(worker.removeprefix("worker-"), worker)
    made.services.add(WATCH, command_line("connectors", "watch", settings=made.settings_file))
    for worker in WORKERS:
        made._until_taken_over(worker)


def _must(said: Said) -> None:
    if said.status:
        raise StackError(f"{said.command} ended with status {said.status}:\n{said.text[-1500:]}")


def _portal(stack: ChaosStack, name: str, directory: Path) -> dict[str, str]:
    limits = {
        # By webhook: its tokens would name the portal's own address, and calls would pass the link by.
        "bitrix24": ["--bucket-size", str(2 * _FAST), "--drain-per-second", str(_FAST), "--webhook-allowed"],
        "kommo": ["--requests-per-second", str(2 * _FAST)],
        "webhook": [],
    }
    process = f"portal-{name}"
    stack.run(process, [sys.executable, "-m", "deploy.fake_crms", name, "--state-dir", directory / name, *limits[name]])
    found: list[dict[str, str]] = []

    def listens() -> bool:
        lines = stack.log(process).read_text(encoding="utf-8").splitlines()
        found.extend(json.loads(line) for line in lines if line.startswith("{"))
        return bool(found)

    wait_until(listens, START_SECONDS, f"the fake {name} listens")
    return found[0]


def _settings(stack: ChaosStack, links: Links, portals: Mapping[str, Mapping[str, str]], directory: Path) -> Path:
    """The demo's settings, with links in the place of the servers, OAuth at Kommo only, limits that fit minutes."""
    endpoints = stack.endpoints
    through = {
        name: {key: _replaced(url, links.open(name, urlsplit(url).port or 0)) for key, url in _urls(portal).items()}
        for name, portal in portals.items()
    }
    path = write_settings(endpoints, through, directory)
    tree = yaml.safe_load(path.read_text(encoding="utf-8"))
    tree["kafka"]["bootstrap_servers"] = ",".join(links[broker].address for broker in stack.brokers)
    tree["kafka"]["replication_factor"] = len(stack.brokers)
    tree["database"]["port"] = links.open("mariadb", endpoints.mariadb_port).port
    for section, url in (("connect", endpoints.connect_url), ("registry", endpoints.registry_url)):
        tree[section]["url"] = _replaced(url, links.open(section, urlsplit(url).port or 0))
    tree["worker"] = {"session_timeout_seconds": SESSION_SECONDS}
    # A source of garbage would stop the worker, with words: here garbage is a fault that it is to survive.
    tree["aggregate"]["max_unreadable_share"] = 1
    for portal in tree["portals"]:
        portal |= {"settle_seconds": 2, "request_timeout_seconds": 6}
        if portal["name"] == "bitrix24":
            del portal["oauth"], portal["url"]
            portal["webhook_url_file"] = str(_secret(directory, "bitrix24-webhook", through["bitrix24"]["webhook_url"]))
        if portal["name"] == "kommo":
            del portal["token_file"]
            portal["oauth"] = {
                "client_id": "fake-integration-id",
                "client_secret_file": str(_secret(directory, "kommo-client-secret", "fake-client-secret")),
                "redirect_uri": "https://localhost/",
                "request_timeout_seconds": 6,
            }
    path.write_text(yaml.safe_dump(tree, sort_keys=False), encoding="utf-8")
    return path


def _secret(directory: Path, name: str, value: str) -> Path:
    path = directory / name
    path.touch(mode=0o600)
    path.write_text(value, encoding="utf-8")
    return path


def _urls(portal: Mapping[str, str]) -> dict[str, str]:
    return {key: value for key, value in portal.items() if key in {"url", "webhook_url"}}


def _replaced(url: str, link: Link) -> str:
    return urlsplit(url)._replace(netloc=f"{HOST}:{link.port}").geturl()


def with_environment(**changes: str) -> dict[str, str]:
    """This process's environment with something else in it."""
    return {**os.environ, **changes}
