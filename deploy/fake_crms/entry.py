"""The calls and users of a CRM as a person sees them: one entry a call, the same shape for every portal."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Literal

Direction = Literal["incoming", "outgoing", "callback", "info", "internal", "unknown"]
Tone = Literal["good", "missed", "failed", "neutral"]


@dataclass(frozen=True, slots=True)
class Entry:
    """One call as the CRM's user finds it in the list of calls.

    `number` counts entries in the order in which the portal took them (from 1); times are ISO 8601 in UTC;
    `duration` is in seconds. `external_id` is what the sender called the call (Bitrix24 EXTERNAL_CALL_ID, Kommo
    uniq), `crm_id` what the CRM calls it (CALL_ID, note id; the `webhook-id` at a receiver of webhooks).
    """

    number: int
    crm_id: str
    external_id: str | None
    phone: str
    direction: Direction
    user_id: int
    user: str
    duration: int
    started_at: str
    received_at: str
    status: str
    words: str
    tone: Tone
    successful: bool
    missed: bool
    text: str | None
    line: str | None
    via: str
    popup: bool
    recording: str | None = None

    def as_json(self) -> dict[str, object]:
        """The entry as the control interface gives it."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class PortalUser:
    """A person of the CRM. `inner` is the internal phone number (extension), empty if there is none."""

    id: int
    name: str
    inner: str = ""
    active: bool = True


# The people behind the extensions of the recorded calls.
STAFF: tuple[PortalUser, ...] = (
    PortalUser(1, "Olga Duty"),
    PortalUser(11, "Anna Ivanova", "1001"),
    PortalUser(12, "Boris Petrov", "1002"),
    PortalUser(13, "Vera Smirnova", "1003"),
    PortalUser(14, "Gleb Orlov", "1004"),
    PortalUser(15, "Dina Volkova", "1005"),
    PortalUser(16, "Egor Sokolov", "1006"),
    PortalUser(17, "Zoya Lebedeva", "1007"),
    PortalUser(18, "Ivan Kozlov", "1008"),
    PortalUser(19, "Left Employee", "1999", active=False),
)


def iso_utc(moment: float) -> str:
    """Unix seconds as ISO 8601 in UTC, to the millisecond."""
    return datetime.fromtimestamp(moment, UTC).isoformat(timespec="milliseconds")
