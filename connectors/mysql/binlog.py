"""What a MySQL server is asked about its binlog (see ../mariadb/binlog.py).

MySQL has no function for the GTIDs at a position. SHOW BINLOG EVENTS fails where no event begins, and shows the GTID
of the transaction that follows: one that the mark has already is none of its future. It goes to the position without
reading the file (0.2 ms in one of 58 MB).
"""

import re

import pymysql
from pymysql.constants import ER
from pymysql.cursors import DictCursor

from connectors.gtids import contains
from connectors.mariadb.binlog import FIRST_EVENTS, Server, decoded, digest, select
from connectors.mariadb.checks import binlog_status
from connectors.mariadb.history import BinlogMark

_NEXT_GTID = re.compile(r"GTID_NEXT= '([^']+)'")


class MySqlQueries:
    """See connectors.mariadb.binlog.BinlogQueries."""

    def server(self, cursor: DictCursor) -> Server:
        """See BinlogQueries. `server_uuid` is in the data directory: a copy of the data has another one."""
        (found,) = select(
            cursor, "SELECT @@server_id AS id, @@server_uuid AS uid, @@global.gtid_executed AS gtids"
        )  # fmt: skip
        return Server(int(found["id"]), str(found["uid"]), str(found["gtids"] or ""))

    def end(self, cursor: DictCursor) -> BinlogMark:
        """See BinlogQueries. MySQL reads the GTIDs before the place, so that they are never ahead of it."""
        status = decoded(binlog_status(cursor))
        gtids = str(status.get("Executed_Gtid_Set") or "")
        return BinlogMark(str(status.get("File", "")), int(status.get("Position", 0)), gtids)

    def new_mark(self, cursor: DictCursor, remembered: BinlogMark | None) -> BinlogMark | None:
        """The end of the binlog, however large the file is."""
        end = self.end(cursor)
        if not end.file:
            return remembered
        return BinlogMark(end.file, end.position, end.gtids, *digest(cursor, end.file, FIRST_EVENTS))

    def gtids_at(self, cursor: DictCursor, mark: BinlogMark) -> str | None:
        """The mark's own GTIDs where an event that comes after them begins, or the file ends; else None."""
        try:
            events = select(cursor, "SHOW BINLOG EVENTS IN %s FROM %s LIMIT 1", mark.file, mark.position)
        except pymysql.MySQLError as error:
            if error.args and error.args[0] == ER.ERROR_WHEN_EXECUTING_COMMAND:
                return None
            raise
        following = _NEXT_GTID.search(str(events[0]["Info"])) if events else None
        return None if following and contains(mark.gtids, following[1]) else mark.gtids
