"""Where a call belongs by the settings alone: the first line of `portals[].route` that fits it, and working hours.

Pure: the same result and settings give the same answer, at every attempt.
"""

from dataclasses import dataclass
from datetime import UTC, timedelta, timezone, tzinfo
from typing import Any
from zoneinfo import ZoneInfo

from streams.calls.result import CallResult
from streams.clock import MICROS_PER_DAY, MICROS_PER_SECOND
from streams.settings import PortalSettings, RouteSettings
from streams.settings.working_hours import WorkingHours


@dataclass(frozen=True, slots=True)
class Route:
    """The line of a portal's route that decides about a call."""

    number: int
    """1: the first line."""
    line: RouteSettings

    @property
    def words(self) -> str:
        """The line as a person finds it: `route line 2 (queue sales, hours closed)`."""
        conditions = ", ".join(f"{name} {value}" for name, value in self.line.conditions.items())
        return f"route line {self.number} ({conditions or 'every call'})"

    @property
    def gives(self) -> dict[str, Any]:
        """What it gives: the user, and the options of the portal."""
        return {**({"user": self.line.user} if self.line.user else {}), **self.line.options}


def route_of(result: CallResult, portal: PortalSettings) -> Route | None:
    """The first line that fits the call; None: none does."""
    for number, line in enumerate(portal.route, 1):
        if line.fits(did=result.did, queue=result.queue, trunk=result.trunk) and _fits_hours(result, portal, line):
            return Route(number, line)
    return None


def _fits_hours(result: CallResult, portal: PortalSettings, line: RouteSettings) -> bool:
    """Whether the call began when the line says."""
    if line.hours is None:
        return True
    is_open = working_hours(result, portal, line.schedule).is_open(result.started_at)
    return is_open is (line.hours == "open")


def working_hours(result: CallResult, portal: PortalSettings, schedule: str | None = None) -> WorkingHours:
    """A schedule on the clocks that count for a call; None: the portal's. Raises ValueError where there is none."""
    return portal.schedule_named(schedule).within(zone_of(result))


def zone_of(result: CallResult) -> tzinfo:
    """The zone of the call's PBX: as set, else by the difference to UTC that its rows had."""
    if result.timezone:
        try:
            return ZoneInfo(result.timezone)
        except (KeyError, ValueError, OSError):
            pass  # from a machine with another zone database
    seconds = result.utc_offset_seconds
    return timezone(timedelta(seconds=seconds)) if abs(seconds) < MICROS_PER_DAY // MICROS_PER_SECOND else UTC


def options_of(result: CallResult, portal: PortalSettings) -> dict[str, Any]:
    """The portal's options, with the values that the route's line gives."""
    route = route_of(result, portal)
    return dict(portal.options) if route is None else {**portal.options, **route.line.options}
