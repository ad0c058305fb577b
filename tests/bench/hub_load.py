"""The load of a hub: calls on many PBXs in their busy hour, written into each PBX's table as they were recorded.

Rows keep the times between them; a call's linkedids and times are those of a call that begins when it is written.
"""

import random
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

import pymysql

from deploy.demo.expected import expected
from deploy.demo.recordings import Case, read_recordings
from tests.bench.pbx_rows import ROWS_OF_FREEPBX

CALLS_PER_PHONE_HOUR = 18
"""20 phones then make 360 calls in the busy hour, one every ten seconds."""
SEED = 20261129
MOST_BEHIND = 2.0
"""Seconds that a row may come late, or this machine cannot write the load."""

_COLUMNS = (
    "eventtype", "eventtime", "cid_name", "cid_num", "cid_ani", "cid_rdnis", "cid_dnid", "exten", "context", "channame",
    "appname", "appdata", "amaflags", "accountcode", "uniqueid", "linkedid", "peer", "userdeftype", "extra",
    "userfield",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class DatabaseServer:
    """A server of PBXs' databases, and the PBXs whose databases it has, each of its PBX's name."""

    port: int
    password: str
    pbxs: tuple[str, ...]


@dataclass(slots=True)
class Written:
    """What was written of one linkedid."""

    rows: int = 0
    at: float = 0.0
    """When its last row was committed (Unix seconds)."""
    in_crm: bool = False
    """The CRM is to have it, by the recording's truth."""


@dataclass(slots=True)
class Load:
    """Calls of so many phones on each PBX, one writer a server; `run` returns when all is written."""

    servers: Sequence[DatabaseServer]
    phones: int
    seconds: float
    """While which calls begin."""
    calls: dict[tuple[str, str], Written] = field(default_factory=dict)
    """By PBX and linkedid."""
    rows: int = 0
    latest: float = 0.0
    """The most seconds that a row came after its time."""
    _failures: list[BaseException] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def run(self, seed: int) -> None:
        """Write it; `seed`: of the first server's calls, the others have the next ones.

        Raises what a writer failed with, and SystemExit where rows came late.
        """
        began = time.time()
        writers = [
            threading.Thread(target=self._write, args=(server, began, seed + number), daemon=True)
            for number, server in enumerate(self.servers)
        ]
        for writer in writers:
            writer.start()
        for writer in writers:
            writer.join()
        if self._failures:
            raise self._failures[0]
        if self.latest > MOST_BEHIND:
            raise SystemExit(f"rows were written {self.latest:.1f} s late: this machine cannot give this load")

    def _write(self, server: DatabaseServer, began: float, seed: int) -> None:
        try:
            rows = sorted(self._schedule(server, began, random.Random(seed)), key=lambda each: each[:2])
            connection = pymysql.connect(
                host="127.0.0.1", port=server.port, user="root", password=server.password, autocommit=True,
                charset="utf8mb4",
            )  # fmt: skip
            with connection, connection.cursor() as cursor:
                for due, _, pbx, row in rows:
                    time.sleep(max(0.0, due - time.time()))
                    cursor.execute(_insert(pbx), [row[column] for column in _COLUMNS])
                    self._wrote(pbx, row["linkedid"], due)
        except BaseException as error:
            self._failures.append(error)

    def _schedule(
        self, server: DatabaseServer, began: float, chance: random.Random
    ) -> Iterator[tuple[float, int, str, Mapping[str, str]]]:
        """Rows with the Unix time at which each is due: calls of each PBX begin at random, at its mean rate."""
        recorded = [case for case in read_recordings() if len(case.rows) in ROWS_OF_FREEPBX]
        rate, number = self.phones * CALLS_PER_PHONE_HOUR / 3600, 0
        for pbx in server.pbxs:
            start, taken = began + chance.expovariate(rate), set[str]()
            while start < began + self.seconds:
                case = _moved(chance.choice(recorded), int(start), taken)
                self._expect(pbx, case)
                first = datetime.fromisoformat(case.rows[0]["eventtime"])
                for row in case.rows:
                    number += 1
                    later = (datetime.fromisoformat(row["eventtime"]) - first).total_seconds()
                    yield start + later, number, pbx, row
                start += chance.expovariate(rate)

    def _expect(self, pbx: str, case: Case) -> None:
        with self._lock:
            for truth in expected(case):
                self.calls[pbx, truth.linkedid] = Written(in_crm=truth.stands_in("bitrix24"))

    def _wrote(self, pbx: str, linkedid: str, due: float) -> None:
        now = time.time()
        with self._lock:
            written = self.calls[pbx, linkedid]
            written.rows, written.at = written.rows + 1, now
            self.rows += 1
            self.latest = max(self.latest, now - due)


def _moved(case: Case, start: int, taken: set[str]) -> Case:
    """The case as one that begins in the second `start`, or before it where its ids are another call's then."""
    while True:
        moved = case.moved(start)
        ids = {row["uniqueid"] for row in moved.rows} | set(moved.linkedids)
        if not ids & taken:
            taken |= ids
            return moved
        start -= 1


def _insert(pbx: str) -> str:
    return f"INSERT INTO {pbx}.cel ({', '.join(_COLUMNS)}) VALUES ({', '.join(['%s'] * len(_COLUMNS))})"  # noqa: S608
