"""Whether this process is alive and started, as a supervisor (Kubernetes) may ask at the port of the metrics.

/healthz  200: alive. 503: its event loop has not come round for a minute, or records wait on a partition that it holds
          and none was taken for as long as the watchdog allows (partition_owner.py), which should have ended it.
/readyz   200: started, its partitions can be given to it. 503: it waits for brokers, or is still starting.

Never by lag: a worker with a long backlog that takes records is alive. Nor by a service beside the workers
(background.py) that has failed and is begun anew: the answer's `services` tells of it. Another thread answers, also
while the event loop hangs.
"""

import json
import time
from collections.abc import Callable, Iterable
from typing import Any

from faust.types import TP

LOOP_SECONDS = 60.0
"""The worker says every five seconds that its loop goes round."""

StartResponse = Callable[..., Any]
Application = Callable[[dict[str, Any], StartResponse], Iterable[bytes]]


class Health:
    """What is known of this process. `limit_seconds`: for how long records may wait while none is taken."""

    def __init__(self, limit_seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._limit_seconds = limit_seconds
        self._clock = clock
        self._beat: float | None = None
        self._standing_since: dict[tuple[int, TP], float] = {}
        self.services: dict[str, str] = {}
        """What keeps each service beside the workers from running; empty: it runs."""

    def beat(self) -> None:
        """The worker is started, and its event loop goes round."""
        self._beat = self._clock()

    def stands(self, watchdog: int, tp: TP, since: float | None) -> None:
        """Since when records wait on a held partition while none is taken; None: they do not, or it is held no more."""
        if since is None:
            self._standing_since.pop((watchdog, tp), None)
        else:
            self._standing_since[watchdog, tp] = since

    @property
    def started(self) -> bool:
        return self._beat is not None

    def faults(self) -> list[str]:
        """Why the process should be killed; empty: it should not."""
        now = self._clock()
        found = []
        if self._beat is not None and now - self._beat > LOOP_SECONDS:
            found.append(f"the event loop has not come round for {now - self._beat:.0f} s")
        for (_, tp), since in list(self._standing_since.items()):
            if now - since > self._limit_seconds:
                found.append(f"records wait on {tp.topic}/{tp.partition}, and none was taken for {now - since:.0f} s")
        return found

    def around(self, application: Application) -> Application:
        """A WSGI application that answers for this, and passes everything else on."""

        def answer(environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
            path = environ.get("PATH_INFO")
            if path not in ("/healthz", "/readyz"):
                return application(environ, start_response)
            faults = self.faults()
            good = not faults if path == "/healthz" else self.started
            start_response("200 OK" if good else "503 Service Unavailable", [("Content-Type", "application/json")])
            told = {"started": self.started, "faults": faults, "services": dict(self.services)}
            return [json.dumps(told).encode() + b"\n"]

        return answer
