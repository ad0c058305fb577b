"""Checkpoints, delivery logs, commits and settings of 0.1.0, taken up by this version: nothing lost or sent twice.

The stored bytes (stored.py; made by record.py) go onto fresh servers: topics by this version's own `cel2crm topics
apply`, every record at its own offset, the groups' commits, the schemas under their ids, the portals with what they had
taken. Then this version's workers start with the stored settings, and the PBX writes the rest of its rows.

Why it holds years after the recording: nothing in the stored state ages. The settings keep open calls, deliveries and
what deliveries remember for a hundred years (v0_1_0/settings.yaml). Grace times run by the rows' commit times, and the
rows that come afterwards are stored too. Retries, intents and pauses of the past are due at once. Topics whose
retention the settings do not say (7 days, a year) are kept for ever here, before the old records come. The portals
look up by the time of the doubtful request, and their tokens do not end.
"""

import asyncio
import json
import subprocess
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.upgrade import brokers
from tests.upgrade.installation import (
    WORKERS,
    FakePortals,
    Installation,
    LocalStack,
    local_stack,
    until,
    with_addresses,
)
from tests.upgrade.schema_ids import Reader, register
from tests.upgrade.stored import DIRECTORY, Stored

pytestmark = pytest.mark.servers

OPEN_PORTALS = ("office", "sales", "receiver")
OVER = {"delivered", "superseded", "refused", "given_up", "skipped", "dropped", "shadowed"}
FIXED_RETENTION = ("delivery-commands", "dead-letters", "dead-letter-resolutions")
PORTAL_RECORDS = {b"portal:office", b"portal:sales", b"portal:closed", b"disabled:closed"}
PORTAL_STATES = "portal-states"
"""Where later versions keep what is known of portals, by CRM and name."""


@pytest.fixture(scope="module")
def own_stack() -> Iterator[LocalStack]:
    """Fresh servers: a registry that others use has other ids."""
    with local_stack() as stack:
        yield stack


