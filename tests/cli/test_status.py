"""`cel2crm status` where servers are away or say nothing, and its one line beside other commands."""

# ruff: noqa: F811 (the fixture `operator` of another folder)

import asyncio
import json
import os
import pty
import select
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml
from aiohttp.test_utils import unused_port

from streams.calls.missing_rows import Missing
from streams.calls.snapshot import Snapshot
from streams.cli import verdict_line
from streams.delivery.record import Delivery, State
from streams.errors import UserError
from streams.kafka.topic_client import Outgoing
from streams.operations.status import gather
from streams.operations.status.bounded import run_bounded
from streams.operations.status.facts import Facts, PartitionProgress, WorkerFacts
from streams.operations.status.questions import Questions, answer, answered
from streams.operations.unreadable_memory import not_set_aside, unreadable_checkpoints, unreadable_portal_states
from streams.settings import Settings
from streams.topics import SET_ASIDE_RECORDS
from tests.cli.commands import run
from tests.cli.hostile import HOSTILE, unsafe
from tests.operations.conftest import operator, tree  # noqa: F401 - fixtures
from tests.operations.memory import Operator

DEAD = WorkerFacts("aggregate", "Empty", 0, (PartitionProgress("cel2crm.cel", 0, None, 0, 5, 7),))
TOLD = "worker aggregate: nobody holds 1 of 1 partitions of cel2crm.cel; 2 records wait"


def settings_file(directory: Path, ports: dict[str, int]) -> Path:
    """Settings of servers on these ports of this machine."""
    password = directory / "password"
    password.write_text("x", encoding="utf-8")
    settings = {
        "kafka": {"bootstrap_servers": f"127.0.0.1:{ports['kafka']}"},
        "connect": {"url": f"http://127.0.0.1:{ports['connect']}"},
        "registry": {"url": f"http://127.0.0.1:{ports['registry']}"},
        "database": {"port": ports["database"], "password_file": str(password)},
        "portals": [{"name": "sales", "crm": "kommo", "url": "https://x.kommo.com", "token": "x"}],
    }
    file = directory / "cel2crm.yaml"
    file.write_text(yaml.safe_dump(settings), encoding="utf-8")
    return file


@pytest.fixture
def frozen() -> Iterator[dict[str, int]]:
    """Ports of servers that accept connections and never say a word, as one that is stopped does."""
    listeners = {name: socket.create_server(("127.0.0.1", 0)) for name in ("kafka", "connect", "registry", "database")}
    yield {name: listener.getsockname()[1] for name, listener in listeners.items()}
    for listener in listeners.values():
        listener.close()


@pytest.fixture
def away() -> dict[str, int]:
    """Ports on which nobody listens."""
    return {name: unused_port() for name in ("kafka", "connect", "registry", "database")}


def subjects(told: dict[str, Any]) -> dict[str, str]:
    return {each["why"].split(" (")[0].split(" at ")[0]: each["subject"] for each in told["unanswered"]}


def test_servers_that_are_away_are_told_each_in_a_sentence(tmp_path: Path, away: dict[str, int]) -> None:
    done = run("status", "--json", "--settings", str(settings_file(tmp_path, away)))
    told = json.loads(done.stdout)
    assert (done.status, told["verdict"], told["findings"]) == (2, "cannot_tell", [])
    found = subjects(told)
    assert found["no Kafka Connect"] == "the connector"
    assert found["no database answers"] == "the PBX's table"
    assert found["no schema registry"] == "the schema registry"
    assert "the workers, the portals" in found["no Kafka broker"]
    assert all(each["remedy"] for each in told["unanswered"])


