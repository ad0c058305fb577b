"""Sets the pipeline up as an administrator would: with the product's own commands, each part its own process."""

import json
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

import pymysql
import yaml

from deploy.fake_crms import STAFF, Bitrix24Config, KommoConfig, WebhookConfig
from deploy.local import Endpoints, LocalStack
from streams.credentials.sealing import write_new_key
from streams.errors import UserError

START_SECONDS = 60.0
PORTALS = ("bitrix24", "kommo", "webhook")
CAPTURE_USER = "cel2crm"
_PARTITIONS = 4
_QUICK: Mapping[str, object] = {"flush_seconds": 1.0, "snapshot_seconds": 1.0}
"""Settings of the aggregate worker, so that the demo shows in seconds what takes a minute otherwise."""
_TAKEN_OVER = "partition taken over"
_SPEED = 400
"""Requests a second that the demo's portals and senders are set to: at a real portal's 2 it would take minutes."""


class WorkerProcess(NamedTuple):
    """A process of workers."""

    pid: int
    kinds: int
    """How many workers run in it."""


@dataclass(slots=True)
class Pipeline:
    """The running parts of the product, each a process of the stack: none outlives the demo, however that ends."""

    stack: LocalStack
    settings_file: Path
    portals: dict[str, str]
    """Name of a portal: its address."""
    workers: Mapping[str, WorkerProcess]
    """By the name of their process of the stack."""
    others: list[str] = field(default_factory=list)
    """Further processes of the product's, by that name."""

    def wait_until_ready(self) -> None:
        """Until every worker holds every partition. Raises UserError."""
        deadline = time.monotonic() + START_SECONDS
        for worker, process in self.workers.items():
            while self.stack.log(worker).read_text(encoding="utf-8").count(_TAKEN_OVER) < process.kinds * _PARTITIONS:
                self.check()
                if time.monotonic() > deadline:
                    raise UserError(f"{worker} is not ready:\n{log_tail(self.stack, worker)}")
                time.sleep(0.1)

    def start(self, name: str, *command: str) -> None:
        """Start `cel2crm <command>`, which goes on until the pipeline ends."""
        program: list[str | Path] = [sys.executable, "-m", "streams.cli.main"]
        self.stack.run(name, [*program, *command, "--settings", self.settings_file])
        self.others.append(name)

    def check(self) -> None:
        """Raise UserError where a part has ended."""
        for name in (*self.workers, *self.others, *(f"portal-{portal}" for portal in self.portals)):
            if (status := self.stack.exit_status(name)) is not None:
                raise UserError(f"{name} ended with status {status}:\n{log_tail(self.stack, name)}")


@contextmanager
def pipeline(
    stack: LocalStack,
    directory: Path,
    crms: Sequence[str] = PORTALS,
    *,
    in_one_process: bool = False,
    sinks: Sequence[Mapping[str, object]] = (),
    aggregate: Mapping[str, object] = _QUICK,
) -> Iterator[Pipeline]:
    """Portals, topics, capture and the workers, each in its own process, or all in one, with the watch of the capture;
    ended workers first.

    `sinks`, `aggregate`: as they stand in the settings.
    """
    directory.mkdir(parents=True, exist_ok=True)
    with ExitStack() as running:
        portals = {name: start_portal(stack, name, directory, running) for name in crms}
        settings_file = write_settings(stack.endpoints, portals, directory, sinks, aggregate)
        create_capture_user(stack.endpoints)
        run_command("topics", "apply", settings=settings_file)
        run_command("connectors", "apply", settings=settings_file)
        if "bitrix24" in portals:
            authorise("bitrix24", portals["bitrix24"]["url"], settings_file, directory)
        kinds = [["aggregate", *crms, "--watch"]] if in_one_process else [["aggregate"], *([crm] for crm in crms)]
        workers = dict(start_worker(stack, names, settings_file, running) for names in kinds)
        running_pipeline = Pipeline(
            stack, settings_file, {name: found["url"] for name, found in portals.items()}, workers
        )
        running_pipeline.wait_until_ready()
        yield running_pipeline
        for name in running_pipeline.others:
            _stop(stack, name)


def write_settings(
    endpoints: Endpoints,
    portals: dict[str, dict[str, str]],
    directory: Path,
    sinks: Sequence[Mapping[str, object]] = (),
    aggregate: Mapping[str, object] = _QUICK,
) -> Path:
    """The settings file, with every secret in a file of its own that only its owner reads."""
    users = {user.inner: str(user.id) for user in STAFF if user.inner and user.active}
    common = {
        "users": users,
        "default_user": str(STAFF[0].id),
        "deliver_from": (datetime.now(UTC) - timedelta(hours=1)).isoformat(),
        "rate_limit": {"burst": _SPEED, "per_second": _SPEED / 2},
    }
    tree = {
        "pbx": {"name": "pbx1"},
        "database": {
            "host": endpoints.mariadb_host,
            "port": endpoints.mariadb_port,
            "user": CAPTURE_USER,
            "password_file": str(_secret(directory, "database-password", endpoints.secret("cel.password"))),
        },
        "kafka": {"bootstrap_servers": endpoints.bootstrap_servers, "partitions": _PARTITIONS},
        "connect": {
            "url": endpoints.connect_url,
            "password_reference": f"${{file:{endpoints.secrets_file}:cel.password}}",
        },
        "registry": {"url": endpoints.registry_url},
        "aggregate": dict(aggregate),
        "portals": [
            {"name": name, "crm": name, **_portal_fields(name, found, directory), **common}
            for name, found in portals.items()
        ],
        "credentials": {"key_file": str(_key(directory))},
        "sinks": [dict(sink) for sink in sinks],
    }
    path = directory / "cel2crm.yaml"
    path.write_text(yaml.safe_dump(tree, sort_keys=False), encoding="utf-8")
    return path


