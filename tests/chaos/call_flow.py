"""Recorded calls that flow into the PBX's table all the time, and the ledger of what was inserted."""

import contextlib
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import TYPE_CHECKING

import pymysql

from deploy.demo.expected import Expected, expected
from deploy.demo.recordings import Case, read_recordings
from deploy.local import Endpoints

COLUMNS = (
    "eventtype", "eventtime", "cid_name", "cid_num", "cid_ani", "cid_rdnis", "cid_dnid", "exten", "context", "channame",
    "appname", "appdata", "amaflags", "accountcode", "uniqueid", "linkedid", "peer", "userdeftype", "extra",
    "userfield",
)  # fmt: skip
MARK = "userfield"
"""A column that the product does not read: it holds a row's number in the ledger."""

_UNKNOWN_COLUMN = 1054
_AGAIN_SECONDS = 0.5
_ROW_PAUSE = 0.01

Row = dict[str, str]
if TYPE_CHECKING:
    Connection = pymysql.Connection[pymysql.cursors.Cursor]
else:
    Connection = pymysql.Connection


@dataclass(slots=True)
class InsertedCall:
    """A call whose rows were committed. `at`: Unix time of its last row's commit; `rows`: in the order of their ids."""

    truth: Expected
    rows: list[Row]
    at: float
    marks: list[str] = field(default_factory=list)
    altered: bool = False
    """Not all of its columns could be written."""


def connect(endpoints: Endpoints, *, autocommit: bool = True) -> Connection:
    """A connection to the database itself, as root."""
    return pymysql.connect(
        host=endpoints.mariadb_host,
        port=endpoints.mariadb_port,
        user="root",
        password=endpoints.mariadb_root_password,
        database="asteriskcdrdb",
        charset="utf8mb4",
        autocommit=autocommit,
        connect_timeout=3,
        read_timeout=90,
    )


class CallFlow:
    """Writes calls in several threads, row by row, whatever becomes of the database meanwhile. Use in `with`."""

    def __init__(
        self,
        endpoints: Endpoints,
        seed: str,
        *,
        calls_per_second: float = 1.2,
        lanes: int = 4,
        row_pause: float = _ROW_PAUSE,
    ) -> None:
        self._endpoints = endpoints
        self._random = Random(f"{seed}:calls")
        self._pace = lanes / calls_per_second
        self._row_pause = row_pause
        self._cases = read_recordings()
        self._order: Iterator[Case] = iter(())
        self._taken: set[str] = set()
        self._number = 0
        self._lock = threading.Lock()
        self._flowing = threading.Event()
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._lane, daemon=True) for _ in range(lanes)]
        self.calls: list[InsertedCall] = []
        self.rows = 0
        self.active = 0
        """Calls that are being written now."""
        self.failed_inserts = 0

    def __enter__(self) -> "CallFlow":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._flowing.set()
        for thread in self._threads:
            thread.join(10)

    def start(self) -> None:
        """Begin, or go on."""
        self._flowing.set()

    def pause(self, seconds: float = 60.0) -> None:
        """Write the calls that have begun to their end, and begin no more."""
        self._flowing.clear()
        deadline = time.monotonic() + seconds
        while self.active and time.monotonic() < deadline:
            time.sleep(0.05)

    def next_case(self) -> Case:
        """A recorded case that begins now, with ids that no other has."""
        with self._lock:
            case = next(self._order, None)
            if case is None:
                shuffled = self._random.sample(self._cases, len(self._cases))
                self._order = iter(shuffled)
                case = next(self._order)
            start = int(time.time()) - 5
            while True:
                moved = case.moved(start)
                ids = {row["uniqueid"] for row in moved.rows}
                if not ids & self._taken:
                    self._taken |= ids
                    return moved
                start += 1

    def marked(self, rows: Sequence[Mapping[str, str]]) -> list[Row]:
        """The rows, each with a number of its own."""
        with self._lock:
            self._number += len(rows)
            first = self._number - len(rows)
        return [{**row, MARK: f"chaos-{first + n}"} for n, row in enumerate(rows)]

    def record(self, case: Case, rows: Sequence[Row]) -> None:
        """The rows of this case are committed, with ids that rise in this order."""
        now = time.time()
        with self._lock:
            self.rows += len(rows)
            for truth in expected(case):
                own = [row for row in rows if row["linkedid"] == truth.linkedid]
                recorded = {row["extra"] for row in case.rows}
                altered = bool(recorded - {row["extra"] for row in rows})
                self.calls.append(InsertedCall(truth, own, now, [row[MARK] for row in own], altered))

    def _lane(self) -> None:
        connection: Connection | None = None
        while not self._over.is_set():
            if not self._flowing.wait(0.2) or self._over.is_set():
                continue
            with self._lock:
                self.active += 1
            try:
                case = self.next_case()
                written: list[Row] = []
                for row in self.marked(case.rows):
                    connection, as_written = self._insert(connection, row)
                    written.append(as_written)
                    time.sleep(self._row_pause)
                if not self._over.is_set():
                    self.record(case, written)
            finally:
                with self._lock:
                    self.active -= 1
            self._over.wait(self._pace * self._random.uniform(0.5, 1.5))
        if connection is not None:
            connection.close()

    def _insert(self, connection: Connection | None, row: Row) -> tuple[Connection | None, Row]:
        """Insert a row once, however often that takes; the row as the table took it."""
        again = False
        while not self._over.is_set():
            try:
                if connection is None:
                    connection = connect(self._endpoints)
                with connection.cursor() as cursor:
                    # A server that died in the middle may have committed it all the same.
                    if again and cursor.execute(f"select 1 from cel where {MARK} = %s", (row[MARK],)):  # noqa: S608
                        return connection, row
                    cursor.execute(*insert_of(row))
                return connection, row
            except pymysql.err.OperationalError as error:
                if error.args[0] == _UNKNOWN_COLUMN:  # Asterisk's cel_odbc leaves out what the table does not have
                    row = {**row, "extra": ""}
                    try:
                        assert connection is not None
                        with connection.cursor() as cursor:
                            cursor.execute(*insert_of({name: row[name] for name in COLUMNS if name != "extra"}))
                        return connection, row
                    except pymysql.err.MySQLError:
                        pass
                connection = given_up(connection)
            except (pymysql.err.MySQLError, OSError):
                connection = given_up(connection)
            again = True
            self.failed_inserts += 1
            self._over.wait(_AGAIN_SECONDS)
        return connection, row


def given_up(connection: Connection | None) -> Connection | None:
    """Close a connection that has failed; None, in its place."""
    if connection is not None:
        with contextlib.suppress(pymysql.err.MySQLError, OSError):
            connection.close()
    return None


def insert_of(row: Mapping[str, str], row_id: int | None = None) -> tuple[str, list[str | int]]:
    """The statement that inserts a row, and its values."""
    values: dict[str, str | int] = {name: row[name] for name in COLUMNS if name in row}
    if row_id is not None:
        values["id"] = row_id
    names = ", ".join(f"`{name}`" for name in values)
    marks = ", ".join(["%s"] * len(values))
    return f"insert into cel ({names}) values ({marks})", list(values.values())  # noqa: S608 - our own names
