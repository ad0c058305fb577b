"""Bitrix24's calls: registrations, finished calls, statistics. Plain state, no HTTP.

Sources: the vendor's pages of telephony.externalCall.register, .finish and voximplant.statistic.get (2026); what the
on-premise product's source says is marked (S), what integrators saw (O), what is inferred (I). What no source says is
marked as ours, not the vendor's.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from deploy.fake_crms.bitrix24.config import Bitrix24Config
from deploy.fake_crms.bitrix24.crm import CrmStore
from deploy.fake_crms.bitrix24.fields import TelephonyError, flag, phone_number, start_of_call, text, whole_number
from deploy.fake_crms.bitrix24.person import user_of
from deploy.fake_crms.bitrix24.recorded import address_of, shown_of
from deploy.fake_crms.entry import Direction, Entry, PortalUser, Tone, iso_utc
from deploy.fake_crms.journal import Event

REGISTRATION_WINDOW = 30 * 60.0  # seconds, counted as Bitrix24Config.window_from has it
EXTERNAL_CALL_ID_LENGTH = 64  # the column's (S); that a longer one is refused is ours, not the vendor's
FAILED_REASON_LENGTH = 255  # the column's (S); the words of the refusal are ours, not the vendor's
FIRST_ACTIVITY = 7000
DIRECTIONS: dict[int, Direction] = {1: "outgoing", 2: "incoming", 3: "incoming", 4: "callback", 5: "info"}
INCOMING_TYPES = frozenset({2, 3})
STATUS_WORDS = {
    "200": "Successful call",
    "304": "Missed call",
    "402": "Insufficient funds",
    "403": "Forbidden",
    "404": "Wrong number",
    "423": "Blocked",
    "480": "Temporarily unavailable",
    "484": "This destination is not available",
    "486": "Busy",
    "500": "Internal server error",
    "503": "This destination is not available",
    "603": "Canceled",
    "603-S": "Call canceled",
    "OTHER": "Other",
}


@dataclass(slots=True)
class Registration:
    """A call between register and finish."""

    call_id: str
    phone: str
    type: int
    user_id: int
    line: str | None
    external_id: str | None
    started: float
    registered: float
    popup: bool
    finished: bool = False

    @property
    def key(self) -> tuple[str, int, int, str | None, str | None]:
        """What makes a repeated register the same call."""
        return self.phone, self.type, self.user_id, self.line, self.external_id


@dataclass(slots=True)
class CallStore:
    """The calls of a portal. `record` writes a change to the journal and calls `apply` with it."""

    record: Callable[[str, Event], None]
    users: tuple[PortalUser, ...]
    crm: CrmStore
    registrations: dict[str, Registration] = field(default_factory=dict)
    by_key: dict[tuple[str, int, int, str | None, str | None], str] = field(default_factory=dict)
    finished: list[Event] = field(default_factory=list)
    popups: list[Event] = field(default_factory=list)
    recordings: list[Event] = field(default_factory=list)
    recorded: dict[str, Event] = field(default_factory=dict)  # the last of each call
    by_id: dict[str, list[Event]] = field(default_factory=dict)  # finished calls by CALL_ID and by EXTERNAL_CALL_ID

    def register(self, params: dict[str, Any], now: float, config: Bitrix24Config) -> dict[str, Any]:
        """Register a call as telephony.externalCall.register does."""
        user, lead_error = user_of(params, config), config.lead_creation_error
        phone = phone_number(params.get("PHONE_NUMBER"))
        call_type = whole_number(params.get("TYPE"))
        if call_type not in DIRECTIONS:
            raise TelephonyError("Unknown TYPE")
        started = start_of_call(params.get("CALL_START_DATE"), now)
        external_id = text(params.get("EXTERNAL_CALL_ID"))
        if external_id is not None and len(external_id) > EXTERNAL_CALL_ID_LENGTH:
            # Ours, not the vendor's: no page names a length.
            raise TelephonyError(f"EXTERNAL_CALL_ID should not be longer than {EXTERNAL_CALL_ID_LENGTH} characters")
        key = (phone, call_type, user.id, text(params.get("LINE_NUMBER")), external_id)
        call_id = self._running_call(key, now, config.window_from)
        if call_id is None:
            call_id = self._new_call(key, started, now, show=flag(params.get("SHOW"), default=True))
        wanted = flag(params.get("CRM_CREATE"), default=False) and not self.crm.known(phone)
        source = text(params.get("CRM_SOURCE")) or ""
        created = self.crm.add_client(phone, user.id, "LEAD", phone, source) if wanted and not lead_error else None
        kind, entity = self._entity(phone)
        answer: dict[str, Any] = {
            "CALL_ID": call_id,
            "CRM_CREATED_LEAD": created,
            "CRM_CREATED_ENTITIES": [{"ENTITY_TYPE": "LEAD", "ENTITY_ID": created}] if created else [],
            "CRM_ENTITY_TYPE": text(params.get("CRM_ENTITY_TYPE")) or kind,
            "CRM_ENTITY_ID": whole_number(params.get("CRM_ENTITY_ID")) or entity,
        }
        return {**answer, "LEAD_CREATION_ERROR": lead_error} if wanted and lead_error else answer

    def _entity(self, phone: str) -> tuple[str, int | None]:
        known = self.crm.known(phone)
        return (known[0]["type"], known[0]["id"]) if known else ("", None)

    def _running_call(
        self, key: tuple[str, int, int, str | None, str | None], now: float, window_from: str
    ) -> str | None:
        """A call registered with the same key, not finished, begun less than 30 minutes ago."""
        call = self.registrations.get(self.by_key.get(key, ""))
        if call is None or call.finished:
            return None
        # From CALL_START_DATE (S); the pages say from the registration.
        since = call.registered if window_from == "registration" else call.started
        return call.call_id if since > now - REGISTRATION_WINDOW else None

    def _new_call(
        self, key: tuple[str, int, int, str | None, str | None], started: float, now: float, *, show: bool
    ) -> str:
        phone, call_type, user_id, line, external_id = key
        digest = hashlib.sha256(f"{len(self.registrations)} {key}".encode()).hexdigest()[:32]
        call_id = f"externalCall.{digest}.{int(now)}"
        event = {"call_id": call_id, "phone": phone, "type": call_type, "user_id": user_id, "line": line}
        event |= {"external_id": external_id, "started": started, "registered": now, "popup": show}
        self.record("registered", event)
        if show:
            self.show(call_id, user_id, now)
        return call_id

    def show(self, call_id: str, user_id: int, now: float) -> None:
        """Open a call card on a person's screen."""
        self.record("popup", {"call_id": call_id, "user_id": user_id, "user": self._name(user_id), "at": iso_utc(now)})

    def finish(self, params: dict[str, Any], now: float, config: Bitrix24Config) -> dict[str, Any]:
        """Finish a call as telephony.externalCall.finish does: it enters the statistics; a second finish finds no
        call."""
        call_id = params.get("CALL_ID")
        if not isinstance(call_id, str) or not call_id:
            raise TelephonyError("CALL_ID must be a string", "INVALID_ARGUMENT")
        user = user_of(params, config)
        call = self.registrations.get(call_id)
        if call is None or call.finished:
            raise TelephonyError("Call is not found (call should be registered prior to finishing)")
        duration = whole_number(params.get("DURATION", 0))
        if duration is None or duration < 0:
            # Ours, not the vendor's: what becomes of a negative or missing number is not documented.
            raise TelephonyError("DURATION must be a number of seconds", "INVALID_ARGUMENT")
        reason = text(params.get("FAILED_REASON")) or ""
        if len(reason) > FAILED_REASON_LENGTH:
            raise TelephonyError("Unexpected database error")  # ours, not the vendor's
        status = text(params.get("STATUS_CODE")) or ("200" if duration > 0 else "304")
        event = {"id": len(self.finished) + 1, "call_id": call_id, "user_id": user.id, "duration": duration}
        event |= {
            "status": status,
            "reason": reason,
            "vote": whole_number(params.get("VOTE")),
            "cost": float(params.get("COST") or 0),
            "at": now,
        }
        self.record("finished", event)
        record = self.statistics_record(self.finished[-1])
        typed = {name: int(record[name]) for name in ("ID", "PORTAL_USER_ID", "CALL_DURATION", "CRM_ACTIVITY_ID")}
        outcome: dict[str, Any] = {
            "CALL_STATUS": 1 if duration > 0 else 0,
            "INCOMING": str(call.type),
            "CALL_START_DATE": {},
            "COST": float(record["COST"]),
        }
        return {**record, **typed, **outcome, "CALL_VOTE": event["vote"] or 0}

    def apply(self, kind: str, event: Event) -> None:
        """Apply one recorded change."""
        match kind:
            case "registered":
                call = Registration(**event)
                self.registrations[call.call_id] = call
                self.by_key[call.key] = call.call_id
            case "finished":
                call = self.registrations[event["call_id"]]
                call.finished = True
                self.finished.append(event)
                for name in {call.call_id, call.external_id or call.call_id}:
                    self.by_id.setdefault(name, []).append(event)
            case "popup":
                self.popups.append(event)
            case "recorded":
                self.recordings.append(event)
                self.recorded[event["call_id"]] = event

    def candidates(self, conditions: object) -> list[Event]:
        """Finished calls that a filter can match: those of the call or the number that it names, else all."""
        if isinstance(conditions, dict):
            for name in ("CALL_ID", "EXTERNAL_CALL_ID"):
                wanted = conditions.get(name, conditions.get(f"={name}"))
                if isinstance(wanted, str) and wanted:
                    return self.by_id.get(wanted, [])
            part = conditions.get("%PHONE_NUMBER")
            if isinstance(part, str):
                return [each for each in self.finished if part in self.registrations[each["call_id"]].phone]
        return self.finished

    def statistics_record(self, event: Event) -> dict[str, Any]:
        """A finished call as voximplant.statistic.get lists it: every value is a text."""
        call = self.registrations[event["call_id"]]
        kind, entity = self._entity(call.phone)
        return {
            "ID": str(event["id"]),
            "PORTAL_USER_ID": str(event["user_id"]),
            "PORTAL_NUMBER": call.line or "",
            "PHONE_NUMBER": call.phone,
            "CALL_ID": call.call_id,
            "EXTERNAL_CALL_ID": call.external_id,
            "CALL_CATEGORY": "external",
            "CALL_LOG": None,
            "CALL_DURATION": str(event["duration"]),
            "CALL_START_DATE": datetime.fromtimestamp(call.started, UTC).isoformat(timespec="seconds"),
            "CALL_RECORD_URL": address_of(self.recorded, call.call_id),
            "CALL_VOTE": None if event["vote"] is None else str(event["vote"]),
            "COST": f"{event['cost']:.4f}",
            "COST_CURRENCY": "",
            "CALL_FAILED_CODE": event["status"],
            "CALL_FAILED_REASON": event["reason"],
            "CRM_ENTITY_TYPE": kind,
            "CRM_ENTITY_ID": str(entity or ""),
            "CRM_ACTIVITY_ID": str(FIRST_ACTIVITY + event["id"]),
            "REST_APP_ID": "3",
            "REST_APP_NAME": "cel2crm",
            "TRANSCRIPT_PENDING": "N",
            "COMMENT": None,
            "CALL_TYPE": str(call.type),
        }

    def entries(self) -> list[Entry]:
        """The finished calls as a person sees them in the list of calls."""
        return [self._entry(event) for event in self.finished]

    def _entry(self, event: Event) -> Entry:
        call = self.registrations[event["call_id"]]
        successful = event["duration"] > 0
        missed = event["status"] == "304" and call.type in INCOMING_TYPES
        tone: Tone = "good" if successful else "missed" if missed else "failed"
        return Entry(
            number=event["id"],
            crm_id=call.call_id,
            external_id=call.external_id,
            phone=call.phone,
            direction=DIRECTIONS[call.type],
            user_id=event["user_id"],
            user=self._name(event["user_id"]),
            duration=event["duration"],
            started_at=iso_utc(call.started),
            received_at=iso_utc(event["at"]),
            status=event["status"],
            words=STATUS_WORDS.get(event["status"], STATUS_WORDS["OTHER"]),
            tone=tone,
            successful=successful,
            missed=missed,
            text=event["reason"] or None,
            line=call.line,
            via="finish",
            popup=call.popup,
            recording=shown_of(self.recorded, call.call_id),
        )

    def automations(self) -> list[str]:
        """Phone numbers for which the CRM's trigger `call` ran: a register runs it, and the events of a call's begin,
        each time that it makes a new CALL_ID, finished or not (S)."""
        return [call.phone for call in self.registrations.values()]

    def orphans(self) -> list[dict[str, Any]]:
        """Calls that were registered and never finished."""
        return [
            {
                "crm_id": call.call_id,
                "external_id": call.external_id,
                "phone": call.phone,
                "direction": DIRECTIONS[call.type],
                "user_id": call.user_id,
                "user": self._name(call.user_id),
                "started_at": iso_utc(call.started),
                "received_at": iso_utc(call.registered),
            }
            for call in self.registrations.values()
            if not call.finished
        ]

    def _name(self, user_id: int) -> str:
        return next((user.name for user in self.users if user.id == user_id), f"user {user_id}")
