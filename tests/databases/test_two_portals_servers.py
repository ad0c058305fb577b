"""Three PBXs of two companies on one broker, each company with a Bitrix24 of its own: no call goes to the other's.

Two calls with the same linkedid are under way at once on PBXs of different companies: they are two calls.
"""

import asyncio
import json
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import zip_longest
from pathlib import Path
from typing import Any

import pytest
import yaml

from deploy.demo.pipeline import authorise, start_portal, write_settings
from deploy.demo.recordings import Case, read_recordings
from deploy.local import LocalStack
from tests.databases.several_pbxs import Pbxs, deleting_connectors

pytestmark = pytest.mark.servers

ANSWERED, REFUSED, ABANDONED = (
    next(case for case in read_recordings() if case.name == name)
    for name in ("inbound_answered_caller_hangs_up", "outbound_sip_404", "inbound_queue_abandoned")
)
NORTH, SOUTH = "north", "south"
"""The companies' portals: north has the first PBX and its branch, south the far one."""


class Company:
    """A company's portal."""

    def __init__(self, name: str, url: str) -> None:
        self.name, self.url = name, url

    def calls(self) -> list[tuple[str, str, str]]:
        """Call id, direction and status of each call that the portal shows."""
        with urllib.request.urlopen(f"{self.url}/_fake/entries", timeout=10) as answer:  # noqa: S310 - loopback
            told = json.load(answer)
        entries = told["entries"] if isinstance(told, dict) else told
        return sorted((each["external_id"], each["direction"], str(each["status"])) for each in entries)


@pytest.fixture
def portals(stack: LocalStack, tmp_path: Path) -> Iterator[dict[str, dict[str, str]]]:
    """What the fakes of the two portals say of themselves."""
    with ExitStack() as running:
        yield {name: start_portal(stack, name, tmp_path, running, crm="bitrix24") for name in (NORTH, SOUTH)}


async def test_each_call_reaches_its_own_company_and_no_other(
    stack: LocalStack, pbxs: Pbxs, portals: dict[str, dict[str, str]]
) -> None:
    north, south = (Company(name, portals[name]["url"]) for name in (NORTH, SOUTH))
    async with deleting_connectors(pbxs):
        await pbxs.well("topics", "apply")
        await pbxs.well("connectors", "apply")
        await pbxs.add(pbxs.branch, "--extra", "eventextra")
        await pbxs.add(pbxs.far, "--timezone", "America/New_York", "--trunk", "trunk1")
        with_portals(stack, pbxs, portals)
        for each in (north, south):
            await asyncio.to_thread(authorise, each.name, each.url, pbxs.file, pbxs.folder)
        worker = pbxs.start_worker("bitrix24")
        await pbxs.until(worker, "partition taken over", 4)
        start = int(time.time())
        answered, abandoned = ANSWERED.moved(start), ABANDONED.moved(start)
        refused = under_the_linkedid_of(answered, REFUSED.moved(start))
        (same,), (other,) = answered.linkedids, abandoned.linkedids
        for here, there in zip_longest(answered.rows, refused.rows):
            for pbx, row in ((pbxs.first, here), (pbxs.far, there)):
                if row is not None:
                    pbxs.write_row(pbx, row)
        for row in abandoned.rows:
            pbxs.write_row(pbxs.branch, row)
        wanted = {
            NORTH: [
                (f"{pbxs.first.name}/{same}", "incoming", "200"),
                (f"{pbxs.branch.name}/{other}", "incoming", "304"),
            ],
            SOUTH: [(f"{pbxs.far.name}/{same}", "outgoing", "404")],
        }
        async with asyncio.timeout(60):
            while len(north.calls()) < 2 or len(south.calls()) < 1:
                assert worker.poll() is None, pbxs.log_of(worker)[-2000:]
                await asyncio.sleep(0.3)
        told = (await pbxs.well("deliveries", same, "--json")).splitlines()
        histories = [json.loads(line) for line in told if line.startswith("{")]
        assert {each["call_id"]: each["portal"] for each in histories} == {
            f"{pbxs.first.name}/{same}": NORTH, f"{pbxs.far.name}/{same}": SOUTH,
        }  # fmt: skip
        assert {each.name: each.calls() for each in (north, south)} == {
            name: sorted(calls) for name, calls in wanted.items()
        }


def with_portals(stack: LocalStack, pbxs: Pbxs, portals: dict[str, dict[str, str]]) -> None:
    """Write the portals into the settings, each with its company's PBXs, as the demo has them otherwise."""
    listed: list[dict[str, Any]] = []
    for name, names in ((NORTH, [pbxs.first.name, pbxs.branch.name]), (SOUTH, [pbxs.far.name])):
        (own := pbxs.folder / f"settings-{name}").mkdir()
        tree = yaml.safe_load(write_settings(stack.endpoints, {"bitrix24": portals[name]}, own).read_text("utf-8"))
        listed.append({**tree["portals"][0], "name": name, "pbxs": names})
    text = yaml.safe_dump({"portals": listed, "credentials": tree["credentials"]}, sort_keys=False)
    pbxs.file.write_text(pbxs.file.read_text(encoding="utf-8") + text, encoding="utf-8")


def under_the_linkedid_of(other: Case, case: Case) -> Case:
    """The case with the ids of another one, each channel's by its place."""
    theirs, ours = (list(dict.fromkeys(row["uniqueid"] for row in each.rows)) for each in (other, case))
    assert len(theirs) == len(ours) == 2 and [each.linkedids[0] for each in (other, case)] == [theirs[0], ours[0]]
    text = json.dumps([dict(row) for row in case.rows])
    for before, now in zip(ours, theirs, strict=True):
        text = text.replace(before, now)
    return Case(case.name, case.direction, case.truth, tuple(json.loads(text)))
