"""Three PBXs on one broker: MariaDB, PostgreSQL, and one in another time zone with trunks of its own.

The same recorded call, with the same linkedid, is written on each of them: three calls, each judged by its own PBX's
settings.
"""

import asyncio
import json
import os
from collections.abc import Mapping
from typing import Any

import pytest

from tests.databases.several_pbxs import Pbxs, deleting_connectors

pytestmark = pytest.mark.servers

AGREE = ("direction", "answered", "caller", "called", "did", "trunk", "result")


def agreed(result: Mapping[str, Any]) -> list[Any]:
    return [result[name] for name in AGREE]


async def test_pbxs_are_added_one_after_the_other_and_each_call_is_judged_by_its_own(pbxs: Pbxs) -> None:
    assert os.environ.get("CEL2CRM_SETTINGS") is None
    async with deleting_connectors(pbxs):
        await pbxs.well("topics", "apply")
        await pbxs.well("connectors", "apply")
        old = pbxs.start_worker()
        await pbxs.until(old, "partition taken over", 2)
        # A PBX more: the worker does not know it, so it is not captured yet.
        told = await pbxs.add(pbxs.branch, "--extra", "eventextra")
        assert "restart every aggregate worker" in told
        trunk = ["--timezone", "America/New_York", "--region", "US", "--trunk", "carrier-far"]
        await pbxs.add(pbxs.far, *trunk)
        assert pbxs.settings.pbx_names == (pbxs.first.name, pbxs.branch.name, pbxs.far.name)
        assert pbxs.file.read_text(encoding="utf-8").count("# ours") == 1
        # A worker with the new settings beside one with the old ones says so and stops; the first goes on.
        second = pbxs.start_worker()
        assert await asyncio.to_thread(second.wait, 60) == 2
        assert f"PBXs there: {pbxs.first.name}; here: {pbxs.first.name}, {pbxs.branch.name}" in pbxs.log_of(second)
        assert old.poll() is None
        old.terminate()
        assert await asyncio.to_thread(old.wait, 60) == 0
        workers = [pbxs.start_worker(), pbxs.start_worker()]
        await asyncio.gather(*(pbxs.until(worker, "partition taken over") for worker in workers))
        told = await pbxs.well("connectors", "apply")
        assert told.count("RUNNING, task 0 RUNNING") == 3
        for each in (pbxs.first, pbxs.branch, pbxs.far):
            pbxs.write_call(each)
        results = await pbxs.results(3)
        of = {name: results[f"{name}/{pbxs.linkedid}"] for name in pbxs.settings.pbx_names}
        first, branch, far = of.values()
        assert agreed(first) == agreed(branch)
        assert first["started_at"] == branch["started_at"] == far["started_at"]
        assert far["rules_hash"] != first["rules_hash"] == branch["rules_hash"]
        offsets = [each["utc_offset_seconds"] for each in of.values()]
        assert offsets == [0, 0, -5 * 3600]
        assert all(worker.poll() is None for worker in workers)
        await _commands_know_each(pbxs)


async def _commands_know_each(pbxs: Pbxs) -> None:
    status = json.loads(await pbxs.well("connectors", "status", "--json"))
    assert set(status["pbxs"]) == set(pbxs.settings.pbx_names)
    assert all(each["healthy"] for each in status["pbxs"].values())
    one = await pbxs.well("connectors", "status", "--pbx", pbxs.branch.name)
    assert "replication slot" in one and pbxs.far.name not in one
    gaps = await pbxs.well("gaps", "--json")
    found = [json.loads(line) for line in gaps.splitlines() if line.startswith("{")]
    assert [each["pbx"] for each in found] == list(pbxs.settings.pbx_names)
    backfilled = await pbxs.well("backfill", "--since", "0", "--yes")
    assert backfilled.count("1 calls have results with all their rows") == 3
    unsaid = await pbxs.run("backfill", "--call", pbxs.linkedid)
    assert unsaid.exit_code == 1 and "which PBX" in str(unsaid.exception)
    assert "1 calls with" in await pbxs.well("backfill", "--call", f"{pbxs.far.name}/{pbxs.linkedid}", "--dry-run")
    told = await pbxs.well("pbx", "list")
    assert f"{pbxs.far.name}: mariadb" in told and "America/New_York, carrier-far" in told
    whole = await pbxs.run("status", "--json")
    facts = json.loads(next(line for line in whole.output.splitlines() if line.startswith("{")))
    assert set(facts["further_captures"]) == set(pbxs.settings.pbx_names[1:])
