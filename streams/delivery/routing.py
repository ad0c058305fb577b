"""Which portal gets which call, and why one gets none."""

from collections.abc import Sequence

from streams.calls.result import CallResult
from streams.calls.result_headers import LIVE, REPLAY
from streams.clock import UtcMicros, format_iso
from streams.delivery.eligibility import skip_reason
from streams.errors import SettingsError, UserError
from streams.settings import PortalSettings, Settings


def served_portals(settings: Settings, crm: str) -> tuple[PortalSettings, ...]:
    """The CRM's portals. Raises UserError where there is none, SettingsError where two would take the same calls."""
    portals = settings.portals_of(crm)
    if not portals:
        raise UserError(
            f"no {crm} portal is configured", f"Add one under portals: (name, crm: {crm}, and its address)."
        )
    for number, portal in enumerate(portals):
        for setting, remedy in portal.kind.required.items():
            if getattr(portal, setting) is None:
                raise SettingsError(f"portals.{portal.name}.{setting} is not set", remedy)
        for other in portals[number + 1 :]:
            shared = set(portal.pbxs) & set(other.pbxs)
            if shared or not portal.pbxs or not other.pbxs:
                raise SettingsError(
                    f"portals.{portal.name} and portals.{other.name} would both get the calls of "
                    f"{', '.join(sorted(shared)) or 'every PBX'}",
                    "Set pbxs of each so that every PBX belongs to one portal of a CRM.",
                )
    return portals


def portal_of(portals: Sequence[PortalSettings], pbx: str) -> PortalSettings | None:
    """The portal that gets a PBX's calls."""
    return next((portal for portal in portals if not portal.pbxs or pbx in portal.pbxs), None)


def skip_reason_for(result: CallResult, portal: PortalSettings) -> str | None:
    """Why a portal gets no entry of such a call; None: it gets one."""
    return skip_reason(
        result,
        internal=portal.deliver_internal,
        unknown=portal.deliver_unknown,
        number_needed=portal.kind.number_needed,
    )


def history_reason(result: CallResult, portal: PortalSettings, since: UtcMicros, origin: str = "live") -> str | None:
    """Why the call's time keeps it out of a portal; None: it does not. An operator may have it delivered all the same.

    `since`: when the portal's service began; `origin`: the header of the result's record (calls/result_headers.py).
    """
    if result.ended_at < since:
        return f"it ended before {format_iso(since)} (portals[].deliver_from)"
    if origin == REPLAY:
        return "it was judged anew by a replay, and is not at this portal (cel2crm deliver orders it)"
    if origin != LIVE and not portal.deliver_backfill:
        return "it comes from a backfill, not from a live call (portals[].deliver_backfill)"
    return None
