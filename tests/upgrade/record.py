"""`python -m tests.upgrade.record`: makes an installation of the version that it runs in, and stores what it leaves.

Real brokers, the workers as commands, fake portals. Workers are killed while calls are open and requests are out, so
that nothing tidies up. Done once for each version, before what it writes changes: a later version never makes these
files anew. `settings.yaml` is written by hand before. It ends with an error where a situation that the test needs did
not come about: then run it again.

The test plays the stored bytes years later. What could age is kept by the settings (see there); grace times run by the
rows' own commit times, so the rows that come afterwards are stored as well. Portals that let in by OAuth are not among
the situations: tokens end after months whatever the settings say.
"""

import argparse
import asyncio
import json
import re
import tempfile
from pathlib import Path
from typing import Any

from tests.upgrade import brokers
from tests.upgrade.installation import WORKERS, FakePortals, Installation, LocalStack, local_stack, with_addresses
from tests.upgrade.recording import CRM_OF, Recording
from tests.upgrade.scenario import (
    calls_that_are_over,
    killed_in_mid_request,
    killed_while_rows_come,
    portal_that_wants_no_more,
)
from tests.upgrade.schema_ids import stored_schemas
from tests.upgrade.stored import DIRECTORY, Stored

STATES = {
    "history": ("skipped", "skipped", "delivered"),
    "refused": ("refused", "delivered", "delivered"),
    "delivered_late": ("delivered", "delivered", "delivered"),
    "attempt_1": ("intent", "intent", "intent"),
    "attempt_2": ("intent", "intent", "intent"),
    "stopped_portal": ("waiting", "paused", "waiting"),
    "nobody_tried": ("new", "new", "new"),
}
"""Where these calls stand at each CRM when the installation is stopped."""
CLOSED = {"closed_first": "paused", "closed_second": "new"}


async def record(directory: Path, settings_text: str, stack: LocalStack) -> Stored:
    """Make the installation, kill it, and take everything off the servers."""
    servers = stack.endpoints.bootstrap_servers
    async with FakePortals(directory) as portals:
        # Its fingerprint stands in the log, so the test must not replace this address.
        address = portals.address("closed")
        stored = Stored(re.sub(r"http://127\.0\.0\.1:\d+/calls", address, settings_text))
        with Installation(directory, with_addresses(stored.settings, stack, portals)) as installation:
            await installation.run("topics", "apply")
            recording = Recording(servers, portals, installation)
            async with recording.watching():
                await recording.start(*WORKERS)
                await calls_that_are_over(recording)
                await portal_that_wants_no_more(recording)
                await killed_in_mid_request(recording)
                await killed_while_rows_come(recording)
                ordered = recording.calls["history_ordered"].call_id
                await installation.run("deliver", ordered, "--crm", "kommo", "--by", "operator", "--yes")
                await _check(recording)
                stored.expected = await _expected(recording)
            stored.later = recording.later
            await _take_off(servers, recording.prefix, stored)
        stored.portals = {name: portals.journal(name).read_bytes() for name in portals.by_name}
    stored.schemas = await stored_schemas(stack.endpoints.registry_url)
    return stored


async def _check(recording: Recording) -> None:
    """Every situation is there. Raises AssertionError."""
    for name, wanted in STATES.items():
        states = tuple([(await recording.state(name, crm))["state"] for crm in CRM_OF.values()])
        assert states == wanted, f"{name}: {states}"
    for name, state in CLOSED.items():
        assert (await recording.state(name, "webhook"))["state"] == state, name
    for portal in CRM_OF:
        attempts = {recording.calls[name].call_id for name in ("attempt_1", "attempt_2")}
        taken = attempts & set(recording.portals.external_ids(portal))
        assert len(taken) == 1, f"of two requests without an answer {portal} took {len(taken)}"


async def _expected(recording: Recording) -> dict[str, Any]:
    """What must hold after the upgrade."""
    shown = {"answered": "delivered_answered", "missed": "delivered_missed", "internal": "internal"}
    statuses = {
        template: {name: recording.status(call, name) for name, wanted in recording.expected[call].items() if wanted}
        for template, call in shown.items()
    }
    calls = {
        name: {
            "call_id": call.call_id,
            "rows": len(call.rows),
            "statuses": {
                portal: template and statuses[template]["receiver" if portal == "closed" else portal]
                for portal, template in recording.expected[name].items()
            },
        }
        for name, call in recording.calls.items()
    }
    calls["history_ordered"]["statuses"]["sales"] = statuses["missed"]["sales"]  # type: ignore[index]
    served_since = {
        line["portal"]: line["deliver_from"]
        for crm in CRM_OF.values()
        for line in recording.installation.log_of(recording.workers[crm])
        if line.get("event") == "delivering"
    }
    letters = await recording.installation.run("dead-letters", "list", "--json", "--calls")
    return {
        "calls": calls,
        "attempts_at_closed": {name: (await recording.state(name, "webhook"))["attempt"] for name in CLOSED},
        "served_since": served_since,
        "letters": [json.loads(line) for line in letters.splitlines()],
    }


async def _take_off(servers: str, prefix: str, stored: Stored) -> None:
    """Everything that stands on the brokers."""
    await brokers.abort_open_transactions(servers, prefix)
    stored.records = await brokers.read_topics(servers, prefix)
    stored.ends = await brokers.ends_of(servers, prefix, await brokers.topics_of(servers, prefix))
    for name in WORKERS:
        committed = await brokers.committed_of(servers, f"{prefix}.{name}")
        stored.groups[name] = [
            {"topic": topic[len(prefix) + 1 :], "partition": number, "offset": offset, "metadata": metadata}
            for (topic, number), (offset, metadata) in sorted(committed.items())
        ]


def main() -> None:
    """Record, and store."""
    parser = argparse.ArgumentParser(prog="python -m tests.upgrade.record", description=__doc__)
    parser.add_argument("--directory", type=Path, default=DIRECTORY, help="holds settings.yaml; the files go there")
    options = parser.parse_args()
    settings_text = (options.directory / "settings.yaml").read_text(encoding="utf-8")
    with local_stack() as stack, tempfile.TemporaryDirectory() as directory:
        stored = asyncio.run(record(Path(directory), settings_text, stack))
    stored.save(options.directory)


if __name__ == "__main__":
    main()