def _portal_fields(name: str, found: dict[str, str], directory: Path) -> dict[str, object]:
    """The settings of a portal that no other kind has."""
    if name == "bitrix24":
        return _application(found["url"], directory)
    if name == "kommo":
        token = _secret(directory, "kommo-token", KommoConfig().long_lived_token)
        return {"url": found["url"], "token_file": str(token)}
    secret = _secret(directory, "webhook-secret", WebhookConfig().secrets[0])
    return {"url": found["webhook_url"], "secret_file": str(secret), "allow_private": True}


def _application(url: str, directory: Path) -> dict[str, object]:
    """A portal's settings for a local application of its own, as README has it; the fake issues its tokens itself."""
    fake = Bitrix24Config()
    oauth = {
        "client_id": fake.client_id,
        "client_secret_file": str(_secret(directory, "bitrix24-client-secret", fake.client_secret)),
        "redirect_uri": "https://localhost/",
        "token_endpoint": f"{url}/oauth/token/",
    }
    return {"url": url, "oauth": oauth}


def _key(directory: Path) -> Path:
    """The key that encrypts stored tokens."""
    file = directory / "credentials-key"
    if not file.exists():
        write_new_key(file, add=False)
    return file


def authorise(name: str, url: str, settings: Path, directory: Path) -> None:
    """Let the product in as an administrator does: a code from the fake portal at `url`, good for seconds."""
    request = urllib.request.Request(f"{url}/_fake/authorise", method="POST", data=b"{}")  # noqa: S310 (loopback)
    with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310
        code: str = json.load(answer)["code"]
    run_command(
        "portal", "authorise", name, "--code-file", str(_secret(directory, f"{name}-code", code)), settings=settings
    )


def create_capture_user(endpoints: Endpoints) -> None:
    """Run the documented SQL file and set the password, as an administrator does."""
    statements = (Path(__file__).parents[2] / "connectors/mariadb/capture_user.sql").read_text(encoding="utf-8")
    lines = [line for line in statements.splitlines() if not line.lstrip().startswith("--")]
    connection = pymysql.connect(
        host=endpoints.mariadb_host,
        port=endpoints.mariadb_port,
        user="root",
        password=endpoints.mariadb_root_password,
        autocommit=True,
    )
    with connection, connection.cursor() as cursor:
        for statement in "\n".join(lines).split(";"):
            if statement.strip():
                cursor.execute(statement)
        cursor.execute(
            f"alter user '{CAPTURE_USER}'@'%%' identified by %s account unlock", (endpoints.secret("cel.password"),)
        )


def run_command(*command: str, settings: Path, seconds: float = 180.0) -> str:
    """Run `cel2crm ..` to its end, for so long at most. Raises UserError with what it said."""
    done = subprocess.run(
        [sys.executable, "-m", "streams.cli.main", *command, "--settings", str(settings)],
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
        timeout=seconds,
    )
    if done.returncode:
        raise UserError(f"cel2crm {' '.join(command)} failed:\n{done.stderr.strip() or done.stdout.strip()}")
    return done.stdout


def log_tail(stack: LocalStack, name: str, lines: int = 12) -> str:
    """The last lines of a process's log."""
    return "\n".join(stack.log(name).read_text(encoding="utf-8", errors="replace").splitlines()[-lines:])


def start_portal(
    stack: LocalStack, name: str, directory: Path, running: ExitStack, crm: str | None = None
) -> dict[str, str]:
    """Start a fake CRM (default: the one of this name), which ends with `running`.

    Returns what it says of itself: `url` and others.
    """
    limits = {
        "bitrix24": ["--bucket-size", str(2 * _SPEED), "--drain-per-second", str(_SPEED)],
        "kommo": ["--requests-per-second", str(2 * _SPEED)],
        "webhook": [],
    }
    process, crm = f"portal-{name}", crm or name
    stack.run(process, [sys.executable, "-m", "deploy.fake_crms", crm, "--state-dir", directory / name, *limits[crm]])
    running.callback(_stop, stack, process)
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and stack.exit_status(process) is None:
        for line in stack.log(process).read_text(encoding="utf-8").splitlines():
            if line.startswith("{"):
                found: dict[str, str] = json.loads(line)
                return found
        time.sleep(0.05)
    raise UserError(f"the fake {name} did not start:\n{log_tail(stack, process)}")


def start_worker(
    stack: LocalStack, words: Sequence[str], settings: Path, running: ExitStack
) -> tuple[str, WorkerProcess]:
    """Start `cel2crm worker <words>`, which ends with `running`. Returns the name of its process, and it."""
    names = [word for word in words if not word.startswith("-")]
    process = "-".join(["worker", *names])
    pid = stack.run(process, [sys.executable, "-m", "streams.cli.main", "worker", *words, "--settings", settings])
    running.callback(_stop, stack, process)
    return process, WorkerProcess(pid, len(names))


def _stop(stack: LocalStack, process: str) -> None:
    if stack.exit_status(process) is None:
        stack.kill(process, signal.SIGTERM)


def _secret(directory: Path, name: str, value: str) -> Path:
    path = directory / name
    path.touch(mode=0o600)
    path.write_text(value, encoding="utf-8")
    return path
