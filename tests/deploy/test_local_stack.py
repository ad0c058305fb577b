"""The local stack: it comes up or says why not, and nothing of it is ever left behind."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pymysql
import pytest

from deploy.local import LocalStack, PartFailed, StackError, detached

pytestmark = pytest.mark.servers

LIGHT = {"mariadb"}


def until(condition: Callable[[], bool], seconds: float = 30.0) -> None:
    """Wait for a condition; fail where it does not come."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come"
        time.sleep(0.05)


def answers(stack: LocalStack) -> bool:
    endpoints = stack.endpoints
    connection = pymysql.connect(
        host=endpoints.mariadb_host,
        port=endpoints.mariadb_port,
        user="root",
        password=endpoints.mariadb_root_password,
    )
    with connection, connection.cursor() as cursor:
        return cursor.execute("select 1") == 1


def test_everything_listens_on_loopback_only(stack: LocalStack) -> None:
    for pid in stack.endpoints.pids.values():
        process = psutil.Process(pid)
        listening = {each.laddr.ip for each in process.net_connections("tcp") if each.status == psutil.CONN_LISTEN}
        assert listening
        assert listening <= {"127.0.0.1", "::1", "::ffff:127.0.0.1"}


def test_no_secret_is_a_process_argument(stack: LocalStack) -> None:
    password = stack.endpoints.secret("cel.password")
    for pid in stack.endpoints.pids.values():
        words = " ".join(psutil.Process(pid).cmdline())
        assert password not in words
        assert stack.endpoints.mariadb_root_password not in words


def test_a_part_that_was_killed_comes_back_at_the_same_address(tmp_path: Path) -> None:
    with LocalStack(tmp_path / "run", parts=LIGHT) as stack:
        before = stack.endpoints
        assert stack.kill("mariadb") == -signal.SIGKILL
        after = stack.start_part("mariadb")
        assert after.mariadb_port == before.mariadb_port
        assert after.pids != before.pids
        assert answers(stack)


def test_stopping_leaves_no_process_and_no_directory(tmp_path: Path) -> None:
    with LocalStack(tmp_path / "run", parts=LIGHT) as stack:
        pids = list(stack.endpoints.pids.values())
    assert not any(map(psutil.pid_exists, pids))
    assert not (tmp_path / "run").exists()


def test_a_parent_killed_with_sigkill_leaves_nothing(tmp_path: Path) -> None:
    program = (
        "import sys, pathlib\n"
        "from deploy.local import LocalStack\n"
        "stack = LocalStack(pathlib.Path(sys.argv[1]), parts={'mariadb'})\n"
        "stack.start()\n"
        "print('up', flush=True)\n"
        "sys.stdin.read()\n"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path / "run")], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert parent.stdout is not None
    assert parent.stdin is not None
    assert parent.stdout.readline() == "up\n"
    endpoints = json.loads((tmp_path / "run" / "endpoints.json").read_text(encoding="utf-8"))
    pids = [*endpoints["pids"].values(), endpoints["supervisor"]["pid"]]
    assert all(map(psutil.pid_exists, pids))
    parent.kill()
    parent.wait()
    parent.stdin.close()
    parent.stdout.close()
    until(lambda: not any(map(psutil.pid_exists, pids)))
    until(lambda: not (tmp_path / "run").exists())


def test_a_port_in_use_is_told_and_nothing_is_left(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        stack = LocalStack(tmp_path / "run", parts=LIGHT, fixed_ports={"mariadb": port})
        with pytest.raises(StackError, match=str(port)):
            stack.start()
    assert not (tmp_path / "run").exists()


def test_a_part_that_does_not_come_up_is_told_with_its_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from deploy.local.parts.mariadb import MariaDb

    command = MariaDb.command
    monkeypatch.setattr(MariaDb, "command", lambda part: [*command(part), "--no-such-option"])
    with pytest.raises(PartFailed) as failed:
        LocalStack(tmp_path / "run", parts=LIGHT).start()
    assert failed.value.part == "mariadb"
    assert "no-such-option" in str(failed.value)
    assert not (tmp_path / "run").exists()


def test_down_ends_exactly_what_up_left_running(tmp_path: Path) -> None:
    with LocalStack(tmp_path / "other", parts=LIGHT) as other:
        left = LocalStack(tmp_path / "up", parts=LIGHT)
        pids = list(left.start().pids.values())
        left.detach()
        assert detached.running(tmp_path / "up") is not None
        assert detached.end(tmp_path / "up")
        assert not any(map(psutil.pid_exists, pids))
        assert not detached.end(tmp_path / "up")
        assert answers(other)


def test_down_spares_a_stranger_that_has_the_number_now(tmp_path: Path) -> None:
    with LocalStack(tmp_path / "up", parts=LIGHT):
        # Started later than the supervisor, as whoever gets a number again is.
        stranger = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
        try:
            endpoints = json.loads((tmp_path / "up" / "endpoints.json").read_text(encoding="utf-8"))
            endpoints["supervisor"]["pid"] = stranger.pid
            (tmp_path / "up" / "endpoints.json").write_text(json.dumps(endpoints), encoding="utf-8")
            assert not detached.end(tmp_path / "up")
            assert stranger.poll() is None
        finally:
            stranger.kill()
            stranger.communicate()


def test_the_demo_killed_with_sigkill_leaves_nothing() -> None:
    root = Path(__file__).parents[2]
    demo = subprocess.Popen(
        [sys.executable, "-m", "deploy.demo"],
        cwd=root,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "NO_COLOR": "1"},
    )
    assert demo.stdout is not None
    for line in demo.stdout:
        if "rows written" in line:
            break
    else:
        pytest.fail("the demo ended before it played anything")
    (directory,) = (root / ".build" / "stack").glob(f"run-{demo.pid}-*")
    supervisor = json.loads((directory / "endpoints.json").read_text(encoding="utf-8"))["supervisor"]["pid"]
    family = [supervisor, *(child.pid for child in psutil.Process(supervisor).children(recursive=True))]
    # Four servers, two portals, three workers, and the supervisor.
    assert len(family) >= 10
    demo.kill()
    demo.wait()
    demo.stdout.close()
    until(lambda: not any(map(psutil.pid_exists, family)))
    until(lambda: not directory.exists())
