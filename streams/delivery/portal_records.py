"""Since when a portal is served. Pure; kept as a record of its own in the log's first partition.

A portal that was a shadow begins when it becomes a real one, whatever `deliver_from` says: the calls of the trial were
the old connector's. What an operator wants of them he orders (`cel2crm deliver`).
"""

from streams.clock import MICROS_PER_SECOND
from streams.delivery.record import Delivery, State
from streams.settings import PortalSettings

SERVING = "portal:"
SHADOW = "shadow"


def key_of(portal: PortalSettings) -> str:
    """The record's key."""
    return SERVING + portal.name


def record_of(portal: PortalSettings, known: Delivery | None, now: int) -> Delivery | None:
    """What has to be written before the portal is served; None: what is known stands."""
    mode = SHADOW if portal.shadow else ""
    if known is None and portal.deliver_from is not None and not portal.shadow:
        return None
    if known is not None and known.step == mode:
        return None
    was_shadow = portal.shadow or (known is not None and SHADOW in known.steps_done)
    return Delivery(
        call_id=key_of(portal),
        crm=portal.crm,
        portal=portal.name,
        state=State.SERVING,
        step=mode,
        steps_done=(SHADOW,) if was_shadow else (),
        queued_at=now,
        updated_at=now,
    )


def served_since(portal: PortalSettings, known: Delivery | None, now: int) -> int:
    """Calls that ended before are skipped. UTC microseconds."""
    configured = None if portal.deliver_from is None else int(portal.deliver_from.timestamp() * MICROS_PER_SECOND)
    if known is None:
        return now if configured is None else configured
    if configured is None:
        return known.queued_at
    after_shadow = SHADOW in known.steps_done and not portal.shadow
    return max(configured, known.queued_at) if after_shadow else configured
