"""The check of a worker's portals when it starts: what a person must mend is said before the first call fails."""

import asyncio
from collections.abc import Callable, Iterable

import structlog

from streams.clock import boot_seconds
from streams.crm.shared.check import CheckRequest, Finding, Level, check_portal
from streams.crm.shared.tokens import TokenSource
from streams.settings import PortalSettings
from streams.workers.deliver import metrics
from streams.workers.deliver.portal_queue import PortalQueue

LIMIT_SECONDS = 120.0
"""For all requests to one portal."""

_log = structlog.get_logger("deliver")


class StartCheck:
    """Checks each portal once, beside the deliveries and at their rate. Whatever it finds, deliveries go on."""

    def __init__(self, source: Callable[[PortalSettings], TokenSource | None]) -> None:
        """`source`: the tokens of a portal that uses OAuth."""
        self._source = source
        self._task: asyncio.Task[None] | None = None

    def start_once(self, queues: Iterable[PortalQueue]) -> None:
        """Begin, the first time that it is called, without waiting for anything. A disabled portal is not asked."""
        if self._task is None:
            self._task = asyncio.create_task(self._check_all([one for one in queues if not one.throttle.disabled]))

    async def stop(self) -> None:
        """End; a check under way is cut off."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    async def _check_all(self, queues: list[PortalQueue]) -> None:
        await asyncio.gather(*(self._check(queue) for queue in queues))

    async def _check(self, queue: PortalQueue) -> None:
        portal = queue.portal
        until = boot_seconds() + LIMIT_SECONDS
        found = await check_portal(CheckRequest(portal, self._source(portal), queue.throttle.pace, until))
        faults = [one for one in found if one.level is Level.FAULT]
        metrics.CHECK_FAULTS.labels(portal.crm, portal.name).set(len(faults))
        for one in found:
            _tell(portal, one)
        if all(one.level is Level.GOOD for one in found):
            _log.info("portal checked: calls can come", portal=portal.name)


def _tell(portal: PortalSettings, one: Finding) -> None:
    """A line of log. What is away, or cannot be told, is a warning; faults as well: calls may go all the same."""
    if one.level is Level.GOOD:
        return
    more = {"remedy": one.remedy} if one.remedy else {}
    words = {"about": one.about, "found": one.words, **more}
    if one.level is Level.NOTE:
        _log.info("portal checked", portal=portal.name, **words)
    else:
        _log.warning("portal checked", portal=portal.name, **words)
