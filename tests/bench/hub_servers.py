"""A hub as it is measured: servers of ten PBXs' databases each, one Kafka, one Connect, the workers and the watch."""

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pymysql
import yaml

from deploy.demo.pipeline import (
    CAPTURE_USER,
    Pipeline,
    authorise,
    run_command,
    start_portal,
    start_worker,
    write_settings,
)
from deploy.local import LocalStack
from deploy.server.tuning import TUNING
from tests.bench.hub_load import DatabaseServer

DATABASES_A_SERVER = 10
CRM = "bitrix24"
ROOT = Path(__file__).parents[2]


@dataclass(frozen=True, slots=True)
class Hub:
    """What runs."""

    pipeline: Pipeline
    servers: tuple[DatabaseServer, ...]
    processes: dict[str, int]
    """Process ids of what the hub is made of."""
    databases: dict[str, int]
    """Those of the PBXs' servers, which are no part of it."""
    gc_logs: dict[str, Path]
    """Of the Java servers."""
    apply_seconds: float
    """How long `connectors apply` took."""


@contextmanager
def hub(directory: Path, pbxs: int, connect_heap: int | None, say: Callable[[str], None]) -> Iterator[Hub]:
    """So many PBXs, captured and watched; `connect_heap`: MB, None: as on a server of so many PBXs."""
    directory.mkdir(parents=True, exist_ok=True)
    gc_logs = {name: directory / f"gc-{name}.log" for name in TUNING}
    tuning = {name: replace(each, java=(*each.java, f"-Xlog:gc:file={gc_logs[name]}")) for name, each in TUNING.items()}
    if connect_heap is not None:
        tuning["connect"] = replace(tuning["connect"], java=(*tuning["connect"].java, f"-Xmx{connect_heap}m"))
    with ExitStack() as running:
        say(f"starting {pbxs} PBXs")
        stack = running.enter_context(LocalStack(parts={"kafka", "registry", "connect"}, tuning=tuning))
        password = stack.endpoints.secret("cel.password")
        found = [
            _database_server(running, names, password)
            for names in _shared_out([f"pbx{number:02}" for number in range(1, pbxs + 1)])
        ]
        portal = start_portal(stack, CRM, directory, running)
        settings = _settings(stack, portal, directory, [server for server, _ in found])
        say(f"making topics and connectors of {pbxs} PBXs")
        run_command("topics", "apply", settings=settings)
        began = time.monotonic()
        run_command("connectors", "apply", settings=settings, seconds=900)
        applied = time.monotonic() - began
        authorise(CRM, portal["url"], settings, directory)
        workers = dict(start_worker(stack, [name], settings, running) for name in ("aggregate", CRM))
        pipeline = Pipeline(stack, settings, {CRM: portal["url"]}, workers)
        pipeline.wait_until_ready()
        watch = stack.run(
            "watch", [sys.executable, "-m", "streams.cli.main", "connectors", "watch", "--settings", settings]
        )
        pipeline.others.append("watch")
        processes = {**stack.endpoints.pids, "connectors watch": watch}
        processes |= {name: process.pid for name, process in workers.items()}
        databases = {f"mariadb {number}": pid for number, (_, pid) in enumerate(found, 1)}
        yield Hub(pipeline, tuple(server for server, _ in found), processes, databases, gc_logs, applied)


def _shared_out(names: Sequence[str]) -> Iterator[tuple[str, ...]]:
    for first in range(0, len(names), DATABASES_A_SERVER):
        yield tuple(names[first : first + DATABASES_A_SERVER])


def _database_server(running: ExitStack, pbxs: tuple[str, ...], password: str) -> tuple[DatabaseServer, int]:
    """A MariaDB with the databases of these PBXs, and one capture user for all of them; its process id."""
    at = running.enter_context(LocalStack(parts={"mariadb"})).endpoints
    connection = pymysql.connect(
        host=at.mariadb_host, port=at.mariadb_port, user="root", password=at.mariadb_root_password, autocommit=True
    )
    table, user = _statements("deploy/local/freepbx_cel.sql"), _statements("connectors/mariadb/capture_user.sql")
    with connection, connection.cursor() as cursor:
        for pbx in pbxs:
            for statement in (*table, *user):
                cursor.execute("set sql_notes = 0")
                cursor.execute(statement.replace("asteriskcdrdb", pbx))
        cursor.execute(f"alter user '{CAPTURE_USER}'@'%%' identified by %s account unlock", (password,))
    return DatabaseServer(at.mariadb_port, at.mariadb_root_password, pbxs), at.pids["mariadb"]


def _statements(file: str) -> list[str]:
    lines = (ROOT / file).read_text(encoding="utf-8").splitlines()
    text = "\n".join(line for line in lines if not line.lstrip().startswith("--"))
    return [statement for each in text.split(";") if (statement := each.strip())]


def _settings(stack: LocalStack, portal: dict[str, str], directory: Path, servers: Sequence[DatabaseServer]) -> Path:
    """The demo's settings with these PBXs in place of its one, and the checkpoints as they are by default."""
    file = write_settings(stack.endpoints, {CRM: portal}, directory)
    tree: dict[str, Any] = yaml.safe_load(file.read_text(encoding="utf-8"))
    database = tree.pop("database")
    for section in ("pbx", "aggregate"):
        del tree[section]
    own = {"host": "127.0.0.1", "user": CAPTURE_USER, "password_file": database["password_file"]}
    tree["pbxs"] = [
        {"name": pbx, "database": {**own, "port": server.port, "name": pbx}}
        for server in servers
        for pbx in server.pbxs
    ]
    file.write_text(yaml.safe_dump(tree, sort_keys=False), encoding="utf-8")
    return file
