"""How much flowed, and how much memory the workers held."""

import threading
import time
from dataclasses import dataclass, field

import psutil

from tests.chaos.installation import Installation

_EVERY_SECONDS = 2.0
_MEGABYTE = 1024 * 1024


@dataclass
class Load:
    """Samples the services' resident memory. Use in `with`."""

    installation: Installation
    _samples: dict[str, list[int]] = field(default_factory=dict)
    _over: threading.Event = field(default_factory=threading.Event)
    _began: float = 0.0
    _rows: int = 0
    _calls: int = 0
    _thread: threading.Thread | None = None

    def __enter__(self) -> "Load":
        flow = self.installation.flow
        self._began, self._rows, self._calls = time.monotonic(), flow.rows, len(flow.calls)
        self._thread = threading.Thread(target=self._sample, name="load", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        if self._thread is not None:
            self._thread.join(5)

    def report(self) -> dict[str, object]:
        """Rows and calls a second; megabytes of each service: first, highest and last sample."""
        flow, seconds = self.installation.flow, max(0.1, time.monotonic() - self._began)
        return {
            "rows_per_second": round((flow.rows - self._rows) / seconds, 1),
            "calls_per_second": round((len(flow.calls) - self._calls) / seconds, 2),
            "failed_inserts": flow.failed_inserts,
            "memory_mb": {
                name: [samples[0], max(samples), samples[-1]] for name, samples in sorted(self._samples.items())
            },
        }

    def _sample(self) -> None:
        while not self._over.wait(_EVERY_SECONDS):
            for name, pid in list(self.installation.services.pids.items()):
                try:
                    held = psutil.Process(pid).memory_info().rss // _MEGABYTE
                except psutil.Error:
                    continue
                self._samples.setdefault(name, []).append(held)
