"""The product's commands on a stack with fake portals: what recording and test share. All that they need of deploy."""

import asyncio
import json
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Self

import yaml

from deploy.fake_crms import (
    Bitrix24Config,
    Bitrix24Portal,
    KommoConfig,
    KommoPortal,
    Portal,
    WebhookConfig,
    WebhookPortal,
)
from deploy.fake_crms.webhook import FAKE_SECRET
from deploy.local import LocalStack

__all__ = ["WORKERS", "FakePortals", "Installation", "LocalStack", "Portal", "local_stack", "until", "with_addresses"]

WORKERS = ("aggregate", "bitrix24", "kommo", "webhook")
Tree = dict[str, Any]
Json = dict[str, Any]


def local_stack() -> LocalStack:
    """Kafka and a registry of their own: the ids of the schemas must be those of the stored bytes."""
    return LocalStack(parts=("kafka", "registry"))


async def until(reached: Callable[[], bool], what: str, seconds: float = 60.0) -> None:
    """Wait for something that this process sees. Raises AssertionError that says what did not happen."""
    try:
        async with asyncio.timeout(seconds):
            while not reached():  # noqa: ASYNC110
                await asyncio.sleep(0.02)
    except TimeoutError:
        raise AssertionError(f"not within {seconds:.0f} s: {what}") from None


_KINDS: dict[str, type[Portal]] = {
    "office": Bitrix24Portal,
    "sales": KommoPortal,
    "receiver": WebhookPortal,
    "closed": WebhookPortal,
}
ENTRY_REQUESTS = {"office": "finish", "sales": "calls", "receiver": "post", "closed": "post"}
"""The request that makes a call's entry, as the fake portal's log names it, or as that name ends."""


class FakePortals:
    """The fake CRMs of the stored settings by the names of their portals, each with a journal. Use in `async with`."""

    def __init__(self, directory: Path, journals: Mapping[str, bytes] | None = None) -> None:
        """`journals`: what each had done before."""
        self._directory = directory
        for name, journal in (journals or {}).items():
            file = directory / name / f"{_KINDS[name].name}.jsonl"
            file.parent.mkdir(parents=True)
            file.write_bytes(journal)
        self.by_name: dict[str, Portal] = {
            "office": Bitrix24Portal(
                Bitrix24Config(state_dir=directory / "office", bucket_size=0, webhook_allowed=True)
            ),
            "sales": KommoPortal(KommoConfig(state_dir=directory / "sales", requests_per_second=0, known_clients=True)),
            "receiver": WebhookPortal(WebhookConfig(state_dir=directory / "receiver")),
            "closed": WebhookPortal(WebhookConfig(state_dir=directory / "closed")),
        }

    async def __aenter__(self) -> Self:
        for portal in self.by_name.values():
            await portal.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        for portal in self.by_name.values():
            await portal.stop()

    def journal(self, name: str) -> Path:
        """Where a portal keeps what it has done; read when it starts."""
        return self._directory / name / f"{_KINDS[name].name}.jsonl"

    def secret_fields(self, name: str) -> Json:
        """What a portal's settings need to reach it; the address of a receiver of webhooks left out."""
        portal = self.by_name[name]
        if isinstance(portal, Bitrix24Portal):
            return {"webhook_url_file": self._secret(name, portal.webhook_url)}
        if isinstance(portal, KommoPortal):
            return {"url": portal.url, "token_file": self._secret(name, "fake-long-lived-token")}
        return {"secret_file": self._secret(name, FAKE_SECRET)}

    def address(self, name: str) -> str:
        """The address of a receiver of webhooks."""
        portal = self.by_name[name]
        assert isinstance(portal, WebhookPortal)
        return portal.webhook_url

    def _secret(self, name: str, value: str) -> str:
        file = self._directory / f"{name}.secret"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(value, encoding="utf-8")
        return str(file)

    def statuses(self, name: str) -> list[tuple[str, str]]:
        """Each entry that a portal's users see: the call, and the status that it shows."""
        return sorted((str(entry.external_id), entry.status) for entry in self.by_name[name].entries())

    def entry_requests(self, name: str) -> int:
        """How many requests for an entry a portal got since it was started."""
        asked = (str(line["operation"]) for line in self.by_name[name].log if line["method"] == "POST")
        return sum(operation.endswith(ENTRY_REQUESTS[name]) for operation in asked)

    def external_ids(self, name: str) -> list[str]:
        """The calls that a portal's users see."""
        return [str(entry.external_id) for entry in self.by_name[name].entries()]


