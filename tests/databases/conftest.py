"""Longer tests of PBXs' databases on real servers: `make test-databases`. They are no part of `make test`."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.local import LocalStack
from tests.connectors.postgresql_installation import LOGICAL
from tests.databases.several_pbxs import Pbxs
from tests.sources import postgresql

collect_ignore_glob = [] if os.environ.get("TEST_DATABASES") else ["test_*.py"]


@pytest.fixture(scope="session")
def server() -> Iterator[postgresql.Server]:
    """A PostgreSQL with logical decoding."""
    if (programs := postgresql.programs()) is None:
        pytest.skip("PostgreSQL is not installed")
    with postgresql.running(programs, *LOGICAL) as running:
        yield running


@pytest.fixture
def pbxs(stack: LocalStack, server: postgresql.Server, tmp_path: Path) -> Iterator[Pbxs]:
    """Three PBXs, whose databases are made; only the first is in the settings."""
    made = Pbxs(stack, server, tmp_path)
    for each in (made.first, made.branch, made.far):
        each.make_database()
    try:
        yield made
    finally:
        for worker in made.workers:
            worker.kill()
            worker.wait()
