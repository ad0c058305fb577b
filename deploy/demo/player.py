"""Writes recorded calls into the PBX's table as a PBX would: row by row, several calls at once."""

import threading
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from queue import Empty, Queue

import pymysql

from deploy.demo.recordings import Case

_INSERT_COLUMNS = (
    "eventtype", "eventtime", "cid_name", "cid_num", "cid_ani", "cid_rdnis", "cid_dnid", "exten", "context", "channame",
    "appname", "appdata", "amaflags", "accountcode", "uniqueid", "linkedid", "peer", "userdeftype", "extra",
    "userfield",
)  # fmt: skip
_INSERT = (
    f"insert into asteriskcdrdb.cel ({', '.join(_INSERT_COLUMNS)}) "  # noqa: S608 - constant names
    f"values ({', '.join(['%s'] * len(_INSERT_COLUMNS))})"
)
_LONGEST_PAUSE = 1.0


@dataclass(slots=True)
class Player:
    """Plays cases in `lanes` threads at once, `speed` times as fast as they were recorded."""

    host: str
    port: int
    password: str
    lanes: int = 8
    speed: float = 10.0
    rows: int = 0
    """Rows written so far."""
    written_at: dict[str, float] = field(default_factory=dict)
    """Unix time at which each linkedid's last row was committed."""
    failure: BaseException | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def start(self, cases: Iterable[Case]) -> list[threading.Thread]:
        """Begin; join the threads to wait for the end, then look at `failure`."""
        waiting: Queue[Case] = Queue()
        for case in cases:
            waiting.put(case)
        threads = [threading.Thread(target=self._lane, args=(waiting,), daemon=True) for _ in range(self.lanes)]
        for thread in threads:
            thread.start()
        return threads

    def _lane(self, waiting: "Queue[Case]") -> None:
        try:
            connection = pymysql.connect(
                host=self.host, port=self.port, user="root", password=self.password, autocommit=True, charset="utf8mb4"
            )
            with connection, connection.cursor() as cursor:
                while True:
                    case = waiting.get_nowait()
                    self._play(cursor, case)
        except Empty:
            return
        except BaseException as error:  # told by the demo, which then fails
            self.failure = error

    def _play(self, cursor: "pymysql.cursors.Cursor", case: Case) -> None:
        before: datetime | None = None
        for row in case.rows:
            now = datetime.fromisoformat(row["eventtime"])
            if before is not None and now > before:
                time.sleep(min((now - before).total_seconds() / self.speed, _LONGEST_PAUSE))  # the call's own pace
            before = now
            cursor.execute(_INSERT, _values(row))
            with self._lock:
                self.rows += 1
                self.written_at[row["linkedid"]] = time.time()


def _values(row: Mapping[str, str]) -> list[str]:
    return [row[column] for column in _INSERT_COLUMNS]
