"""What capture remembers: its place in the binlog, the binlog itself, the tables' definitions."""

import contextlib
import signal
import urllib.error
from collections.abc import Iterator

from tests.chaos.brokers import Brokers
from tests.chaos.call_flow import connect
from tests.chaos.fault import Fault
from tests.chaos.installation import CONNECTOR
from tests.chaos.services import wait_until

_GAP = (
    r"capture is held|rows are missing|binlog was|has gone back|was made anew|\bgaps?\b|never reached the topic"
    r"|another (?:server|database|history)|lost its position"
)
_WAYS_OUT = ("connectors", "backfill", "gaps")


class CaptureFault(Fault):
    """What faults of capture share."""

    spoils = True

    @contextlib.contextmanager
    def without_connect(self) -> Iterator[None]:
        """Connect is ended properly, and comes back afterwards."""
        stack = self.made.stack
        stack.send_signal("connect", signal.SIGTERM)
        wait_until(lambda: stack.exit_status("connect") is not None, 60, "Connect has ended")
        try:
            yield
        finally:
            stack.start_part("connect")

    def transactions(self) -> int:
        """The number of the last transaction in the binlog."""
        ((position,),) = self.made.sql("select @@gtid_binlog_pos")
        return int(str(position).rpartition("-")[2] or 0)


class BinlogReset(CaptureFault):
    name = "binlog-reset"
    does = "RESET MASTER while Connect is stopped; the database goes on until it has as many transactions as before"
    told = _GAP
    remedies = _WAYS_OUT

    def strike(self) -> None:
        with self.without_connect():
            self.until_calls(3)
            before = self.transactions()
            self.made.sql("reset master")
            self.until_calls(3)
            with connect(self.made.endpoints) as connection, connection.cursor() as cursor:
                cursor.execute("create database if not exists chaos")
                cursor.execute("create table if not exists chaos.others (id int auto_increment primary key)")
                while self.transactions() < before + 50:
                    for _ in range(200):
                        cursor.execute("insert into chaos.others values ()")
            self.until_calls(2)


class BinlogResetAtOnce(CaptureFault):
    name = "binlog-reset-short"
    does = "RESET MASTER while Connect is stopped; Connect comes back at once and fails"
    told = _GAP
    remedies = _WAYS_OUT

    def strike(self) -> None:
        with self.without_connect():
            self.until_calls(3)
            self.made.sql("reset master")
            self.until_calls(1)


class BinlogPurged(CaptureFault):
    name = "binlog-purged"
    does = "the binlog is purged while Connect is stopped"
    told = _GAP
    remedies = _WAYS_OUT

    def strike(self) -> None:
        made = self.made
        with self.without_connect():
            self.until_calls(4)
            made.sql("flush binary logs")
            self.until_calls(1)
            made.sql("flush binary logs")
            newest = made.sql("show binary logs")[-1][0]
            made.sql("purge binary logs to %s", newest)


class ConnectorOffsetsDeleted(CaptureFault):
    name = "connector-offsets-deleted"
    does = "the connector is stopped, its offsets are deleted, and it is resumed after some calls"
    told = _GAP
    remedies = _WAYS_OUT

    def strike(self) -> None:
        made = self.made
        made.connect_rest("PUT", f"/connectors/{CONNECTOR}/stop")

        def deleted() -> bool:
            try:
                made.connect_rest("DELETE", f"/connectors/{CONNECTOR}/offsets")
            except urllib.error.HTTPError:  # until its task has ended
                return False
            return True

        wait_until(deleted, 60, "the connector's offsets are deleted")
        self.until_calls(5)
        made.connect_rest("PUT", f"/connectors/{CONNECTOR}/resume")


class ConnectorDeleted(CaptureFault):
    name = "connector-deleted"
    does = "somebody deletes the connector"
    told = r"connector missing|does not know the connector|not applied|no connector"
    remedies = _WAYS_OUT

    def strike(self) -> None:
        self.made.connect_rest("DELETE", f"/connectors/{CONNECTOR}")
        self.until_calls(4)


class SchemaHistoryDeleted(CaptureFault):
    name = "schema-history-deleted"
    does = "the records of the schema history are deleted, and Connect is restarted"
    told = r"history"
    remedies = _WAYS_OUT

    def strike(self) -> None:
        with self.without_connect():
            Brokers(self.made).expire("schema-history.pbx1", partitions=1)
            self.until_calls(2)