class Installation:
    """Settings in a file, workers as processes, the other commands. Use in `with`: workers do not outlive it."""

    def __init__(self, directory: Path, settings: Tree) -> None:
        self._directory = directory
        self.file = directory / "settings.yaml"
        self._workers: list[tuple[subprocess.Popen[bytes], Path]] = []
        self.write(settings)

    def write(self, settings: Tree) -> None:
        """Replace the settings file."""
        self.settings = settings
        self.file.write_text(yaml.safe_dump(settings, sort_keys=False), encoding="utf-8")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for worker, _file in self._workers:
            if worker.poll() is None:
                worker.kill()
            worker.wait()

    def start(self, name: str) -> "subprocess.Popen[bytes]":
        """Start `cel2crm worker NAME`."""
        file = self._directory / f"{name}-{len(self._workers)}.log"
        with file.open("wb") as log:
            worker = subprocess.Popen(self._command("worker", name), stdout=log, stderr=log)
        self._workers.append((worker, file))
        return worker

    def log_of(self, worker: "subprocess.Popen[bytes]") -> list[Json]:
        """The events that a worker has logged (settings: `logging: {format: json}`)."""
        file = next(file for each, file in self._workers if each is worker)
        lines = file.read_text(encoding="utf-8").splitlines()
        return [json.loads(line) for line in lines if line.startswith("{") and line.endswith("}")]

    async def until_taken_over(self, workers: Mapping[str, "subprocess.Popen[bytes]"]) -> None:
        """Wait until each worker has taken all its partitions over."""
        partitions = self.settings["kafka"]["partitions"]
        for name, worker in workers.items():
            await until(
                lambda worker=worker: self.count(worker, "partition taken over") >= partitions,  # type: ignore[misc]
                f"worker {name} takes over; its log: {self.log_of(worker)[-5:]}",
            )

    def count(self, worker: "subprocess.Popen[bytes]", event: str) -> int:
        """How often a worker has logged an event."""
        return sum(event in str(line.get("event")) for line in self.log_of(worker))

    async def stop(self, *workers: "subprocess.Popen[bytes]") -> None:
        """SIGTERM: each ends by itself, and well."""
        for worker in workers:
            worker.terminate()
        for worker in workers:
            assert await asyncio.to_thread(worker.wait, 30) == 0, self.log_of(worker)[-5:]

    async def run(self, *arguments: str, status: int = 0) -> str:
        """Run another command to its end: its output. Raises AssertionError where it ends with another status."""
        ended = await asyncio.to_thread(subprocess.run, self._command(*arguments), capture_output=True, check=False)
        assert ended.returncode == status, f"{arguments}: {ended.returncode}\n{ended.stderr.decode()}"
        return ended.stdout.decode()

    def _command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "streams.cli.main", *arguments, "--settings", str(self.file)]


def with_addresses(settings: Tree, stack: LocalStack, portals: FakePortals, kept: str | None = None) -> Tree:
    """Stored settings with the addresses of these servers and secrets; `kept`: a portal whose address stays."""
    endpoints = stack.endpoints
    own_portals = []
    for portal in settings["portals"]:
        name = portal["name"]
        own = {**portal, **portals.secret_fields(name)}
        if portal["crm"] == "webhook" and name != kept:
            own["url"] = portals.address(name)
        own_portals.append(own)
    return {
        **settings,
        "kafka": {**settings["kafka"], "bootstrap_servers": endpoints.bootstrap_servers},
        "registry": {**settings["registry"], "url": endpoints.registry_url},
        "portals": own_portals,
    }