def test_servers_that_never_answer_hold_nobody_up(tmp_path: Path, frozen: dict[str, int]) -> None:
    command = [sys.executable, "-m", "streams.cli.main", "status", "--json", "--settings"]
    done = subprocess.run(  # as a process: its end must not wait for what hangs
        [*command, str(settings_file(tmp_path, frozen))], capture_output=True, check=False, timeout=60
    )
    assert done.returncode == 2 and not done.stderr, done.stderr
    told = json.loads(done.stdout)
    assert told["seconds"] < 13
    everything = " ".join(each["subject"] for each in told["unanswered"])
    for subject in ("connector", "workers", "portals", "dead letters", "PBX's table", "schema registry"):
        assert subject in everything
    assert "broker" in json.dumps(told["unanswered"])


@contextmanager
def watching(file: Path, *options: str, output: int) -> "Iterator[subprocess.Popen[bytes]]":
    """`cel2crm status --watch` as a process, which is gone afterwards whatever happens."""
    command = [sys.executable, "-m", "streams.cli.main", "status", "--watch", *options, "--settings", str(file)]
    process = subprocess.Popen(command, stdout=output, env={**os.environ, "TERM": "xterm"})
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def test_a_watch_looks_again_until_it_is_ended(tmp_path: Path, away: dict[str, int]) -> None:
    options = ("--every", "1", "--json")
    with watching(settings_file(tmp_path, away), *options, output=subprocess.PIPE) as process:
        assert process.stdout is not None
        with process.stdout as lines:
            looks = [json.loads(lines.readline()) for _ in range(2)]
            assert looks[0]["at"] < looks[1]["at"]
            process.terminate()
            assert process.wait(60) == 2  # of the last look


def test_a_watch_on_a_terminal_stays_in_its_place(tmp_path: Path, away: dict[str, int]) -> None:
    ours, theirs = pty.openpty()
    with watching(settings_file(tmp_path, away), output=theirs) as process:
        os.close(theirs)
        shown = b""
        while b"could not be looked at" not in shown:
            assert select.select([ours], [], [], 60)[0], shown
            shown += os.read(ours, 4096)
        process.terminate()
        assert process.wait(60) == 2
    os.close(ours)


def test_a_watch_ends_with_its_terminal(tmp_path: Path, away: dict[str, int]) -> None:
    ours, theirs = pty.openpty()
    with watching(settings_file(tmp_path, away), "--every", "1", output=theirs) as process:
        os.close(theirs)
        assert select.select([ours], [], [], 60)[0]
        os.close(ours)
        process.wait(60)  # by the signal that a closed terminal sends, or by itself where that is ignored


def test_text_that_others_chose_is_safe_on_a_terminal(
    monkeypatch: pytest.MonkeyPatch,
    operator: Operator,
) -> None:
    reason = "".join(HOSTILE.values())
    operator.delivery(Delivery(call_id="pbx1/1", crm="kommo", portal="sales", state=State.PAUSED, reason=reason))

    class Reached(gather._Asking):
        async def _find_broker(self) -> None:
            return

    monkeypatch.setattr(gather, "_Asking", Reached)
    for words in (("status",), ("status", "--json")):
        done = run(*words)
        assert "sales" in done.stdout and "7[/b]" in done.stdout
        assert unsafe(done.stdout) == ""


def test_a_worker_that_is_dead_is_told_by_other_commands(operator: Operator) -> None:
    operator.delivery(Delivery(call_id="pbx1/1", crm="kommo", portal="sales", state=State.DELIVERED))
    commands = (
        ("deliveries",),
        ("deliveries", "--json"),
        ("deliveries", "pbx1/1"),
        ("dead-letters", "list"),
        ("portal", "status"),
    )
    before = {words: operator.run(*words) for words in commands}
    assert all(done.stderr == "" for done in before.values()), "no noise while all is well"
    operator.workers = {"aggregate": DEAD}
    for words, well in before.items():
        done = operator.run(*words)
        assert (done.exit_code, done.stdout) == (well.exit_code, well.stdout)
        assert done.stderr == f"cel2crm: not all is well: {TOLD}; see: cel2crm status\n"


