"""What tests share: one local stack of real servers, started when the first test asks for it."""

import os
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from hypothesis import settings

from deploy.local import LocalStack
from tests.worker_installation import Installation, NewInstallation

os.umask(0o077)
"""Files of secrets that tests write are for their user alone, or they would be refused."""

settings.register_profile("fast", max_examples=25, deadline=None, derandomize=True)
"""The same examples at every run, so that one change is not held up by a fault of another's."""
settings.register_profile("thorough", max_examples=500, deadline=None)
settings.register_profile("mutation", max_examples=20, deadline=None, derandomize=True, database=None)
settings.load_profile("fast")

LONGEST = (
    "workers/deliver/test_worker_servers.py",
    "connectors/test_continuity_servers.py",
    "workers/deliver/test_tokens_servers.py",
    "workers/aggregate/test_worker_servers.py",
    "chaos/test_chaos_servers.py",
    "scale/test_scale_servers.py",
    "replay/test_replay_servers.py",
    "faults/test_matrix_servers.py",
    "faults/test_soak_servers.py",
    "workers/deliver/test_own_memory_servers.py",
    "operations/test_commands_servers.py",
    "upgrade/test_upgrade_servers.py",
)
"""The files that take longest, as one piece each: `make test` shares out files, and none of these may be the last."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the tests of the longest files first; the others keep their order."""
    own = Path(__file__).parent
    ranks: Sequence[Path] = [own / each for each in LONGEST]
    items.sort(key=lambda item: ranks.index(item.path) if item.path in ranks else len(ranks))


@pytest.fixture(scope="session")
def stack() -> Iterator[LocalStack]:
    """Kafka, Connect, the registry and MariaDB with FreePBX's table, for the whole session.

    Tests keep out of each other's way: a topic prefix, a PBX name and, where rows are written, linkedids of their own.
    """
    with LocalStack() as running:
        running.create_pbx_database()
        yield running


@pytest.fixture
def install(stack: LocalStack, tmp_path: Path) -> NewInstallation:
    """Makes an installation; keyword arguments are settings of its aggregate section."""

    def new(**aggregate: float) -> Installation:
        endpoints = stack.endpoints
        prefix = f"t{uuid.uuid4().hex[:8]}"
        return Installation(endpoints.bootstrap_servers, endpoints.registry_url, tmp_path, prefix, aggregate)

    return new
