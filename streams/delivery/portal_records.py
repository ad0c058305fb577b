"""Since when a portal is served, and whether it wants no more calls: the records of the topic portal-states. Pure.

A portal that was a shadow begins when it becomes a real one, whatever `deliver_from` says: the calls of the trial were
the old connector's. An operator orders those of them that are wanted (`cel2crm deliver`).

0.1 kept the same facts in the first partition of the CRM's delivery log, as if they were calls (`portal:<name>`,
`disabled:<name>`). Those records are still read, for one release: the earlier `since` counts, and any `disabled`.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple, TypeVar

import msgspec

from streams.clock import MICROS_PER_SECOND, UtcMicros
from streams.delivery.record import Delivery, State
from streams.settings import PortalSettings

Key = TypeVar("Key")

OLD_SERVING = "portal:"
OLD_DISABLED = "disabled:"
_OLD_SHADOW = "shadow"


class PortalState(msgspec.Struct, frozen=True, kw_only=True):
    """A record of portal-states: the fields of schemas/portal_state.avsc. Times: UTC microseconds from 1970."""

    crm: str
    portal: str
    serving_since: UtcMicros | None = None
    shadow: bool = False
    was_shadow: bool = False
    disabled_at: UtcMicros | None = None
    disabled_reason: str | None = None
    fingerprint: str | None = None
    updated_at: UtcMicros = 0

    @property
    def why(self) -> str:
        """The reason for which the portal gets nothing more, in words."""
        return self.disabled_reason or "it wants no more calls"

    def record(self) -> dict[str, Any]:
        """For the Avro codec."""
        return msgspec.structs.asdict(self)

    @classmethod
    def from_record(cls, record: dict[str, Any]) -> "PortalState":
        """The state that the Avro codec read. Raises msgspec.ValidationError."""
        return msgspec.convert(record, cls)


def serving_key(crm: str, portal: str) -> bytes:
    """Key of the record that says since when a portal is served."""
    return f"{crm}/{portal}".encode()


def disabled_key(crm: str, portal: str, partition: int) -> bytes:
    """Key of the record by which the owner of a partition of the CRM's delivery log says that a portal is disabled."""
    return f"{crm}/{portal}/{partition}".encode()


def old_disabled_key(portal: str) -> bytes:
    """Key of the record of 0.1, in the first partition of the CRM's delivery log."""
    return (OLD_DISABLED + portal).encode()


def is_old_key(key: bytes) -> bool:
    """Whether a key of a delivery log is of a record of 0.1 about a portal."""
    return key.startswith((OLD_SERVING.encode(), OLD_DISABLED.encode()))


class PortalRecords:
    """All records about one CRM's portals, the old ones included, as far as they were taken."""

    def __init__(self, crm: str) -> None:
        self._crm = crm
        self._serving: dict[str, PortalState] = {}
        self._disabled: dict[str, dict[int, PortalState]] = {}
        """By portal and partition."""
        self._old_serving: dict[str, PortalState] = {}
        self._old_disabled: dict[str, PortalState] = {}

    def take(self, key: bytes, state: PortalState | None) -> None:
        """Take a record of portal-states, in order; None is a tombstone. Those of other CRMs are left out."""
        crm, _, rest = key.decode("utf-8", "replace").partition("/")
        portal, _, partition = rest.partition("/")
        if crm != self._crm or not portal:
            return
        if not partition:
            _put(self._serving, portal, state)
        elif partition.isdecimal():
            _put(self._disabled.setdefault(portal, {}), int(partition), state)

    def take_old(self, key: bytes, delivery: Delivery | None) -> None:
        """Take a record of 0.1 from the first partition of the delivery log, in order; None is a tombstone."""
        name = key.decode("utf-8", "replace")
        if name.startswith(OLD_SERVING):
            _put(self._old_serving, name.removeprefix(OLD_SERVING), _serving_of(delivery))
        elif name.startswith(OLD_DISABLED):
            _put(self._old_disabled, name.removeprefix(OLD_DISABLED), _disabled_of(delivery))

    def replace_old(self, records: Mapping[bytes, Delivery | None]) -> None:
        """Take the last record of each old key, in place of those that were known."""
        self._old_serving.clear()
        self._old_disabled.clear()
        for key, delivery in records.items():
            self.take_old(key, delivery)

    def forget_new(self) -> None:
        """Forget the records of portal-states: they are read anew."""
        self._serving.clear()
        self._disabled.clear()

    def serving(self, portal: str) -> PortalState | None:
        """Since when a portal is served; None: nothing is recorded."""
        new, old = self._serving.get(portal), self._old_serving.get(portal)
        if new is None or old is None:
            return new or old
        if new.shadow != old.shadow:
            return max(new, old, key=lambda state: state.updated_at)  # after a step back to 0.1: the later turn
        return min(new, old, key=lambda state: state.serving_since or 0)

    def stored_serving(self, portal: str) -> PortalState | None:
        """The record that portal-states itself holds."""
        return self._serving.get(portal)

    def disabled(self, portal: str) -> list[PortalState]:
        """The records that say that a portal is disabled, each with some address and secret."""
        old = self._old_disabled.get(portal)
        return [*self._disabled.get(portal, {}).values(), *([old] if old else [])]

    def disabled_by(self, portal: str) -> dict[int, PortalState]:
        """The records of portal-states among them, by the partition whose owner wrote them."""
        return dict(self._disabled.get(portal, {}))

    def old_disabled(self, portal: str) -> PortalState | None:
        """The record of 0.1 among them."""
        return self._old_disabled.get(portal)

    @property
    def disabled_portals(self) -> dict[str, str]:
        """Portals that are disabled, and why."""
        names = dict.fromkeys((*self._disabled, *self._old_disabled))
        return {portal: found[-1].why for portal in names if (found := self.disabled(portal))}


