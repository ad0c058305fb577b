"""What holds whoever is killed first, and what the stack keeps to its owner."""

import os
import select
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import psutil
import pymysql
import pytest
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from deploy.local import PARTS, Endpoints, LocalStack, StackError, detached, ports
from deploy.local.parts.part import answers
from deploy.local.supervision import ProcessId

ROOT = Path(__file__).parents[2]
LIGHT = ("mariadb",)


def until(condition: Callable[[], bool], seconds: float = 30.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true in time"
        time.sleep(0.05)


def scalar(endpoints: Endpoints, query: str) -> object:
    connection = pymysql.connect(
        host=endpoints.mariadb_host,
        port=endpoints.mariadb_port,
        user="root",
        password=endpoints.mariadb_root_password,
    )
    with connection, connection.cursor() as cursor:
        cursor.execute(query)
        row = cursor.fetchone()
    return row[0] if row else None


@pytest.mark.servers
class TestWholeStack:
    def test_every_part_serves(self, stack: LocalStack) -> None:
        endpoints = stack.endpoints
        assert set(endpoints.pids) == set(PARTS)
        assert len(AdminClient({"bootstrap.servers": endpoints.bootstrap_servers}).list_topics(timeout=10).brokers) == 1
        debezium = "/connector-plugins/io.debezium.connector.mariadb.MariaDbConnector/config"
        assert answers(int(endpoints.connect_url.rpartition(":")[2]), debezium)
        assert answers(int(endpoints.registry_url.split(":")[2].partition("/")[0]), "/apis/ccompat/v7/subjects")
        assert scalar(endpoints, "select @@binlog_format") == "ROW"

    def test_it_fits_in_1500_megabytes(self, stack: LocalStack) -> None:
        pids = [*stack.endpoints.pids.values(), stack.endpoints.supervisor.pid]
        assert sum(psutil.Process(pid).memory_info().rss for pid in pids) < 1500e6

    def test_its_files_are_the_owners_alone(self, stack: LocalStack) -> None:
        endpoints = stack.endpoints
        modes = [endpoints.directory, endpoints.secrets_file, endpoints.directory / "endpoints.json"]
        assert [stat.S_IMODE(path.stat().st_mode) for path in modes] == [0o700, 0o600, 0o600]
        assert endpoints.mariadb_root_password not in repr(endpoints)

    def test_another_process_reads_the_same_endpoints(self, stack: LocalStack) -> None:
        assert Endpoints.read(stack.endpoints.directory) == stack.endpoints

    def test_making_the_pbx_database_again_changes_nothing(self, stack: LocalStack) -> None:
        before = scalar(stack.endpoints, "select count(*) from asteriskcdrdb.cel")
        stack.create_pbx_database()
        assert scalar(stack.endpoints, "select count(*) from asteriskcdrdb.cel") == before

    def test_nobody_enters_the_database_without_a_password(self, stack: LocalStack) -> None:
        for user in ("root", "", "mysql"):
            with pytest.raises(pymysql.err.OperationalError, match="Access denied"):
                pymysql.connect(host=stack.endpoints.mariadb_host, port=stack.endpoints.mariadb_port, user=user)


@pytest.mark.servers
class TestKilled:
    def test_a_killed_starter_leaves_nothing_not_even_what_went_into_another_session(self, tmp_path: Path) -> None:
        starter, processes = start_orphan(tmp_path / "run")
        assert {psutil.Process(process.pid).name() for process in processes} >= {"java", "mariadbd", "sleep"}
        starter.kill()
        starter.wait()
        until(lambda: not [process for process in processes if process.is_alive()])
        until(lambda: not (tmp_path / "run").exists())

    def test_a_killed_supervisor_takes_its_servers_along(self, tmp_path: Path) -> None:
        starter, processes = start_orphan(tmp_path / "run")
        supervisor, *others = processes
        sleeper = next(other for other in others if psutil.Process(other.pid).name() == "sleep")
        try:
            os.kill(supervisor.pid, signal.SIGKILL)
            until(lambda: not [other for other in others if other != sleeper and other.is_alive()])
        finally:
            starter.kill()
            starter.wait()
            os.kill(sleeper.pid, signal.SIGKILL)  # it went into a session of its own, and its owner is gone

    def test_a_broker_killed_and_started_again_has_its_topics(self, tmp_path: Path) -> None:
        with LocalStack(tmp_path / "run", parts={"kafka"}) as stack:
            servers = stack.endpoints.bootstrap_servers
            client = AdminClient({"bootstrap.servers": servers, "log_level": 0})
            client.create_topics([NewTopic("kept", 3)])["kept"].result(30)
            stack.kill("kafka")
            assert stack.start_part("kafka").bootstrap_servers == servers
            assert len(client.list_topics(timeout=10).topics["kept"].partitions) == 3

    def test_a_running_part_is_not_started_twice(self, tmp_path: Path) -> None:
        with (
            LocalStack(tmp_path / "run", parts=LIGHT) as stack,
            pytest.raises(StackError, match="mariadb is running already"),
        ):
            stack.start_part("mariadb")

    def test_a_part_that_ended_by_itself_is_known(self, tmp_path: Path) -> None:
        with LocalStack(tmp_path / "run", parts=LIGHT) as stack:
            assert detached.ended_parts(stack.endpoints) == []
            stack.kill("mariadb")
            assert detached.ended_parts(stack.endpoints) == ["mariadb"]
            assert stack.exit_status("mariadb") == -signal.SIGKILL


def test_a_program_that_ends_with_its_parent_does() -> None:
    program = (
        "import os, signal; from deploy.local import end_with_parent;"
        " end_with_parent(); print(os.getpid(), flush=True); signal.pause()"
    )
    # As make does, with a process between this one and the program.
    parent = "import subprocess, sys; subprocess.run([sys.executable, '-c', sys.argv[1]])"
    between = subprocess.Popen([sys.executable, "-c", parent, program], cwd=ROOT, stdout=subprocess.PIPE)
    assert between.stdout is not None
    with between.stdout:
        child = ProcessId.of(int(between.stdout.readline()))
        assert child is not None
        between.kill()
        between.wait()
        until(lambda: not child.is_alive())


@pytest.mark.servers
def test_a_port_that_was_taken_after_it_was_chosen_is_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    attempts: list[dict[str, int]] = []
    with socket.create_server(("127.0.0.1", 0)) as other:
        taken = other.getsockname()[1]

        def choose(names: Iterable[str], fixed: dict[str, int]) -> dict[str, int]:
            attempts.append(ports.choose(names, fixed) if attempts else {"mariadb": taken})
            return attempts[-1]

        monkeypatch.setattr("deploy.local.stack.choose", choose)
        monkeypatch.setattr("deploy.local.logs.BUILD", tmp_path / "build")
        with LocalStack(tmp_path / "run", parts=LIGHT) as stack:
            assert stack.endpoints.mariadb_port != taken
            assert scalar(stack.endpoints, "select 1") == 1
    assert len(attempts) == 2


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({"kafka", "rabbitmq"}, "No such part: rabbitmq"),
        ({"connect"}, "connect does not start without kafka"),
        (set(), "No such part"),
    ],
)
def test_a_wrong_part_is_told_before_anything_starts(parts: set[str], message: str) -> None:
    with pytest.raises(StackError, match=message):
        LocalStack(parts=parts)


def start_orphan(directory: Path) -> tuple["subprocess.Popen[bytes]", list[ProcessId]]:
    """Start a stack in a process of its own; that process, and all below it, the supervisor first."""
    command = [sys.executable, "-m", "tests.deploy.orphaned_stack", str(directory)]
    starter = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE)
    assert starter.stdout is not None
    with starter.stdout:
        assert select.select([starter.stdout], [], [], 120)[0], "the stack did not start"
        assert starter.stdout.readline() == b"running\n"
    children = psutil.Process(starter.pid).children(recursive=True)
    return starter, [identity for child in children if (identity := ProcessId.of(child.pid)) is not None]
