"""Bitrix24: the lines of the settings, registered with the portal and named there.

Facts: telephony.externalLine.get, .add, .update (apidocs.bitrix24.com): lines of this application alone; an unknown
LINE_NUMBER is taken all the same, and shown without a name. `CRM_AUTO_CREATE` of a line also governs whether an
outgoing call over it makes a lead, so that it follows `unknown_number`.
"""

from collections.abc import Awaitable, Callable, Mapping

import structlog

from streams.clock import BootSeconds, boot_seconds
from streams.crm.bitrix24.errors import error_text
from streams.delivery.answers import PortalBlocked, RetryLater
from streams.http.request import Ending, Reply

LIST, ADD, UPDATE = (f"telephony.externalLine.{what}" for what in ("get", "add", "update"))
RETRY_SECONDS = 3600.0
"""After a failure, a line is named with the next call that comes so much later."""
LONGEST_SECONDS = 10.0
"""A call never waits longer for the name of its line."""

Ask = Callable[[str, dict[str, object], BootSeconds], Awaitable[Ending | PortalBlocked | RetryLater]]

_log = structlog.get_logger("deliver")


class LineNames:
    """Registers the lines of one portal's settings, each before its first call of this process."""

    def __init__(self, portal: str, names: Mapping[str, str], *, auto_create: bool) -> None:
        """`names`: by LINE_NUMBER. `auto_create`: unknown numbers become leads."""
        self._portal = portal
        self._names = names
        self._auto_create = "Y" if auto_create else "N"
        self._not_before: dict[str, BootSeconds] = {}

    def due(self, line: str) -> bool:
        """Whether the line is to be registered now."""
        return line in self._names and boot_seconds() >= self._not_before.get(line, 0.0)

    async def register(self, line: str, ask: Ask, until: BootSeconds) -> None:
        """Register and name a line. Whatever comes of it, the call goes on."""
        self._not_before[line] = boot_seconds() + RETRY_SECONDS
        until = min(until, boot_seconds() + LONGEST_SECONDS)
        listed = await ask(LIST, {}, until)
        known = _lines(listed)
        if known is None:
            self._failed(line, listed)
            return
        wanted = {"NUMBER": line, "NAME": self._names[line], "CRM_AUTO_CREATE": self._auto_create}
        if known.get(line) != wanted:
            done = await ask(UPDATE if line in known else ADD, dict[str, object](wanted), until)
            if not isinstance(done, Reply) or done.status != 200:
                self._failed(line, done)
                return
        self._not_before[line] = float("inf")

    def _failed(self, line: str, ending: object) -> None:
        why = error_text(ending) if isinstance(ending, Reply) else getattr(ending, "why", "not asked in time")
        _log.warning("a line could not be named in the portal: its calls come all the same", portal=self._portal,
                     line=line, why=why)  # fmt: skip


def _lines(ending: object) -> dict[str, dict[str, str]] | None:
    """The portal's lines by number; None: the answer lists none."""
    document = ending.document if isinstance(ending, Reply) and ending.status == 200 else None
    lines = document.get("result") if isinstance(document, dict) else None
    if not isinstance(lines, list):
        return None
    names = ("NUMBER", "NAME", "CRM_AUTO_CREATE")
    return {
        str(one.get("NUMBER")): {name: str(one.get(name)) for name in names} for one in lines if isinstance(one, dict)
    }