class Upgrade:
    """The stored installation on fresh servers."""

    def __init__(self, stored: Stored, stack: LocalStack, portals: FakePortals, installation: Installation) -> None:
        self.stored = stored
        self.servers = stack.endpoints.bootstrap_servers
        self.registry = stack.endpoints.registry_url
        self.portals = portals
        self.installation = installation
        self.prefix: str = stored.settings["kafka"]["topic_prefix"]
        self.calls: dict[str, Any] = stored.expected["calls"]
        self.taken_before = {name: len(portals.statuses(name)) for name in OPEN_PORTALS}
        self.workers: dict[str, subprocess.Popen[bytes]] = {}

    async def restore(self) -> None:
        """Everything as it stood, every record at its offset."""
        stored, servers, prefix = self.stored, self.servers, self.prefix
        await register(self.registry, stored.schemas)
        await self.installation.run("topics", "apply")
        await brokers.keep_for_ever(servers, [f"{prefix}.{name}" for name in FIXED_RETENTION])
        await brokers.restore(servers, prefix, stored.records, stored.ends)
        assert await brokers.read_topics(servers, prefix, stored.ends) == stored.records
        partitions = {name: len(ends) for name, ends in stored.ends.items()}
        assert await brokers.ends_of(servers, prefix, partitions) == stored.ends
        for name, commits in stored.groups.items():
            offsets = {
                (f"{prefix}.{each['topic']}", each["partition"]): (each["offset"], each["metadata"]) for each in commits
            }
            await brokers.commit(servers, f"{prefix}.{name}", offsets)
            assert await brokers.committed_of(servers, f"{prefix}.{name}") == offsets

    async def start(self) -> None:
        """This version's workers, with the settings of the version before."""
        self.workers = {name: self.installation.start(name) for name in WORKERS}
        await self.installation.until_taken_over(self.workers)

    def expected_at(self, portal: str, *without: str) -> list[tuple[str, str]]:
        """What a portal is to show."""
        return sorted(
            (call["call_id"], call["statuses"][portal])
            for name, call in self.calls.items()
            if call["statuses"].get(portal) is not None and name not in without
        )

    def all_stand(self) -> bool:
        """Whether every portal shows every call that it is to have, but for the refused one."""
        refused = {self.calls["refused"]["call_id"]}
        wanted = {name: {call_id for call_id, _ in self.expected_at(name)} for name in OPEN_PORTALS}
        return all(set(self.portals.external_ids(name)) >= calls - refused for name, calls in wanted.items())

    async def until_judged(self) -> None:
        """Every call's newest result holds all its rows."""
        wanted = {call["call_id"]: call["rows"] for call in self.calls.values()}
        reader, found = Reader(self.registry), dict.fromkeys(wanted, 0)

        async def judged() -> bool:
            for record in await brokers.read_topics(self.servers, self.prefix, ["call-results"]):
                assert record.value is not None
                result = await reader.read(record.value)
                found[result["call_id"]] = result["version_rows"]
            return found == wanted

        await eventually(judged, lambda: f"rows in results: {found}, not {wanted}")

    async def until_over(self, *unfinished: str) -> None:
        """Every result and command is read, and nothing is left to do but at the portals `unfinished`."""
        left: dict[str, Any] = {}

        async def over() -> bool:
            if unread := await self._unread():
                left["unread"] = unread
                return False
            told = (await self.installation.run("deliveries", "--json")).splitlines()
            states = {line["portal"]: set(line["deliveries"]) for line in map(json.loads, told)}
            left.clear()
            left.update({portal: each - OVER for portal, each in states.items() if portal not in unfinished})
            return not any(left.values())

        await eventually(over, lambda: f"not over: {left}")

    async def _unread(self) -> list[str]:
        consumed = {"aggregate": ["cel"]} | {crm: ["call-results", "delivery-commands"] for crm in WORKERS[1:]}
        count = self.stored.settings["kafka"]["partitions"]
        unread = []
        for worker, topics in consumed.items():
            committed = await brokers.committed_of(self.servers, f"{self.prefix}.{worker}")
            ends = await brokers.ends_of(self.servers, self.prefix, dict.fromkeys(topics, count))
            for topic in topics:
                for number, end in enumerate(ends[topic]):
                    if end and committed.get((f"{self.prefix}.{topic}", number), (0, ""))[0] < end:
                        unread.append(f"{worker}: {topic}/{number}")
        return unread

    async def letters(self) -> list[dict[str, Any]]:
        """The dead letters about which nothing was done."""
        told = await self.installation.run("dead-letters", "list", "--json", "--calls")
        return [json.loads(line) for line in told.splitlines()]

    def check_portals(self, *, refused: bool) -> None:
        """Every call once, as its status says, and no request for what a portal had taken already.

        Of the two requests in doubt, the one that a portal had taken is looked up, not sent again; a receiver of
        webhooks cannot be asked, so it gets the same message once more, under the same id. `refused`: still, by office.
        """
        for portal in OPEN_PORTALS:
            expected = self.expected_at(portal, *(["refused"] if refused and portal == "office" else []))
            assert self.portals.statuses(portal) == expected, portal
            assert self.portals.by_name[portal].orphans() == [], portal
            repeated = 1 if portal == "receiver" else 0
            sent = len(expected) - self.taken_before[portal] + repeated
            assert self.portals.entry_requests(portal) == sent, portal


async def eventually(reached: Callable[[], Awaitable[bool]], told: Callable[[], str], seconds: float = 60.0) -> None:
    """Ask the servers until it is so."""
    try:
        async with asyncio.timeout(seconds):
            while not await reached():  # noqa: ASYNC110
                await asyncio.sleep(0.2)
    except TimeoutError:
        raise AssertionError(told()) from None


async def test_what_0_1_0_left_is_taken_up(own_stack: LocalStack, tmp_path: Path) -> None:
    stored = Stored.load(DIRECTORY)
    async with FakePortals(tmp_path, stored.portals) as portals:
        settings = with_addresses(stored.settings, own_stack, portals, kept="closed")
        with Installation(tmp_path, settings) as installation:
            upgrade = Upgrade(stored, own_stack, portals, installation)
            await upgrade.restore()
            assert _told(await upgrade.letters()) == _told(stored.expected["letters"])
            await upgrade.start()
            await brokers.produce(upgrade.servers, upgrade.prefix, stored.later)
            await upgrade.until_judged()
            await until(upgrade.all_stand, "every call in its portals")
            await upgrade.until_over("closed")
            upgrade.check_portals(refused=True)

            await _dead_letters_can_be_retried(upgrade)
            upgrade.check_portals(refused=False)
            await _portals_stand_as_before(upgrade)
            await installation.stop(*upgrade.workers.values())
            await _portal_is_served_again(upgrade)
            upgrade.check_portals(refused=False)


