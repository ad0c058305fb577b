"""From a row in the PBX's table to an entry in each portal, through every real part; one call of each direction."""

import asyncio
import contextlib
import json
import signal
import sys
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from deploy.demo.expected import expected
from deploy.demo.observer import Observer
from deploy.demo.pipeline import pipeline
from deploy.demo.player import Player
from deploy.demo.recordings import Case, read_recordings, unique_starts
from deploy.local import LocalStack
from streams.calls.call import call_id
from streams.settings import load_settings

if TYPE_CHECKING:
    from deploy.demo.pipeline import Pipeline

CASES = {
    "inbound_answered_caller_hangs_up": ("incoming", 200, "200", "4"),
    "inbound_queue_abandoned": ("incoming", 480, "304", "3"),
    "inbound_pickup_directed": ("incoming", 200, "200", "4"),
    "outbound_sip_404": ("outgoing", 404, "404", "5"),
    "internal_sip_486": ("internal", 486, None, None),
}
"""Case: direction, result, status in Bitrix24 and in Kommo (None: not there)."""


@pytest.mark.servers
async def test_each_direction_goes_from_the_table_to_each_portal(stack: LocalStack, tmp_path: Path) -> None:
    recorded = [case for case in read_recordings() if case.name in CASES]
    cases = list(unique_starts(recorded, int(time.time()) - 60))
    truths = [truth for case in cases for truth in expected(case)]
    endpoints = stack.endpoints
    opened = await asyncio.to_thread(enter, pipeline(stack, tmp_path))
    try:
        settings = load_settings(opened.running.settings_file)
        observer = Observer(settings, opened.running.portals)
        watching = asyncio.create_task(observer.watch())
        player = Player(endpoints.mariadb_host, endpoints.mariadb_port, endpoints.mariadb_root_password, lanes=3)
        threads = player.start(cases)
        wanted = {
            name: {call_id("pbx1", truth.linkedid) for truth in truths if truth.stands_in(name)}
            for name in opened.running.portals
        }
        async with asyncio.timeout(90):
            while not (
                all(truth.linkedid in observer.results for truth in truths)
                and all(
                    calls <= {each["external_id"] for each in observer.entries.get(name, ())}
                    for name, calls in wanted.items()
                )
            ):
                opened.running.check()
                assert player.failure is None
                await asyncio.sleep(0.2)
        for thread in threads:
            await asyncio.to_thread(thread.join)
        await status_tells_of_a_dead_worker(opened.running, player, cases[:1])
    finally:
        watching.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await watching
        await asyncio.to_thread(opened.stack.close)
    for case in cases:
        main = next(each for each in expected(case) if each.external or case.direction == "internal")
        direction, code, bitrix24, kommo = CASES[case.name]
        result = observer.results[main.linkedid]
        assert (result.direction, result.result, result.answered) == (direction, code, main.answered), case.name
        for portal, status in (("bitrix24", bitrix24), ("kommo", kommo), ("webhook", str(code))):
            found = [each for each in observer.entries[portal] if each["external_id"] == result.call_id]
            assert [str(each["status"]) for each in found] == ([] if status is None else [status]), case.name
            assert not any(each["popup"] for each in found)
    for entries in observer.entries.values():
        assert max(Counter(each["external_id"] for each in entries).values()) == 1


async def status_tells_of_a_dead_worker(running: "Pipeline", player: Player, cases: list[Case]) -> None:
    """`cel2crm status`: all is well; and with the aggregate worker killed and a call waiting, it is not."""
    status, told = await told_by_status(running)
    assert (status, told["verdict"], told["findings"], told["unanswered"]) == (0, "well", [], []), told
    assert (told["capture"]["state"], told["capture"]["rows_behind"]) == ("RUNNING", 0)
    running.stack.kill("worker-aggregate", signal.SIGKILL)
    for thread in player.start(list(unique_starts(cases, int(time.time()) - 30))):
        await asyncio.to_thread(thread.join)
    status, told = await told_by_status(running)
    while status == 2:  # a busy machine: it says that the time was too short to tell
        assert "Look again" in told["unanswered"][0]["remedy"], told
        status, told = await told_by_status(running)
    assert status == 1, told
    (found,) = told["findings"]
    assert found["area"] == "workers" and found["problem"].startswith("worker aggregate: "), told
    assert "wait, the oldest for " in found["problem"] and "cel2crm worker aggregate" in found["remedy"]


async def told_by_status(running: "Pipeline") -> tuple[int, dict[str, Any]]:
    """Exit status and what it says, as a process of its own: it looks for less than 15 s, on a busy machine too."""
    command = ("-m", "streams.cli.main", "status", "--json", "--settings", str(running.settings_file))
    process = await asyncio.create_subprocess_exec(sys.executable, *command, stdout=asyncio.subprocess.PIPE)
    async with asyncio.timeout(60):
        out, _ = await process.communicate()
    told = json.loads(out)
    assert told["seconds"] < 13
    return process.returncode or 0, told


class Opened:
    """A pipeline entered in a thread, to be left in another."""

    def __init__(self, context: "contextlib.AbstractContextManager[object]") -> None:
        from deploy.demo.pipeline import Pipeline

        self.stack = contextlib.ExitStack()
        running = self.stack.enter_context(context)
        assert isinstance(running, Pipeline)
        self.running = running


def enter(context: "contextlib.AbstractContextManager[object]") -> Opened:
    return Opened(context)
