"""What tests share: one local stack of real servers, started when the first test asks for it."""

from collections.abc import Iterator

import pytest

from deploy.local import LocalStack


@pytest.fixture(scope="session")
def stack() -> Iterator[LocalStack]:
    """Kafka, Connect, the registry and MariaDB with FreePBX's table, for the whole session.

    Tests keep out of each other's way: a topic prefix, a PBX name and, where rows are written, linkedids of their own.
    """
    with LocalStack() as running:
        running.create_pbx_database()
        yield running