async def _dead_letters_can_be_retried(upgrade: Upgrade) -> None:
    """A refused call is delivered; a record that is not a row goes back, and is given up anew at another place."""
    before = len(await brokers.read_topics(upgrade.servers, upgrade.prefix, ["dead-letters"]))
    await upgrade.installation.run("dead-letters", "retry", "--yes", "--by", "operator")
    refused = upgrade.calls["refused"]["call_id"]
    await until(lambda: refused in upgrade.portals.external_ids("office"), "the refused call in the portal")
    await upgrade.until_over("closed")

    async def given_up_anew() -> bool:
        return len(await brokers.read_topics(upgrade.servers, upgrade.prefix, ["dead-letters"])) == before + 1

    await eventually(given_up_anew, lambda: "the unreadable record is no dead letter again")
    assert [letter["reason"] for letter in await upgrade.letters()] == ["unreadable_row"]


async def _portals_stand_as_before(upgrade: Upgrade) -> None:
    """Since when they are served, and that one wants no more; its calls wait, and nothing was tried."""
    installation, expected = upgrade.installation, upgrade.stored.expected
    events = [line for worker in upgrade.workers.values() for line in installation.log_of(worker)]
    since = {line["portal"]: line["deliver_from"] for line in events if line["event"] == "delivering"}
    assert since == expected["served_since"]
    assert any(line["event"].startswith("portal is disabled") and line["portal"] == "closed" for line in events)
    told = json.loads(await installation.run("portal", "status", "closed", "--json", status=1))
    assert told["needs_a_person"] and told["waiting"] == len(expected["attempts_at_closed"])
    for name, attempts in expected["attempts_at_closed"].items():
        delivery = await installation.run("deliveries", upgrade.calls[name]["call_id"], "--crm", "webhook", "--json")
        assert json.loads(delivery)["attempt"] == attempts, name

    logs = [f"deliveries-{crm}" for crm in WORKERS[1:]]
    records = await brokers.read_topics(upgrade.servers, upgrade.prefix, logs)
    last = {record.key: record.value for record in records if record.key in PORTAL_RECORDS}
    assert last == {record.key: record.value for record in upgrade.stored.records if record.key in PORTAL_RECORDS}
    if PORTAL_STATES in await brokers.topics_of(upgrade.servers, upgrade.prefix):
        moved = await brokers.read_topics(upgrade.servers, upgrade.prefix, [PORTAL_STATES])
        keys = {record.key for record in moved if record.value is not None}
        assert keys >= {b"bitrix24/office", b"kommo/sales", b"webhook/closed"}


async def _portal_is_served_again(upgrade: Upgrade) -> None:
    """With another address the portal gets what waited for it."""
    installation, stored = upgrade.installation, upgrade.stored
    closed = next(each for each in stored.settings["portals"] if each["name"] == "closed")
    portals = [
        {**each, "url": upgrade.portals.address("closed")} if each["name"] == closed["name"] else each
        for each in installation.settings["portals"]
    ]
    installation.write({**installation.settings, "portals": portals})
    worker = installation.start("webhook")
    expected = upgrade.expected_at("closed")
    await until(lambda: upgrade.portals.statuses("closed") == expected, "the calls that waited, in the portal")
    await upgrade.until_over()
    await installation.stop(worker)
    assert upgrade.portals.entry_requests("closed") == len(expected)


def _told(letters: list[dict[str, Any]]) -> list[tuple[Any, ...]]:
    """What must be told of dead letters, whatever the words."""
    names = ("component", "reason", "portal", "call_id", "letters", "first", "last", "heals")
    return sorted(tuple(str(letter[name]) for name in names) for letter in letters)
