"""Workers whose clock is an hour off (libfaketime)."""

from pathlib import Path

from deploy.local import packages
from tests.chaos.fault import Fault
from tests.chaos.installation import WORKERS, with_environment
from tests.chaos.services import NotReached

_FAKETIME = {"faketime": ("faketime",)}


class ClockFault(Fault):
    """Every worker is restarted with another clock, and put right after some calls."""

    offset: str
    spoils = True

    def strike(self) -> None:
        packages.ensure(_FAKETIME, lambda _: None)
        library = next(iter(sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))), None)
        if library is None:
            raise NotReached("libfaketime is not installed")
        off = with_environment(LD_PRELOAD=str(library), FAKETIME=self.offset, FAKETIME_DONT_FAKE_MONOTONIC="1")
        self._restart(off)
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
    offset = "+3600s"


class ClocksBehind(ClockFault):
    name = "clocks-an-hour-behind"
    does = "the workers' clocks are an hour behind, then put right"
    offset = "-3600s"
