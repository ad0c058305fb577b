"""Faust's monitor without its sampler, which wakes the loop each second for averages that nobody reads."""

import faust
from mode import Service


class QuietMonitor(faust.Monitor):
    """Counts as Faust's own does."""

    @Service.task
    async def _sampler(self) -> None:
        pass