def is_settled(portal: PortalSettings, known: PortalState | None) -> bool:
    """Whether it is durable since when a portal is served, so that calls may be delivered."""
    if known is None:
        return portal.deliver_from is not None and not portal.shadow  # the settings say it
    return known.shadow == portal.shadow


def serving_state(portal: PortalSettings, known: PortalState | None, now: UtcMicros) -> PortalState:
    """The record of a portal that is served as its settings say; `known` as it is, where that says the same."""
    if known is not None and known.shadow == portal.shadow:
        return known
    return PortalState(
        crm=portal.crm,
        portal=portal.name,
        serving_since=now,
        shadow=portal.shadow,
        was_shadow=portal.shadow or (known is not None and known.was_shadow),
        updated_at=now,
    )


class Service(NamedTuple):
    """Since when a portal is served."""

    calls_from: UtcMicros
    """Calls that ended before are skipped."""
    began: UtcMicros
    """When this installation began: calls that ended before may be at the portal, brought by one that is lost."""


def service_of(portal: PortalSettings, known: PortalState | None, now: UtcMicros) -> Service:
    """Since when a portal is served, by its settings and its record."""
    configured = None if portal.deliver_from is None else int(portal.deliver_from.timestamp() * MICROS_PER_SECOND)
    recorded = now if known is None or known.serving_since is None else known.serving_since
    if configured is None:
        return Service(recorded, recorded)
    after_shadow = known is not None and known.was_shadow and not portal.shadow
    return Service(max(configured, recorded) if after_shadow else configured, recorded)


def disabled_state(crm: str, portal: str, fingerprint: str, why: str, now: UtcMicros) -> PortalState:
    """The record of a portal that wants no more calls."""
    return PortalState(
        crm=crm, portal=portal, disabled_at=now, disabled_reason=why, fingerprint=fingerprint, updated_at=now
    )


def _serving_of(old: Delivery | None) -> PortalState | None:
    if old is None or old.state is not State.SERVING:
        return None
    return PortalState(
        crm=old.crm,
        portal=old.portal,
        serving_since=old.queued_at,
        shadow=old.step == _OLD_SHADOW,
        was_shadow=_OLD_SHADOW in old.steps_done,
        updated_at=old.updated_at,
    )


def _disabled_of(old: Delivery | None) -> PortalState | None:
    if old is None or old.state is not State.DISABLED:
        return None
    return PortalState(
        crm=old.crm,
        portal=old.portal,
        disabled_at=old.queued_at,
        disabled_reason=old.reason,
        fingerprint=old.sent,
        updated_at=old.updated_at,
    )


def _put(records: dict[Key, PortalState], key: Key, state: PortalState | None) -> None:
    if state is None:
        records.pop(key, None)
    else:
        records[key] = state
