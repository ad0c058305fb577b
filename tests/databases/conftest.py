"""Longer tests of PBXs' databases on real servers: `make test-databases`. They are no part of `make test`."""

import os
from collections.abc import Iterator

import pytest

from tests.connectors.postgresql_installation import LOGICAL
from tests.sources import postgresql

collect_ignore_glob = [] if os.environ.get("TEST_DATABASES") else ["test_*.py"]


@pytest.fixture(scope="session")
def server() -> Iterator[postgresql.Server]:
    """A PostgreSQL with logical decoding."""
    if (programs := postgresql.programs()) is None:
        pytest.skip("PostgreSQL is not installed")
    with postgresql.running(programs, *LOGICAL) as running:
        yield running
