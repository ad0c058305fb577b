"""A PBX in MySQL on the shared stack: FreePBX's table, the user as capture_user.sql makes it."""

import contextlib
from collections.abc import AsyncIterator, Sequence
from typing import Any

from connectors.topics import apply_topics
from deploy.local import LocalStack
from tests.connectors.installation import Installation, deleted_in_the_end
from tests.sources import mysql


class MySqlInstallation(Installation):
    """See Installation; its server is `server`."""

    def __init__(self, stack: LocalStack, server: mysql.Server, **database: Any) -> None:
        super().__init__(stack, engine="mysql", host=server.host, port=server.port, **database)
        self.server = server

    def root(self, *statements: str, values: Sequence[Any] = (), charset: str = "utf8mb4") -> list[Any]:
        """Run statements as root; the rows of the last."""
        return self.server.run(*statements, values=values)

    async def purge_binlogs(self) -> None:
        """Leave only a new binlog file; MySQL keeps none for who reads it."""
        self.root("FLUSH BINARY LOGS")
        last = self.root("SHOW BINARY LOGS")[-1][0]
        self.root(f"PURGE BINARY LOGS TO '{last}'")


@contextlib.asynccontextmanager
async def installed_in_mysql(
    stack: LocalStack, server: mysql.Server, **database: Any
) -> AsyncIterator[MySqlInstallation]:
    """An installation with database and topics; its connector is deleted at the end."""
    installation = MySqlInstallation(stack, server, **database)
    installation.make_database()
    await apply_topics(installation.settings)
    async with deleted_in_the_end(installation.settings):
        yield installation