@pytest.mark.parametrize("fault", [UserError("no broker"), ValueError("a fault of ours"), None])
def test_a_quick_look_that_fails_or_hangs_delays_no_command(
    operator: Operator,
    monkeypatch: pytest.MonkeyPatch,
    fault: Exception | None,
) -> None:
    async def gather_quickly(_: Settings) -> Facts:
        if fault is not None:
            raise fault
        await asyncio.sleep(3600)
        raise AssertionError

    monkeypatch.setattr(verdict_line, "gather_quickly", gather_quickly)
    monkeypatch.setattr(verdict_line, "QUICK_SECONDS", 0.2)
    began = time.monotonic()
    done = operator.run("deliveries")
    assert (done.exit_code, done.stderr) == (0, "") and time.monotonic() - began < 2


async def test_a_quick_look_asks_little_of_a_broker_that_is_away(tmp_path: Path, away: dict[str, int]) -> None:
    settings = Settings.model_validate(yaml.safe_load(settings_file(tmp_path, away).read_text(encoding="utf-8")))
    facts = await gather.gather_quickly(settings)
    assert facts.workers == {} and len(facts.unanswered) == 2


async def test_questions_without_an_answer() -> None:
    asked = Questions(0.2)

    async def refuses() -> None:
        raise UserError("no broker", "Start it.")

    def hangs() -> None:
        threading.Event().wait(0.5)

    good = asked.ask("a", asyncio.sleep(0, "answer"))
    nothing = asked.ask("b", asyncio.sleep(0))
    first, second = asked.ask("c", refuses()), asked.ask("d", refuses())
    late = asked.ask("e", asyncio.to_thread(hangs))
    told = {each.subject: each.why for each in await asked.wait()}
    assert (answer(good), answered(nothing), answer(nothing)) == ("answer", True, None)
    assert (answered(first), answered(late), answer(second)) == (False, False, None)
    assert told == {"c, d": "no broker", "e": "there was no answer in time"}


def test_a_loop_ends_whatever_hangs_in_it() -> None:
    async def stubborn() -> None:
        while True:
            try:
                await asyncio.sleep(3600)
            except asyncio.CancelledError:
                continue

    async def work() -> str:
        asyncio.get_running_loop().create_task(stubborn())
        asyncio.get_running_loop().run_in_executor(None, threading.Event().wait, 30)
        await asyncio.sleep(0.05)
        return "done"

    began = time.monotonic()
    assert run_bounded(work()) == "done"
    assert time.monotonic() - began < 3


async def test_records_that_a_worker_stops_at(operator: Operator) -> None:
    topic = operator.settings.kafka.topic
    connection = await operator.connection()
    assert await unreadable_checkpoints(connection) == await unreadable_portal_states(connection) == ()
    operator.topics.put(Outgoing(topic("aggregate-checkpoints"), b"pbx1/1", b"\xc1", partition=0))
    operator.topics.put(Outgoing(topic("aggregate-checkpoints"), b"pbx1/2", b"\xc1", partition=0))
    operator.topics.put(Outgoing(topic("aggregate-checkpoints"), b"pbx1/2", None, partition=0))  # replaced
    snapshot = Snapshot(7, 8, True, False, b"a call", Missing.ROWS).encode()
    operator.topics.put(Outgoing(topic("aggregate-checkpoints"), b"pbx1/3", snapshot, partition=0))
    operator.topics.put(Outgoing(topic("portal-states"), b"kommo/sales", b"damaged", partition=0))
    assert await unreadable_checkpoints(connection) == (f"{topic('aggregate-checkpoints')}/0/0",)
    (place,) = await unreadable_portal_states(connection)
    assert place == f"{topic('portal-states')}/0/0"
    operator.topics.put(Outgoing(topic(SET_ASIDE_RECORDS), place.encode(), b"{}", partition=0))
    assert await unreadable_portal_states(connection) == ()
    assert await not_set_aside(connection, [place, "t/0/9"]) == ("t/0/9",)
