"""Workers whose wall clock is an hour off (clock_offset.c, preloaded)."""

import subprocess
from pathlib import Path

from deploy.local import packages
from tests.chaos.fault import Fault
from tests.chaos.installation import WORKERS, with_environment

_COMPILER = {"cc": ("gcc", "libc6-dev")}
_SOURCE = Path(__file__).with_name("clock_offset.c")


class ClockFault(Fault):
    """Every worker is restarted with another clock, and put right after some calls."""

    offset_seconds: int
    spoils = True
    only_workers = True

    def strike(self) -> None:
        packages.ensure(_COMPILER, lambda _: None)
        library = self.made.endpoints.directory / "clock_offset.so"
        subprocess.run(["cc", "-shared", "-fPIC", "-O2", "-o", library, _SOURCE], check=True, stdin=subprocess.DEVNULL)
        self._restart(with_environment(LD_PRELOAD=str(library), CLOCK_OFFSET_SECONDS=str(self.offset_seconds)))
        self.until_calls(6)
        self.hold(5)
        self._restart(with_environment())

    def _restart(self, env: dict[str, str]) -> None:
        for worker in WORKERS:
            self.made.services.stop(worker)
        self.made.start_and_wait(*WORKERS, env=env)


class ClocksAhead(ClockFault):
    name = "clocks-an-hour-ahead"
    does = "the workers' clocks are an hour ahead, then put right"
    offset_seconds = 3600


class ClocksBehind(ClockFault):
    name = "clocks-an-hour-behind"
    does = "the workers' clocks are an hour behind, then put right"
    offset_seconds = -3600
