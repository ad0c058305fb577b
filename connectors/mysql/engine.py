"""Capture from MySQL, as `connectors.engines` has it."""

from connectors.failures import KnownFailure, known_failures
from connectors.mariadb.binlog import BinlogQueries
from connectors.mariadb.engine import MariaDbCapture
from connectors.mysql.binlog import MySqlQueries
from connectors.mysql.checks import check_database
from streams.settings import Settings


class MySqlCapture(MariaDbCapture):
    """See connectors.engines.CaptureEngine. Both follow a binlog by GTIDs: what differs is how the server is asked."""

    known_failures: tuple[KnownFailure, ...] = known_failures("mysql")
    queries: BinlogQueries = MySqlQueries()

    async def check(self, settings: Settings) -> list[str]:
        """See connectors.mysql.checks.check_database."""
        return await check_database(settings.database)
