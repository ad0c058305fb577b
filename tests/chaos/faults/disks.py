"""Full disks."""

import contextlib
import os
import signal
import subprocess
from pathlib import Path

from tests.chaos.fault import Fault
from tests.chaos.services import wait_until

_FREE = 'mount -o loop "$1" "$2" && rm -f "$2/filler"'
_CHUNK = bytes(1024 * 1024)


class DiskFault(Fault):
    """What faults of a server's disk share."""

    servers = "small-disks"
    spoils = True
    server: str

    def fill(self) -> None:
        """Leave not a byte."""
        with self._filler().open("ab", buffering=0) as file, contextlib.suppress(OSError):
            while True:
                file.write(_CHUNK)
        with self._filler().open("ab", buffering=0) as file, contextlib.suppress(OSError):
            while True:
                file.write(b"0" * 512)

    def free(self) -> None:
        """Give the space back; the server is started again where it has ended."""
        stack = self.made.stack
        if stack.exit_status(self.server) is None:
            self._filler().unlink()
            return
        where = stack.data_directory(self.server)
        namespace = ["unshare", "--mount", "--propagation", "private"]
        subprocess.run([*namespace, "sh", "-c", _FREE, "sh", stack.disk(self.server), where], check=True)
        stack.start_part(self.server)

    def _filler(self) -> Path:
        """The file that takes the space, seen through the server's own mounts."""
        directory = self.made.stack.data_directory(self.server)
        return Path(f"/proc/{self._pid()}/root{directory}") / "filler"

    def _pid(self) -> int:
        return self.made.endpoints.pids[self.server]


class KafkaDiskFull(DiskFault):
    name = "kafka-disk-full"
    does = "the broker's disk is full until it has ended or for 30 s"
    told = r"broker|Kafka|transaction|disk|space"
    server = "kafka"

    def strike(self) -> None:
        self.fill()
        with contextlib.suppress(Exception):
            wait_until(lambda: self.made.stack.exit_status("kafka") is not None, 30, "the broker has ended")
        self.free()


class DatabaseDiskFull(DiskFault):
    name = "database-disk-full"
    does = "the database's disk is full for 40 s"
    server = "mariadb"

    def strike(self) -> None:
        self.fill()
        self.hold(40)
        if self.made.stack.exit_status("mariadb") is None:
            os.sync()
        self.free()
        if self.made.stack.exit_status("mariadb") is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._pid(), signal.SIGHUP)  # it looks for space once a minute by itself
